"""Logs are events with fields, one JSON object a line (structlog), never sentences to be parsed.

Secrets never appear: a field whose name sounds like one is redacted at any depth, and so are
credentials inside a text. A value JSON does not know is written as its text; logging never
raises. Buffering is the stream's business.
"""

import dataclasses
import io
import re
from collections.abc import Callable, MutableMapping
from functools import lru_cache
from typing import Any

import orjson
import structlog

from course_lib import context

_SECRET = "password|passwd|passphrase|secret|token|authorization|credential|cookie|api.?key"
_SECRET_KEY = re.compile(_SECRET + "|private.?key", re.IGNORECASE)
_SECRET_TEXT = (
    (re.compile(r"\b(basic|bearer)(\s+)[\w.~+/=-]+", re.IGNORECASE), r"\1\2[redacted]"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), "[redacted]"),
    (re.compile(rf"((?:{_SECRET})\w*=)[^\s,;&)]+", re.IGNORECASE), r"\1[redacted]"),
)
_HINTS = ("basic ", "bearer ", "eyj", "=")
_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS
_LINE_BREAKS = {"\x85": r"\u0085", "\u2028": r"\u2028", "\u2029": r"\u2029"}

Log = Callable[..., None]


def json_logger(service: str, instance: str, stream: Any, *, at_least: str = "info") -> Log:
    """Return `log(event, level="info", **fields)`, which writes one JSON object a line.

    `stream` is a list (it gets one `str` a line), a text stream or a binary one. Each line has
    event, level, timestamp (ISO 8601, UTC), service, instance, trace_id, span_id and the fields.
    """
    logger = structlog.wrap_logger(
        _Lines(stream),
        processors=[_stamp, _redact_fields, _render],
        wrapper_class=structlog.make_filtering_bound_logger(at_least),
        context_class=dict,
    ).bind(service=service, instance=instance)
    methods = {level: getattr(logger, level) for level in _LEVELS}

    def log(event: str, /, level: str = "info", **fields: Any) -> None:
        if "event" in fields:
            fields["event_"] = fields.pop("event")
        methods.get(level, logger.info)(event, **fields)

    return log


_LEVELS = ("debug", "info", "warning", "error", "critical")


class _Lines:
    """Where structlog leaves the finished line: the stream, whatever its kind."""

    def __init__(self, stream: Any) -> None:
        if hasattr(stream, "append"):
            self.info = lambda line: stream.append(line[:-1].decode())
        elif isinstance(stream, io.TextIOBase):
            self.info = lambda line: stream.write(line.decode())
        else:
            self.info = stream.write
        self.debug = self.warning = self.error = self.critical = self.info


def _stamp(_: Any, level: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    fields["level"] = level
    fields["timestamp"] = context.now().isoformat(timespec="microseconds")[:-6] + "Z"
    trace = context.trace.get()
    fields["trace_id"] = trace.trace_id if trace else None
    fields["span_id"] = trace.span_id if trace else None
    return fields


def _redact_fields(_: Any, __: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in fields.items():
        if _is_secret(name):
            fields[name] = "[redacted]"
        elif value.__class__ not in _PLAIN:
            fields[name] = _redacted(value)
        elif value.__class__ is str:
            fields[name] = _redacted_text(value)
    return fields


_PLAIN = frozenset({str, int, float, bool, type(None)})


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    return _SECRET_KEY.search(name) is not None


def _redacted(value: Any, depth: int = 0) -> Any:
    if depth > 20:
        return "[too deep]"
    if isinstance(value, dict):
        return {
            str(name): "[redacted]" if _is_secret(str(name)) else _redacted(item, depth + 1)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(item, depth + 1) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _redacted({f.name: getattr(value, f.name) for f in dataclasses.fields(value)}, depth)
    if isinstance(value, int | float) or value is None:
        return value
    return _redacted_text(_text(value))


def _redacted_text(text: str) -> str:
    lower = text.lower()
    for hint in _HINTS:
        if hint in lower:
            for pattern, replacement in _SECRET_TEXT:
                text = pattern.sub(replacement, text)
            return text
    return text


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:
        return f"[a {type(value).__name__} that cannot be printed]"


def _render(_: Any, __: str, fields: MutableMapping[str, Any]) -> bytes:
    try:
        line = orjson.dumps(fields, default=_text, option=_OPTIONS)
    except orjson.JSONEncodeError:  # an integer beyond 64 bits, half of a surrogate pair
        line = orjson.dumps({_ascii(name): _ascii(value) for name, value in fields.items()})
    if not line.isascii():
        text = line.decode()
        for raw, escaped in _LINE_BREAKS.items():
            text = text.replace(raw, escaped)
        line = text.encode()
    return line + b"\n"


def _ascii(value: Any) -> str:
    return _text(value).encode("ascii", "backslashreplace").decode()
