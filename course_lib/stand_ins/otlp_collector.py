"""A trace collector in this process: takes OTLP/HTTP, keeps traces, answers Jaeger's questions.

Whatever exports OTLP over HTTP can send to it: `serve(OtlpCollector().app)`. Leaves out: gRPC,
other signals, storage on disk, Jaeger's web pages.
"""

import threading
from typing import Any

from starlette.applications import Starlette

from course_lib import context
from course_lib.stand_ins.otlp_bodies import PROTOBUF, parsed
from course_lib.stand_ins.otlp_routes import routes
from course_lib.stand_ins.otlp_spans import Span, Trace, spans_in
from course_lib.stand_ins.otlp_store import Query, SpanStore
from course_lib.stand_ins.otlp_tail import TailSampling, Undecided


class OtlpCollector:
    """The collector; `.app` is its ASGI application, the methods ask it directly.

    It keeps at most `max_spans` spans and lets the oldest traces go first. With `tail`, a trace
    is kept or let go only when it is over, by the wall clock of `context`.
    """

    def __init__(self, *, max_spans: int = 100_000, tail: TailSampling | None = None) -> None:
        self.received_spans = 0
        self.refused_spans = 0
        self.refused_bodies = 0
        self._store = SpanStore(max_spans)
        self._undecided = Undecided(tail) if tail else None
        self._lock = threading.RLock()
        self.app = Starlette(routes=routes(self))

    @property
    def kept_spans(self) -> int:
        """How many spans can be asked for."""
        with self._lock:
            self._decide()
            return self._store.span_count

    @property
    def waiting_spans(self) -> int:
        """How many spans wait for the decision of the tail sampler."""
        return self._undecided.waiting_spans if self._undecided else 0

    @property
    def keep_errors(self) -> int:
        """How many traces the tail sampler let go because its rule raised."""
        return self._undecided.keep_errors if self._undecided else 0

    @property
    def evicted_spans(self) -> int:
        """How many spans had to make room for newer ones."""
        return self._store.evicted_spans

    def ingest(self, body: bytes, kind: str = PROTOBUF) -> int:
        """Take one OTLP body; how many of its spans were refused. Raises `Refused` for nonsense."""
        spans, refused = spans_in(parsed(body, kind))
        with self._lock:
            self.received_spans += len(spans)
            self.refused_spans += refused
            if self._undecided is not None:
                spans = self._undecided.add(spans, context.wall_clock.get()())
            self._store.add(spans)
        return refused

    def traces(self, **wanted: Any) -> list[Trace]:
        """The traces with a span that is all of `wanted`, the newest first; see `Query`."""
        return self.find(Query(**wanted))

    def find(self, query: Query, limit: int | None = None) -> list[Trace]:
        """The same for a query that is there already."""
        with self._lock:
            self._decide()
            return self._store.find(query, limit)

    def trace(self, trace_id: str) -> Trace | None:
        """What has arrived of one trace."""
        with self._lock:
            self._decide()
            return self._store.trace(trace_id)

    def operations(self) -> dict[str, set[tuple[str, str]]]:
        """By service, the names and kinds of its spans."""
        with self._lock:
            self._decide()
            return self._store.operations()

    def spans(self) -> list[Span]:
        """Every span that is kept."""
        return [span for trace in self.find(Query()) for span in trace.spans]

    def _decide(self) -> None:
        if self._undecided is not None:
            self._store.add(self._undecided.due(context.wall_clock.get()()))
