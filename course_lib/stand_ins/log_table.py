"""Where the events lie: SQLite with an index by stream and time, and one of words (FTS5).

A batch is one transaction: it is stored as a whole or not at all. A search goes through the index
of words when that narrows it down enough, and otherwise along the streams in order of time; both
come in slices, so that whoever searches can let others run between them.
"""

import heapq
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import orjson

from course_lib.stand_ins import log_words
from course_lib.stand_ins.log_entries import Entry, Labels, fields
from course_lib.stand_ins.log_values import Refused

FEW = 20_000
_COLUMNS = "at_ns, events.id, stream, line, metadata, stands_for"
_SLICE_ROWS, _SLICE_BYTES = 500, 200_000
_SCHEMA = """
create table if not exists streams (id integer primary key, labels text unique not null);
create table if not exists events (id integer primary key, stream integer not null,
    at_ns integer not null, line text not null, metadata text, stands_for integer not null);
create index if not exists by_stream on events (stream, at_ns);
create virtual table if not exists words using fts5(text, content='', detail=none, columnsize=0,
    tokenize='unicode61 remove_diacritics 0');
insert into words (words, rank) values ('automerge', 8);
"""


class Row(NamedTuple):
    """One stored event; `stands_for` is how many events it speaks for (see log_sampling)."""

    at_ns: int
    id: int
    stream: int
    line: str
    metadata: str | None
    stands_for: int


