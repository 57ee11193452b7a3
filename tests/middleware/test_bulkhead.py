"""The bulkhead: at most so many at once."""

import asyncio

import pytest

from course_lib.errors import NotFound, Overloaded
from course_lib.middleware.bulkhead import bulkhead


async def takes_a_second(fails: bool = False) -> str:
    await asyncio.sleep(1)
    if fails:
        raise NotFound
    return "ok"


async def test_who_comes_when_all_places_are_taken_is_refused_at_once():
    endpoint = bulkhead(2)(takes_a_second)
    calls = await asyncio.gather(*(endpoint(False) for _ in range(3)), return_exceptions=True)
    assert calls[:2] == ["ok", "ok"]
    assert isinstance(calls[2], Overloaded)
    assert calls[2].message == "2 requests in flight, capacity 2"
    assert asyncio.get_running_loop().time() == 1.0


async def test_a_place_is_free_again_after_an_answer_an_error_and_a_cancellation():
    endpoint = bulkhead(1)(takes_a_second)
    await endpoint(False)
    with pytest.raises(NotFound):
        await endpoint(True)
    call = asyncio.create_task(endpoint(False))
    await asyncio.sleep(0.5)
    call.cancel()
    await asyncio.wait([call])
    assert await endpoint(False) == "ok"


async def test_each_endpoint_has_places_of_its_own():
    shared = bulkhead(1)
    one, other = shared(takes_a_second), shared(takes_a_second)
    assert await asyncio.gather(one(False), other(False)) == ["ok", "ok"]
