"""Spans on the SDK: what is recorded, who decides it, and that the caller never pays for it."""

import asyncio
import random

import pytest
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, TraceIdRatioBased

from course_lib import context
from course_lib.context import TraceContext, new_trace, trace
from course_lib.endpoint import chain
from course_lib.errors import NotFound, Unavailable
from course_lib.lab import virtual_time
from course_lib.middleware.tracing import tracing
from course_lib.stand_ins import OtlpCollector
from course_lib.telemetry.traces import (
    Spans,
    always_off,
    always_on,
    by_chance,
    in_process,
    ratio,
)
from course_lib.transport.memory import memory_client, memory_server

PARENT = TraceContext("ab" * 16, "cd" * 8, True, "rojo=1,congo=2")


async def answers(request: object) -> str:
    await asyncio.sleep(0.02)
    return "ok"


def two_services(collector: OtlpCollector):
    """a calls b over the memory transport; the client's span is between them."""
    a, b = (Spans(name, export=in_process(collector)) for name in "ab")
    served = memory_server(tracing(b, operation="get")(answers))
    calling = tracing(a, operation="call b", kind="client")(memory_client(served, latency=0.01))
    return tracing(a, operation="handle")(calling)


async def test_the_clients_span_is_the_parent_of_the_servers():
    collector = OtlpCollector()
    await two_services(collector)(None)
    (found,) = collector.traces()
    walked = [(depth, span.service, span.name, span.kind) for depth, span in found.walk()]
    assert walked == [
        (0, "a", "handle", "server"),
        (1, "a", "call b", "client"),
        (2, "b", "get", "server"),
    ]
    assert [span.seconds for _, span in found.walk()] == pytest.approx([0.03, 0.03, 0.02])
    assert found.whole


def test_virtual_time_records_the_same_spans_each_time():
    async def run():
        collector = OtlpCollector()
        await two_services(collector)(None)
        return collector.spans()

    assert virtual_time.run(run) == virtual_time.run(run)


async def test_a_span_says_who_what_when_and_how_it_ended():
    collector = OtlpCollector()
    spans = Spans("users", instance="users-1", export=in_process(collector))
    span = spans.start("get_user", "server", PARENT)
    span.set("user.id", 7)
    await asyncio.sleep(1.5)
    span.end("Unavailable", Unavailable("no database"))
    (seen,) = collector.spans()
    assert (seen.trace_id, seen.parent_id, seen.tracestate) == (
        PARENT.trace_id,
        PARENT.span_id,
        PARENT.tracestate,
    )
    assert (seen.service, seen.process.attributes["service.instance.id"]) == ("users", "users-1")
    assert seen.attributes == {"user.id": 7, "outcome": "Unavailable"}
    assert (seen.failed, seen.message, seen.seconds) == (True, "no database", 1.5)
    assert seen.start == 1_735_689_600 * 10**9
    assert seen.events[0].attributes["exception.message"] == "no database"


@pytest.mark.parametrize(
    ("error", "failed"),
    [
        (NotFound("no user 7"), False),
        (Unavailable("x"), True),
        (KeyError("x"), True),
        (None, False),
    ],
)
async def test_an_answer_is_no_error_and_a_failure_is(error, failed):
    collector = OtlpCollector()
    Spans("users", export=in_process(collector)).start("get").end("whatever", error)
    assert collector.spans()[0].failed is failed


async def test_an_error_that_cannot_be_printed_ends_its_span_all_the_same():
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    spans = []
    Spans("users", export=spans.append).start("get").end("Internal", Odd())
    assert spans[0].events[0].attributes["exception.message"] == "Odd"


async def test_half_a_surrogate_pair_costs_no_span():
    collector = OtlpCollector()
    spans = Spans("users", export=in_process(collector, batch_spans=2))
    spans.start("get").end("ok")
    broken = spans.start("get \ud800")
    broken.set("name", "\ud800")
    broken.event("got \ud800")
    broken.end("Unavailable", Unavailable("no \ud800"))
    assert len(collector.spans()) == 2 and not spans.export_errors


@pytest.mark.parametrize("share", [-0.1, 1.1, 10, float("nan")])
def test_a_share_in_percent_is_refused(share):
    with pytest.raises(ValueError, match="share from 0 to 1"):
        ratio(share)


async def test_a_parent_that_is_not_sampled_silences_everybody_below():
    finished: list = []
    for sampler in (always_on(), always_off(), ratio(1.0)):
        span = Spans("users", export=finished.append, sampler=sampler).start(
            "get", "server", TraceContext("ab" * 16, "cd" * 8, False, "rojo=1")
        )
        span.set("user.id", 7)
        span.end("ok")
        assert (span.context.sampled, span.context.tracestate) == (False, "rojo=1")
        assert span.context.trace_id == "ab" * 16 and span.context.span_id != "cd" * 8
    assert finished == []


async def test_with_the_sdk_disabled_a_span_is_not_recorded_and_says_so(monkeypatch):
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    span = Spans("users", export=print).start("get", "server", PARENT)
    assert (span.recorded, span.context.sampled) == (False, False)
    assert span.context.trace_id == PARENT.trace_id and int(span.context.span_id, 16)


async def test_a_parent_that_is_sampled_is_followed_whatever_the_share():
    for sampler in (always_on(), always_off(), ratio(0.0)):
        assert Spans("users", export=print, sampler=sampler).start("get", "server", PARENT).recorded


def test_the_ratio_chooses_the_traces_that_opentelemetrys_would_choose():
    rng = random.Random(1)
    for share in (0.0, 0.001, 0.1, 0.5, 1.0):
        ours, theirs = ratio(share), ParentBased(TraceIdRatioBased(share))
        for _ in range(1000):
            trace_id = rng.getrandbits(128)
            decision = theirs.should_sample(None, trace_id, "get").decision
            assert ours(None, f"{trace_id:032x}") is (decision is Decision.RECORD_AND_SAMPLE)


async def test_the_ratio_keeps_about_its_share_of_new_traces():
    spans = Spans("users", export=lambda span: None, sampler=ratio(0.1))
    kept = sum(spans.start("get").recorded for _ in range(5000))
    assert 400 < kept < 600


async def test_by_chance_asks_nobody():
    sampler = by_chance(0.5, random.Random(1))
    decided = [sampler(PARENT, PARENT.trace_id) for _ in range(100)]
    assert 30 < sum(decided) < 70


async def test_an_exporter_that_raises_does_not_break_the_call():
    def broken(span: object) -> None:
        raise OSError("disk full")

    spans = Spans("users", export=broken)
    assert await tracing(spans, operation="get")(answers)(None) == "ok"
    assert spans.export_errors == 1


async def test_spans_of_many_calls_at_once_do_not_mix():
    collector = OtlpCollector()
    call = two_services(collector)
    await asyncio.gather(*(call(None) for _ in range(50)))
    found = collector.traces()
    assert len(found) == 50 and all(one.whole and len(one.spans) == 3 for one in found)


async def test_without_spans_the_names_are_the_same_for_everybody():
    trace.set(new_trace())
    seen = await chain(tracing(), tracing())(lambda _: asyncio.sleep(0, context.trace.get()))(None)
    assert seen.trace_id == trace.get().trace_id
