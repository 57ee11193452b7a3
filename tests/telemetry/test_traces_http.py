"""The reporter over real sockets: whatever the collector does, the caller goes on at once."""

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import closing, contextmanager

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace.export import SpanExportResult
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from course_lib.lab import leaks
from course_lib.lab.launch import serve
from course_lib.stand_ins import OtlpCollector
from course_lib.telemetry.traces import Reporter, Spans, to_collector


def record(reporter, count: int) -> float:
    """So many finished spans; the longest that one of them held up its caller, in seconds."""
    spans, longest = Spans("users", export=reporter), 0.0
    for number in range(count):
        span = spans.start("get")
        span.set("number", number)
        started = time.perf_counter()
        span.end("ok")
        longest = max(longest, time.perf_counter() - started)
    assert spans.export_errors == 0
    return longest


def until(true: Callable[[], bool], wait_seconds: float = 10.0) -> None:
    """Wait for something that a thread does."""
    give_up_at = time.monotonic() + wait_seconds
    while not true():
        assert time.monotonic() < give_up_at
        time.sleep(0.002)


@pytest.mark.parametrize("gzip", [False, True])
def test_every_span_arrives_and_is_counted(gzip):
    collector = OtlpCollector()
    with serve(collector.app) as server, to_collector(server.url, gzip=gzip) as reporter:
        record(reporter, 1000)
        assert reporter.flush()
        assert (reporter.sent, reporter.failed, reporter.dropped) == (1000, 0, 0)
    assert {span.attributes["number"] for span in collector.spans()} == set(range(1000))


def test_what_waits_is_sent_when_it_closes():
    collector = OtlpCollector()
    with serve(collector.app) as server:
        with to_collector(server.url, every_seconds=3600) as reporter:
            record(reporter, 3)
        assert (reporter.sent, collector.kept_spans) == (3, 3)


def test_spans_leave_by_themselves_after_a_while():
    came = threading.Event()

    async def take(request: Request) -> Response:
        came.set()
        return Response(b"", media_type="application/x-protobuf")

    app = Starlette(routes=[Route("/v1/traces", take, methods=["POST"])])
    with serve(app) as server, to_collector(server.url, every_seconds=0.05) as reporter:
        record(reporter, 3)
        assert came.wait(5)


class Batches:
    """In place of an exporter: the sizes of the batches, each handed over while `arriving` runs."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.arriving: Callable[[], object] = lambda: None

    def export(self, batch) -> SpanExportResult:
        arriving, self.arriving = self.arriving, lambda: None
        arriving()
        self.sizes.append(len(batch))
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        pass


def test_what_comes_while_a_batch_is_on_its_way_waits_for_its_own_batch():
    exporter = Batches()
    with Reporter(exporter, (100, 4), every_seconds=3600, timeout_seconds=1) as reporter:
        exporter.arriving = lambda: record(reporter, 3)
        record(reporter, 4)
        until(lambda: reporter.sent == 4)
        assert reporter.waiting == 3
        record(reporter, 1)
        until(lambda: reporter.sent == 8)
    assert exporter.sizes == [4, 4]


def test_a_batch_is_full_when_the_queue_is():
    exporter = Batches()
    with Reporter(exporter, (4, 100), every_seconds=3600, timeout_seconds=1) as reporter:
        record(reporter, 4)
        until(lambda: reporter.sent == 4)
    assert exporter.sizes == [4] and reporter.dropped == 0


def test_a_span_for_which_no_thread_can_be_had_is_counted_and_the_next_one_leaves(monkeypatch):
    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    exporter = Batches()
    with Reporter(exporter, (100, 4), every_seconds=3600, timeout_seconds=1) as reporter:
        spans = Spans("users", export=reporter)
        with monkeypatch.context() as crowded:
            crowded.setattr(threading.Thread, "start", refused)
            spans.start("get").end()
        spans.start("get").end()
    assert (spans.export_errors, exporter.sizes) == (1, [1])


def test_the_child_of_a_fork_waits_for_no_thread_of_its_parent_and_sends_only_its_own():
    exporter, holding, over = Batches(), threading.Event(), threading.Event()

    def hold(reporter: Reporter) -> None:
        with reporter._changed:
            holding.set()
            over.wait()

    with Reporter(exporter, (100, 100), every_seconds=3600, timeout_seconds=1) as reporter:
        record(reporter, 3)
        holder = threading.Thread(target=hold, args=[reporter])
        holder.start()
        holding.wait()
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            record(reporter, 1)
            os._exit(not (reporter.flush() and reporter.sent == 1 and exporter.sizes == [1]))
        over.set()
        holder.join()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert exporter.sizes == [3]


def test_a_flush_of_nothing_sends_nothing_early_later_on():
    exporter = Batches()
    with Reporter(exporter, (100, 4), every_seconds=3600, timeout_seconds=1) as reporter:
        assert reporter.flush()
        record(reporter, 1)
        record(reporter, 3)
        assert reporter.flush()
    assert exporter.sizes == [4]


def test_with_nothing_to_send_it_holds_neither_thread_nor_connection_and_begins_again():
    collector = OtlpCollector()
    with serve(collector.app) as server, to_collector(server.url) as reporter:
        before = leaks.snapshot()
        for _ in range(2):
            record(reporter, 3)
            assert reporter.flush()
            give_up_at = time.monotonic() + 10
            while (
                now := leaks.snapshot()
            ).threads | now.sockets != before.threads | before.sockets:
                assert time.monotonic() < give_up_at, now.new_since(before)
                time.sleep(0.005)
        assert (reporter.sent, collector.kept_spans) == (6, 6)


def test_after_it_is_closed_spans_are_dropped_and_counted():
    reporter = to_collector("http://127.0.0.1:9")
    reporter.close()
    reporter.close()
    record(reporter, 2)
    assert (reporter.sent, reporter.failed, reporter.dropped) == (0, 0, 2)


@contextmanager
def down():
    """An address where nobody listens."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@contextmanager
