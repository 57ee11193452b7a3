"""What only gRPC can do, and what only gRPC can do wrong."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from course_lib import context
from course_lib.errors import CallError, DeadlineExceeded, Unavailable
from course_lib.lab.launch import serve_grpc
from course_lib.shop import shop_pb2 as pb
from course_lib.shop.endpoints import user_endpoints
from course_lib.shop.shop_pb2_grpc import UsersServicer, UsersStub, add_UsersServicer_to_server
from course_lib.shop.users import GetUser, User, with_demo_users
from course_lib.shop.users_grpc import add_users, get_from_pb, grpc_user_client, user_to_pb
from course_lib.transport.grpc_client import grpc_client
from course_lib.transport.grpc_server import add_service, grpc_method
from course_lib.transport.hooks import Outcome
from tests.transport.wires import over_grpc

pytestmark = pytest.mark.real_time


@asynccontextmanager
async def watching(
    endpoint: Any, *, encode: Any = user_to_pb, client: dict[str, Any] | None = None, **hooks: Any
) -> AsyncIterator[Any]:
    """An endpoint that answers with a stream, behind a real server; the client's side of it."""
    method = grpc_method(endpoint, lambda _: None, encode, stream_responses=True, **hooks)
    service = pb.DESCRIPTOR.services_by_name["Users"]
    with serve_grpc(lambda server: add_service(server, service, {"WatchUsers": method})) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = UsersStub(channel)
            request = pb.WatchUsersRequest()
            yield grpc_client(stub.WatchUsers, lambda _: request, lambda user: user, **client or {})


async def test_a_method_fits_the_generated_servicer():
    endpoints = user_endpoints(with_demo_users())

    class Servicer(UsersServicer):
        GetUser = staticmethod(grpc_method(endpoints.get_user, get_from_pb, user_to_pb))

    with serve_grpc(lambda server: add_UsersServicer_to_server(Servicer(), server)) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            assert await grpc_user_client(channel).get_user(1) == User(1, "Ada", 36)


async def test_nobody_there_is_unavailable():
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        with pytest.raises(Unavailable) as caught:
            await grpc_user_client(channel).get_user(1)
    assert not caught.value.remote


async def test_a_caller_who_leaves_cancels_the_call_and_the_finalizer_knows():
    arrived: Future[None] = Future()
    ended: Future[Outcome] = Future()

    async def endpoint(request: Any) -> User:
        arrived.set_result(None)
        await asyncio.get_running_loop().create_future()
        return User(1, "Ada", 36)

    async with over_grpc(endpoint, {}, finalizers=(ended.set_result,)) as call:
        calling = asyncio.create_task(call(GetUser(1)))
        await asyncio.wrap_future(arrived)
        calling.cancel()
        outcome = await asyncio.wrap_future(ended)
    assert (outcome.code, outcome.route) == ("CANCELLED", "/shop.Users/GetUser")
    assert calling.cancelled()


@pytest.mark.parametrize("taken", [0, 1])
async def test_a_reader_who_leaves_ends_the_stream_on_the_server(taken: int):
    begun: Future[None] = Future()
    ended: Future[None] = Future()

    async def endpoint(request: Any) -> AsyncIterator[User]:
        async def items() -> AsyncIterator[User]:
            begun.set_result(None)  # a generator that never began has no `finally` to run
            try:
                while True:
                    yield User(1, "Ada", 36)
                    await asyncio.sleep(0.001)
            finally:
                ended.set_result(None)

        return items()

    async with watching(endpoint) as watch:
        items = await watch(None)
        for _ in range(taken):
            await anext(items)
        await asyncio.wrap_future(begun)
        await items.aclose()
        async with asyncio.timeout(5):
            await asyncio.wrap_future(ended)


async def test_a_caller_who_leaves_before_the_stream_begins_ends_the_call():
    arrived: Future[None] = Future()
    ended: Future[Outcome] = Future()

    async def endpoint(request: Any) -> AsyncIterator[User]:
        arrived.set_result(None)
        await asyncio.get_running_loop().create_future()
        raise AssertionError("nobody waits any more")

    async with watching(endpoint, finalizers=(ended.set_result,)) as watch:
        calling = asyncio.create_task(watch(None))
        await asyncio.wrap_future(arrived)
        calling.cancel()
        async with asyncio.timeout(5):
            assert (await asyncio.wrap_future(ended)).code == "CANCELLED"


async def test_the_stream_of_a_slow_reader_who_leaves_cleans_up_in_its_own_context():
    ended: Future[str | None] = Future()
    writing: Future[None] = Future()

    async def endpoint(request: Any) -> AsyncIterator[User]:
        async def items() -> AsyncIterator[User]:
            try:
                while True:
                    yield User(1, "x" * 500_000, 36)
            finally:
                ended.set_result(context.authorization.get())

        return items()

    def encode(user: User) -> Any:
        if not writing.done():
            writing.set_result(None)
        return user_to_pb(user)

    headers = (lambda headers: headers.update(authorization="Bearer A"),)
    async with watching(endpoint, encode=encode, client={"before": headers}) as watch:
        items = await watch(None)
        await asyncio.wrap_future(writing)
        await items.aclose()
        async with asyncio.timeout(5):
            assert await asyncio.wrap_future(ended) == "Bearer A"


async def test_the_server_ends_a_call_at_its_deadline():
    ended: Future[Outcome] = Future()

    async def endpoint(request: Any) -> User:
        await asyncio.get_running_loop().create_future()
        return User(1, "Ada", 36)

    async with over_grpc(endpoint, {}, finalizers=(ended.set_result,)) as call:
        context.deadline.set(asyncio.get_running_loop().time() + 0.05)
        with pytest.raises(DeadlineExceeded):
            await call(GetUser(1))
        assert (await asyncio.wrap_future(ended)).code == "CANCELLED"


async def test_a_server_that_crashes_in_the_middle_is_unavailable():
    arrived: Future[None] = Future()

    async def endpoint(request: Any) -> User:
        arrived.set_result(None)
        await asyncio.get_running_loop().create_future()
        return User(1, "Ada", 36)

    endpoints = user_endpoints(with_demo_users(), lambda name: lambda inner: endpoint)
    with serve_grpc(lambda server: add_users(server, endpoints)) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            calling = asyncio.create_task(grpc_user_client(channel).get_user(1))
            await asyncio.wrap_future(arrived)
            server.kill()
            with pytest.raises(CallError) as caught:
                await calling
    assert type(caught.value) is Unavailable
