"""A thousand instances and two hundred blocked watchers on one agent, over real sockets."""

import asyncio
import statistics
import time
from typing import Any

import aiohttp
import pytest

from course_lib.lab.launch import serve
from course_lib.stand_ins import ConsulAgent


async def register(session: aiohttp.ClientSession, name: str, service_id: str) -> None:
    body = {
        "Name": name,
        "ID": service_id,
        "Port": 80,
        "Check": {"TTL": "60s", "Status": "passing"},
    }
    async with session.put("/v1/agent/service/register", json=body) as answer:
        assert answer.status == 200


async def watch(session: aiohttp.ClientSession, name: str, index: str) -> tuple[float, Any, str]:
    path = f"/v1/health/service/{name}?passing&index={index}&wait=60s"
    async with session.get(path) as answer:
        body = await answer.json()
        return time.perf_counter(), body, answer.headers["X-Consul-Index"]


@pytest.mark.real_time
async def test_a_thousand_instances_and_two_hundred_watchers_are_no_trouble() -> None:
    with serve(ConsulAgent().app) as server:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(server.url, connector=connector) as session:
            for first in range(0, 1000, 50):
                numbers = range(first, first + 50)
                await asyncio.gather(*(register(session, f"s{n % 20}", f"i{n}") for n in numbers))
            async with session.get("/v1/health/service/s0?passing") as answer:
                index = answer.headers["X-Consul-Index"]
                assert len(await answer.json()) == 50
            watchers = [asyncio.ensure_future(watch(session, "s0", index)) for _ in range(200)]
            await until_blocked(session)
            await register(session, "s1", "elsewhere")
            began = time.perf_counter()
            await register(session, "s0", "news")
            seen = await asyncio.gather(*watchers)
        assert all(len(body) == 51 for _, body, _ in seen)
        assert max(at for at, _, _ in seen) - began < 5


@pytest.mark.real_time
async def test_a_registration_reaches_a_blocked_watcher_in_a_few_milliseconds() -> None:
    with serve(ConsulAgent().app) as server:
        async with aiohttp.ClientSession(server.url) as session:
            delays, index = [], "1"
            for number in range(40):
                watcher = asyncio.ensure_future(watch(session, "users", index))
                await until_blocked(session)
                began = time.perf_counter()
                await register(session, "users", f"u{number}")
                at, body, index = await watcher
                assert len(body) == number + 1
                delays.append(at - began)
    assert statistics.median(delays) < 0.010, sorted(delays)


async def until_blocked(session: aiohttp.ClientSession) -> None:
    """Two round trips after the queries were sent, on one loop, they have been read."""
    for _ in range(3):
        async with session.get("/v1/status/leader") as answer:
            await answer.read()


@pytest.mark.real_time
async def test_watchers_that_hang_up_are_forgotten() -> None:
    agent = ConsulAgent()
    with serve(agent.app) as server:
        async with aiohttp.ClientSession(server.url) as session:
            watchers = [asyncio.ensure_future(watch(session, "s0", "1")) for _ in range(20)]
            await until(agent, 20)
            for watcher in watchers:
                watcher.cancel()
            await until(agent, 0)


@pytest.mark.real_time
async def test_stopping_the_agent_does_not_wait_for_watchers() -> None:
    agent = ConsulAgent()
    server = serve(agent.app)
    async with aiohttp.ClientSession(server.url) as session:
        watchers = [asyncio.ensure_future(watch(session, "s0", "1")) for _ in range(20)]
        await until(agent, 20)
        began = time.perf_counter()
        server.stop()
        assert time.perf_counter() - began < 0.9
        ends = await asyncio.gather(*watchers, return_exceptions=True)
    assert all(isinstance(end, aiohttp.ClientError) for end in ends)


@pytest.mark.real_time
async def test_a_huge_value_is_refused_and_the_agent_goes_on() -> None:
    with serve(ConsulAgent().app) as server:
        async with aiohttp.ClientSession(server.url) as session:
            for size in (600_000, 20_000_000):
                async with session.put("/v1/kv/a", data=b"x" * size) as answer:
                    assert answer.status == 413
            async with session.put("/v1/kv/a", data=b"x") as answer:
                assert await answer.json() is True


async def until(agent: ConsulAgent, watchers: int) -> None:
    async with asyncio.timeout(5):
        while agent.watchers != watchers:
            await asyncio.sleep(0.005)