def hanging():
    """A collector that takes connections and says nothing."""
    with serve(OtlpCollector().app) as server:
        server.pause()
        yield server.url


def answering(status: int):
    async def answer(request: Request) -> Response:
        return Response(b"", status)

    @contextmanager
    def collector():
        with serve(Starlette(routes=[Route("/v1/traces", answer, methods=["POST"])])) as server:
            yield server.url

    return collector


@pytest.mark.parametrize(
    "collector",
    [down, hanging, answering(400), answering(503), answering(307)],
    ids=["down", "hanging", "refusing", "overloaded", "moved"],
)
def test_a_collector_in_trouble_costs_spans_and_not_time(collector, capfd):
    with collector() as url:
        reporter = to_collector(url, queue_spans=600, batch_spans=100, timeout_seconds=0.3)
        started = time.perf_counter()
        longest = record(reporter, 5000)
        assert time.perf_counter() - started < 3 and longest < 0.1
        assert reporter.dropped > 0 and reporter.waiting <= 700
        reporter.close(grace_seconds=0.2)
    assert reporter.sent == 0 and reporter.waiting == 0
    assert reporter.failed + reporter.dropped == 5000
    assert capfd.readouterr() == ("", "")


def test_what_a_collector_rejects_of_a_batch_counts_as_failed():
    rejection = ExportTraceServiceResponse()
    rejection.partial_success.rejected_spans = 7
    answers = [rejection.SerializeToString(), b"<html>", b""]

    async def answer(request: Request) -> Response:
        return Response(answers.pop(0))

    app = Starlette(routes=[Route("/v1/traces", answer, methods=["POST"])])
    with serve(app) as server, to_collector(server.url) as reporter:
        for _ in range(3):
            record(reporter, 10)
            assert reporter.flush()
        assert (reporter.sent, reporter.failed, reporter.dropped) == (23, 7, 0)


def test_closing_does_not_wait_for_a_collector_that_hangs():
    with hanging() as url:
        reporter = to_collector(url, batch_spans=10, timeout_seconds=0.5)
        record(reporter, 2000)
        started = time.perf_counter()
        reporter.close(grace_seconds=0.1)
        assert time.perf_counter() - started < 2
    assert reporter.failed + reporter.dropped == 2000


def test_an_answer_without_end_is_not_read_to_its_end():
    async def answer(request: Request) -> StreamingResponse:
        async def drops() -> AsyncIterator[bytes]:
            while not await request.is_disconnected():
                yield b"."
                await asyncio.sleep(0.01)

        return StreamingResponse(drops())

    app = Starlette(routes=[Route("/v1/traces", answer, methods=["POST"])])
    with serve(app) as server, to_collector(server.url, batch_spans=10) as reporter:
        record(reporter, 100)
        assert reporter.flush()
        assert (reporter.sent, reporter.failed, reporter.dropped) == (100, 0, 0)


def test_what_an_answer_that_never_begins_holds_up_counts_as_failed_when_it_closes():
    over = threading.Event()

    def drip(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with closing(connection):
            while not over.wait(0.01):
                connection.sendall(b"H")  # never silent, and never done

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        dripping = threading.Thread(target=drip, args=[listening])
        dripping.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        reporter = to_collector(url, batch_spans=10, timeout_seconds=0.1)
        record(reporter, 100)
        reporter.close(grace_seconds=0.1)
        assert (reporter.sent, reporter.failed, reporter.waiting) == (0, 100, 0)
        over.set()
        dripping.join()


def test_it_recovers_when_the_collector_does():
    collector = OtlpCollector()
    with serve(collector.app) as server:
        server.pause()
        with to_collector(server.url, timeout_seconds=0.2) as reporter:
            record(reporter, 5)
            reporter.flush()
            server.resume()
            record(reporter, 5)
            assert reporter.flush()
            assert (reporter.sent, reporter.failed) == (5, 5)
