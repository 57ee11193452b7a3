"""Load shedding finds the limit at which the service answers in time."""

import asyncio
from typing import Any

import pytest

from course_lib.errors import Overloaded
from course_lib.middleware.shed import AdaptiveLimit, shed


class Workers:
    """A service of four workers, 0.1 s a request: 40 a second, and a queue without end."""

    def __init__(self) -> None:
        self.free = asyncio.Semaphore(4)

    async def __call__(self, _request: Any) -> str:
        async with self.free:
            await asyncio.sleep(0.1)
        return "ok"


async def offer(call: Any, per_second: int, seconds: int) -> tuple[list[float], int]:
    """Send at an even rate; returns how long the answers took and how many were refused."""
    took: list[float] = []
    refused = 0

    async def one() -> None:
        nonlocal refused
        started = asyncio.get_running_loop().time()
        try:
            await call("")
            took.append(asyncio.get_running_loop().time() - started)
        except Overloaded:
            refused += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(per_second * seconds):
            group.create_task(one())
            await asyncio.sleep(1 / per_second)
    return took, refused


async def test_below_its_capacity_nothing_is_refused() -> None:
    took, refused = await offer(shed(AdaptiveLimit(0.3))(Workers()), 30, 20)
    assert refused == 0 and max(took) < 0.3


async def test_at_twice_its_capacity_what_is_admitted_is_in_time() -> None:
    """Without shedding the queue grows by forty requests a second, and all are late."""
    limit = AdaptiveLimit(0.3)
    took, refused = await offer(shed(limit)(Workers()), 80, 60)
    late = took[len(took) // 2 :]
    assert sorted(late)[int(0.95 * len(late))] < 0.4
    assert len(took) > 0.9 * 40 * 60
    assert refused > 0.4 * 80 * 60
    assert 4 <= limit.limit <= 16
    unguarded, _ = await offer(Workers(), 80, 10)
    assert sorted(unguarded)[len(unguarded) // 2] > 2


async def test_the_less_important_is_refused_first() -> None:
    limit = AdaptiveLimit(1.0, initial=10)
    call = shed(limit, share=lambda request: 1.0 if request == "pay" else 0.5)(Workers())
    running = [asyncio.create_task(call("browse")) for _ in range(5)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="5 requests in flight, 10 can be in time") as refusal:
        await call("browse")
    assert refusal.value.retry_after_seconds == 1.0
    assert await call("pay") == "ok"
    await asyncio.gather(*running)


async def test_the_limit_falls_once_for_requests_that_were_late_together() -> None:
    limit = AdaptiveLimit(0.05, initial=10)
    await asyncio.gather(*(shed(limit)(Workers())("") for _ in range(8)))
    assert limit.limit == pytest.approx(9)


async def test_an_idle_service_does_not_raise_its_limit_without_end() -> None:
    limit = AdaptiveLimit(1.0, initial=10)
    call = shed(limit)(Workers())
    for _ in range(1000):
        await call("")
    assert limit.limit == 10


async def test_a_cancelled_request_is_in_flight_no_longer() -> None:
    limit = AdaptiveLimit(1.0)
    task = asyncio.create_task(shed(limit)(Workers())(""))
    await asyncio.sleep(0)
    assert limit.in_flight == 1
    task.cancel()
    await asyncio.wait([task])
    assert limit.in_flight == 0


async def test_callers_who_give_up_before_the_answer_is_late_do_not_raise_the_limit() -> None:
    limit = AdaptiveLimit(1.0, initial=10)
    waiting = [asyncio.create_task(shed(limit)(Workers())("")) for _ in range(10)]
    await asyncio.sleep(0.05)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert limit.limit == 10


async def test_callers_who_give_up_when_it_is_late_lower_the_limit() -> None:
    limit = AdaptiveLimit(0.02, initial=10)
    waiting = asyncio.create_task(shed(limit)(Workers())(""))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert limit.limit == pytest.approx(9)
