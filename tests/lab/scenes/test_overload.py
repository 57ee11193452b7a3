"""The machine takes its calls one by one, and nobody's leaving stops work behind a wire."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from course_lib.lab.scenes.overload import Machine, over_the_wire


async def now(request: Any) -> float:
    return asyncio.get_running_loop().time()


async def at(seconds: float, call: Awaitable[float]) -> float:
    await asyncio.sleep(seconds)
    return await call


async def test_calls_that_come_together_are_done_one_after_the_other() -> None:
    endpoint = Machine().takes(2)(now)
    assert await asyncio.gather(*(endpoint(n) for n in range(3))) == [2, 4, 6]


async def test_two_layers_share_the_time_of_one_machine() -> None:
    machine = Machine()
    both = machine.takes(1)(machine.takes(2)(now))
    assert await asyncio.gather(both("a"), both("b")) == [4, 6]


async def test_nothing_begins_while_the_machine_stands_still() -> None:
    endpoint = Machine(stands_still=(5, 9)).takes(2)(now)
    instants = (4, 4.5, 20)
    ended = await asyncio.gather(*(at(instant, endpoint(instant)) for instant in instants))
    assert ended == [6, 11, 22]


async def test_work_goes_on_when_its_caller_has_left() -> None:
    done = []

    async def service(request: str) -> str:
        await asyncio.sleep(3)
        done.append(request)
        return request

    call = asyncio.ensure_future(over_the_wire(service)("Ada"))
    await asyncio.sleep(1)
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled() and not done
    await asyncio.sleep(3)
    assert done == ["Ada"]
    assert await over_the_wire(service)("Grace") == "Grace"
