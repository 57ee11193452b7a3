"""Timeout and deadline: both end a call in time, and neither swallows a cancellation."""

import asyncio

import pytest

from course_lib import context
from course_lib.errors import DeadlineExceeded
from course_lib.middleware.timeout import deadline, timeout


def clock() -> float:
    return asyncio.get_running_loop().time()


async def waits(seconds: float) -> float | None:
    await asyncio.sleep(seconds)
    return context.deadline.get()


async def test_a_call_that_takes_longer_than_the_timeout_is_cut_off_on_time():
    with pytest.raises(DeadlineExceeded, match="no answer within 2 s"):
        await timeout(2)(waits)(10)
    assert clock() == 2.0


async def test_a_timeout_tightens_the_deadline_for_what_is_inside_and_restores_it():
    context.deadline.set(clock() + 9)
    assert await timeout(2)(waits)(1) == 2.0
    assert context.deadline.get() == 9.0


async def test_an_earlier_deadline_wins_over_the_timeout():
    context.deadline.set(clock() + 1)
    with pytest.raises(DeadlineExceeded, match="the deadline passed"):
        await timeout(5)(waits)(10)
    assert clock() == 1.0


async def test_a_travelling_deadline_is_enforced():
    context.deadline.set(clock() + 3)
    with pytest.raises(DeadlineExceeded):
        await deadline()(waits)(10)
    assert clock() == 3.0


async def test_a_call_without_a_deadline_gets_the_default_one_or_none():
    assert await deadline(default_seconds=4)(waits)(1) == 4.0
    assert await deadline()(waits)(1) is None
    assert context.deadline.get() is None


@pytest.mark.parametrize("middleware", [deadline(), timeout(5)])
async def test_a_deadline_that_has_passed_on_arrival_refuses_without_calling(middleware):
    called = []
    context.deadline.set(clock())

    async def endpoint(request: object) -> None:
        called.append(request)

    with pytest.raises(DeadlineExceeded, match="before the call began"):
        await middleware(endpoint)("x")
    assert called == []


async def test_a_call_cancelled_from_outside_stays_cancelled():
    call = asyncio.create_task(timeout(5)(waits)(10))
    await asyncio.sleep(1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert clock() == 1.0


async def test_a_cancellation_in_the_very_moment_of_the_timeout_stays_a_cancellation():
    call = asyncio.create_task(timeout(1)(waits)(10))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_at(1.0, call.cancel)
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_timeout_error_of_the_endpoint_itself_is_not_taken_for_ours():
    async def has_a_limit_of_its_own(_: object) -> None:
        async with asyncio.timeout(1):
            await asyncio.sleep(10)

    with pytest.raises(TimeoutError):
        await timeout(5)(has_a_limit_of_its_own)(None)


async def test_the_task_can_go_on_after_a_timeout():
    with pytest.raises(DeadlineExceeded):
        await timeout(1)(waits)(10)
    assert asyncio.current_task().cancelling() == 0
    async with asyncio.timeout(1):
        await asyncio.sleep(0.5)


async def test_an_endpoint_that_swallows_the_cancellation_leaves_the_task_uncancelled():
    async def stubborn(_: object) -> str:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            return "late"

    assert await timeout(1)(stubborn)(None) == "late"
    assert asyncio.current_task().cancelling() == 0


async def test_nested_limits_end_at_the_tighter_one():
    with pytest.raises(DeadlineExceeded, match="within 1 s"):
        await timeout(3)(timeout(1)(waits))(10)
    assert clock() == 1.0
    with pytest.raises(DeadlineExceeded):
        await timeout(1)(timeout(3)(waits))(10)
    assert clock() == 2.0
    assert asyncio.current_task().cancelling() == 0


async def test_no_timer_is_left_when_the_call_ends():
    await timeout(1000)(waits)(1)
    await asyncio.sleep(1)
    assert clock() == 2.0


async def test_an_endpoint_may_clean_up_at_leisure_after_it_was_cut_off():
    async def tidy(_: object) -> None:
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(2)

    with pytest.raises(DeadlineExceeded):
        await timeout(1)(tidy)(None)
    assert clock() == 3.0


async def test_a_call_that_never_waits_sets_no_timer(monkeypatch):
    async def at_once(request: str) -> str:
        return request

    monkeypatch.setattr(asyncio.get_running_loop(), "call_at", lambda *_: pytest.fail("a timer"))
    assert await timeout(1)(at_once)("x") == "x"


async def test_an_endpoint_may_return_any_awaitable():
    answered = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_at(0.5, answered.set_result, "x")
    assert await timeout(1)(lambda _: answered)(None) == "x"
    with pytest.raises(DeadlineExceeded):
        await timeout(1)(lambda _: asyncio.create_task(asyncio.sleep(10)))(None)
    assert clock() == 1.5


async def test_a_call_that_is_given_up_half_way_is_closed():
    closed = []

    async def waits_for_ever(_: object) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            closed.append(context.deadline.get())

    call = timeout(1)(waits_for_ever)(None)
    call.send(None)
    call.close()
    assert closed == [1.0] and context.deadline.get() is None
    await asyncio.sleep(5)  # no alarm rings any more


@pytest.mark.real_time
async def test_it_works_on_an_ordinary_loop():
    with pytest.raises(DeadlineExceeded):
        await timeout(0.01)(waits)(10)
