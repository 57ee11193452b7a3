"""gRPC health, checked with grpcio-health-checking's own client stub."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from course_lib.errors import Unavailable
from course_lib.lab.launch import serve_grpc
from course_lib.telemetry.health import Health
from course_lib.telemetry.health_grpc import GrpcHealth
from course_lib.telemetry.shutdown import shut_down

pytestmark = pytest.mark.real_time

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


@asynccontextmanager
async def stub(health: Health) -> AsyncIterator[Any]:
    adder = GrpcHealth(health, "shop.Users", every_seconds=0.02)
    with serve_grpc(adder.add) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            yield health_pb2_grpc.HealthStub(channel)


def asked(service: str) -> Any:
    return health_pb2.HealthCheckRequest(service=service)


class Database:
    away = False

    async def ping(self) -> None:
        if self.away:
            raise Unavailable("away")


async def test_check_flips_with_readiness_and_back():
    database, health = Database(), Health()
    health.readiness("database", database.ping)
    async with stub(health) as ask:
        statuses = []
        for database.away in (False, True, False):
            statuses += [(await ask.Check(asked(name))).status for name in ("", "shop.Users")]
    assert statuses == [SERVING] * 2 + [NOT_SERVING] * 2 + [SERVING] * 2


async def test_a_drain_is_not_serving_and_still_alive():
    health = Health()
    async with stub(health) as ask:
        health.drain()
        kinds = ("", "shop.Users", "readiness", "liveness", "startup")
        statuses = [(await ask.Check(asked(name))).status for name in kinds]
    assert statuses == [NOT_SERVING] * 3 + [SERVING] * 2


async def test_an_unknown_service_is_not_found():
    async with stub(Health()) as ask:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask.Check(asked("shop.Nobody"))
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


async def test_watch_tells_every_change():
    database, health = Database(), Health()
    health.readiness("database", database.ping)
    async with stub(health) as ask:
        watching = ask.Watch(asked("shop.Users"))
        statuses = [(await watching.read()).status]
        for database.away in (True, False):
            statuses.append((await watching.read()).status)
        health.drain()
        statuses.append((await watching.read()).status)
        watching.cancel()
    assert statuses == [SERVING, NOT_SERVING, SERVING, NOT_SERVING]


async def test_two_watchers_hear_the_same_and_an_unknown_service_may_be_watched():
    health = Health()
    async with stub(health) as ask:
        watching = [ask.Watch(asked("")), ask.Watch(asked("")), ask.Watch(asked("later"))]
        first = [(await each.read()).status for each in watching]
        health.drain()
        then = [(await each.read()).status for each in watching[:2]]
        for each in watching:
            each.cancel()
    assert first == [SERVING, SERVING, SERVICE_UNKNOWN]
    assert then == [NOT_SERVING, NOT_SERVING]


async def test_after_enter_graceful_shutdown_no_service_serves_whether_asked_before_or_not():
    adder = GrpcHealth(Health(), "shop.Users")
    await adder.enter_graceful_shutdown()
    with serve_grpc(adder.add) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            ask = health_pb2_grpc.HealthStub(channel)
            statuses = [(await ask.Check(asked(each))).status for each in ("", "shop.Users")]
    assert statuses == [NOT_SERVING] * 2


async def test_a_hanging_check_delays_the_answer_by_its_limit_and_no_more():
    health = Health(check_seconds=0.05)
    health.readiness("database", asyncio.Event().wait)
    async with stub(health) as ask:
        answer = await asyncio.wait_for(ask.Check(asked("")), 2)
    assert answer.status == NOT_SERVING


async def test_a_grpc_server_that_leaves_in_order_says_so_first_and_finishes_its_calls():
    arrived, health = asyncio.Event(), Health()
    loop = asyncio.get_running_loop()

    async def slow(request: bytes, call: Any) -> bytes:
        loop.call_soon_threadsafe(arrived.set)
        await asyncio.sleep(0.4)
        return b"done"

    def add(server: Any) -> None:
        methods = {"Slow": grpc.unary_unary_rpc_method_handler(slow)}
        handlers = grpc.method_handlers_generic_handler("shop.Slow", methods)
        server.add_generic_rpc_handlers((handlers,))

    adders = [add, GrpcHealth(health, every_seconds=0.02).add]
    with serve_grpc(adders) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            watching = health_pb2_grpc.HealthStub(channel).Watch(asked(""))
            assert (await watching.read()).status == SERVING
            call = asyncio.ensure_future(channel.unary_unary("/shop.Slow/Slow")(b""))
            await arrived.wait()
            stop = asyncio.to_thread
            leaving = asyncio.create_task(
                shut_down(health, lambda: stop(server.stop), notice_seconds=0.2)
            )
            assert (await watching.read()).status == NOT_SERVING
            assert not leaving.done()
            assert await call == b"done"
            watching.cancel()
            await leaving
