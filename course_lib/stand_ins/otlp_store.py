"""Spans in memory, by trace: bounded, the oldest trace goes first; found by what one span is.

A search means what Jaeger's does: a trace is found when one of its spans fits all of it.
"""

import base64
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import orjson

from course_lib.stand_ins.otlp_spans import Span, Trace


@dataclass(frozen=True)
class Query:
    """What a span must be; durations in seconds, instants in nanoseconds since 1970."""

    service: str = ""
    operation: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    min_seconds: float = 0.0
    max_seconds: float = float("inf")
    start: int = 0
    end: int = 2**63

    def fits(self, span: Span) -> bool:
        """Whether this one span is all of it."""
        return (
            (not self.service or span.service == self.service)
            and (not self.operation or span.name == self.operation)
            and self.min_seconds <= span.seconds <= self.max_seconds
            and self.start <= span.start <= self.end
            and all(_has(span, name, value) for name, value in self.tags.items())
        )


class SpanStore:
    """The spans of the last traces, at most `max_spans` of them."""

    def __init__(self, max_spans: int) -> None:
        self.max_spans = max_spans
        self.span_count = 0
        self.evicted_spans = 0
        self._traces: OrderedDict[str, list[Span]] = OrderedDict()  # a dict has a slow front

    def add(self, spans: Iterable[Span]) -> None:
        """Keep the spans; make room by letting the oldest traces go, whole where possible."""
        for span in spans:
            self._traces.setdefault(span.trace_id, []).append(span)
            self.span_count += 1
        while self.span_count > self.max_spans:
            oldest = next(iter(self._traces))
            gone = len(self._traces[oldest])
            if len(self._traces) == 1:
                gone = self.span_count - self.max_spans
                del self._traces[oldest][:gone]
            else:
                del self._traces[oldest]
            self.span_count -= gone
            self.evicted_spans += gone

    def trace(self, trace_id: str) -> Trace | None:
        """What has arrived of one trace; a span that was sent twice is there once."""
        spans = self._traces.get(trace_id)
        if spans is None:
            return None
        once = {span.span_id: span for span in spans}.values()
        return Trace(trace_id, sorted(once, key=lambda span: span.start))

    def find(self, query: Query, limit: int | None = None) -> list[Trace]:
        """The traces that fit, the newest first, at most `limit`."""
        fit = [
            (min(span.start for span in spans), trace_id)
            for trace_id, spans in self._traces.items()
            if any(map(query.fits, spans))
        ]
        fit.sort(key=itemgetter(0), reverse=True)
        return [trace for _, trace_id in fit[:limit] if (trace := self.trace(trace_id))]

    def operations(self) -> dict[str, set[tuple[str, str]]]:
        """By service, the names and kinds of its spans."""
        names: dict[str, set[tuple[str, str]]] = {}
        for spans in self._traces.values():
            for span in spans:
                names.setdefault(span.service, set()).add((span.name, span.kind))
        return names


def _has(span: Span, name: str, value: str) -> bool:
    if name == "error":
        return span.failed == (value == "true")
    held = (span.tags, span.process.attributes, *(event.fields for event in span.events))
    return any(name in attributes and as_text(attributes[name]) == value for attributes in held)


def as_text(value: Any) -> str:
    """An attribute's value as Jaeger shows it, and as one writes it in a query."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float):
        return str(value).removesuffix(".0")
    return orjson.dumps(value, default=bytes.hex).decode()
