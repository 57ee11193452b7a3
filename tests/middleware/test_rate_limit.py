"""The token bucket, erroring and delaying."""

import asyncio

import pytest

from course_lib import context
from course_lib.errors import RateLimited
from course_lib.lab import virtual_time
from course_lib.middleware.rate_limit import TokenBucket, delaying, erroring


def clock() -> float:
    return asyncio.get_running_loop().time()


async def answers(request: object) -> tuple[object, float]:
    return request, clock()


async def refused(call: object) -> bool:
    try:
        await call
    except RateLimited:
        return True
    return False


async def test_a_full_bucket_lets_a_burst_through_and_then_one_each_drip():
    endpoint = erroring(TokenBucket(rate_per_second=2, burst=3))(answers)
    assert [await refused(endpoint(1)) for _ in range(4)] == [False, False, False, True]
    later = []
    for _ in range(6):
        await asyncio.sleep(0.25)
        later.append(await refused(endpoint(1)))
    assert later == [True, False, True, False, True, False]


@pytest.mark.parametrize(("rate", "burst", "passed"), [(100, 1, 100), (1, 100, 100)])
async def test_a_hundred_a_second_is_not_a_burst_of_a_hundred(rate, burst, passed):
    endpoint = erroring(TokenBucket(rate, burst))(answers)
    let_through = []
    for at in range(200):
        if not await refused(endpoint(at)):
            let_through.append(clock())
        await asyncio.sleep(0.005)
    assert abs(len(let_through) - passed) <= 1
    spread_seconds = let_through[-1] - let_through[0]
    assert (spread_seconds > 0.9) == (burst == 1)


@pytest.mark.parametrize("rate", [0.3, 3, 7, 1000 / 3])
async def test_who_comes_back_after_the_named_seconds_is_let_in(rate):
    endpoint = erroring(TokenBucket(rate, burst=1))(answers)
    await endpoint(0)
    for _ in range(50):
        with pytest.raises(RateLimited) as refusal:
            await endpoint(0)
        await asyncio.sleep(refusal.value.retry_after_seconds)
        await endpoint(0)


async def test_the_refusal_says_what_the_limit_is():
    endpoint = erroring(TokenBucket(4, burst=1))(answers)
    await endpoint(0)
    with pytest.raises(RateLimited, match="more than 4 calls a second, burst 1") as refusal:
        await endpoint(0)
    assert refusal.value.retry_after_seconds == 0.25


async def test_a_bucket_never_holds_more_than_its_burst():
    bucket = TokenBucket(10, burst=2)
    endpoint = erroring(bucket)(answers)
    await endpoint(0)
    await asyncio.sleep(3600)
    assert [await refused(endpoint(0)) for _ in range(3)] == [False, False, True]


async def test_delayed_calls_pass_in_the_order_they_came_at_the_rate():
    endpoint = delaying(TokenBucket(2, burst=2))(answers)
    results = await asyncio.gather(*(endpoint(i) for i in range(5)))
    assert results == [(0, 0.0), (1, 0.0), (2, 0.5), (3, 1.0), (4, 1.5)]


async def test_a_latecomer_does_not_overtake_the_line():
    bucket = TokenBucket(1, burst=1)
    endpoint = delaying(bucket)(answers)
    await endpoint("first")
    waiting = [asyncio.create_task(endpoint(name)) for name in ("second", "third")]
    await asyncio.sleep(1)
    latecomer = asyncio.create_task(endpoint("late"))
    assert await asyncio.gather(*waiting, latecomer) == [
        ("second", 1.0),
        ("third", 2.0),
        ("late", 3.0),
    ]


@pytest.mark.parametrize("leaves", [0, 1, 2])
async def test_who_leaves_the_line_gives_the_place_to_those_behind(leaves):
    endpoint = delaying(TokenBucket(1, burst=1))(answers)
    await endpoint("first")
    waiting = [asyncio.create_task(endpoint(i)) for i in range(4)]
    await asyncio.sleep(0.5)
    waiting[leaves].cancel()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results.pop(leaves), asyncio.CancelledError)
    assert [at for _, at in results] == [1.0, 2.0, 3.0]


async def test_a_wait_beyond_the_deadline_is_refused_at_once():
    endpoint = delaying(TokenBucket(1, burst=1))(answers)
    await endpoint("first")
    waiting = asyncio.create_task(endpoint("second"))
    await asyncio.sleep(0)
    context.deadline.set(clock() + 1.5)
    with pytest.raises(RateLimited, match=r"the turn comes in 2 s, the deadline in 1\.5 s") as no:
        await endpoint("third")
    assert (clock(), no.value.retry_after_seconds) == (0.0, 2.0)
    assert await waiting == ("second", 1.0)


async def test_one_bucket_may_stand_before_several_endpoints():
    bucket = TokenBucket(1, burst=1)
    first, second = erroring(bucket)(answers), delaying(bucket)(answers)
    await first(0)
    assert await refused(first(0))
    assert await second("waits") == ("waits", 1.0)


def test_a_bucket_made_once_serves_one_loop_after_another():
    bucket = TokenBucket(1, burst=1)

    async def three_calls() -> list[float]:
        endpoint = delaying(bucket)(answers)
        return [at for _, at in await asyncio.gather(*(endpoint(i) for i in range(3)))]

    assert virtual_time.run(three_calls()) == [0.0, 1.0, 2.0]
    assert virtual_time.run(three_calls()) == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0), (float("nan"), 1)])
def test_a_bucket_that_lets_nothing_through_cannot_be_made(rate, burst):
    with pytest.raises(ValueError, match="rate_per_second"):
        TokenBucket(rate, burst)
