"""Instrumenting: every call counted and timed once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from course_lib.errors import NotFound
from course_lib.middleware.instrumenting import instrumenting


async def answers(seconds: float) -> str:
    await asyncio.sleep(seconds)
    if seconds > 2:
        raise NotFound("nothing there")
    if seconds > 1:
        raise ZeroDivisionError
    return "ok"


async def test_each_way_to_end_is_observed_once_with_its_seconds():
    observed: list[tuple[str, str, float]] = []
    endpoint = instrumenting(lambda *call: observed.append(call), operation="wait")(answers)
    await endpoint(0.5)
    with pytest.raises(NotFound):
        await endpoint(3)
    with pytest.raises(ZeroDivisionError):
        await endpoint(1.5)
    call = asyncio.create_task(endpoint(1))
    await asyncio.sleep(0.25)
    call.cancel()
    await asyncio.wait([call])
    assert observed == [
        ("wait", "ok", 0.5),
        ("wait", "NotFound", 3.0),
        ("wait", "Internal", 1.5),
        ("wait", "Cancelled", 0.25),
    ]


async def test_a_stream_is_observed_when_it_is_over_and_not_before():
    async def counts_to(number: int) -> AsyncIterator[int]:
        async def steps() -> AsyncIterator[int]:
            for step in range(number):
                await asyncio.sleep(1)
                yield step
            if number == 3:
                raise NotFound("no more")

        return steps()

    observed: list[tuple[str, str, float]] = []
    endpoint = instrumenting(lambda *call: observed.append(call), operation="count")(counts_to)
    stream = await endpoint(2)
    assert not observed
    assert [step async for step in stream] == [0, 1]
    with pytest.raises(NotFound):
        _ = [step async for step in await endpoint(3)]
    left = await endpoint(5)
    await anext(left)
    await left.aclose()
    assert observed == [
        ("count", "ok", 2.0),
        ("count", "NotFound", 3.0),
        ("count", "Cancelled", 1.0),
    ]
