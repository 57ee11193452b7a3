"""Faults: rates on a seed, one fate a call, healed at run time, exact in virtual time."""

import asyncio
from collections import Counter
from random import Random
from typing import Any

import pytest

from course_lib.errors import Internal, Overloaded, Unavailable
from course_lib.lab.faults import Faults

made: list[int] = []


async def echo(request: Any) -> Any:
    made.append(request)
    return request


async def outcome(endpoint: Any, request: int) -> str:
    try:
        async with asyncio.timeout(10):
            return str(await endpoint(request)) and "ok"
    except Exception as error:
        return type(error).__name__


async def fates(faults: Faults, calls: int = 1000) -> Counter[str]:
    made.clear()
    endpoint = faults(echo)
    return Counter(await asyncio.gather(*(outcome(endpoint, n) for n in range(calls))))


async def test_without_rates_nothing_happens():
    assert await fates(Faults(Random(1))) == {"ok": 1000}


async def test_each_fault_comes_at_its_rate_and_excludes_the_others():
    seen = await fates(Faults(Random(1), error=0.1, hang=0.2, drop=0.3))
    expected = {"Internal": 100, "TimeoutError": 200, "Unavailable": 300, "ok": 400}
    assert seen.keys() == expected.keys()
    assert all(abs(seen[name] - expected[name]) < 45 for name in expected)
    assert len(made) == seen["ok"] + seen["Unavailable"]  # a dropped call was made


async def test_the_same_seed_breaks_the_same_calls():
    first = await fates(Faults(Random(7), error=0.5))
    calls = list(made)
    assert await fates(Faults(Random(7), error=0.5)) == first
    assert made == calls


async def test_a_slow_call_takes_as_much_longer_as_it_is_told():
    loop = asyncio.get_running_loop()
    await Faults(Random(1), slow=1.0, slow_seconds=0.25)(echo)(1)
    assert loop.time() == 0.25


async def test_rates_change_while_it_runs_and_heal():
    faults = Faults(Random(1), failure=Overloaded)
    endpoint = faults(echo)
    assert await endpoint(1) == 1
    faults.error = 1.0
    with pytest.raises(Overloaded):
        await endpoint(1)
    faults.error, faults.drop = 0.0, 1.0
    with pytest.raises(Unavailable):
        await endpoint(1)
    faults.heal()
    assert await endpoint(1) == 1


async def test_the_usual_failure_is_internal():
    with pytest.raises(Internal, match="on purpose"):
        await Faults(Random(1), error=1.0)(echo)(1)
