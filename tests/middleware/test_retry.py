"""What a retry does, what it never does, and what it costs across three layers."""

import asyncio
import random
from typing import Any

import pytest

from course_lib import context
from course_lib.endpoint import Endpoint, Middleware
from course_lib.errors import (
    CallError,
    CircuitOpen,
    DeadlineExceeded,
    Internal,
    NoInstances,
    NotFound,
    Overloaded,
    RateLimited,
    Unavailable,
)
from course_lib.middleware.retry import RetryBudget, full_jitter, idempotent, retry


class Script:
    """An endpoint that fails as told, then answers "ok"; it notes when it was called."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.called_at: list[float] = []

    async def __call__(self, _request: Any) -> str:
        self.called_at.append(asyncio.get_running_loop().time())
        if self.errors:
            raise self.errors.pop(0)
        return "ok"


def three(**options: Any) -> Middleware:
    return retry(3, **{"budget": None, "rng": random.Random(1), **options})


async def test_attempts_are_counted_in_all() -> None:
    script = Script(*(Unavailable() for _ in range(9)))
    with pytest.raises(Unavailable):
        await three()(script)("")
    assert len(script.called_at) == 3


async def test_it_stops_at_the_first_success() -> None:
    script = Script(Unavailable())
    assert await three()(script)("") == "ok"
    assert len(script.called_at) == 2


@pytest.mark.parametrize("error", [NotFound("no user 7"), Internal(), DeadlineExceeded()])
async def test_answers_and_what_may_have_been_done_are_not_retried(error: CallError) -> None:
    script = Script(error)
    with pytest.raises(type(error)):
        await three()(script)("")
    assert len(script.called_at) == 1


@pytest.mark.parametrize("error", [Internal(), DeadlineExceeded(), Unavailable(), NoInstances()])
async def test_an_idempotent_operation_may_be_done_twice(error: CallError) -> None:
    assert await three(is_safe=idempotent)(Script(error))("") == "ok"
    with pytest.raises(NotFound):
        await three(is_safe=idempotent)(Script(NotFound()))("")


async def test_cancellation_is_not_retried() -> None:
    async def hangs(_request: Any) -> None:
        calls.append(1)
        await asyncio.sleep(1000)

    calls: list[int] = []
    task = asyncio.create_task(three()(hangs)(""))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() and len(calls) == 1


def test_full_jitter_is_uniform_up_to_a_doubling_cap() -> None:
    rng = random.Random(5)
    for n, cap in enumerate([0.1, 0.2, 0.4, 0.8, 1.0, 1.0]):
        waits = [full_jitter(n, rng, base_seconds=0.1, cap_seconds=1.0) for _ in range(8000)]
        assert 0 <= min(waits) < cap * 0.01
        assert cap * 0.99 < max(waits) <= cap
        for tenth in range(10):
            share = sum(tenth <= 10 * wait / cap < tenth + 1 for wait in waits) / 8000
            assert 0.08 < share < 0.12
    assert full_jitter(10_000, rng) <= 10


async def test_the_waits_between_attempts_are_the_jitter_and_nothing_else() -> None:
    script, rng = Script(*(Unavailable() for _ in range(3))), random.Random(7)
    await retry(4, budget=None, rng=rng, base_seconds=1.0, cap_seconds=3.0)(script)("")
    same, expected = random.Random(7), [0.0]
    for n in range(3):
        expected.append(expected[-1] + full_jitter(n, same, 1.0, 3.0))
    assert script.called_at == pytest.approx(expected)


@pytest.mark.parametrize("kind", [RateLimited, Overloaded])
async def test_it_comes_back_not_before_it_was_told_to(kind: type[Overloaded]) -> None:
    script = Script(kind("later", retry_after_seconds=5.0))
    await three()(script)("")
    assert 5.0 <= script.called_at[1] <= 5.1


async def test_our_own_open_breaker_is_not_waited_for_but_a_remote_one_is() -> None:
    ours, theirs = (CircuitOpen("open", retry_after_seconds=60.0) for _ in range(2))
    theirs.remote = True
    first, second = Script(ours), Script(theirs)
    await three()(first)("")
    assert first.called_at[1] < 1
    await three()(second)("")
    assert second.called_at[1] - second.called_at[0] >= 60


async def test_it_never_waits_past_the_deadline() -> None:
    context.deadline.set(3.0)
    script = Script(Overloaded(retry_after_seconds=4.0))
    with pytest.raises(Overloaded) as failed:
        await three()(script)("")
    assert asyncio.get_running_loop().time() == 0
    assert "gave up: the deadline comes before the next attempt" in failed.value.__notes__


async def test_no_attempt_starts_at_or_after_the_deadline() -> None:
    for seed in range(50):
        context.deadline.set(asyncio.get_running_loop().time() + 1.0)
        script = Script(*(Unavailable() for _ in range(100)))
        with pytest.raises(Unavailable):
            await retry(100, budget=None, rng=random.Random(seed))(script)("")
        assert script.called_at[-1] < context.deadline.get()


async def test_no_instances_is_not_hammered() -> None:
    script = Script(*(NoInstances() for _ in range(1000)))
    with pytest.raises(NoInstances):
        await retry(20, budget=None, rng=random.Random(1))(script)("")
    assert len(script.called_at) == 20
    assert script.called_at[-1] > 10


async def test_the_last_error_lists_the_attempts() -> None:
    script = Script(Unavailable("refused"), RateLimited("100 a second"), Unavailable("broken"))
    with pytest.raises(Unavailable, match="broken") as failed:
        await three()(script)("")
    first, second, third, last = failed.value.__notes__
    assert first == "attempt 1 at 0.000 s: Unavailable('refused')"
    assert second.startswith("attempt 2 at 0.0") and "RateLimited('100 a second')" in second
    assert third.startswith("attempt 3 at 0.") and last == "gave up: 3 attempts were made"


async def test_a_failure_costs_one_and_a_success_pays_back_a_tenth() -> None:
    budget = RetryBudget(max_tokens=10, token_ratio=0.1)
    call = three(budget=budget)
    await call(Script(Unavailable(), Unavailable()))("")
    assert budget.tokens == pytest.approx(8.1)
    for _ in range(30):
        await call(Script())("")
    assert budget.tokens == 10


async def test_an_answer_pays_back_too() -> None:
    budget = RetryBudget()
    budget.spend()
    with pytest.raises(NotFound):
        await three(budget=budget)(Script(NotFound()))("")
    assert budget.tokens == pytest.approx(9.1)


async def test_there_is_no_retry_at_or_below_half_the_budget() -> None:
    budget = RetryBudget(max_tokens=4)
    script = Script(*(Unavailable() for _ in range(9)))
    with pytest.raises(Unavailable) as failed:
        await retry(9, budget=budget, rng=random.Random(1))(script)("")
    assert len(script.called_at) == 2 and budget.tokens == 2
    assert "gave up: the retry budget is down to 2.0 of 4" in failed.value.__notes__


async def test_a_budget_is_never_below_nothing_and_recovers() -> None:
    budget = RetryBudget(max_tokens=4, token_ratio=0.5)
    for _ in range(100):
        budget.spend()
    assert budget.tokens == 0
    for _ in range(4):
        budget.pay_back()
    assert not budget.allows
    budget.pay_back()
    assert budget.allows


async def amplification(budgets: list[RetryBudget | None]) -> float:
    """Calls that reach the bottom of three layers for each request, while the bottom is down."""
    bottom = Script(*(Unavailable() for _ in range(100_000)))
    call: Endpoint = bottom
    for seed, budget in enumerate(budgets):
        call = retry(3, budget=budget, rng=random.Random(seed))(call)
    for _ in range(200):
        with pytest.raises(Unavailable):
            await call("")
    return len(bottom.called_at) / 200


async def test_three_layers_multiply_and_a_budget_ends_it() -> None:
    assert await amplification([None, None, None]) == 27
    assert await amplification([RetryBudget() for _ in range(3)]) < 1.2


def test_no_attempt_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 1 or more in all, got 0"):
        retry(0, budget=None, rng=random.Random(1))
