"""What only gRPC can do, and what only gRPC can do wrong."""

import asyncio
from concurrent.futures import Future
from typing import Any

import grpc
import pytest

from course_lib import context
from course_lib.errors import CallError, DeadlineExceeded, Unavailable
from course_lib.lab.launch import serve_grpc
from course_lib.shop.endpoints import user_endpoints
from course_lib.shop.shop_pb2_grpc import UsersServicer, add_UsersServicer_to_server
from course_lib.shop.users import GetUser, User, with_demo_users
from course_lib.shop.users_grpc import add_users, get_from_pb, grpc_user_client, user_to_pb
from course_lib.transport.grpc_server import grpc_method
from course_lib.transport.hooks import Outcome
from tests.transport.wires import over_grpc

pytestmark = pytest.mark.real_time


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
