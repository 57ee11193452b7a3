"""Spans on the OpenTelemetry SDK: which calls are recorded, what is recorded, where it goes.

Ids and times come from `context`, so that virtual time makes the same spans each time. A call
that is not sampled never touches the SDK. Leaves out: links, baggage, the SDK's global state.
"""

import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    NoOpTracer,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace.span import TraceState

from course_lib.context import TraceContext, ids, new_span_id, new_trace_id, wall_clock
from course_lib.errors import Answer, words
from course_lib.telemetry.trace_sampling import Sampler, always_off, always_on, by_chance, ratio
from course_lib.telemetry.traces_http import Reporter, to_collector

__all__ = [
    "Reporter",
    "Spans",
    "always_off",
    "always_on",
    "by_chance",
    "in_process",
    "ratio",
    "to_collector",
]

Export = Callable[[ReadableSpan], None]
"""Takes a finished span; it must return at once. `list.append` will do."""

logging.getLogger("opentelemetry").addHandler(logging.NullHandler())  # services never print


class Collector(Protocol):
    """What takes OTLP bodies; `stand_ins.OtlpCollector` does."""

    def ingest(self, body: bytes) -> int: ...


class in_process:  # reads as a verb: Spans("users", export=in_process(collector))
    """Hands spans to a collector in this process, as the bytes OTLP would send; no thread.

    Each at once, or `batch_spans` together; `flush` hands over the rest.
    """

    def __init__(self, collector: Collector, batch_spans: int = 1) -> None:
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

        self._collector, self._batch_spans, self._encode = collector, batch_spans, encode_spans
        self._waiting: list[ReadableSpan] = []

    def __call__(self, span: ReadableSpan) -> None:
        """Take a finished span."""
        self._waiting.append(span)
        if len(self._waiting) >= self._batch_spans:
            self.flush()

    def flush(self) -> None:
        """Hand over what waits."""
        batch, self._waiting = self._waiting, []
        self._collector.ingest(self._encode(batch).SerializeToString())


class Spans:
    """The spans of one service; fits `middleware.tracing`.

    `export` takes each finished span. What it raises is counted in `.export_errors` and goes no
    further. Span attributes: `outcome`, and what the middleware is told to set.
    """

    def __init__(
        self,
        service: str,
        *,
        instance: str | None = None,
        export: Export,
        sampler: Sampler | None = None,
    ) -> None:
        self.service = service
        self.export_errors = 0
        self._export = export
        self._sampler = sampler or always_on()
        named = {"service.name": service, "telemetry.sdk.language": "python"}
        if instance is not None:
            named["service.instance.id"] = instance
        provider = TracerProvider(
            ALWAYS_ON, Resource(named), shutdown_on_exit=False, id_generator=_Ids()
        )
        provider.add_span_processor(_HandOver(self))
        self._tracer = provider.get_tracer("course_lib")
        if isinstance(self._tracer, NoOpTracer):  # OTEL_SDK_DISABLED is set
            self._sampler = lambda parent, trace_id: False

    def start(
        self, operation: str, kind: str = "internal", parent: TraceContext | None = None
    ) -> "Recorded | Unrecorded":
        """Begin a span below `parent`, or a new trace without one."""
        if parent is None:
            trace_id, state = new_trace_id(), ""
        else:
            trace_id, state = parent.trace_id, parent.tracestate
        if not self._sampler(parent, trace_id):
            return Unrecorded(TraceContext(trace_id, new_span_id(), False, state))
        if parent is None:
            _drawn.set(int(trace_id, 16))
        span: Any = self._tracer.start_span(
            _sendable(operation),
            _below(parent, kind),
            SpanKind[kind.upper()],
            start_time=_now_nanoseconds(),
        )
        span_id = f"{span.get_span_context().span_id:016x}"
        return Recorded(TraceContext(trace_id, span_id, True, state), span)

    def take(self, span: ReadableSpan) -> None:
        """Hand a finished span on; a broken exporter never breaks the call."""
        try:
            self._export(span)
        except Exception:
            self.export_errors += 1


class Unrecorded:
    """A span that only has a name: the call is not sampled."""

    __slots__ = ("context",)
    recorded = False

    def __init__(self, context: TraceContext) -> None:
        self.context = context

    def set(self, name: str, value: Any) -> None:
        """Nobody will see it."""

    def end(self, outcome: str, error: BaseException | None = None) -> None:
        """Nothing to hand on."""


class Recorded:
    """A span of the SDK, from its start until `end`."""

    __slots__ = ("_span", "context")
    recorded = True

    def __init__(self, context: TraceContext, span: Any) -> None:
        self.context = context
        self._span = span

    def set(self, name: str, value: Any) -> None:
        """An attribute: a string, a number, a truth value, or a sequence of one of these."""
        self._span.set_attribute(name, _sendable(value))

    def event(self, name: str, **fields: Any) -> None:
        """Something that happened during the span, at this moment."""
        sendable = {field: _sendable(value) for field, value in fields.items()}
        self._span.add_event(_sendable(name), sendable, _now_nanoseconds())

    def end(self, outcome: str = "ok", error: BaseException | None = None) -> None:
        """End the span and hand it on. Failures and bugs mark it as an error, answers do not."""
        self._span.set_attribute("outcome", outcome)
        if isinstance(error, Exception):
            said = words(error)
            self.event("exception", **{"exception.type": outcome, "exception.message": said})
            if not isinstance(error, Answer):
                self._span.set_status(StatusCode.ERROR, _sendable(said))
        self._span.end(_now_nanoseconds())


_drawn: ContextVar[int] = ContextVar("drawn")


class _Ids(IdGenerator):
    """The SDK's ids from `context.ids`; a trace id is drawn before the sampler is asked."""

    def generate_trace_id(self) -> int:
        return _drawn.get()

    def generate_span_id(self) -> int:
        return ids.get().getrandbits(64) or 1


class _HandOver(SpanProcessor):
    def __init__(self, spans: Spans) -> None:
        self._take = spans.take

    def on_end(self, span: ReadableSpan) -> None:
        self._take(span)


def _below(parent: TraceContext | None, kind: str) -> Context:
    """The SDK's context for a child of `parent`; an empty one begins a trace."""
    if parent is None:
        return Context()
    state = TraceState.from_header([parent.tracestate]) if parent.tracestate else None
    remote = kind in ("server", "consumer")
    flags = TraceFlags(TraceFlags.SAMPLED)
    there = SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), remote, flags, state)
    return set_span_in_context(NonRecordingSpan(there), Context())


def _sendable(value: Any) -> Any:
    """Half a surrogate pair has no UTF-8, and would keep a whole batch from being sent."""
    if not isinstance(value, str) or value.isascii():
        return value
    return value.encode("utf-8", "replace").decode()


def _now_nanoseconds() -> int:
    """The wall clock in whole microseconds: a float of seconds has no more."""
    return round(wall_clock.get()() * 1e6) * 1000
