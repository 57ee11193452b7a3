"""Three ways to one service: the same answers, and each of them can be killed and slowed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from course_lib.errors import CallError, NotFound, Unavailable
from course_lib.lab.launch import stop_all
from course_lib.lab.three_ways import Way, three_ways
from course_lib.shop.users import User, UserService, with_demo_users
from course_lib.transport.http_client import close_connections

pytestmark = pytest.mark.real_time

NAMES = ["HTTP", "gRPC", "memory"]


@asynccontextmanager
async def to(service: UserService, *options: Any, **hooks: Any) -> AsyncIterator[dict[str, Way]]:
    """The three ways, taken down in the end."""
    yield three_ways(service, *options, **hooks)
    await close_connections()
    stop_all()


async def until_answered(way: Way) -> User:
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
        assert [way.served for way in ways.values()] == [3, 2, 2]
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
        async with asyncio.timeout(1):
            while len(seen) < 3:
                await asyncio.sleep(0.001)
        assert sorted(seen) == ["200", "OK", "ok"]
        assert arrived == ["test"] * 3
        assert operations.count("get_user") == 3


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
        assert (way.state, way.served) == ("up", 2)


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
        assert (way.state, way.served) == ("up", 2)
