"""Spans to a collector over OTLP/HTTP, from a thread of its own behind a bounded queue.

The exporter is OpenTelemetry's; the queue is ours, because the SDK's own does not count what
it drops and may take half a minute to close. Whatever the collector does, the caller goes on.
The thread and its connection are there while there is something to send, and no longer; the
child of a fork begins with neither, and leaves its parent's spans to the parent.
"""

import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Self
from weakref import WeakSet

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

_LONGEST_ANSWER = 64 * 1024


def to_collector(
    url: str,
    *,
    queue_spans: int = 2048,
    batch_spans: int = 512,
    every_seconds: float = 1.0,
    timeout_seconds: float = 2.0,
    gzip: bool = False,
) -> "Reporter":
    """Send finished spans to `url`/v1/traces: every so often, or as soon as a batch is full.

    A batch has failed when the collector refuses it, or is silent for `timeout_seconds`. When the
    queue is full, new spans are dropped. A batch is never larger than the queue.
    """
    import requests
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    session = requests.Session()
    session.trust_env = False
    session.stream = True
    session.hooks["response"].append(answers := _Answers())
    exporter = OTLPSpanExporter(
        url.rstrip("/") + "/v1/traces",
        timeout=timeout_seconds,
        session=session,
        compression=Compression.Gzip if gzip else Compression.NoCompression,
    )
    limits, heard = (queue_spans, batch_spans), lambda: answers.rejected
    return Reporter(
        exporter, limits, every_seconds, timeout_seconds, rejected=heard, at_rest=session.close
    )


class _Answers:
    """A hook that reads the answers; `.rejected` counts the spans that the last one turns down."""

    def __init__(self) -> None:
        self.rejected = 0

    def __call__(self, answer: Any, *_: Any, **__: Any) -> None:
        """Read the answer, unless it may be endless: then the connection ends. Refuse a redirect.

        The exporter does not follow redirects, and yet would take one for a delivery.
        """
        size, moved = answer.headers.get("content-length", ""), 300 <= answer.status_code < 400
        short = size.isdigit() and int(size) <= _LONGEST_ANSWER and not moved
        self.rejected = _rejected(answer.content) if short else 0
        answer.close()
        if moved:
            raise ConnectionError(f"the collector answers HTTP {answer.status_code}")


def _rejected(body: bytes) -> int:
    """OTLP's partial success: how many spans were not taken, though their batch was."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    try:
        return max(0, ExportTraceServiceResponse.FromString(body).partial_success.rejected_spans)
    except Exception:  # a page of some proxy
        return 0


class Reporter:
    """A bounded queue and the thread that empties it; call it with a finished span.

    `.sent`, `.failed` (not delivered) and `.dropped` (queue full, or closed) count the spans of
    this process.
    """

    def __init__(
        self,
        exporter: Any,
        limits: tuple[int, int],
        every_seconds: float,
        timeout_seconds: float,
        *,
        rejected: Callable[[], int] = lambda: 0,
        at_rest: Callable[[], object] = lambda: None,
    ) -> None:
        self._exporter = exporter
        self._queue_spans, self._batch_spans = limits[0], min(limits)
        self._rejected, self._at_rest = rejected, at_rest
        self._every_seconds, self._timeout_seconds = every_seconds, timeout_seconds
        self._closing = self._giving_up = False
        self._begin()
        _reporters.add(self)

    def _begin(self) -> None:
        """Begin with nothing, as after a fork: its parent's thread may have held the lock."""
        self.sent = self.failed = self.dropped = 0
        self._queue: deque[ReadableSpan] = deque()
        self._changed = threading.Condition()
        self._awake = threading.Event()
        self._thread: threading.Thread | None = None
        self._on_the_way = 0

    def __call__(self, span: ReadableSpan) -> None:
        """Take a span; returns at once."""
        with self._changed:
            if self._closing or len(self._queue) >= self._queue_spans:
                self.dropped += 1
                return
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._work, name="spans", daemon=True)
                thread.start()  # raises where there are too many
                self._thread = thread
            self._queue.append(span)
        if len(self._queue) >= self._batch_spans:
            self._awake.set()

    @property
    def waiting(self) -> int:
        """Spans that are in the queue or on the way."""
        return len(self._queue) + self._on_the_way

    def flush(self, timeout_seconds: float = 5.0) -> bool:
        """Send now what waits; whether all of it had left, delivered or failed, in time."""
        with self._changed:
            goal = self.sent + self.failed + self.waiting
            if self.waiting:
                self._awake.set()
            return self._changed.wait_for(lambda: self.sent + self.failed >= goal, timeout_seconds)

    def close(self, grace_seconds: float = 1.0) -> None:
        """Send what waits and end the thread; what is not delivered in time counts as failed.

        Takes at most `grace_seconds` and one timeout of the exporter more.
        """
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._awake.set()
            thread = self._thread
        if thread is not None:
            thread.join(grace_seconds)
        self._giving_up = True
        self._exporter.shutdown()  # also ends its pause before another attempt
        if thread is not None:
            thread.join(self._timeout_seconds + 0.5)
        with self._changed:  # a collector whose answer has no end may hold the thread for longer
            self.failed += self.waiting
            self._queue.clear()
            self._on_the_way = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _work(self) -> None:
        self._at_rest()  # a connection from before a fork is the parent's
        while True:
            self._awake.wait(self._every_seconds)
            self._awake.clear()
            due = len(self._queue)  # what comes meanwhile waits for its own batch to fill
            while due > 0 and (batch := self._next_batch()):
                due -= len(batch)
                delivered = not self._giving_up and self._deliver(batch)
                with self._changed:
                    gone, self._on_the_way = self._on_the_way, 0
                    lost = min(gone, self._rejected()) if delivered else gone
                    self.sent += gone - lost
                    self.failed += lost
                    self._changed.notify_all()
            self._at_rest()
            with self._changed:
                if not self._queue:
                    self._thread = None
                    return

    def _next_batch(self) -> list[ReadableSpan]:
        with self._changed:
            self._on_the_way = min(len(self._queue), self._batch_spans)
            return [self._queue.popleft() for _ in range(self._on_the_way)]

    def _deliver(self, batch: list[ReadableSpan]) -> bool:
        try:
            return bool(self._exporter.export(batch) is SpanExportResult.SUCCESS)
        except Exception:
            return False


_reporters: WeakSet[Reporter] = WeakSet()


def _begin_in_child() -> None:
    for reporter in _reporters:
        reporter._begin()


os.register_at_fork(after_in_child=_begin_in_child)
