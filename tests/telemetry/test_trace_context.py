"""The W3C headers: read as the specification says, written so that everybody can read them."""

import pytest

from course_lib import context
from course_lib.shop.users import GetUser, User
from course_lib.telemetry import trace_context
from tests.telemetry.w3c_cases import CASES, GOOD, ID, SPAN
from tests.transport.wires import WIRES


@pytest.mark.parametrize(("headers", "arrives"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_case_of_the_specification(headers, arrives):
    def sent(wanted: str) -> list[str]:
        return [value for name, value in headers if name.lower() == wanted]

    assert trace_context.parse(sent("traceparent"), sent("tracestate")) == arrives


def test_line_ends_and_foreign_letters_are_never_passed_on():
    for value in ("1\r\nx-evil: 1", "1\n", "\u00e9", "\x7f", "1\x00"):
        assert trace_context.parse([GOOD], ["foo=" + value]).tracestate == ""
    for value in (GOOD + "\n", GOOD[:-1] + "\u0661", "\u00a0" + GOOD):
        assert trace_context.parse([value]) is None


def test_what_is_written_is_read_again():
    for trace in (context.new_trace(), context.TraceContext(ID, SPAN, False, "foo=1,bar=2")):
        headers = trace_context.inject(trace)
        state = [headers["tracestate"]] if "tracestate" in headers else []
        assert trace_context.parse([headers["traceparent"]], state) == trace


def test_an_empty_tracestate_is_not_sent():
    assert trace_context.inject(context.TraceContext(ID, SPAN)) == {"traceparent": GOOD}


def test_of_a_tracestate_too_long_to_be_passed_on_the_last_long_members_are_left_out():
    long = [f"long{n}={'x' * 240}" for n in range(20)]
    state = ",".join(["first=1", *long, "last=2"])
    trace = trace_context.parse([GOOD], [state])
    assert trace is not None and trace.tracestate == state
    sent = trace_context.inject(trace)["tracestate"]
    assert sent.split(",") == ["first=1", *long[:16], "last=2"]
    longest = ",".join(f"a{n:02}={'x' * 124}" for n in range(32))
    assert trace_context.inject(trace._replace(tracestate=longest))["tracestate"] == longest


@pytest.mark.real_time
@pytest.mark.parametrize("wire", WIRES)
async def test_the_longest_tracestate_there_is_fails_no_call(wire):
    async def endpoint(request: GetUser) -> User:
        return User(1, "Ada", 36)

    longest = ",".join(f"a{n:02}{'k' * 253}={'x' * 256}" for n in range(32))
    trace = trace_context.parse([GOOD], [longest])
    assert trace is not None and trace.tracestate == longest
    context.trace.set(trace)
    async with WIRES[wire](endpoint, {}) as call:
        assert await call(GetUser(1)) == User(1, "Ada", 36)


def test_a_huge_tracestate_is_read_in_no_time():
    assert trace_context.parse([GOOD], ["," * 1_000_000]).tracestate == ""
    assert trace_context.parse([GOOD], ["a" * 1_000_000]).tracestate == ""
