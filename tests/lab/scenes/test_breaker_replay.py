"""The replay tells the real pybreaker the same as ours, and both answer alike where rules agree."""

import pybreaker
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.lab.scenes.breaker_replay import replay
from course_lib.lab.scenes.breaker_rules import GobreakerRules
from course_lib.middleware.breaker import CircuitBreaker

GAPS = st.sampled_from([0.25, 1.0, 4.0, 11.0])
HISTORIES = st.lists(st.tuples(GAPS, st.booleans()), min_size=1, max_size=80)


def at_instants(history: list[tuple[float, bool]]) -> list[tuple[float, bool]]:
    """Gaps to instants."""
    calls, at = [], 0.0
    for gap, good in history:
        at += gap
        calls.append((at, good))
    return calls


@settings(deadline=None, max_examples=300)
@given(HISTORIES, st.integers(1, 6))
def test_the_real_pybreaker_counts_as_the_consecutive_rules_do(
    history: list[tuple[float, bool]], in_a_row: int
) -> None:
    calls = at_instants(history)
    real = pybreaker.CircuitBreaker(fail_max=in_a_row, reset_timeout=10.1)
    rules = GobreakerRules("shop", consecutive_failures=in_a_row, open_seconds=10.1)
    assert replay(real, calls) == replay(rules, calls)


def test_two_failures_of_three_never_open_the_real_pybreaker_and_open_a_window() -> None:
    calls = [(n / 10, n % 3 == 2) for n in range(600)]
    assert [span.state for span in replay(pybreaker.CircuitBreaker(), calls).spans] == ["closed"]
    ours = replay(CircuitBreaker("shop"), calls)
    assert [span.state for span in ours.spans] == ["closed", "open"]


def test_a_replay_counts_the_failures_met_and_the_good_calls_refused() -> None:
    calls = [(float(n), n >= 5) for n in range(20)]
    heard = replay(GobreakerRules("shop", consecutive_failures=3, open_seconds=9.5), calls)
    assert (heard.failures_met, heard.good_refused) == (3, 7)


def test_pybreaker_has_its_own_clock_again_afterwards() -> None:
    import datetime

    replay(pybreaker.CircuitBreaker(), [(0.0, True)])
    assert vars(pybreaker)["datetime"] is datetime.datetime
