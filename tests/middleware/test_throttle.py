"""A client that is refused too often asks less often, and asks again when it is accepted."""

import asyncio
import random
from typing import Any

import pytest

from course_lib.errors import NotFound, Overloaded, Unavailable
from course_lib.middleware.throttle import Throttle, throttle


class Server:
    """Accepts so many a second and refuses the rest."""

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self.asked = 0
        self.left = 0.0
        self.second = -1

    async def __call__(self, _request: Any) -> str:
        self.asked += 1
        if self.second != (second := int(asyncio.get_running_loop().time())):
            self.second, self.left = second, self.per_second
        if self.left < 1:
            raise Overloaded("too much to do")
        self.left -= 1
        return "ok"


async def offer(call: Any, per_second: int, seconds: int) -> int:
    """Send at an even rate; returns how many succeeded."""
    good = 0
    for _ in range(per_second * seconds):
        try:
            await call("")
            good += 1
        except Overloaded:
            pass
        await asyncio.sleep(1 / per_second)
    return good


async def test_nothing_is_dropped_while_half_is_accepted() -> None:
    server, state = Server(60), Throttle(k=2.0)
    await offer(throttle(state, random.Random(1))(server), 100, 60)
    assert server.asked == 6000 and state.drop_probability == 0


async def test_a_server_that_accepts_a_tenth_is_asked_twice_as_much_as_it_accepts() -> None:
    server = Server(10)
    call = throttle(Throttle(k=2.0), random.Random(1))(server)
    await offer(call, 100, 120)
    server.asked = 0
    good = await offer(call, 100, 120)
    assert server.asked == pytest.approx(2 * good, rel=0.1)
    assert good == pytest.approx(1200, rel=0.1)


async def test_it_recovers_with_the_server() -> None:
    server, state = Server(0), Throttle(window_seconds=10)
    call = throttle(state, random.Random(1))(server)
    await offer(call, 100, 20)
    assert state.drop_probability == 0.98
    server.per_second = 1000
    await offer(call, 100, 80)
    assert state.drop_probability == 0


async def test_what_is_older_than_the_window_is_forgotten() -> None:
    state = Throttle(window_seconds=60)
    state.count(0.0, 10, 3)
    state.count(59.9, 1, 1)
    assert (state.requests, state.accepts) == (11, 4)
    state.count(60.0, 0, 0)
    assert (state.requests, state.accepts) == (1, 1)


async def test_a_drop_says_so_and_does_not_reach_the_server() -> None:
    state, server = Throttle(most=1.0), Server(1)
    state.count(0.0, 1_000_000_000, 0)
    with pytest.raises(Overloaded, match="dropped before sending: 100% of requests are"):
        await throttle(state, random.Random(1))(server)("")
    assert server.asked == 0


@pytest.mark.parametrize(
    ("error", "accepts"), [(NotFound(), 1), (TypeError(), 1), (Unavailable(), 0)]
)
async def test_an_answer_was_accepted_and_a_refused_connection_was_not(
    error: Exception, accepts: int
) -> None:
    async def fails(_request: Any) -> None:
        raise error

    state = Throttle()
    with pytest.raises(type(error)):
        await throttle(state, random.Random(1))(fails)("")
    assert (state.requests, state.accepts) == (1, accepts)
