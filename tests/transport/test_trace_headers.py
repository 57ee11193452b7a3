"""The headers of a trace mean the same on every wire: one table of cases, sent as real bytes."""

import asyncio
from typing import Any

import grpc
import pytest

from course_lib import context
from course_lib.context import TraceContext
from course_lib.lab.launch import serve, serve_grpc
from course_lib.middleware.tracing import tracing
from course_lib.shop import shop_pb2 as pb
from course_lib.shop import users_grpc
from course_lib.shop.shop_pb2_grpc import UsersStub
from course_lib.shop.users import GetUser, User
from course_lib.transport.grpc_server import add_service, grpc_method
from course_lib.transport.http_server import Route, http_app
from course_lib.transport.memory import memory_server
from tests.telemetry.w3c_cases import CASES, GOOD, SPAN, Headers
from tests.transport.wires import WIRES

ADA = User(1, "Ada", 36)


class Arrivals:
    """An endpoint that remembers which trace each call belonged to."""

    def __init__(self) -> None:
        self.seen: list[TraceContext | None] = []

    async def __call__(self, request: Any) -> User:
        self.seen.append(context.trace.get())
        return ADA


async def over_http(endpoint: Arrivals, cases: list[Headers]) -> None:
    app = http_app("test", [Route("GET", "/users/{user_id}", endpoint, GetUser, User)])
    with serve(app) as server:
        host, port = server.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for headers in cases:
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
            writer.write(f"GET /users/1 HTTP/1.1\r\nhost: x\r\n{lines}\r\n".encode())
            await reader.readuntil(b'"message":"ok"}')
        writer.close()
        await writer.wait_closed()


async def over_grpc(endpoint: Arrivals, cases: list[Headers]) -> None:
    method = grpc_method(endpoint, users_grpc.get_from_pb, users_grpc.user_to_pb)
    service = pb.DESCRIPTOR.services_by_name["Users"]
    with serve_grpc(lambda server: add_service(server, service, {"GetUser": method})) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            for headers in cases:
                sent = [(name.lower(), value) for name, value in headers]
                await UsersStub(channel).GetUser(pb.GetUserRequest(user_id=1), metadata=sent)


async def over_memory(endpoint: Arrivals, cases: list[Headers]) -> None:
    """In a mapping, headers of one name stand joined by commas (RFC 9110, 5.3)."""
    server = memory_server(endpoint)
    for headers in cases:
        joined: dict[str, str] = {}
        for name, value in headers:
            before = joined.get(name.lower())
            joined[name.lower()] = value if before is None else f"{before},{value}"
        await asyncio.create_task(server(GetUser(1), joined, {}))


def reaches_grpc(headers: Headers) -> bool:
    """gRPC refuses a tab, and its core keeps only the last of several traceparent headers."""
    names = [name.lower() for name, _ in headers]
    return all("\t" not in value for _, value in headers) and names.count("traceparent") < 2


@pytest.mark.real_time
@pytest.mark.parametrize("wire", [over_http, over_grpc, over_memory])
async def test_every_case_of_the_specification_arrives_alike(wire):
    cases = [case for case in CASES if wire is not over_grpc or reaches_grpc(case[1])]
    endpoint = Arrivals()
    await wire(endpoint, [headers for _, headers, _ in cases])
    assert len(endpoint.seen) == len(cases) >= 80
    arrived = dict(zip((name for name, *_ in cases), endpoint.seen, strict=True))
    assert arrived == {name: expected for name, _, expected in cases}


@pytest.mark.real_time
async def test_of_two_traceparents_the_core_of_grpc_shows_a_server_only_the_last():
    other = GOOD.replace("1234567890123456-01", "b7ad6b7169203331-01")
    endpoint = Arrivals()
    await over_grpc(endpoint, [[("traceparent", other), ("traceparent", GOOD)]])
    assert [trace and trace.span_id for trace in endpoint.seen] == [SPAN]


@pytest.mark.real_time
@pytest.mark.parametrize("wire", WIRES)
async def test_a_call_goes_on_in_a_span_of_its_own_with_the_tracestate_it_got(wire):
    endpoint = Arrivals()
    context.trace.set(TraceContext("ab" * 16, "cd" * 8, True, "rojo=1,congo=t61rcWkgMzE"))
    async with WIRES[wire](tracing()(endpoint), {}) as call:
        for _ in range(3):
            await tracing()(call)(GetUser(1))
    seen = [trace for trace in endpoint.seen if trace]
    assert {trace.trace_id for trace in seen} == {"ab" * 16}
    assert len({trace.span_id for trace in seen} | {"cd" * 8}) == 4
    assert {trace.tracestate for trace in seen} == {"rojo=1,congo=t61rcWkgMzE"}
