"""The W3C headers: read as the specification says, written so that everybody can read them."""

import pytest

from course_lib import context
from course_lib.telemetry import trace_context
from tests.telemetry.w3c_cases import CASES, GOOD, ID, SPAN


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


def test_a_huge_tracestate_is_read_in_no_time():
    assert trace_context.parse([GOOD], ["," * 1_000_000]).tracestate == ""
    assert trace_context.parse([GOOD], ["a" * 1_000_000]).tracestate == ""
