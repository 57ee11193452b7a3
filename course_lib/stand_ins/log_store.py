"""An embedded searchable log store (SQLite FTS5) that speaks Loki's push and query API in JSON.

Ask it over HTTP as one would ask Loki, or directly, by field. Leaves out: protobuf pushes, parsers
and metric queries in LogQL, tailing, tenants, deletion; and a push that is sent again is stored
again, where Loki knows its lines.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from course_lib.stand_ins.log_entries import fields, from_lines, pushed, text_of
from course_lib.stand_ins.log_http import loki_app
from course_lib.stand_ins.log_query import parse
from course_lib.stand_ins.log_table import Row, Table
from course_lib.stand_ins.log_values import LARGEST_NS
from course_lib.stand_ins.log_words import of_field, of_filters, of_text, words

MOST_STEPS = 11_000


@dataclass(frozen=True)
class Found:
    """An event that was found: its instant in seconds since 1970, labels, line and fields."""

    at_seconds: float
    labels: Mapping[str, str]
    line: str
    fields: Mapping[str, str]
    stands_for: int

    def __getitem__(self, name: str) -> str:
        return self.fields[name]


class LogStore:
    """`serve(LogStore().app)` for HTTP; `ingest`, `search`, `count`, `over_time` for direct use.

    In memory unless a file is named, which one store may have open at a time. Full at
    `most_events`: then a push gets 429, and nothing that was stored is lost. All instants are
    seconds since 1970.
    """

    def __init__(
        self,
        path: str = ":memory:",
        *,
        most_events: int = 5_000_000,
        most_streams: int = 5_000,
        most_body_bytes: int = 4_000_000,
        query_seconds: float = 10.0,
    ) -> None:
        self._table = Table(path, most_events=most_events, most_streams=most_streams)
        self.app = loki_app(self._table, most_body_bytes, query_seconds)

    def __len__(self) -> int:
        return self._table.events

    def close(self) -> None:
        self._table.close()

    def ingest(self, lines: Iterable[str | bytes]) -> None:
        """Store lines as `json_logger` writes them, all or none."""
        self._table.insert(from_lines(lines))

    def push(self, body: bytes) -> None:
        """Store the body of a push, all or none; what is wrong with it raises `Refused`."""
        self._table.insert(pushed(body))

    def search(
        self,
        query: str = "",
        *,
        text: str = "",
        limit: int | None = 100,
        start: float | None = None,
        end: float | None = None,
        newest_first: bool = True,
        **where: Any,
    ) -> list[Found]:
        """Events by field (`user_id=7`, exact), by words in any order, or by a LogQL query."""
        rows = self._rows(query, text, start, end, newest_first, where, limit is None)
        streams = self._table.streams
        return [
            Found(_seconds(row.at_ns), dict(streams[row.stream]), row.line, has, row.stands_for)
            for row, has in islice(rows, limit)
        ]

    def count(self, query: str = "", *, by: str | None = None, **asked: Any) -> Counter[str]:
        """How many events, by the values of a field (by=None: all under ""); sampled lines count
        for what they stand for. Takes what `search` takes, without limit."""
        counts: Counter[str] = Counter()
        for row, has in self._asked(query, asked):
            counts[has.get(by, "") if by else ""] += row.stands_for
        return counts

    def over_time(
        self, query: str = "", *, step: float, by: str | None = None, **asked: Any
    ) -> dict[str, list[tuple[float, int]]]:
        """Events in each step of so many seconds, by the values of a field: what a plot wants.

        Every list has the same steps, from the first to the last one with an event; ValueError
        when that is more than 11,000, as in Loki: one line from 1970 would ask for millions.
        """
        counts: dict[str, Counter[int]] = {}
        step_ns = round(step * 1e9)
        if step_ns < 1:
            raise ValueError(f"step: must be at least a nanosecond, in seconds, got {step}")
        for row, has in self._asked(query, asked):
            group = counts.setdefault(has.get(by, "") if by else "", Counter())
            group[row.at_ns // step_ns] += row.stands_for
        used = [number for group in counts.values() for number in group]
        steps = range(min(used), max(used) + 1) if used else range(0)
        if len(steps) > MOST_STEPS:
            words = f"more than {MOST_STEPS} steps: give start and end, or make step longer"
            raise ValueError(f"step: from the first event to the last there are {words}")
        return {
            name: [(_seconds(number * step_ns), group[number]) for number in steps]
            for name, group in sorted(counts.items())
        }

    def _asked(self, query: str, asked: dict[str, Any]) -> Iterator[tuple[Row, dict[str, str]]]:
        if not asked.keys().isdisjoint(("limit", "newest_first")):
            raise TypeError("`limit` and `newest_first` are for search(); this counts all events")
        text, start, end = (asked.pop(name, None) for name in ("text", "start", "end"))
        return self._rows(query, text or "", start, end, False, asked, True)

    def _rows(
        self,
        query: str,
        text: str,
        start: float | None,
        end: float | None,
        newest_first: bool,
        where: Mapping[str, Any],
        all_of_them: bool,
    ) -> Iterator[tuple[Row, dict[str, str]]]:
        asked = parse(query) if query else None
        wanted = {name: text_of(value) for name, value in where.items()}
        said = words(text)
        terms = [term for name, value in wanted.items() for term in of_field(name, value)]
        terms += of_text(text) + (of_filters(asked.lines) if asked else [])
        streams = [
            number
            for number, labels in self._table.streams.items()
            if asked is None or asked.chooses(dict(labels))
        ]
        start_ns = -LARGEST_NS if start is None else _first_ns(start)
        end_ns = LARGEST_NS if end is None else _first_ns(end)
        slices = self._table.slices(
            streams,
            start_ns,
            end_ns,
            newest_first=newest_first,
            terms=terms,
            all_of_them=all_of_them,
        )
        for rows in slices:
            for row in rows:
                if asked is not None and not asked.keeps(row.line):
                    continue
                has = fields(row.line)
                if row.metadata:
                    has |= fields(row.metadata)
                if said and not said <= words(row.line, *has.values()):
                    continue
                if all(has.get(name) == value for name, value in wanted.items()):
                    yield row, has


def _seconds(at_ns: int) -> float:
    return at_ns / 1e9


def _first_ns(seconds: float) -> int:
    """The first nanosecond that is not before this instant; today, floats are 238 of them apart."""
    if abs(seconds) >= _seconds(LARGEST_NS):
        return LARGEST_NS if seconds > 0 else -LARGEST_NS
    near = range(round(seconds * 1e9) - 1_000, round(seconds * 1e9) + 1_000)
    return near[bisect_left(near, seconds, key=_seconds)]
