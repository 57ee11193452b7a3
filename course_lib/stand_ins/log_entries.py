"""What may be stored: the body of Loki's push API and lines of JSON, checked as a whole batch."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from course_lib import context
from course_lib.stand_ins.log_query import NAME
from course_lib.stand_ins.log_values import LARGEST_NS, Refused, rfc3339, shortened

LONGEST_LINE_BYTES = 256 * 1024
_SURELY_SHORT = LONGEST_LINE_BYTES // 4
MOST_LABELS = 15
LONGESTNAME, LONGEST_VALUE = 1024, 2048
LABEL_FIELDS = ("service", "instance", "level")
"""The fields of a line that become labels when it comes without any: few values each."""
_DEEPEST = 20

Labels = tuple[tuple[str, str], ...]


class Entry(NamedTuple):
    """One line with its stream and its instant; `metadata` is Loki's structured metadata."""

    labels: Labels
    at_ns: int
    line: str
    metadata: Mapping[str, str] | None = None


def pushed(body: bytes) -> list[Entry]:
    """Read a push; `Refused` (400) names the first field that is wrong, and then nothing counts."""
    try:
        raw = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(400, f"body: not JSON: {error}") from None
    streams = _part(_part(raw, dict, "body", "an object").get("streams"), list, "streams", "a list")
    entries: list[Entry] = []
    for number, item in enumerate(streams):
        place = f"streams[{number}]"
        stream = _part(item, dict, place, "an object")
        labels = _labels(stream.get("stream"), f"{place}.stream")
        values = _part(stream.get("values"), list, f"{place}.values", "a list")
        for index, value in enumerate(values):
            plain = _plain_entry(labels, value)
            entries.append(plain or _entry(labels, value, f"{place}.values[{index}]"))
    return entries


def from_lines(lines: Iterable[str | bytes]) -> list[Entry]:
    """Entries of lines as `json_logger` writes them: labels and instant come from the fields.

    A line that is not a JSON object is kept as text, now, under service="unknown".
    """
    return [_from_line(line, number) for number, line in enumerate(lines)]


def fields(line: str) -> dict[str, str]:
    """The fields of a JSON line as texts, nested ones joined by "_"; none for another line.

    What lies deeper than twenty objects, or below a name that is too long, is no field.
    """
    try:
        value = orjson.loads(line) if line[:1] == "{" else None
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return {}
    found: dict[str, str] = {}
    if isinstance(value, dict):
        _flatten(value, "", found)
    return found


def text_of(value: object) -> str:
    """A value as the text by which it is found: 7 is "7", True "true", None "null"."""
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode() if isinstance(value, int | float | None) else str(value)


def _flatten(value: dict[str, Any], prefix: str, found: dict[str, str], depth: int = 0) -> None:
    for name, item in value.items():
        if type(item) is str:
            found[prefix + name] = item
        elif isinstance(item, dict):
            if depth < _DEEPEST and len(prefix) + len(name) < LONGESTNAME:
                _flatten(item, f"{prefix}{name}_", found, depth + 1)
        elif not isinstance(item, list):
            found[prefix + name] = text_of(item)


def _plain_entry(labels: Labels, value: object) -> Entry | None:
    """What nearly every entry is, checked at once; anything else is looked at more closely."""
    match value:
        case [str(at), str(line)] if len(at) == 19 and at < "9" and len(line) < _SURELY_SHORT:
            if at.isascii() and at.isdecimal():
                return Entry(labels, int(at), line)
    return None


def _entry(labels: Labels, value: object, place: str) -> Entry:
    pair = _part(value, list, place, "a list of timestamp and line")
    if len(pair) not in (2, 3):
        words = "must be [timestamp, line] or [timestamp, line, metadata]"
        raise Refused(400, f"{place}: {words}, got {len(pair)} items")
    at = _part(pair[0], str, f"{place}[0]", "nanoseconds since 1970 as a string")
    if not (at.isascii() and at.isdigit() and len(at) <= 19 and int(at) <= LARGEST_NS):
        words = "must be nanoseconds since 1970, digits in a string"
        raise Refused(400, f"{place}[0]: {words}, got {shortened(at)}")
    line = _line(_part(pair[1], str, f"{place}[1]", "a string"), f"{place}[1]")
    metadata = None
    if len(pair) == 3:
        metadata = _texts(pair[2], f"{place}[2]")
    return Entry(labels, int(at), line, metadata or None)


def _line(line: str, place: str) -> str:
    if len(line) >= _SURELY_SHORT and len(line.encode()) > LONGEST_LINE_BYTES:
        raise Refused(400, f"{place}: a line has at most {LONGEST_LINE_BYTES} bytes")
    return line


def _labels(value: object, place: str) -> Labels:
    labels = {name: text for name, text in _texts(value, place).items() if text}
    if not labels:
        raise Refused(400, f"{place}: error at least one label pair is required per stream")
    if len(labels) > MOST_LABELS:
        raise Refused(400, f"{place}: at most {MOST_LABELS} labels, got {len(labels)}")
    for name, text in labels.items():
        if len(name) > LONGESTNAME or not NAME.fullmatch(name):
            words = "a label name has letters, digits and _, and no digit first"
            raise Refused(400, f"{place}: {words}, got {shortened(name)}")
        if len(text) > LONGEST_VALUE:
            raise Refused(400, f"{place}.{name}: a label has at most {LONGEST_VALUE} characters")
    return tuple(sorted(labels.items()))


def _texts(value: object, place: str) -> dict[str, str]:
    texts = _part(value, dict, place, "an object of strings")
    for name, text in texts.items():
        _part(text, str, f"{place}.{name[:60]}", "a string")
    return texts


def _part(value: object, kind: type, place: str, wanted: str) -> Any:
    if not isinstance(value, kind):
        got = "nothing" if value is None else shortened(str(value))
        raise Refused(400, f"{place}: must be {wanted}, got {got}")
    return value


def _from_line(line: str | bytes, number: int) -> Entry:
    if isinstance(line, bytes):
        text = line.decode("utf-8", "backslashreplace")
    else:
        text = line.encode("utf-8", "backslashreplace").decode()
    text = _line(text.rstrip("\n"), f"lines[{number}]")
    found = fields(text)
    labels = {name: found[name][:LONGEST_VALUE] for name in LABEL_FIELDS if found.get(name)}
    try:
        at_ns = rfc3339(found.get("timestamp", ""), "timestamp")
    except Refused:
        at_ns = round(context.wall_clock.get()() * 1e9)
    return Entry(tuple(sorted((labels or {"service": "unknown"}).items())), at_ns, text)
