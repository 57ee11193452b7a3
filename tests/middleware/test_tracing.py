"""Tracing: every call has its place in a trace."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from course_lib.context import TraceContext, trace
from course_lib.errors import NotFound
from course_lib.middleware.tracing import tracing
from course_lib.telemetry.traces import Spans, always_off, always_on


async def where_am_i(_: object) -> TraceContext | None:
    return trace.get()


async def test_a_call_without_a_trace_starts_one_and_leaves_none_behind():
    endpoint = tracing()(where_am_i)
    first, second = await endpoint(None), await endpoint(None)
    assert first.trace_id != second.trace_id
    assert trace.get() is None


async def test_a_call_in_a_trace_becomes_a_child_of_the_span_it_came_from():
    parent = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", True, "a=1")
    trace.set(parent)
    child = await tracing()(where_am_i)(None)
    assert (child.trace_id, child.sampled, child.tracestate) == (parent.trace_id, True, "a=1")
    assert child.span_id != parent.span_id
    assert trace.get() is parent


async def test_a_trace_that_is_not_sampled_stays_so():
    trace.set(TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", sampled=False))
    assert (await tracing()(where_am_i)(None)).sampled is False


class Recorder:
    """Spans kept in a list, by the protocol that the middleware asks for."""

    def __init__(self) -> None:
        self.told: list[tuple] = []

    def start(self, operation, kind, parent):
        outer = self.told

        class Started:
            context = TraceContext("ab" * 16, f"{len(outer) + 1:016x}")
            recorded = True

            def set(self, name, value):
                outer.append(("set", name, value))

            def end(self, outcome, error=None):
                outer.append(("end", operation, kind, outcome, error))

        self.told.append(("start", operation, kind, parent))
        return Started()


async def test_a_span_is_started_where_the_call_stands_and_ended_with_its_outcome():
    spans, parent = Recorder(), TraceContext("ab" * 16, "cd" * 8)
    trace.set(parent)
    seen = await tracing(spans, operation="get_user", kind="client")(where_am_i)(None)
    assert seen.span_id == f"{1:016x}" and trace.get() is parent
    assert spans.told == [
        ("start", "get_user", "client", parent),
        ("end", "get_user", "client", "ok", None),
    ]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(NotFound("no user 7"), "NotFound"), (KeyError("x"), "Internal")],
)
async def test_an_error_ends_the_span_and_goes_on(error, outcome):
    async def fails(_: object) -> None:
        raise error

    spans = Recorder()
    with pytest.raises(type(error)):
        await tracing(spans, operation="get_user")(fails)(None)
    assert spans.told[-1] == ("end", "get_user", "server", outcome, error)
    assert trace.get() is None


async def test_a_call_that_is_cancelled_ends_its_span():
    spans = Recorder()
    call = asyncio.create_task(tracing(spans, operation="wait")(asyncio.sleep)(60))
    await asyncio.sleep(1)
    call.cancel()
    await asyncio.wait([call])
    assert spans.told[-1][3] == "Cancelled"


async def test_attributes_are_asked_for_only_when_somebody_will_see_them():
    asked: list[int] = []

    def attributes(request: int) -> dict[str, int]:
        asked.append(request)
        return {"user.id": request}

    for sampler in (always_off(), always_on()):
        spans = Spans("users", export=lambda span: None, sampler=sampler)
        await tracing(spans, operation="get_user", attributes=attributes)(where_am_i)(7)
    assert asked == [7]


def test_a_recorded_span_needs_a_name():
    with pytest.raises(ValueError, match="operation"):
        tracing(Recorder())


async def test_the_span_of_a_stream_ends_with_the_stream():
    async def three(request: object) -> AsyncIterator[int]:
        async def items() -> AsyncIterator[int]:
            for number in range(3):
                await asyncio.sleep(1)
                yield number

        return items()

    for taken, ended in ((3, "ok"), (1, "Cancelled"), (0, "Cancelled")):
        spans = Recorder()
        stream = await tracing(spans, operation="watch")(three)(None)
        assert len(spans.told) == 1
        for _ in range(taken):
            await anext(stream)
        if taken == 3:
            assert [item async for item in stream] == []
        await stream.aclose()
        assert spans.told[-1][3] == ended
