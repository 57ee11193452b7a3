"""Logs are events with fields, one JSON object a line (structlog), never sentences to be parsed.

Secrets are redacted. A value JSON does not know is written as its text; logging never raises.
Buffering is the stream's business.
"""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Self

import orjson
import structlog

from course_lib import context
from course_lib.telemetry.redaction import Fields, redact, redacted, text_of

_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_APPEND_NEWLINE
_LEVELS = ("debug", "info", "warning", "error", "critical")


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
        whole = True
        try:
            line: Any = {**self._context, **redact(fields)}
            for process in self._processors:  # what structlog's `_process_event` does, and no more
                line = process(self._logger, level, line)
        except Exception:  # a value that cannot be looked at, or changes meanwhile
            whole = False
            line = {**self._context, "event": redacted(text_of(event))}
            line = _render(None, level, _stamp(None, level, line))
        try:
            self._logger.write(line)
        except Exception:  # a full disk or a closed stream must not fail the call that is logged
            whole = False
        if not whole:
            self._logger.lost += 1

    def bind(self, **fields: Any) -> Self:
        """A logger that adds these fields, as they are now, to every event."""
        return super().bind(**_as_they_are_now(fields))

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


def _stamp(_: Any, level: str, fields: Fields) -> Fields:
    seconds, microseconds = divmod(round(context.wall_clock.get()() * 1e6), 1_000_000)
    trace = context.trace.get()
    fields["level"] = level
    fields["timestamp"] = f"{_date_and_time(seconds)}.{str(1_000_000 + microseconds)[1:]}Z"
    fields["trace_id"] = trace.trace_id if trace else None
    fields["span_id"] = trace.span_id if trace else None
    return fields


@lru_cache(maxsize=1)
def _date_and_time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _render(_: Any, __: str, fields: Fields) -> bytes:
    try:
        line = _dumps(fields)
    except orjson.JSONEncodeError:
        line = _dumps(_encodable(redacted(fields)))
    return line if line.isascii() else _one_line(line)


def _as_they_are_now(fields: Fields) -> Fields:
    try:
        return orjson.loads(_render(None, "", redact(fields)))
    except Exception:  # a value that cannot be looked at
        return {name: redacted(text_of(value)) for name, value in fields.items()}


def _dumps(fields: Any) -> bytes:
    return orjson.dumps(fields, redacted, _OPTIONS)


def _one_line(line: bytes) -> bytes:
    """Escape what Python's `splitlines` takes for the end of a line."""
    text = line.decode().replace("\x85", r"\u0085")
    return text.replace("\u2028", r"\u2028").replace("\u2029", r"\u2029").encode()


def _encodable(value: Any) -> Any:
    """What `redacted` gave; a text in the place of each value that orjson refuses."""
    if isinstance(value, dict):
        return {_encodable(name): _encodable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, str):  # half of a surrogate pair has no UTF-8
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return text_of(value)
    return float(value) if isinstance(value, float) else value
