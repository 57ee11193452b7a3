"""What a load came to, stretch by stretch."""

from course_lib.lab.load import Call, Result
from course_lib.lab.over_time import Strip, during, every, failed_percent, slowest

RESULT = Result(
    [
        Call(0.0, 0.1, "ok", "ok"),
        Call(1.5, 0.4, "Unavailable", "Unavailable"),
        Call(4.0, 2.0, "ok", "ok"),
    ],
    6.0,
)


def test_a_stretch_holds_the_calls_that_began_in_it() -> None:
    assert [call.started for call in during(RESULT, 1.5, 4.0).calls] == [1.5]


def test_shares_and_times_stretch_by_stretch_with_nothing_where_nobody_called() -> None:
    assert every(2, failed_percent, RESULT) == [(0, 50.0), (2, 0.0), (4, 0.0)]
    assert every(2, slowest, RESULT) == [(0, 0.4), (2, 0.0), (4, 2.0)]


def test_every_call_counts_once_where_steps_are_no_exact_numbers() -> None:
    often = Result([Call(n / 10, 0.0, "ok", "ok") for n in range(20)], 2.0)
    assert sum(count for _, count in every(0.1, lambda part: len(part.calls), often)) == 20


def test_a_strip_turns_transitions_into_spans() -> None:
    strip = Strip()
    strip("users", "closed", "open", 3.0)
    assert strip.spans(until=5.0) == [(0.0, 3.0, "closed"), (3.0, 5.0, "open")]
