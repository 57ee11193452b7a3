"""Logs are events with fields, one JSON object a line (structlog), never sentences to be parsed.

Secrets do not appear: a field whose name sounds like one is redacted at any depth, and so are
credentials inside a text; what neither sounds nor looks like one gets through. A value JSON does
not know is written as its text; logging never raises. Buffering is the stream's business.
"""

import dataclasses
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
# password=x, "password": "x", {'password': b'x'}, also where a text is quoted once more: \"x\"
_NAMED = rf"((?:{_NAMES})\w{{0,64}}\\*[\"']?\s*(?:[=:]+|%3D)\s*)"
_QUOTED = r"b?(\\*[\"']).*?(?:(?<!\\)\2|\Z)"
_SECRET_TEXT = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), replacement)
    for pattern, replacement in (
        (r"-----BEGIN [\w ]*PRIVATE KEY-----.*?(?:-----END [\w ]*-----|\Z)", "[redacted]"),
        (r"((?:cookie|authorization)\s*:\s*)[^\r\n]+", r"\1[redacted]"),
        (r"\b(basic|bearer)(\s+)[\w.~+/=-]+", r"\1\2[redacted]"),
        (r"\beyJ[\w-]+\.[\w-]+\.[\w-]*", "[redacted]"),  # a JSON web token
        (rf"{_NAMED}(?:{_QUOTED}|[^\s,;&)]+)", r"\1[redacted]"),
        (r"(://[^\s/:@]{0,200}:)[^\s/]{1,200}@", r"\1[redacted]@"),  # a URL's password
        (r"(://)[^\s/:@]{20,200}@", r"\1[redacted]@"),  # a token in the user's place
    )
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
        try:
            line: Any = {**self._context, **_redact(fields)}
            for process in self._processors:  # what structlog's `_process_event` does, and no more
                line = process(self._logger, level, line)
        except Exception:  # a value that cannot be looked at, or changes meanwhile
            self._logger.lost += 1
            line = {**self._context, "event": _redacted(_text(event))}
            line = _render(None, level, _stamp(None, level, line))
        try:
            self._logger.write(line)
        except Exception:  # a full disk or a closed stream must not fail the call that is logged
            self._logger.lost += 1

    def bind(self, **fields: Any) -> Self:
        """A logger that adds these fields, as they are now, to every event."""
        return super().bind(**_redacted(fields))

    @property
    def lost(self) -> int:
        """Events that the stream did not take, or that came without their fields."""
        return self._logger.lost


@dataclasses.dataclass
class _Sink:
    write: Callable[[bytes], Any]
    muted: frozenset[str]
    lost: int = 0


def _writer(stream: Any) -> Callable[[bytes], Any]:
    if hasattr(stream, "append"):
        return lambda line: stream.append(line[:-1].decode())
    if hasattr(stream, "encoding"):  # a text stream; not every one is an io.TextIOBase
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
    except orjson.JSONEncodeError:
        line = _dumps(_encodable(_redacted(fields)))
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
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        value = dict(zip(value._fields, value, strict=False))
    if isinstance(value, dict):
        named = [(_text(name), item) for name, item in list(value.items())]
        return {name: _field(name, item, depth) for name, item in named}
    if isinstance(value, list | tuple) and len(value) == 2 and isinstance(value[0], str | bytes):
        return [_redacted(value[0], depth + 1), _field(_text(value[0]), value[1], depth)]
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(item, depth + 1) for item in list(value)]
    text = _text(value)
    for pattern, replacement in _SECRET_TEXT:
        text = pattern.sub(replacement, text)
    return text


def _field(name: str, item: Any, depth: int) -> Any:
    return "[redacted]" if _SECRET_NAME.search(name) else _redacted(item, depth + 1)


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:
        return f"[a {type(value).__name__} that cannot be printed]"


def _encodable(value: Any) -> Any:
    """What `_redacted` gave; a text in the place of each value that orjson refuses."""
    if isinstance(value, dict):
        return {_encodable(name): _encodable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, str):  # half of a surrogate pair has no UTF-8
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return _text(value)
    return float(value) if isinstance(value, float) else value