class Table:
    """Streams and events; may be used from several threads, one step at a time."""

    def __init__(self, path: str, *, most_events: int, most_streams: int) -> None:
        self._lock = threading.RLock()
        self._most_events, self._most_streams = most_events, most_streams
        self._database = _opened(path)
        self.streams: dict[int, Labels] = {
            number: tuple((name, text) for name, text in orjson.loads(labels))
            for number, labels in self._database.execute("select id, labels from streams")
        }
        self._numbers = {labels: number for number, labels in self.streams.items()}
        self.events: int = self._database.execute("select count(*) from events").fetchone()[0]
        self._last = self._database.execute("select max(id) from events").fetchone()[0] or 0

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def insert(self, entries: Sequence[Entry]) -> None:
        """Store all of them; `Refused` (429) when the store is full, and then none is stored."""
        with self._lock:
            if self.events + len(entries) > self._most_events:
                words = f"the store is full: {self.events} events of {self._most_events}"
                raise Refused(429, words)
            new = self._new_streams(entries)
            numbers = self._numbers | new
            rows, documents = [], []
            for identity, entry in enumerate(entries, self._last + 1):
                found = fields(entry.line)
                metadata = None
                if entry.metadata:
                    found |= entry.metadata
                    metadata = orjson.dumps(entry.metadata, option=orjson.OPT_SORT_KEYS).decode()
                stands_for = found.get("stands_for", "1")
                weight = int(stands_for) if stands_for.isdecimal() and len(stands_for) < 10 else 1
                stream = numbers[entry.labels]
                rows.append((identity, stream, entry.at_ns, entry.line, metadata, weight or 1))
                documents.append(
                    (identity, log_words.document(entry.line, found, entry.metadata or {}))
                )
            self._write(new, rows, documents)
            self._numbers = numbers
            self.streams = self.streams | {number: labels for labels, number in new.items()}
            self.events += len(rows)
            self._last += len(rows)

    def _new_streams(self, entries: Sequence[Entry]) -> dict[Labels, int]:
        new: dict[Labels, int] = {}
        for entry in entries:
            if entry.labels not in self._numbers and entry.labels not in new:
                new[entry.labels] = len(self._numbers) + len(new) + 1
        if len(self._numbers) + len(new) > self._most_streams:
            words = f"more than {self._most_streams} streams; a label must have few values"
            raise Refused(429, f"Maximum active stream limit exceeded: {words}")
        return new

    def _write(self, new: dict[Labels, int], rows: list[tuple], documents: list[tuple]) -> None:
        labels = [(number, orjson.dumps(labels).decode()) for labels, number in new.items()]
        with self._database:
            self._database.execute("begin immediate")
            self._database.executemany("insert into streams values (?, ?)", labels)
            self._database.executemany("insert into events values (?, ?, ?, ?, ?, ?)", rows)
            self._database.executemany("insert into words (rowid, text) values (?, ?)", documents)

    def slices(
        self,
        streams: Sequence[int],
        start_ns: int,
        end_ns: int,
        *,
        newest_first: bool,
        terms: Sequence[str],
        all_of_them: bool = False,
    ) -> Iterator[list[Row]]:
        """Events of the streams with start <= instant < end, in order, a slice at a time.

        `terms` are what the index of words can say about them; the rows may have more.
        `all_of_them` says that the caller will not stop early.
        """
        found = self._narrowed(terms, start_ns, end_ns, newest_first, most=self._few(all_of_them))
        if found is not None:
            chosen = set(streams)
            rows = (row for row in found if row.stream in chosen)
        else:
            order = "desc" if newest_first else "asc"
            runs = [self._run(number, start_ns, end_ns, order) for number in streams]
            rows = heapq.merge(*runs, key=lambda row: (row.at_ns, row.id), reverse=newest_first)
        while True:
            with self._lock:
                slice_ = _slice(rows)
            if not slice_:
                return
            yield slice_

    def used(self, start_ns: int, end_ns: int) -> set[int]:
        """The streams that have an event with start <= instant < end."""
        question = "select 1 from events where stream=? and at_ns>=? and at_ns<? limit 1"
        with self._lock:
            return {
                number
                for number in self.streams
                if self._database.execute(question, (number, start_ns, end_ns)).fetchone()
            }

    def _few(self, all_of_them: bool) -> int:
        """So many hits in the index of words are worth being looked up one by one.

        Who wants the first hundred of very many finds them sooner along the streams.
        """
        return max(FEW, self.events // 4) if all_of_them else FEW

    def _narrowed(
        self, terms: Sequence[str], start_ns: int, end_ns: int, newest_first: bool, *, most: int
    ) -> list[Row] | None:
        """The events the index of words finds, in order; None when it finds more than `most`."""
        if not terms:
            return None
        words = " AND ".join(dict.fromkeys(terms))
        hits = f"select 1 from words where words match ? limit {most + 1}"
        order = "desc" if newest_first else "asc"
        question = (
            f"select {_COLUMNS} from words join events on events.id = words.rowid"
            " where words match ? and at_ns >= ? and at_ns < ?"
            f" order by at_ns {order}, id {order}"
        )
        with self._lock:
            counted = self._database.execute(f"select count(*) from ({hits})", (words,))
            if counted.fetchone()[0] > most:
                return None
            return list(map(Row._make, self._database.execute(question, (words, start_ns, end_ns))))

    def _run(self, stream: int, start_ns: int, end_ns: int, order: str) -> Iterator[Row]:
        """The events of one stream, read as they are asked for."""
        question = (
            f"select {_COLUMNS} from events"
            f" where stream=? and at_ns>=? and at_ns<? order by at_ns {order}, id {order}"
        )
        for row in self._database.execute(question, (stream, start_ns, end_ns)):
            yield Row._make(row)


def _opened(path: str) -> sqlite3.Connection:
    """A database that nobody else can open meanwhile: who has it counts its rows in memory."""
    database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        if path != ":memory:":
            settings = "locking_mode=exclusive", "journal_mode=wal", "synchronous=normal"
            database.executescript("".join(f"pragma {setting};" for setting in settings))
        database.execute("pragma cache_size=-65536")
        database.executescript(_SCHEMA)
    except sqlite3.OperationalError as error:
        database.close()
        words = "the file of a log store, which one store may have open at a time"
        raise ValueError(f"{path}: expected {words}: {error}") from error
    return database


def _slice(rows: Iterator[Row]) -> list[Row]:
    slice_: list[Row] = []
    size = 0
    for row in islice(rows, _SLICE_ROWS):
        slice_.append(row)
        size += len(row.line)
        if size > _SLICE_BYTES:
            break
    return slice_
