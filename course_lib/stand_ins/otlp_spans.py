"""What the collector keeps of a span, and what a trace is: spans that share an id."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

KINDS = ("", "internal", "server", "client", "producer", "consumer")
STATUSES = ("UNSET", "OK", "ERROR")
LONGEST_TEXT = 4096
"""Characters kept of an attribute's text; what is longer is cut."""


class Process(NamedTuple):
    """Who recorded a span: a service and what is known about its instance."""

    service: str
    attributes: Mapping[str, Any]


class Event(NamedTuple):
    """Something that happened during a span, at a time in nanoseconds since 1970."""

    name: str
    at: int
    attributes: Mapping[str, Any]

    @property
    def fields(self) -> dict[str, Any]:
        """Its attributes and its name, as Jaeger shows and finds them."""
        return {"event": self.name, **self.attributes}


class Span(NamedTuple):
    """One step of a trace; ids in hexadecimal, times in nanoseconds since 1970."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: str
    start: int
    end: int
    process: Process
    scope: str
    attributes: Mapping[str, Any]
    events: Sequence[Event]
    follows: Sequence[tuple[str, str]]
    tracestate: str
    status: str
    message: str

    @property
    def service(self) -> str:
        """The name of the service that recorded it."""
        return self.process.service

    @property
    def seconds(self) -> float:
        """How long it took; 0 when the clock was set back meanwhile."""
        return max(0, self.end - self.start) / 1e9

    @property
    def failed(self) -> bool:
        """Whether its status is an error."""
        return self.status == "ERROR"

    @property
    def tags(self) -> dict[str, Any]:
        """Its attributes and whatever else OTLP says of it, as Jaeger shows and finds them."""
        tags: dict[str, Any] = {"otel.scope.name": self.scope} if self.scope else {}
        tags |= self.attributes
        if self.kind:
            tags["span.kind"] = self.kind
        if self.status != "UNSET":
            tags["otel.status_code"] = self.status
        if self.failed:
            tags["error"] = True
        if self.message:
            tags["otel.status_description"] = self.message
        if self.tracestate:
            tags["w3c.tracestate"] = self.tracestate
        return tags


@dataclass(frozen=True)
class Trace:
    """The spans of one trace that have arrived, in the order in which they started."""

    trace_id: str
    spans: Sequence[Span]

    @property
    def roots(self) -> list[Span]:
        """Spans without a parent among those that have arrived; a whole trace has one."""
        here = {span.span_id for span in self.spans}
        return [span for span in self.spans if span.parent_id not in here]

    @property
    def whole(self) -> bool:
        """Whether it hangs together: one root, and that root is where the trace began."""
        roots = self.roots
        return len(roots) == 1 and not roots[0].parent_id

    @property
    def start(self) -> int:
        """When the first span started, in nanoseconds since 1970."""
        return min(span.start for span in self.spans)

    @property
    def seconds(self) -> float:
        """From the start of the first span to the end of the last."""
        return max(0, max(span.end for span in self.spans) - self.start) / 1e9

    @property
    def failed(self) -> bool:
        """Whether any of its spans failed."""
        return any(span.failed for span in self.spans)

    def walk(self) -> list[tuple[int, Span]]:
        """Every span with its depth, parents before children, siblings as they started."""
        here = {span.span_id for span in self.spans}
        below: dict[str, list[Span]] = {}
        for span in self.spans:
            below.setdefault(span.parent_id if span.parent_id in here else "", []).append(span)
        roots = below.pop("", [])
        walked: list[tuple[int, Span]] = []
        waiting = [(0, span) for span in reversed(roots)]
        while waiting:
            depth, span = waiting.pop()
            walked.append((depth, span))
            children = below.pop(span.span_id, ())
            waiting += [(depth + 1, child) for child in reversed(children)]
        in_circles = [span for spans in below.values() for span in spans]
        return walked + [(0, span) for span in in_circles]


def spans_in(request: Any) -> tuple[list[Span], int]:
    """The spans of an ExportTraceServiceRequest, and how many had to be refused for their ids."""
    found: list[Span] = []
    refused = 0
    for resource_spans in request.resource_spans:
        attributes = plain(resource_spans.resource.attributes)
        service = str(attributes.pop("service.name", "") or "unknown_service")
        process = Process(service, attributes)
        for scope_spans in resource_spans.scope_spans:
            scope = scope_spans.scope.name
            for sent in scope_spans.spans:
                if _has_ids(sent):
                    found.append(_span(sent, process, scope))
                else:
                    refused += 1
    return found, refused


def plain(attributes: Any) -> dict[str, Any]:
    """OTLP attributes as a dictionary; lists and maps become lists and dictionaries."""
    return {pair.key[:LONGEST_TEXT]: _value(pair.value) for pair in attributes}


def _span(sent: Any, process: Process, scope: str) -> Span:
    events = [
        Event(event.name, event.time_unix_nano, plain(event.attributes)) for event in sent.events
    ]
    return Span(
        sent.trace_id.hex(),
        sent.span_id.hex(),
        sent.parent_span_id.hex(),
        sent.name[:LONGEST_TEXT],
        KINDS[sent.kind] if 0 <= sent.kind < len(KINDS) else "",
        sent.start_time_unix_nano,
        sent.end_time_unix_nano,
        process,
        scope,
        plain(sent.attributes),
        events,
        [(link.trace_id.hex(), link.span_id.hex()) for link in sent.links],
        sent.trace_state,
        STATUSES[sent.status.code] if 0 <= sent.status.code < len(STATUSES) else "UNSET",
        sent.status.message[:LONGEST_TEXT],
    )


def _has_ids(sent: Any) -> bool:
    return (
        len(sent.trace_id) == 16
        and len(sent.span_id) == 8
        and any(sent.trace_id)
        and any(sent.span_id)
        and len(sent.parent_span_id) in (0, 8)
    )


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        text = value.string_value
        return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT]
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return plain(value.kvlist_value.values)
    return None if kind is None else getattr(value, kind)
