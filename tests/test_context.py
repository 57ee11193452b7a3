import asyncio
import random

import pytest

from course_lib import context
from course_lib.errors import DeadlineExceeded

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE_ID}-{SPAN_ID}-01"


def test_a_traceparent_is_written_as_version_00():
    assert context.TraceContext(TRACE_ID, SPAN_ID, sampled=True).traceparent == GOOD
    assert context.TraceContext(TRACE_ID, SPAN_ID, sampled=False).traceparent == GOOD[:-2] + "00"


def test_a_child_stays_in_the_trace_with_a_span_of_its_own():
    trace = context.TraceContext(TRACE_ID, SPAN_ID)
    child = trace.child()
    assert child.trace_id == trace.trace_id and child.span_id != trace.span_id


def test_ids_come_from_the_injected_source():
    def first_trace() -> context.TraceContext:
        token = context.ids.set(random.Random(7))
        try:
            return context.new_trace()
        finally:
            context.ids.reset(token)

    assert first_trace() == first_trace()


async def test_the_time_left_shrinks_as_time_passes():
    assert context.remaining_seconds() is None
    context.deadline.set(asyncio.get_running_loop().time() + 5)
    await asyncio.sleep(2)
    assert context.remaining_seconds() == pytest.approx(3)
    await asyncio.sleep(3)
    with pytest.raises(DeadlineExceeded):
        context.remaining_seconds()
