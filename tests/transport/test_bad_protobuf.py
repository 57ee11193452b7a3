"""What nonsense gets over gRPC: INVALID_ARGUMENT and a reason, and a service unharmed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from course_lib.lab.launch import serve_grpc
from course_lib.shop import shop_pb2 as pb
from course_lib.shop.endpoints import user_endpoints
from course_lib.shop.user_streams import WatchedUsers, user_streams
from course_lib.shop.users import with_demo_users
from course_lib.shop.users_grpc import add_users
from course_lib.transport.hooks import Outcome

pytestmark = pytest.mark.real_time

BROKEN = [b"\xff", b"\x08", b"\x12\x7fshort", b"not protobuf", b"\x0a\x02\xff\xfe"]


@asynccontextmanager
async def users_channel(**hooks: Any) -> AsyncIterator[grpc.aio.Channel]:
    users = WatchedUsers(with_demo_users())

    def add(server: grpc.aio.Server) -> None:
        add_users(server, user_endpoints(users), user_streams(users), **hooks)

    with serve_grpc(add) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            yield channel


async def refused(call: Any) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    trailing = dict(caught.value.trailing_metadata() or ())
    assert trailing.get("x-error") in ("InvalidRequest", None)
    return caught.value.code().name, caught.value.details() or ""


async def test_broken_protobuf_is_an_invalid_request_and_reaches_the_finalizer():
    seen: list[Outcome] = []
    async with users_channel(finalizers=(seen.append,)) as channel:
        for body in BROKEN:
            code, details = await refused(channel.unary_unary("/shop.Users/CreateUser")(body))
            assert code == "INVALID_ARGUMENT"
            assert "must be a shop.CreateUserRequest in protobuf" in details or "name:" in details
        good = pb.GetUserRequest(user_id=1).SerializeToString()
        answer = await channel.unary_unary("/shop.Users/GetUser")(good)
    assert pb.User.FromString(answer).name == "Ada"
    assert [outcome.code for outcome in seen] == ["INVALID_ARGUMENT"] * len(BROKEN) + ["OK"]


async def test_a_broken_message_within_a_stream_is_an_invalid_request():
    async def messages() -> AsyncIterator[bytes]:
        yield pb.CreateUserRequest(name="Zoe", age=3).SerializeToString()
        yield b"\xff"

    async with users_channel() as channel:
        call = channel.stream_unary("/shop.Users/ImportUsers")(messages())
        assert (await refused(call))[0] == "INVALID_ARGUMENT"


async def test_an_unknown_method_is_unimplemented():
    async with users_channel() as channel:
        for name in ("/shop.Users/DropUsers", "/shop.Nothing/GetUser", "/"):
            assert (await refused(channel.unary_unary(name)(b"")))[0] == "UNIMPLEMENTED"


async def test_a_message_above_grpc_s_limit_is_refused():
    async with users_channel() as channel:
        body = pb.CreateUserRequest(name="x" * 5_000_000).SerializeToString()
        code, _ = await refused(channel.unary_unary("/shop.Users/CreateUser")(body))
        assert code == "RESOURCE_EXHAUSTED"


async def test_a_field_that_makes_no_sense_is_named():
    async with users_channel() as channel:
        body = pb.CreateUserRequest(name="Ada", age=-5).SerializeToString()
        code, details = await refused(channel.unary_unary("/shop.Users/CreateUser")(body))
    assert (code, details) == ("INVALID_ARGUMENT", "age: must be between 0 and 150, got -5")
