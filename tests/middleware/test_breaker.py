"""The rules of the circuit breaker, one a test, and a naive model over random histories."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from course_lib.errors import CircuitOpen, NotFound, Unavailable
from course_lib.middleware.breaker import CircuitBreaker, breaker, not_an_answer

Transition = tuple[str, str, str, float]


def circuit_of(**options: Any) -> tuple[CircuitBreaker, list[Transition]]:
    """Make a small breaker (10 calls, 4 at least, 60 s, 3 permits) and the list of its moves."""
    seen: list[Transition] = []
    small = {"window": 10, "minimum_calls": 4, "open_seconds": 60.0, "half_open_permits": 3}
    circuit = CircuitBreaker("shop", **{**small, **options})
    circuit.on_transition = lambda *transition: seen.append(transition)
    return circuit, seen


async def answers(_request: Any) -> str:
    return "ok"


async def fails(_request: Any) -> str:
    raise Unavailable("connection refused")


def takes(seconds: float, then: Callable[[Any], Awaitable[str]] = answers) -> Any:
    async def endpoint(request: Any) -> str:
        await asyncio.sleep(seconds)
        return await then(request)

    return endpoint


async def call(circuit: CircuitBreaker, inner: Any, times: int = 1) -> list[Any]:
    """Call one after the other; returns the answers, or the errors as values."""
    through = breaker(circuit)(inner)
    return [(await asyncio.gather(through(""), return_exceptions=True))[0] for _ in range(times)]


async def tripped(**options: Any) -> tuple[CircuitBreaker, list[Transition]]:
    circuit, seen = circuit_of(**options)
    await call(circuit, fails, times=circuit.minimum_calls)
    assert circuit.state == "open"
    seen.clear()
    return circuit, seen


async def test_it_opens_when_the_failure_rate_reaches_the_threshold() -> None:
    circuit, seen = circuit_of()
    await call(circuit, answers, times=2)
    await call(circuit, fails)
    assert circuit.state == "closed"
    await asyncio.sleep(5)
    await call(circuit, fails)
    assert circuit.state == "open"
    assert seen == [("shop", "closed", "open", 5.0)]


async def test_below_the_minimum_it_stays_closed_whatever_happens() -> None:
    circuit, _ = circuit_of(minimum_calls=4)
    await call(circuit, fails, times=3)
    assert circuit.state == "closed"


async def test_a_success_can_trip_it() -> None:
    circuit, _ = circuit_of(minimum_calls=4)
    await call(circuit, fails, times=3)
    assert await call(circuit, answers) == ["ok"]
    assert circuit.state == "open"


async def test_the_minimum_is_capped_at_the_window() -> None:
    circuit, _ = circuit_of(window=5, minimum_calls=100)
    await call(circuit, fails, times=4)
    assert circuit.state == "closed"
    await call(circuit, fails)
    assert circuit.state == "open"


async def test_the_count_window_forgets_the_oldest_call() -> None:
    circuit, _ = circuit_of(window=4, minimum_calls=4, failure_rate_threshold=0.75)
    for inner in (fails, fails, answers, answers, fails, answers, fails, answers):
        await call(circuit, inner)
    assert circuit.state == "closed"
    await call(circuit, fails, times=2)
    assert circuit.state == "open"


async def test_the_time_window_slides() -> None:
    circuit, _ = circuit_of(window_seconds=10.0, minimum_calls=4)
    await call(circuit, fails, times=3)
    await asyncio.sleep(10)
    await call(circuit, fails, times=3)
    assert circuit.state == "closed"
    await asyncio.sleep(9.9)
    await call(circuit, fails)
    assert circuit.state == "open"


async def test_a_time_window_does_not_cap_the_minimum() -> None:
    circuit, _ = circuit_of(window=5, window_seconds=10.0, minimum_calls=8)
    await call(circuit, fails, times=7)
    assert circuit.state == "closed"
    await call(circuit, fails)
    assert circuit.state == "open"


async def test_slow_is_strictly_longer() -> None:
    slow = {"slow_call_seconds": 0.3, "slow_call_rate_threshold": 0.5}
    circuit, _ = circuit_of(**slow)
    await asyncio.sleep(0.1)
    await call(circuit, takes(0.3), times=8)
    assert circuit.state == "closed"
    await call(circuit, takes(0.300001), times=5)
    assert circuit.state == "open"


async def test_slow_calls_leave_the_window_too() -> None:
    circuit, _ = circuit_of(window=4, slow_call_seconds=1.0, slow_call_rate_threshold=0.75)
    for seconds in (0, 0, 2, 2, 0, 0, 2, 0, 2):
        await call(circuit, takes(seconds))
    assert circuit.state == "closed"
    await call(circuit, takes(2))
    assert circuit.state == "open"


async def test_open_refuses_without_calling_and_says_when_to_come_back() -> None:
    circuit, _ = await tripped()
    await asyncio.sleep(20)
    (error,) = await call(circuit, takes(1))
    assert isinstance(error, CircuitOpen)
    assert error.retry_after_seconds == 40
    assert "shop is open for another 40 s" in str(error)
    assert asyncio.get_running_loop().time() == 20


async def test_open_ends_strictly_after_its_time_and_at_the_next_call() -> None:
    circuit, seen = await tripped()
    await asyncio.sleep(60)
    assert isinstance((await call(circuit, answers))[0], CircuitOpen)
    await asyncio.sleep(1)
    assert circuit.state == "open"
    await call(circuit, answers)
    assert circuit.state == "half_open"
    assert seen == [("shop", "open", "half_open", 61.0)]


async def test_one_can_ask_whether_a_call_would_be_refused() -> None:
    circuit, _ = circuit_of(half_open_permits=1)
    assert not circuit.refusing
    await call(circuit, fails, times=4)
    await asyncio.sleep(60)
    assert circuit.refusing
    await asyncio.sleep(1)
    assert not circuit.refusing and circuit.state == "open"
    probe = asyncio.create_task(breaker(circuit)(takes(1))(""))
    await asyncio.sleep(0)
    assert circuit.refusing
    await probe
    assert not circuit.refusing


@pytest.mark.parametrize("permits", [1, 3, 10])
async def test_fifty_calls_at_once_make_exactly_as_many_probes_as_there_are_permits(
    permits: int,
) -> None:
    circuit, seen = await tripped(half_open_permits=permits, minimum_calls=10)
    await asyncio.sleep(61)
    through = breaker(circuit)(takes(1))
    results = await asyncio.gather(*(through("") for _ in range(50)), return_exceptions=True)
    assert results.count("ok") == permits
    assert sum(isinstance(result, CircuitOpen) for result in results) == 50 - permits
    assert [new for _, _, new, _ in seen] == ["half_open", "closed"]


async def test_permits_are_for_the_whole_of_half_open_not_for_a_moment() -> None:
    circuit, _ = await tripped(half_open_permits=3)
    await asyncio.sleep(61)
    hanging = [asyncio.create_task(breaker(circuit)(takes(100))("")) for _ in range(2)]
    await asyncio.sleep(0)
    assert await call(circuit, answers) == ["ok"]
    assert isinstance((await call(circuit, answers))[0], CircuitOpen)
    await asyncio.gather(*hanging)


async def test_probes_are_judged_when_the_smaller_of_minimum_and_permits_is_in() -> None:
    circuit, _ = await tripped(minimum_calls=2, half_open_permits=5)
    await asyncio.sleep(61)
    await call(circuit, answers)
    assert circuit.state == "half_open"
    await call(circuit, answers)
    assert circuit.state == "closed"


async def test_the_window_does_not_cap_the_number_of_probes() -> None:
    circuit, _ = await tripped(window=2, minimum_calls=100, half_open_permits=4)
    await asyncio.sleep(61)
    await call(circuit, answers, times=3)
    assert circuit.state == "half_open"
    await call(circuit, answers)
    assert circuit.state == "closed"


async def test_failing_probes_open_it_again_for_the_full_time() -> None:
    circuit, seen = await tripped(half_open_permits=2)
    await asyncio.sleep(61)
    await call(circuit, answers)
    await call(circuit, fails)
    assert seen[-1] == ("shop", "half_open", "open", 61.0)
    await asyncio.sleep(60)
    assert isinstance((await call(circuit, answers))[0], CircuitOpen)


async def test_slow_probes_open_it_again() -> None:
    circuit, _ = await tripped(slow_call_seconds=1.0, half_open_permits=1)
    await asyncio.sleep(61)
    await call(circuit, takes(1.5))
    assert circuit.state == "open"


async def test_a_cancelled_probe_gives_its_permit_back() -> None:
    circuit, _ = await tripped(half_open_permits=1)
    await asyncio.sleep(61)
    probe = asyncio.create_task(breaker(circuit)(takes(1000))(""))
    await asyncio.sleep(0)
    probe.cancel()
    assert await call(circuit, answers) == ["ok"]
    assert circuit.state == "closed"


async def test_an_ignored_probe_gives_its_permit_back() -> None:
    circuit, _ = await tripped(half_open_permits=1)
    circuit.is_failure = lambda error: None
    await asyncio.sleep(61)
    await call(circuit, fails, times=20)
    assert circuit.state == "half_open"
    assert await call(circuit, answers) == ["ok"]
    assert circuit.state == "closed"


async def test_a_probe_whose_judge_breaks_gives_its_permit_back() -> None:
    def broken(error: Exception) -> bool:
        raise TypeError("what is this?")

    circuit, _ = await tripped(half_open_permits=1)
    circuit.is_failure = broken
    await asyncio.sleep(61)
    assert isinstance((await call(circuit, fails))[0], TypeError)
    assert await call(circuit, answers) == ["ok"]


async def test_cancellation_is_not_a_failure() -> None:
    circuit, _ = circuit_of(minimum_calls=1)
    hanging = [asyncio.create_task(breaker(circuit)(takes(100))("")) for _ in range(20)]
    await asyncio.sleep(1)
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    assert circuit.state == "closed"
    await call(circuit, fails)
    assert circuit.state == "open"


async def test_a_result_that_started_before_a_transition_does_not_count() -> None:
    circuit, _ = circuit_of()
    late = [asyncio.create_task(breaker(circuit)(takes(61.5, fails))("")) for _ in range(9)]
    await asyncio.sleep(0)
    await call(circuit, fails, times=4)
    await asyncio.sleep(61)
    probes = [asyncio.create_task(breaker(circuit)(takes(1))("")) for _ in range(3)]
    await asyncio.gather(*late, return_exceptions=True)
    assert circuit.state == "half_open"
    await asyncio.gather(*probes)
    assert circuit.state == "closed"


async def test_a_late_probe_of_an_earlier_half_open_gives_no_permit_back() -> None:
    circuit, _ = await tripped(minimum_calls=1, half_open_permits=2)
    await asyncio.sleep(61)
    late = asyncio.create_task(breaker(circuit)(takes(100))(""))
    await asyncio.sleep(0)
    await call(circuit, fails)
    await asyncio.sleep(61)
    through = breaker(circuit)(takes(1))
    probes = [asyncio.create_task(through("")) for _ in range(2)]
    await asyncio.sleep(0)
    late.cancel()
    await asyncio.sleep(0)
    assert isinstance((await call(circuit, answers))[0], CircuitOpen)
    await asyncio.gather(*probes)


async def test_an_answer_counts_as_a_success() -> None:
    async def no_user(_request: Any) -> str:
        raise NotFound("no user 7")

    circuit, _ = circuit_of()
    results = await call(circuit, no_user, times=50)
    assert all(isinstance(result, NotFound) for result in results)
    assert circuit.state == "closed"


async def test_closing_begins_with_an_empty_window() -> None:
    circuit, _ = await tripped(half_open_permits=1)
    await asyncio.sleep(61)
    await call(circuit, answers)
    await call(circuit, fails, times=3)
    assert circuit.state == "closed"


@pytest.mark.parametrize("option", ["window", "minimum_calls", "half_open_permits"])
def test_a_breaker_that_could_never_work_is_refused(option: str) -> None:
    with pytest.raises(ValueError, match="expected 1 or more"):
        circuit_of(**{option: 0})


@pytest.mark.parametrize("option", ["failure_rate_threshold", "slow_call_rate_threshold"])
@pytest.mark.parametrize("rate", [50, -0.1, float("nan")])
def test_a_threshold_in_percent_would_never_be_reached_and_is_refused(
    option: str, rate: float
) -> None:
    with pytest.raises(ValueError, match="a share from 0 to 1, got"):
        circuit_of(**{option: rate})


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_window_that_holds_nothing_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="window_seconds: expected more than 0"):
        circuit_of(window_seconds=seconds)


async def test_who_waits_as_long_as_told_gets_through_soon() -> None:
    circuit, _ = await tripped()
    for _ in range(2):
        (refusal,) = await call(circuit, answers)
        assert isinstance(refusal, CircuitOpen) and refusal.retry_after_seconds
        await asyncio.sleep(refusal.retry_after_seconds)
    assert await call(circuit, answers) == ["ok"]
    assert asyncio.get_running_loop().time() == pytest.approx(60)


def test_what_counts_as_a_failure_unless_told_otherwise() -> None:
    verdicts = [not_an_answer(error) for error in (Unavailable(), TypeError(), NotFound())]
    assert verdicts == [True, True, False]


class NaiveBreaker:
    """Keeps every result since the last transition and counts anew each time."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.state, self.since, self.generation = "closed", 0.0, 0
        self.results: list[tuple[float, bool, bool]] = []
        self.probes: set[int] = set()

    def admits(self, call_id: int, now: float) -> bool:
        if self.state == "open" and now > self.since + self.options["open_seconds"]:
            self.turn("half_open", now)
        if self.state == "half_open" and len(self.probes) < self.options["half_open_permits"]:
            self.probes.add(call_id)
            return True
        return self.state == "closed"

    def turn(self, state: str, now: float) -> None:
        self.state, self.since, self.results, self.probes = state, now, [], set()
        self.generation += 1

    def finish(
        self, call_id: int, generation: int, seconds: float, now: float, failed: bool | None
    ) -> None:
        if generation != self.generation:
            return
        if failed is None:
            self.probes.discard(call_id)
            return
        options = self.options
        self.results.append((now, failed, seconds > options["slow_call_seconds"]))
        window, span, least = options["window"], options["window_seconds"], options["minimum_calls"]
        if self.state == "half_open":
            counted, least = self.results, min(least, options["half_open_permits"])
        elif span is None:
            counted, least = self.results[-window:], min(least, window)
        else:
            counted = [result for result in self.results if now - result[0] < span]
        if len(counted) < least:
            return
        failure_rate = sum(result[1] for result in counted) / len(counted)
        slow_rate = sum(result[2] for result in counted) / len(counted)
        if (
            failure_rate >= options["failure_rate_threshold"]
            or slow_rate >= options["slow_call_rate_threshold"]
        ):
            self.turn("open", now)
        elif self.state == "half_open":
            self.turn("closed", now)


