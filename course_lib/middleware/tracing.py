"""Tracing gives every call a place in its trace: a child of the span it came from, or a new trace.

Without `spans` it only names them and hands the names on, so that logs and transports agree.
With `spans` (`telemetry.traces.Spans`) each call also becomes a span that is recorded.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from course_lib.context import TraceContext, new_span_id, new_trace, trace
from course_lib.endpoint import Endpoint, Middleware, until_over, within
from course_lib.errors import outcome


class Span(Protocol):
    """One step of a trace, from its start until `end`."""

    context: TraceContext

    @property
    def recorded(self) -> bool:
        """Whether anybody will see it; if not, spare yourself the attributes."""
        ...

    def set(self, name: str, value: Any) -> None:
        """Say something about the call: a string, a number, a truth value."""
        ...

    def end(self, outcome: str, error: BaseException | None = None) -> None:
        """The call is over."""
        ...


class Spans(Protocol):
    """Where spans come from."""

    def start(self, operation: str, kind: str, parent: TraceContext | None) -> Span:
        """Begin a span below `parent`, or a new trace."""
        ...


def tracing(
    spans: Spans | None = None,
    *,
    operation: str | None = None,
    kind: str = "server",
    attributes: Callable[[Any], Mapping[str, Any]] | None = None,
) -> Middleware:
    """Continue the trace in `context.trace`, or start one, for as long as the call runs.

    `kind` is "server", "client", "internal", "producer" or "consumer"; `attributes(request)`
    says what to record about a request. With `spans`, the operation needs a name; the span of a
    stream ends with the stream.
    """
    if spans is None:
        return _naming
    if operation is None:
        raise ValueError("tracing(spans, operation=...): a span needs the name of its operation")

    def wrap(inner: Endpoint) -> Endpoint:
        async def endpoint(request: Any) -> Any:
            span = spans.start(operation, kind, trace.get())
            restore = trace.set(span.context)
            try:
                if attributes is not None and span.recorded:
                    for name, value in attributes(request).items():
                        span.set(name, value)
                response = await inner(request)
            except BaseException as error:
                span.end(outcome(error), error)
                raise
            else:
                if hasattr(response, "__anext__"):
                    items = await within(trace, span.context, response)
                    return await until_over(items, partial(_end, span))
                span.end("ok")
                return response
            finally:
                trace.reset(restore)

        return endpoint

    return wrap


def _end(span: Span, error: BaseException | None) -> None:
    span.end(outcome(error), error)


def _naming(inner: Endpoint) -> Endpoint:
    async def endpoint(request: Any) -> Any:
        parent = trace.get()
        span = new_trace() if parent is None else _child(parent)
        restore = trace.set(span)
        try:
            response = await inner(request)
            streams = hasattr(response, "__anext__")
            return await within(trace, span, response) if streams else response
        finally:
            trace.reset(restore)

    return endpoint


def _child(parent: TraceContext) -> TraceContext:
    return TraceContext(parent.trace_id, new_span_id(), parent.sampled, parent.tracestate)
