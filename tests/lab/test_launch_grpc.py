"""gRPC in the lab: health, reflection, stop, kill, pause, and a client on another loop."""

import asyncio
import statistics
import threading
import time
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from course_lib.lab.launch import on_lab, run_on_lab, serve_grpc

pytestmark = pytest.mark.real_time

WATCH_HEALTH = "/grpc.health.v1.Health/Watch"


class Held:
    """A call that has arrived and waits."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.task: Any = None
        self._go: asyncio.Event | None = None
        self._loop: Any = None

    async def __call__(self, request: bytes, call: Any) -> bytes:
        self._loop, self._go = asyncio.get_running_loop(), asyncio.Event()
        self.task = asyncio.current_task()
        self.arrived.set()
        await self._go.wait()
        return request

    def go(self) -> None:
        assert self._go is not None
        self._loop.call_soon_threadsafe(self._go.set)

    async def has_arrived(self) -> None:
        assert await asyncio.to_thread(self.arrived.wait, 5)


def adder(held: Held | None = None) -> Any:
    async def echo(request: bytes, call: Any) -> bytes:
        return request

    async def three(request: bytes, call: Any) -> Any:
        for _ in range(3):
            yield request

    async def slowly(request: bytes, call: Any) -> Any:
        for _ in range(10):
            yield request
            await asyncio.sleep(0.03)  # its work

    async def slowly_written(request: bytes, call: Any) -> None:
        async for item in slowly(request, call):
            await call.write(item)

    async def written(request: bytes, call: Any) -> None:
        await call.write(request)

    async def joined(requests: Any, call: Any) -> bytes:
        return b"".join([request async for request in requests])

    async def silent(request: bytes, call: Any) -> Any:
        await asyncio.Event().wait()
        yield request

    async def silently_written(request: bytes, call: Any) -> None:
        await asyncio.Event().wait()

    handlers = {
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
        "Held": grpc.unary_unary_rpc_method_handler(held or echo),
        "Three": grpc.unary_stream_rpc_method_handler(three),
        "Slowly": grpc.unary_stream_rpc_method_handler(slowly),
        "SlowlyWritten": grpc.unary_stream_rpc_method_handler(slowly_written),
        "Written": grpc.unary_stream_rpc_method_handler(written),
        "Silent": grpc.unary_stream_rpc_method_handler(silent),
        "SilentlyWritten": grpc.unary_stream_rpc_method_handler(silently_written),
        "Joined": grpc.stream_unary_rpc_method_handler(joined),
    }
    generic = grpc.method_handlers_generic_handler("lab.Test", handlers)
    return lambda server: server.add_generic_rpc_handlers((generic,))


async def test_it_answers_a_client_on_another_loop_without_a_word(
    capfd: pytest.CaptureFixture[str],
):
    with serve_grpc(adder()) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            echo = channel.unary_unary("/lab.Test/Echo")
            answers = await asyncio.gather(*(echo(b"%d" % n) for n in range(200)))
            assert answers == [b"%d" % n for n in range(200)]
            assert [x async for x in channel.unary_stream("/lab.Test/Three")(b"x")] == [b"x"] * 3
            assert [x async for x in channel.unary_stream("/lab.Test/Written")(b"y")] == [b"y"]
            joined = channel.stream_unary("/lab.Test/Joined")
            assert await joined(iter([b"a", b"b"])) == b"ab"
            assert server.served == 203
    assert capfd.readouterr() == ("", "")


async def test_health_and_reflection_know_the_services():
    with serve_grpc([adder()]) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            for name in ("", "lab.Test"):
                request = health_pb2.HealthCheckRequest(service=name)
                answer = await health_pb2_grpc.HealthStub(channel).Check(request)
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            ask = reflection_pb2.ServerReflectionRequest(list_services="")
            async for answer in stub.ServerReflectionInfo(iter([ask])):
                names = {service.name for service in answer.list_services_response.service}
            assert {"lab.Test", "grpc.reflection.v1alpha.ServerReflection"} <= names


async def test_a_stop_lets_calls_in_flight_finish():
    held = Held()
    server = serve_grpc(adder(held))
    async with grpc.aio.insecure_channel(server.address) as channel:
        call = channel.unary_unary("/lab.Test/Held")(b"1")
        await held.has_arrived()
        stop = asyncio.create_task(asyncio.to_thread(server.stop))
        held.go()
        assert await call == b"1"
        await stop
    assert server.state == "stopped"


@pytest.mark.parametrize("method", ["/lab.Test/Slowly", "/lab.Test/SlowlyWritten"])
async def test_a_stop_lets_a_stream_that_sends_come_to_its_end(method: str):
    server = serve_grpc(adder())
    async with grpc.aio.insecure_channel(server.address) as channel:
        call = channel.unary_stream(method)(b"x")
        items = aiter(call)
        assert await anext(items) == b"x"
        stop = asyncio.create_task(asyncio.to_thread(server.stop, 30))
        assert [item async for item in items] == [b"x"] * 9
        await stop


@pytest.mark.parametrize("method", ["/lab.Test/Silent", "/lab.Test/SilentlyWritten", WATCH_HEALTH])
async def test_a_stop_ends_a_watcher_at_once(method: str):
    server = serve_grpc(adder())
    async with grpc.aio.insecure_channel(server.address) as channel:
        call = channel.unary_stream(method)(b"")
        if method == WATCH_HEALTH:
            await call.read()  # the first news is how it is now
        await channel.unary_unary("/lab.Test/Echo")(b"the call before it has arrived")
        began = time.monotonic()
        await asyncio.to_thread(server.stop, 30)
        assert time.monotonic() - began < 5
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_a_kill_breaks_the_calls():
    held = Held()
    server = serve_grpc(adder(held))
    async with grpc.aio.insecure_channel(server.address) as channel:
        call = channel.unary_unary("/lab.Test/Held")(b"1")
        await held.has_arrived()
        server.kill()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_a_paused_server_answers_when_it_resumes():
    with serve_grpc(adder()) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            echo = channel.unary_unary("/lab.Test/Echo")
            server.pause()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await echo(b"1", timeout=0.05)
            assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            call = echo(b"2")
            server.resume()
            assert await call == b"2"


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_paused_server_ends_with_the_calls_in_flight(end: str):
    held = Held()
    server = serve_grpc(adder(held))
    with grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary("/lab.Test/Held").future(b"1")
        assert held.arrived.wait(5)
        server.pause()
        getattr(server, end)()
        assert call.exception(5).code() == grpc.StatusCode.UNAVAILABLE
    run_on_lab(asyncio.wait([held.task], timeout=5))
    assert held.task.done()


async def test_a_name_in_use_is_replaced_and_a_taken_port_is_an_error():
    first = serve_grpc(adder(), "grpc-users")
    with serve_grpc(adder(), "grpc-users") as second:
        assert first.state == "stopped"
        with pytest.raises(RuntimeError, match="is taken"):
            serve_grpc(adder(), port=int(second.address.split(":")[1]))


async def test_a_channel_may_live_on_the_lab_loop():
    async def call(address: str) -> bytes:
        async with grpc.aio.insecure_channel(address) as channel:
            return await channel.unary_unary("/lab.Test/Echo")(b"1")

    with serve_grpc(adder()) as server:
        assert await on_lab(call(server.address)) == b"1"


async def test_an_idle_server_stops_in_50_ms():
    took = []
    for _ in range(7):
        server = serve_grpc(adder())
        began = time.monotonic()
        server.stop(drain_seconds=30)
        took.append(time.monotonic() - began)
    assert statistics.median(took) < 0.05
