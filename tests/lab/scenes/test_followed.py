"""A call that is followed: its steps lie in their order, one within the other."""

import asyncio

import pytest

from course_lib.endpoint import chain
from course_lib.lab.launch import stop_all
from course_lib.lab.plots import Step
from course_lib.lab.scenes.followed import Followed
from course_lib.lab.scenes.ways import three_ways
from course_lib.shop.users import User, with_demo_users
from course_lib.transport.http_client import close_connections
from course_lib.transport.memory import memory_client, memory_server


class Slow:
    """A way without a wire, for virtual time: each of its parts takes a time of its own."""

    def __init__(self, rooms: Followed) -> None:
        def lingering(inner):
            async def endpoint(request):
                await asyncio.sleep(0.002)
                return await inner(request)

            return endpoint

        async def find(user_id):
            await asyncio.sleep(0.005)
            return User(user_id, "Ada", 36)

        onion = chain(rooms.room("middleware"), lingering, rooms.room("service"))
        hooks = {"before": (rooms.hook("before"),), "after": (rooms.hook("after"),)}
        self.client = self
        self.get_user = memory_client(memory_server(onion(find), **hooks), latency=0.02)


async def test_the_steps_lie_one_within_the_other_and_add_up():
    rooms = Followed()
    steps = await rooms.follow(Slow(rooms))
    rounded = [Step(name, round(start), round(end), depth) for name, start, end, depth, _ in steps]
    assert rounded == [
        Step("get_user", 0, 27, 0),
        Step("on the way", 0, 10, 1),
        Step("decode", 10, 10, 1),
        Step("middleware", 10, 17, 1),
        Step("service", 12, 17, 2),
        Step("on the way", 17, 27, 1),
    ]


async def test_the_shares_of_a_call_leave_nothing_out():
    rooms = Followed()
    shares = await rooms.shares({"slow": Slow(rooms)}, calls=3)
    assert {part: round(ms) for part, ms in shares["slow"].items()} == {
        "transport": 20,
        "middleware": 2,
        "service": 5,
    }


@pytest.mark.real_time
async def test_calls_over_real_wires_are_followed_too():
    rooms = Followed()
    ways = three_ways(
        with_demo_users(),
        lambda operation: chain(rooms.room("middleware"), rooms.room("service")),
        before=(rooms.hook("before"),),
        after=(rooms.hook("after"),),
    )
    for way in ways.values():
        whole, there, decode, middleware, service, back = await rooms.follow(way)
        instants = [whole.start, there.end, decode.end, service.start, service.end, back.start]
        assert instants == sorted(instants)
        assert whole.start == there.start < middleware.start
        assert middleware.end < back.end == whole.end
    await close_connections()
    stop_all()
