"""Ways to one service: the same answers, and each of them can be killed and slowed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from course_lib.errors import CallError, NotFound, Unavailable
from course_lib.lab.launch import running, stop_all
from course_lib.lab.scenes.ways import three_ways, two_wires
from course_lib.shop.endpoints import user_endpoints
from course_lib.shop.users import User, UserService, with_demo_users
from course_lib.transport.hooks import bearer
from course_lib.transport.http_client import close_connections

pytestmark = pytest.mark.real_time

NAMES = ["HTTP", "gRPC", "memory"]


@asynccontextmanager
async def to(service: UserService, *options: Any, **hooks: Any) -> AsyncIterator[dict[str, Any]]:
    """The three ways, taken down in the end."""
    yield three_ways(service, *options, **hooks)
    await close_connections()
    stop_all()


async def until(holds: Callable[[], bool]) -> None:
    """A server counts a call when its answer has left, which may be after it has arrived."""
    async with asyncio.timeout(2):
        while not holds():
            await asyncio.sleep(0.001)


async def until_answered(way: Any) -> User:
    """A channel waits before it dials again."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await way.client.get_user(1)
            except CallError:
                await asyncio.sleep(0.02)


async def test_the_three_share_one_service():
    async with to(with_demo_users()) as ways:
        assert list(ways) == NAMES
        made = await ways["HTTP"].client.create_user("Barbara", 52)
        for way in ways.values():
            assert await way.client.get_user(made.user_id) == made
            with pytest.raises(NotFound, match="no user 77"):
                await way.client.get_user(77)
        await until(lambda: [way.served for way in ways.values()] == [3, 2, 2])
        assert repr(list(ways.values())) == "[<HTTP: up>, <gRPC: up>, <memory: up>]"


async def test_hooks_and_middleware_are_on_all_three():
    seen, operations = [], []

    def wrap(operation):
        operations.append(operation)
        return lambda inner: inner

    arrived = []
    async with to(
        with_demo_users(),
        wrap,
        client={"before": (lambda headers: headers.update({"x-from": "test"}),)},
        before=(lambda headers: arrived.append(headers["x-from"]),),
        finalizers=(lambda outcome: seen.append(outcome.code),),
    ) as ways:
        for way in ways.values():
            await way.client.get_user(1)
        await until(lambda: len(seen) == 3)
        assert sorted(seen) == ["200", "OK", "ok"]
        assert arrived == ["test"] * 3
        assert operations == ["get_user", "create_user", "list_users", "update_user"]


@pytest.mark.parametrize("name", NAMES)
async def test_a_killed_way_refuses_and_comes_back_when_revived(name: str):
    async with to(with_demo_users()) as ways:
        way = ways[name]
        await way.client.get_user(1)
        way.kill()
        assert way.state == "down"
        with pytest.raises(Unavailable):
            await way.client.get_user(1)
        way.revive()
        assert (await until_answered(way)).name == "Ada"
        await until(lambda: (way.state, way.served) == ("up", 2))


@pytest.mark.parametrize("name", NAMES)
async def test_a_slow_way_takes_longer_until_it_recovers(name: str):
    async with to(with_demo_users()) as ways:
        way = ways[name]
        await way.client.get_user(1)
        way.slow_down(30)
        assert way.state == "slow"
        calling = asyncio.create_task(way.client.get_user(1))
        done, _ = await asyncio.wait([calling], timeout=0.1)
        assert not done
        calling.cancel()
        await asyncio.wait([calling])
        way.recover()
        assert (await way.client.get_user(1)).name == "Ada"
        await until(lambda: (way.state, way.served) == ("up", 2))


async def test_both_wires_reach_the_service_count_bytes_and_break():
    hooks = (bearer("x" * 500),)
    async with two_wires(user_endpoints(with_demo_users()), before=hooks) as wires:
        assert list(wires) == ["HTTP", "gRPC"]
        for wire in wires.values():
            client, line = wire.client, wire.line
            assert (await client.get_user(1)).name == "Ada"
            assert line.bytes > line.sent_bytes > 500
            line.cut()
            with pytest.raises(Unavailable):
                await client.get_user(1)
    assert not running()


async def test_channel_options_reach_the_channel():
    options = [("grpc.max_receive_message_length", 5)]
    async with two_wires(user_endpoints(with_demo_users()), options) as wires:
        with pytest.raises(Exception, match="larger than max"):
            await wires["gRPC"].client.get_user(1)
