"""Tracing gives every call a place in its trace: a child of the span it came from, or a new trace.

It names spans and hands them on; it records none. Transports carry the `traceparent` header.
"""

from typing import Any

from course_lib.context import TraceContext, new_span_id, new_trace, trace
from course_lib.endpoint import Endpoint, Middleware


def tracing() -> Middleware:
    """Continue the trace in `context.trace`, or start one, for as long as the call runs."""

    def wrap(inner: Endpoint) -> Endpoint:
        async def endpoint(request: Any) -> Any:
            parent = trace.get()
            span = new_trace() if parent is None else _child(parent)
            restore = trace.set(span)
            try:
                return await inner(request)
            finally:
                trace.reset(restore)

        return endpoint

    return wrap


def _child(parent: TraceContext) -> TraceContext:
    return TraceContext(parent.trace_id, new_span_id(), parent.sampled, parent.tracestate)
