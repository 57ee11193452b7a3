"""Logs are events with fields, one JSON object a line (structlog), never sentences to be parsed.

Secrets never appear: a field whose name sounds like one is redacted at any depth, and so are
credentials inside a text. A value JSON does not know is written as its text; logging never
raises. Buffering is the stream's business.
"""

import dataclasses
import io
import re
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Self

import orjson
import structlog

from course_lib import context

_NAMES = (
    r"pass(?:word|wd|phrase)|pwd|secret|token|authorization|credential|cookie|session.?id"
    r"|(?:api|private).?key"
)
_SECRET_NAME = re.compile(_NAMES, re.IGNORECASE)
_SECRET_TEXT = (
    (re.compile(r"\b(basic|bearer)(\s+)[\w.~+/=-]+", re.IGNORECASE), r"\1\2[redacted]"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), "[redacted]"),  # a JSON web token
    (re.compile(rf"((?:{_NAMES})\w*(?:=|%3D|:\s*))[^\s,;&)]+", re.I), r"\1[redacted]"),
    # a field in quotes, in a text that is JSON or a printed dict
    (re.compile(rf"((?:{_NAMES})\w*\\*[\"']\s*:\s*\\*[\"'])[^\"'\\]+", re.I), r"\1[redacted]"),
    (re.compile(r"(://[^\s/:@]{0,200}:)[^\s/]{1,200}@"), r"\1[redacted]@"),  # a URL's password
    (re.compile(r"(://)[^\s/:@]{20,200}@"), r"\1[redacted]@"),  # a token in the user's place
)
_HINTS = (
    *("pass", "pwd", "secret", "token", "authorization", "credential", "cookie", "session", "key"),
    *("basic", "bearer", "eyj", "@"),
)
_PLAIN = frozenset((int, float, bool, type(None)))
_SHORT, _MOST_REMEMBERED = 64, 10_000
_harmless: set[str] = set()
_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_APPEND_NEWLINE
_LEVELS = ("debug", "info", "warning", "error", "critical")

Fields = MutableMapping[str, Any]


def json_logger(service: str, instance: str, stream: Any, *, at_least: str = "info") -> "Log":
    """Return `log(event, level="info", **fields)`, which writes one JSON object a line.

    `stream` is a list (it gets one `str` a line), a text stream or a binary one. Each line has
    event, level, timestamp (ISO 8601, UTC), service, instance, trace_id, span_id and the fields.
    """
    sink = _Sink(_writer(stream), frozenset(_LEVELS[: _LEVELS.index(at_least)]))
    return Log(sink, [_stamp, _render], {"service": service, "instance": instance})


class Log(structlog.BoundLoggerBase):
    """A logger that is called; `log.bind(**fields)` is one that adds the fields to every event."""

    def __call__(self, event: str, /, level: str = "info", **fields: Any) -> None:
        """Write the event, unless the level is below the threshold."""
        if level in self._logger.muted:
            return
        if "event" in fields:
            fields["event_"] = fields.pop("event")
        fields["event"] = event
        line: Any = {**self._context, **_redact(fields)}
        for process in self._processors:  # what structlog's `_process_event` does, and no more
            line = process(self._logger, level, line)
        try:
            self._logger.write(line)
        except Exception:  # a full disk or a closed stream must not fail the call that is logged
            self._logger.lost += 1

    def bind(self, **fields: Any) -> Self:
        """A logger that adds these fields to every event."""
        return super().bind(**_redact(fields))

    @property
    def lost(self) -> int:
        """Events that the stream did not take."""
        return self._logger.lost


@dataclasses.dataclass
class _Sink:
    write: Callable[[bytes], Any]
    muted: frozenset[str]
    lost: int = 0


def _writer(stream: Any) -> Callable[[bytes], Any]:
    if hasattr(stream, "append"):
        return lambda line: stream.append(line[:-1].decode())
    if isinstance(stream, io.TextIOBase):
        return lambda line: stream.write(line.decode())
    return stream.write


def _redact(fields: Fields) -> Fields:
    """Look for what sounds like a secret first: hardly an event has one, so only that one pays."""
    names_known = _harmless.issuperset(fields)
    for name, value in fields.items():
        kind = type(value)
        if kind is str:
            if value not in _harmless and _sounds_secret(value):
                return _redacted(fields)
        elif kind not in _PLAIN:
            return _redacted(fields) if _sounds_secret(_dumped(fields)) else fields
        if not names_known and _sounds_secret(name):
            return _redacted(fields)
    return fields


def _sounds_secret(text: str) -> bool:
    """Whether the text has a hint of a secret; short ones that have none are remembered."""
    lowered = text.lower()
    for hint in _HINTS:
        if hint in lowered:
            return True
    if len(text) <= _SHORT:
        if len(_harmless) >= _MOST_REMEMBERED:
            _harmless.clear()
        _harmless.add(text)
    return False


def _dumped(fields: Fields) -> str:
    try:
        return _dumps(fields).decode()
    except orjson.JSONEncodeError:
        return _HINTS[0]  # nobody can tell: look closely


def _stamp(_: Any, level: str, fields: Fields) -> Fields:
    seconds, microseconds = divmod(round(context.wall_clock.get()() * 1e6), 1_000_000)
    trace = context.trace.get()
    fields["level"] = level
    fields["timestamp"] = f"{_date_and_time(seconds)}.{str(1_000_000 + microseconds)[1:]}Z"
    fields["trace_id"], fields["span_id"] = trace[:2] if trace else (None, None)
    return fields


@lru_cache(maxsize=1)
def _date_and_time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _render(_: Any, __: str, fields: Fields) -> bytes:
    try:
        line = _dumps(fields)
    except orjson.JSONEncodeError:  # an integer beyond 64 bits, half of a surrogate pair
        line = _dumps({_ascii(name): _ascii(value) for name, value in fields.items()})
    return line if line.isascii() else _one_line(line)


def _dumps(fields: Any) -> bytes:
    return orjson.dumps(fields, _redacted, _OPTIONS)


def _one_line(line: bytes) -> bytes:
    """Escape what Python's `splitlines` takes for the end of a line."""
    text = line.decode().replace("\x85", r"\u0085")
    return text.replace("\u2028", r"\u2028").replace("\u2029", r"\u2029").encode()


def _redacted(value: Any, depth: int = 0) -> Any:
    if depth > 20:
        return "[too deep]"
    if isinstance(value, int | float) or value is None:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name, None) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {name: _field(name, item, depth) for name, item in _named(value)}
    if isinstance(value, list | tuple) and len(value) == 2 and isinstance(value[0], str):
        return [_redacted(value[0], depth + 1), _field(value[0], value[1], depth)]
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(item, depth + 1) for item in value]
    text = _text(value)
    for pattern, replacement in _SECRET_TEXT:
        text = pattern.sub(replacement, text)
    return text


def _named(value: dict[Any, Any]) -> list[tuple[str, Any]]:
    return [(_text(name), item) for name, item in value.items()]


def _field(name: str, item: Any, depth: int) -> Any:
    return "[redacted]" if _SECRET_NAME.search(name) else _redacted(item, depth + 1)


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:
        return f"[a {type(value).__name__} that cannot be printed]"


def _ascii(value: Any) -> str:
    return _text(value).encode("ascii", "backslashreplace").decode()
