"""Five users as a list, as events and over gRPC: the same five, but not at the same time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from course_lib.lab.launch import stop_all
from course_lib.lab.scenes.streamed import Streamed, arrivals, streamed
from course_lib.shop.users import CreateUser, ListUsers, with_demo_users
from course_lib.transport.http_client import close_connections

pytestmark = pytest.mark.real_time
NAMES = ["list", "events", "gRPC"]


@asynccontextmanager
async def opened() -> AsyncIterator[Streamed]:
    """The shop, closed in the end."""
    yield streamed(with_demo_users(), 0.05)
    await close_connections()
    stop_all()


@pytest.mark.parametrize("name", NAMES)
async def test_the_first_five_users_are_found(name: str):
    async with opened() as shop:
        found = await shop.calls[name](ListUsers())
        users = found if isinstance(found, list) else [user async for user in found]
    assert [user.user_id for user in users] == [1, 2, 3, 4, 5]


async def test_a_list_comes_at_once_when_all_are_found():
    async with opened() as shop:
        at = await arrivals(shop.calls["list"])
    assert len(at) == 5
    assert at[0] == at[-1] >= 5 * 0.05


@pytest.mark.parametrize("name", ["events", "gRPC"])
async def test_a_stream_brings_each_user_when_it_is_found(name: str):
    async with opened() as shop:
        at = await arrivals(shop.calls[name])
    assert at == sorted(at) and len(at) == 5
    assert at[-1] - at[0] >= 0.15  # four more have been looked for meanwhile


async def test_newcomers_are_imported_over_grpc():
    async def newcomers():
        yield CreateUser("Tony", 60)
        yield CreateUser("Frances", 60)

    async with opened() as shop:
        assert await shop.streams.import_users(newcomers()) == 2
