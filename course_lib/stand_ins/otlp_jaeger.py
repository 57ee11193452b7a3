"""Jaeger's query API: its parameters, and traces in the JSON that Jaeger's own UI reads.

After Jaeger's internal/uimodel and query parser. Differs in that a search without `start`
looks at everything and not at the last two days. Leaves out clock-skew adjustment: times are
shown as they were sent.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from course_lib.stand_ins.consul_values import duration
from course_lib.stand_ins.otlp_bodies import Refused
from course_lib.stand_ins.otlp_spans import Event, Process, Span, Trace
from course_lib.stand_ins.otlp_store import Query, as_text

DEFAULT_LIMIT = 100
_SAFE_INTEGER = 2**53 - 1


def answer(data: Any, *, total: int = 0, errors: Any = None) -> bytes:
    """Jaeger's envelope around whatever is asked for."""
    whole = {"data": data, "total": total, "limit": 0, "offset": 0, "errors": errors}
    return orjson.dumps(whole)


def problem(status: int, reason: str) -> bytes:
    """The envelope of an error."""
    return answer(None, errors=[{"code": status, "msg": reason}])


def trace_id(text: str) -> str:
    """A trace id as it is stored; Jaeger also takes it without leading zeros."""
    if not 1 <= len(text) <= 32 or not set(text.lower()) <= set("0123456789abcdef"):
        raise Refused(400, f"traceID must be 1 to 32 hexadecimal digits, got {text[:40]!r}")
    return text.lower().rjust(32, "0")


def read_query(params: Sequence[tuple[str, str]]) -> tuple[Query, int]:
    """The search and its limit from the parameters of `/api/traces`."""
    given = dict(reversed(params))
    if not given.get("service"):
        raise Refused(400, "parameter 'service' is required")
    longest = given.get("maxDuration", "")
    query = Query(
        given["service"],
        given.get("operation", ""),
        _tags(params),
        _seconds(given, "minDuration"),
        _seconds(given, "maxDuration") if longest else float("inf"),
        _integer(given, "start", 0) * 1000,
        _integer(given, "end", 2**63 // 1000) * 1000,
    )
    if query.max_seconds < query.min_seconds:
        raise Refused(400, "'maxDuration' should be greater than 'minDuration'")
    return query, _integer(given, "limit", DEFAULT_LIMIT)


def trace_view(trace: Trace) -> dict[str, Any]:
    """A trace as Jaeger shows it, parents before their children."""
    keys: dict[bytes, str] = {}
    processes: dict[str, Any] = {}
    spans = []
    for _, span in trace.walk():
        view = _process(span.process)
        key = keys.setdefault(orjson.dumps(view), f"p{len(keys) + 1}")
        processes[key] = view
        spans.append(_span(span, key))
    found = {"traceID": trace.trace_id, "spans": spans, "processes": processes}
    return {**found, "warnings": None}


def _span(span: Span, process: str) -> dict[str, Any]:
    references = [("CHILD_OF", span.trace_id, span.parent_id)] if span.parent_id else []
    references += [("FOLLOWS_FROM", *followed) for followed in span.follows]
    return {
        "traceID": span.trace_id,
        "spanID": span.span_id,
        "operationName": span.name,
        "references": [
            {"refType": kind, "traceID": trace, "spanID": parent}
            for kind, trace, parent in references
        ],
        "startTime": span.start // 1000,
        "duration": max(0, span.end - span.start) // 1000,
        "tags": _tags_of(span.tags),
        "logs": [_log(event) for event in span.events],
        "processID": process,
        "warnings": None,
    }


def _process(process: Process) -> dict[str, Any]:
    return {"serviceName": process.service, "tags": _tags_of(process.attributes)}


def _log(event: Event) -> dict[str, Any]:
    return {
        "timestamp": event.at // 1000,
        "fields": _tags_of(event.fields),
    }


def _tags_of(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [_tag(key, value) for key, value in attributes.items()]


def _tag(key: str, value: Any) -> dict[str, Any]:
    kinds = {bool: "bool", int: "int64", float: "float64", bytes: "binary"}
    kind = kinds.get(type(value), "string")
    if kind in ("binary", "string") or (kind == "int64" and abs(value) > _SAFE_INTEGER):
        value = as_text(value)
    return {"key": key, "type": kind, "value": value}


def _tags(params: Iterable[tuple[str, str]]) -> dict[str, str]:
    tags: dict[str, str] = {}
    for name, text in params:
        if name == "tag":
            key, colon, value = text.partition(":")
            if not colon:
                raise Refused(400, f"malformed 'tag' parameter, expecting key:value, got {text!r}")
            tags[key] = value
        elif name == "tags":
            try:
                told = orjson.loads(text)
            except orjson.JSONDecodeError:
                told = None
            if not isinstance(told, dict) or not all(isinstance(v, str) for v in told.values()):
                raise Refused(400, "malformed 'tags' parameter, expecting a JSON map of strings")
            tags |= told
    return tags


def _seconds(given: Mapping[str, str], name: str) -> float:
    text = given.get(name, "")
    try:
        return duration(text) if text else 0.0
    except ValueError:
        raise Refused(400, f"unable to parse param '{name}': {text[:40]!r}") from None


def _integer(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Refused(400, f"unable to parse param '{name}': {text[:40]!r}")
    return int(text)
