"""A second request when the first is late; the first answer wins, and nothing is left behind."""

import asyncio
from typing import Any

import pytest

from course_lib.endpoint import Endpoint
from course_lib.errors import NotFound, Unavailable
from course_lib.middleware.hedge import hedge
from course_lib.middleware.retry import RetryBudget


class Attempts:
    """An endpoint whose attempts take so many seconds and then return or raise, in turn."""

    def __init__(self, *script: tuple[float, Any]) -> None:
        self.script = list(script)
        self.started_at: list[float] = []
        self.cancelled = 0

    async def __call__(self, _request: Any) -> Any:
        self.started_at.append(asyncio.get_running_loop().time())
        seconds, outcome = self.script[len(self.started_at) - 1]
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_call_in_time_is_sent_once() -> None:
    attempts = Attempts((0.05, "first"))
    assert await hedge(0.1)(attempts)("") == "first"
    assert attempts.started_at == [0.0]


async def test_a_late_call_is_sent_again_and_the_first_answer_wins() -> None:
    attempts = Attempts((5.0, "first"), (0.2, "second"))
    assert await hedge(0.1)(attempts)("") == "second"
    assert now() == pytest.approx(0.3)
    assert attempts.started_at == [0.0, 0.1] and attempts.cancelled == 1


async def test_the_first_may_still_win() -> None:
    attempts = Attempts((0.15, "first"), (0.2, "second"))
    assert await hedge(0.1)(attempts)("") == "first"
    assert attempts.cancelled == 1


async def test_a_failure_sends_the_next_at_once() -> None:
    attempts = Attempts((0.01, Unavailable()), (0.01, "second"))
    assert await hedge(10.0)(attempts)("") == "second"
    assert now() == pytest.approx(0.02)


async def test_a_failure_waits_for_the_one_that_is_still_running() -> None:
    attempts = Attempts((1.0, "first"), (0.1, Unavailable()))
    assert await hedge(0.1)(attempts)("") == "first"


async def test_when_all_fail_the_last_failure_is_raised() -> None:
    attempts = Attempts((0.3, Unavailable("first")), (0.1, Unavailable("second")))
    with pytest.raises(Unavailable, match="first"):
        await hedge(0.1)(attempts)("")


async def test_an_answer_ends_it() -> None:
    attempts = Attempts((5.0, "first"), (0.1, NotFound("no user 7")))
    with pytest.raises(NotFound):
        await hedge(0.1)(attempts)("")
    assert attempts.cancelled == 1


async def test_one_more_is_sent_after_each_wait_up_to_the_number() -> None:
    attempts = Attempts(*[(9.0, n) for n in range(4)])
    assert await hedge(1.0, attempts=4)(attempts)("") == 0
    assert attempts.started_at == [0.0, 1.0, 2.0, 3.0] and attempts.cancelled == 3


async def test_two_that_end_at_once_leave_no_error_behind() -> None:
    attempts = Attempts((1.0, "first"), (0.5, Unavailable()))
    assert await hedge(0.5)(attempts)("") == "first"


async def test_cancelling_the_call_cancels_every_attempt() -> None:
    attempts = Attempts((9.0, 1), (9.0, 2))
    call = asyncio.create_task(hedge(0.1)(attempts)(""))
    await asyncio.sleep(1)
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled() and attempts.cancelled == 2


async def test_a_budget_bounds_the_extra_load_when_everything_is_slow() -> None:
    sent = 0

    async def slow(_request: Any) -> str:
        nonlocal sent
        sent += 1
        await asyncio.sleep(1.0)
        return "ok"

    bounded: Endpoint = hedge(0.1, budget=RetryBudget(max_tokens=10, token_ratio=0.05))(slow)
    for _ in range(400):
        assert await bounded("") == "ok"
    assert 400 < sent < 400 * 1.07
