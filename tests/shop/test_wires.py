"""The shop over HTTP, its users over gRPC too: a client stub behaves as the service behind it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from course_lib.errors import CallError, InvalidRequest, NotFound
from course_lib.lab.launch import serve, serve_grpc
from course_lib.shop.catalogue import CatalogueService, with_demo_products
from course_lib.shop.catalogue_endpoints import catalogue_endpoints
from course_lib.shop.catalogue_http import catalogue_routes, http_catalogue_client
from course_lib.shop.endpoints import user_endpoints
from course_lib.shop.order_endpoints import order_endpoints
from course_lib.shop.orders import Item, Order, Orders, OrderService
from course_lib.shop.orders_http import http_order_client, order_routes
from course_lib.shop.storage import MemoryTable
from course_lib.shop.user_streams import UserStreamService, WatchedUsers, WatchUsers, user_streams
from course_lib.shop.users import CreateUser, GetUser, User, UserService, with_demo_users
from course_lib.shop.users_grpc import add_users, grpc_user_client, grpc_user_stream_client
from course_lib.shop.users_http import http_user_client, user_routes, user_stream_routes
from course_lib.transport.http_client import close_connections, http_client
from course_lib.transport.http_server import http_app

pytestmark = pytest.mark.real_time


@dataclass
class Shop:
    users: UserService
    catalogue: CatalogueService
    orders: OrderService


def services() -> tuple[WatchedUsers, Shop]:
    users, catalogue = WatchedUsers(with_demo_users()), with_demo_products()
    return users, Shop(users, catalogue, Orders(MemoryTable(Order), users, catalogue))


@asynccontextmanager
async def in_process() -> AsyncIterator[Shop]:
    yield services()[1]


@asynccontextmanager
async def over_http() -> AsyncIterator[Shop]:
    _, shop = services()
    routes = [
        *user_routes(user_endpoints(shop.users)),
        *catalogue_routes(catalogue_endpoints(shop.catalogue)),
        *order_routes(order_endpoints(shop.orders)),
    ]
    with serve(http_app("shop", routes)) as server:
        yield Shop(
            http_user_client(server.url),
            http_catalogue_client(server.url),
            http_order_client(server.url),
        )
        await close_connections()


@asynccontextmanager
async def users_over_grpc() -> AsyncIterator[Shop]:
    """The order service cannot tell that its users are elsewhere."""
    _, shop = services()

    def add(server: grpc.aio.Server) -> None:
        add_users(server, user_endpoints(shop.users))

    with serve_grpc(add) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            users = grpc_user_client(channel)
            orders = Orders(MemoryTable(Order), users, shop.catalogue)
            yield Shop(users, shop.catalogue, orders)


@pytest.fixture(params=[in_process, over_http, users_over_grpc])
def open_shop(request: pytest.FixtureRequest) -> Callable[[], AbstractAsyncContextManager[Shop]]:
    return request.param


async def conversation(shop: Shop) -> list[Any]:
    """Everything the shop can do, and what it answers."""
    calls = [
        lambda: shop.users.get_user(1),
        lambda: shop.users.get_user(99),
        lambda: shop.users.create_user("Zoë 李", 0),
        lambda: shop.users.create_user("", 36),
        lambda: shop.users.update_user(6, "Zoë", 1),
        lambda: shop.users.update_user(2, "Grace", 151),
        lambda: shop.users.list_users(),
        lambda: shop.users.list_users(limit=2, after=4),
        lambda: shop.users.list_users(limit=0),
        lambda: shop.catalogue.add_product("a?b&c=d %41#", "Odd", 5, 5),
        lambda: shop.catalogue.get_product("a?b&c=d %41#"),
        lambda: shop.catalogue.get_product("a/b"),
        lambda: shop.catalogue.get_product(".."),
        lambda: shop.catalogue.get_product(""),
        lambda: shop.catalogue.list_products(after="book"),
        lambda: shop.catalogue.reserve("lamp", 21),
        lambda: shop.catalogue.reserve("lamp", 2),
        lambda: shop.catalogue.release("lamp", 1),
        lambda: shop.orders.place_order(1, (Item("pen", 1), Item("book", 2))),
        lambda: shop.orders.place_order(1, (Item("pen", 1),)),
        lambda: shop.orders.place_order(1, ()),
        lambda: shop.orders.get_order(1),
        lambda: shop.orders.list_orders(),
        lambda: shop.orders.cancel_order(1),
        lambda: shop.orders.cancel_order(1),
        lambda: shop.orders.get_order(2),
    ]
    said: list[Any] = []
    for call in calls:
        try:
            said.append(await call())
        except CallError as error:
            said.append((type(error), error.message))
    return said


async def test_the_shop_says_the_same_over_every_wire(
    open_shop: Callable[[], AbstractAsyncContextManager[Shop]],
):
    async with in_process() as shop:
        expected = await conversation(shop)
    async with open_shop() as shop:
        assert await conversation(shop) == expected


async def imported() -> AsyncIterator[CreateUser]:
    for age in range(3):
        yield CreateUser("Child", age)


async def test_grpc_streams_in_both_directions():
    users, _ = services()

    def add(server: grpc.aio.Server) -> None:
        add_users(server, user_endpoints(users), user_streams(users))

    with serve_grpc(add) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            client: UserStreamService = grpc_user_stream_client(channel)
            changes = await client.watch_users()
            assert await client.import_users(imported()) == 3
            assert [(await anext(changes)).age for _ in range(3)] == [0, 1, 2]

            async def wanted() -> AsyncIterator[GetUser]:
                for number in (1, 8, 99):
                    yield GetUser(number)

            found = await client.find_users(wanted())
            assert [await anext(found), (await anext(found)).name] == [User(1, "Ada", 36), "Child"]
            with pytest.raises(NotFound, match="no user 99") as caught:
                await anext(found)
            assert caught.value.remote
            await changes.aclose()


@pytest.mark.parametrize("wish", [CreateUser("Ada", 2**31), CreateUser("\ud800", 3)])
async def test_a_value_that_protobuf_cannot_hold_is_an_invalid_request(wish: CreateUser):
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        with pytest.raises(InvalidRequest, match="message: cannot be encoded"):
            await grpc_user_client(channel).create_user(wish.name, wish.age)


async def test_what_breaks_the_caller_s_own_stream_is_what_the_caller_gets():
    class Torn(Exception):
        pass

    async def torn(wish: Any) -> AsyncIterator[Any]:
        yield wish
        raise Torn

    users, _ = services()
    with serve_grpc(lambda s: add_users(s, user_endpoints(users), user_streams(users))) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            client: UserStreamService = grpc_user_stream_client(channel)
            with pytest.raises(Torn):
                await client.import_users(torn(CreateUser("Child", 1)))
            found = await client.find_users(torn(GetUser(1)))
            with pytest.raises(Torn):
                while True:
                    await anext(found)


async def test_changes_arrive_as_server_sent_events():
    users, _ = services()
    routes = user_stream_routes(user_streams(users)) + user_routes(user_endpoints(users))
    with serve(http_app("shop", routes)) as server:
        watch = http_client(server.url, "GET", "/users/changes", User, stream=True)
        client = http_user_client(server.url)
        changes = await watch(WatchUsers())
        await client.create_user("Zoë", 3)
        await client.update_user(1, "Ada L.", 36)
        assert [await anext(changes), await anext(changes)] == [
            User(6, "Zoë", 3),
            User(1, "Ada L.", 36),
        ]
        await changes.aclose()
        await close_connections()
