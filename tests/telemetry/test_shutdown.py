"""Going away: the steps, and SIGTERM in a process of its own under load.

Tests of the same inside this process stand in `tests/lab/test_leaving.py`.
"""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest

from course_lib.balancing import Instance, balance, round_robin
from course_lib.lab.http_load import HttpLoad
from course_lib.lab.load import Result, load
from course_lib.lab.processes import Process
from course_lib.lab.scenes.polled import polled
from course_lib.telemetry.health import Health
from course_lib.telemetry.probe_http import http_get
from course_lib.telemetry.probes import Probe
from course_lib.telemetry.shutdown import drain_on_sigterm, shut_down

PROBE = Probe(period_seconds=0.1, timeout_seconds=1, failure_threshold=2)
NOTICE_SECONDS = 0.5


async def loaded_while(addresses: dict[str, str], leaving: Callable[[], Awaitable[Any]]) -> Result:
    clients = {name: HttpLoad(f"http://{at}", connections=64) for name, at in addresses.items()}
    instances = [Instance(name, at, endpoint=clients[name]) for name, at in addresses.items()]
    async with polled(instances, lambda i: http_get(f"http://{i.address}/readyz"), PROBE) as ready:
        front = balance(ready, round_robin())
        loading = load(front, rate=300, seconds=1.2, rng=Random(4), request="/")
        loaded = asyncio.create_task(loading)
        await asyncio.sleep(0.2)
        await leaving()
        result = await loaded
    for client in clients.values():
        await client.aclose()
    return result


def failed(result: Result) -> int:
    return len(result.calls) - result.outcomes["ok"]


async def test_the_steps_come_in_order_and_the_wait_is_between_them():
    health, seen = Health(), []

    async def stop() -> None:
        seen.append((asyncio.get_running_loop().time(), health.draining))

    leaving = asyncio.create_task(shut_down(health, stop, notice_seconds=7))
    await asyncio.sleep(0)
    assert health.draining
    await leaving
    assert seen == [(7, True)]


SERVICE = """
import asyncio, os, sys, uvicorn
from course_lib.telemetry.health import Health
from course_lib.telemetry.shutdown import drain_on_sigterm
health = Health()
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        if "patient" in sys.argv: drain_on_sigterm(health, notice_seconds=float(sys.argv[-1]))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        return await send({"type": "lifespan.shutdown.complete"})
    await asyncio.sleep(0.02)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
uvicorn.run(health.around(app), port=int(os.environ["PORT"]), lifespan="on", access_log=False)
"""


def processes(*arguments: str) -> dict[str, Process]:
    command = [sys.executable, "-c", SERVICE, *arguments]
    started = {name: Process(f"leaving-{name}", command) for name in "ab"}
    return {name: process.wait() for name, process in started.items()}


async def sigterm_under_load(*arguments: str) -> Result:
    fleet = processes(*arguments)

    async def leaving() -> None:
        fleet["a"]._child.terminate()
        await asyncio.to_thread(fleet["a"]._child.wait, 10)

    try:
        return await loaded_while({name: p.address for name, p in fleet.items()}, leaving)
    finally:
        assert fleet["a"]._child.poll() is not None
        for process in fleet.values():
            process.kill()


@pytest.mark.real_time
async def test_a_process_that_drains_on_sigterm_fails_no_request_and_ends():
    assert failed(await sigterm_under_load("patient", str(NOTICE_SECONDS))) == 0


@pytest.mark.real_time
async def test_uvicorn_alone_refuses_while_the_balancer_still_sends():
    assert failed(await sigterm_under_load()) > 3


@pytest.mark.real_time
async def test_a_second_sigterm_does_not_wait():
    fleet = processes("patient", "60")
    try:
        for _ in range(2):
            fleet["a"]._child.terminate()
            while not await draining(fleet["a"]):
                pass
        assert await asyncio.to_thread(fleet["a"]._child.wait, 10) is not None
    finally:
        for process in fleet.values():
            process.kill()


async def draining(process: Process) -> bool:
    """Whether it says it is not ready, or has ended."""
    try:
        return await http_get(f"{process.url}/readyz")() == 503
    except Exception:
        return process._child.poll() is not None


@pytest.mark.real_time
async def test_outside_the_main_thread_it_says_where_it_belongs():
    def elsewhere() -> None:
        drain_on_sigterm(Health())

    with pytest.raises(RuntimeError, match="main thread"):
        await asyncio.to_thread(elsewhere)


@pytest.mark.real_time
async def test_a_handler_of_the_loop_cannot_be_put_off_so_it_says_what_to_do():
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, print)
    with pytest.raises(RuntimeError, match=r"let that handler start shut_down\(health, stop\)"):
        drain_on_sigterm(Health())


AFTERWARDS = """
import asyncio, signal
from course_lib.telemetry.health import Health
from course_lib.telemetry.shutdown import drain_on_sigterm
async def main(): drain_on_sigterm(Health(), notice_seconds=60)
asyncio.run(main())
signal.raise_signal(signal.SIGTERM)
"""


def test_when_the_loop_has_closed_a_sigterm_ends_the_process_at_once():
    ended = subprocess.run([sys.executable, "-c", AFTERWARDS], timeout=60)
    assert ended.returncode == -signal.SIGTERM
