"""Tracing: every call has its place in a trace."""

from course_lib.context import TraceContext, trace
from course_lib.middleware.tracing import tracing


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
