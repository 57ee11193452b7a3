"""One way to put an endpoint for GetUser on each of the three wires, for one suite of tests."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import grpc

from course_lib.endpoint import Endpoint
from course_lib.lab.launch import serve, serve_grpc
from course_lib.shop import shop_pb2 as pb
from course_lib.shop import users_grpc
from course_lib.shop.shop_pb2_grpc import UsersStub
from course_lib.shop.users import GetUser, User
from course_lib.transport.grpc_client import grpc_client
from course_lib.transport.grpc_server import add_service, grpc_method
from course_lib.transport.http_client import close_connections, http_client
from course_lib.transport.http_server import Route, http_app
from course_lib.transport.memory import memory_client, memory_server

Wire = Callable[..., AbstractAsyncContextManager[Endpoint]]


@asynccontextmanager
async def over_http(
    endpoint: Endpoint, client: dict[str, Any], **hooks: Any
) -> AsyncIterator[Endpoint]:
    """The endpoint behind a real HTTP server on loopback."""
    app = http_app("test", [Route("GET", "/users/{user_id}", endpoint, GetUser, User, **hooks)])
    with serve(app) as server:
        yield http_client(server.url, "GET", "/users/{user_id}", User, **client)
        await close_connections()


@asynccontextmanager
async def over_grpc(
    endpoint: Endpoint, client: dict[str, Any], **hooks: Any
) -> AsyncIterator[Endpoint]:
    """The endpoint behind a real gRPC server on loopback."""
    get, put = users_grpc.get_from_pb, users_grpc.user_to_pb
    method = grpc_method(endpoint, get, put, name="/shop.Users/GetUser", **hooks)
    service = pb.DESCRIPTOR.services_by_name["Users"]
    with serve_grpc(lambda server: add_service(server, service, {"GetUser": method})) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = UsersStub(channel)
            yield grpc_client(stub.GetUser, users_grpc.get_to_pb, users_grpc.user_from_pb, **client)


@asynccontextmanager
async def over_memory(
    endpoint: Endpoint, client: dict[str, Any], **hooks: Any
) -> AsyncIterator[Endpoint]:
    """The endpoint at the other end of nothing."""
    yield memory_client(memory_server(endpoint, name="GetUser", **hooks), **client)


WIRES: dict[str, Wire] = {"http": over_http, "grpc": over_grpc, "memory": over_memory}
