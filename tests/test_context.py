import asyncio
import random

import pytest

from course_lib import context
from course_lib.errors import DeadlineExceeded

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE_ID}-{SPAN_ID}-01"


def test_a_traceparent_is_read_and_written_back():
    trace = context.parse_traceparent(GOOD)
    assert trace == context.TraceContext(TRACE_ID, SPAN_ID, sampled=True)
    assert trace.traceparent == GOOD


@pytest.mark.parametrize(
    "flags, sampled", [("00", False), ("01", True), ("02", False), ("ff", True)]
)
def test_only_the_lowest_flag_says_sampled(flags, sampled):
    assert context.parse_traceparent(GOOD[:-2] + flags).sampled is sampled


@pytest.mark.parametrize(
    "header",
    [
        "",
        "hello",
        GOOD.upper(),
        GOOD[:-1],
        GOOD + "-more",
        GOOD + "\n",
        " " + GOOD,
        "ff" + GOOD[2:],
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        GOOD.replace("-", "_"),
        "cc" + GOOD[2:] + ".more",
    ],
)
def test_what_is_not_a_traceparent_starts_the_trace_anew(header):
    assert context.parse_traceparent(header) is None


def test_a_future_version_may_carry_more():
    assert context.parse_traceparent("cc" + GOOD[2:] + "-what-comes").trace_id == TRACE_ID
    assert context.parse_traceparent("cc" + GOOD[2:]).trace_id == TRACE_ID


def test_a_child_stays_in_the_trace_with_a_span_of_its_own():
    trace = context.parse_traceparent(GOOD)
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
    assert context.parse_traceparent(first_trace().traceparent) == first_trace()


async def test_the_time_left_shrinks_as_time_passes():
    assert context.remaining_seconds() is None
    context.deadline.set(asyncio.get_running_loop().time() + 5)
    await asyncio.sleep(2)
    assert context.remaining_seconds() == pytest.approx(3)
    await asyncio.sleep(3)
    with pytest.raises(DeadlineExceeded):
        context.remaining_seconds()
