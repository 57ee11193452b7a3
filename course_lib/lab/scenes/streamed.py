"""Five users that take their time to be found: as a list, as events over HTTP, over gRPC.

`streamed` serves them in all three ways, `arrivals` notes when each user comes.
"""

import asyncio
from collections.abc import AsyncIterator
from random import Random
from typing import Any, NamedTuple

import grpc

from course_lib.endpoint import Endpoint
from course_lib.lab.faults import Faults
from course_lib.lab.launch import Server, serve, serve_grpc
from course_lib.shop.endpoints import UserClient, user_endpoints
from course_lib.shop.user_streams import UserStreamClient, WatchedUsers, user_streams
from course_lib.shop.users import GetUser, ListUsers, User, UserService
from course_lib.shop.users_grpc import add_users, grpc_user_stream_client
from course_lib.shop.users_http import user_routes
from course_lib.transport.http_client import http_client
from course_lib.transport.http_server import Route, http_app


class Streamed(NamedTuple):
    """The two servers, the streams over gRPC, and the three ways to ask for the five users."""

    http: Server
    rpc: Server
    streams: UserStreamClient
    calls: dict[str, Endpoint]


def streamed(users: UserService, seconds: float) -> Streamed:
    """Serve `users`, each of whom takes `seconds` to be found; the first five are asked for.

    Call it on the loop that will make the calls; a second one replaces the servers of the first.
    """
    late = Faults(Random(1), slow=1, slow_seconds=seconds)
    slow = user_endpoints(users, lambda operation: late)
    service = WatchedUsers(UserClient(slow))

    async def as_found(_: ListUsers) -> AsyncIterator[User]:
        return await service.find_users(_five())

    async def as_list(_: ListUsers) -> list[User]:
        return [user async for user in await service.find_users(_five())]

    def add(server: grpc.aio.Server) -> None:
        add_users(server, slow, user_streams(service))

    routes = [
        Route("GET", "/list", as_list, ListUsers, list[User]),
        Route("GET", "/events", as_found, ListUsers, User, stream=True),
    ]
    http = serve(http_app("users", [*routes, *user_routes(slow)]), "streamed-http")
    rpc = serve_grpc(add, "streamed-grpc")
    streams = grpc_user_stream_client(grpc.aio.insecure_channel(rpc.address))
    calls: dict[str, Endpoint] = {
        "list": http_client(http.url, "GET", "/list", list[User]),
        "events": http_client(http.url, "GET", "/events", User, stream=True),
        "gRPC": lambda _: streams.find_users(_five()),
    }
    return Streamed(http, rpc, streams, calls)


async def arrivals(call: Endpoint) -> list[float]:
    """Seconds from the call to each of the users; those of a list all come at once."""
    clock = asyncio.get_running_loop().time
    began = clock()
    users: Any = await call(ListUsers())
    if isinstance(users, list):
        return [clock() - began] * len(users)
    return [clock() - began async for _ in users]


async def _five() -> AsyncIterator[GetUser]:
    for number in range(1, 6):
        yield GetUser(number)