class Histories(RuleBasedStateMachine):
    """Random histories of calls, results and waiting; whole seconds, so that limits are hit."""

    @rule(
        window=st.integers(1, 6),
        window_seconds=st.none() | st.integers(1, 6),
        minimum_calls=st.integers(1, 8),
        half_open_permits=st.integers(1, 4),
        failure_rate_threshold=st.sampled_from([0.2, 0.34, 0.5, 1.0]),
        slow_call_rate_threshold=st.sampled_from([0.5, 1.0]),
    )
    @precondition(lambda self: not hasattr(self, "real"))
    def begin(self, **options: Any) -> None:
        options |= {"open_seconds": 5.0, "slow_call_seconds": 2.0}
        self.real, self.naive = CircuitBreaker("x", **options), NaiveBreaker(options)
        self.now = 0.0
        self.running: list[tuple[int, int, int, float]] = []
        self.calls = 0

    @precondition(lambda self: hasattr(self, "real"))
    @rule(seconds=st.integers(1, 6))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @precondition(lambda self: hasattr(self, "real"))
    @rule(count=st.integers(1, 4))
    def call(self, count: int) -> None:
        for _ in range(count):
            self.calls += 1
            admitted = self.naive.admits(self.calls, self.now)
            try:
                generation = self.real.admit(self.now)
            except CircuitOpen:
                assert not admitted
            else:
                assert admitted
                self.running.append((self.calls, generation, self.naive.generation, self.now))

    @precondition(lambda self: hasattr(self, "real"))
    @rule(count=st.integers(1, 6), seconds=st.integers(0, 3), failed=st.booleans())
    def calls_in_a_row(self, count: int, seconds: int, failed: bool) -> None:
        for _ in range(count):
            before = len(self.running)
            self.call(1)
            self.wait(seconds)
            if len(self.running) > before:
                self.finish(before, failed)

    @precondition(lambda self: getattr(self, "running", None))
    @rule(which=st.integers(0), failed=st.sampled_from([True, True, False, False, None]))
    def finish(self, which: int, failed: bool | None) -> None:
        call_id, generation, naive, started = self.running.pop(which % len(self.running))
        self.real.record(generation, started, self.now, failed)
        self.naive.finish(call_id, naive, self.now - started, self.now, failed)

    @invariant()
    def same_state(self) -> None:
        if hasattr(self, "real"):
            assert self.real.state == self.naive.state


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
