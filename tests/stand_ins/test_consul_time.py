"""What the agent does as time passes, in virtual time over ASGI in memory."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from course_lib.stand_ins import ConsulAgent
from course_lib.stand_ins.consul_definitions import CheckDefinition
from course_lib.stand_ins.consul_probe import http_fetch


def connect(agent: ConsulAgent) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=agent.app)
    return httpx.AsyncClient(transport=transport, base_url="http://agent/v1", timeout=None)


async def register(client: httpx.AsyncClient, service_id: str = "u1", **check: Any) -> None:
    body = {"Name": "users", "ID": service_id, **({"Check": check} if check else {})}
    assert (await client.put("/agent/service/register", json=body)).status_code == 200


async def passing(client: httpx.AsyncClient) -> list[str]:
    found = (await client.get("/health/service/users?passing")).json()
    return [entry["Service"]["ID"] for entry in found]


def now() -> float:
    return asyncio.get_running_loop().time()


async def timed(client: httpx.AsyncClient, path: str) -> tuple[float, httpx.Response]:
    began = now()
    answer = await client.get(path)
    return now() - began, answer


async def test_a_ttl_runs_out_after_exactly_its_time_and_says_what_it_last_heard() -> None:
    client = connect(ConsulAgent())
    await register(client, ttl="10s")
    await client.put("/agent/check/pass/service:u1?note=fine")
    await asyncio.sleep(9.999)
    assert await passing(client) == ["u1"]
    await asyncio.sleep(0.002)
    assert await passing(client) == []
    check = (await client.get("/agent/checks")).json()["service:u1"]
    assert check["Output"] == "TTL expired (last output before timeout follows): fine"


async def test_every_heartbeat_winds_the_clock_again_and_wakes_nobody() -> None:
    client = connect(ConsulAgent())
    await register(client, ttl="10s")
    await client.put("/agent/check/pass/service:u1")
    index = (await client.get("/health/service/users")).headers["x-consul-index"]
    for _ in range(20):
        await asyncio.sleep(7)
        await client.put("/agent/check/pass/service:u1?note=still here")
    assert await passing(client) == ["u1"]
    assert (await client.get("/health/service/users")).headers["x-consul-index"] == index


async def test_registering_again_keeps_the_status_and_wakes_nobody() -> None:
    client = connect(ConsulAgent())
    await register(client, ttl="10s")
    await client.put("/agent/check/pass/service:u1")
    before = await client.get("/health/service/users?passing")
    await register(client, ttl="10s")
    after = await client.get("/health/service/users?passing")
    assert after.json() == before.json() != []
    assert after.headers["x-consul-index"] == before.headers["x-consul-index"]


async def test_a_blocking_query_ends_at_the_change_of_what_it_asked_for() -> None:
    client = connect(ConsulAgent())
    await register(client)
    index = (await client.get("/health/service/users")).headers["x-consul-index"]
    query = asyncio.create_task(timed(client, f"/health/service/users?index={index}&wait=1m"))
    await asyncio.sleep(5)
    await client.put("/kv/unrelated", content=b"1")
    await client.put("/agent/service/register", json={"Name": "orders"})
    await asyncio.sleep(5)
    await register(client, "u2")
    waited, answer = await query
    assert waited == 10
    assert [entry["Service"]["ID"] for entry in answer.json()] == ["u1", "u2"]
    assert int(answer.headers["x-consul-index"]) > int(index)


@pytest.mark.parametrize(
    ("wait", "shortest", "longest"),
    [("wait=5s", 5, 5 + 5 / 16), ("", 300, 318.75), ("wait=9h", 600, 637.5), ("wait=0", 300, 319)],
)
async def test_a_blocking_query_without_a_change_ends_when_its_wait_is_over(
    wait: str, shortest: float, longest: float
) -> None:
    client = connect(ConsulAgent())
    waited, answer = await timed(client, f"/health/service/users?index=1&{wait}")
    assert shortest <= waited <= longest
    assert (answer.json(), answer.headers["x-consul-index"]) == ([], "1")


async def test_index_zero_and_an_index_long_past_do_not_wait() -> None:
    client = connect(ConsulAgent())
    await register(client)
    for index in ("0", "1"):
        waited, answer = await timed(client, f"/health/service/users?index={index}&wait=5s")
        assert (waited, len(answer.json())) == (0, 1)


@pytest.mark.parametrize(
    "query", ["wait=5", "wait=soon", "wait=9999999h", "index=-1", "index=x", "stale&consistent"]
)
async def test_absurd_waits_and_indexes_are_bad_requests(query: str) -> None:
    client = connect(ConsulAgent())
    answer = await client.get(f"/health/service/users?{query}")
    assert answer.status_code == 400


async def test_a_key_is_watched_even_before_it_exists() -> None:
    client = connect(ConsulAgent())
    missing = await client.get("/kv/flag")
    assert missing.status_code == 404
    index = missing.headers["x-consul-index"]
    query = asyncio.create_task(timed(client, f"/kv/flag?index={index}&wait=1m&raw"))
    await asyncio.sleep(3)
    await client.put("/kv/other", content=b"0")
    await asyncio.sleep(3)
    await client.put("/kv/flag", content=b"1")
    waited, answer = await query
    assert (waited, answer.content) == (6, b"1")


async def test_what_stays_critical_for_a_minute_is_removed_by_the_next_reaper() -> None:
    client = connect(ConsulAgent())
    await asyncio.sleep(5)
    await register(client, ttl="10s", DeregisterCriticalServiceAfter="1s")
    await asyncio.sleep(84.9)
    assert "u1" in (await client.get("/agent/services")).json()
    await asyncio.sleep(0.2)
    assert (await client.get("/agent/services")).json() == {}
    assert (await client.get("/agent/checks")).json() == {}


async def test_a_service_that_recovers_in_time_is_not_removed() -> None:
    client = connect(ConsulAgent())
    await register(client, ttl="60s", DeregisterCriticalServiceAfter="70s")
    await asyncio.sleep(69)
    await client.put("/agent/check/pass/service:u1")
    await asyncio.sleep(60 + 69)
    assert "u1" in (await client.get("/agent/services")).json()
    await asyncio.sleep(31 + 30)
    assert (await client.get("/agent/services")).json() == {}


def probing(answer: Callable[[CheckDefinition], Awaitable[tuple[str, str]]]) -> ConsulAgent:
    return ConsulAgent(fetch=answer)


async def test_a_hanging_target_turns_critical_and_holds_up_nobody() -> None:
    calls: list[tuple[str, float]] = []

    async def fetch(check: CheckDefinition) -> tuple[str, str]:
        calls.append((check.http, now()))
        if check.http == "http://hangs":
            await asyncio.Event().wait()
        return "passing", "ok"

    client = connect(probing(fetch))
    await register(client, "hangs", http="http://hangs", interval="10s", timeout="2s")
    await register(client, "well", http="http://well", interval="5s")
    await asyncio.sleep(60)
    assert await passing(client) == ["well"]
    check = (await client.get("/agent/checks")).json()["service:hangs"]
    assert "deadline exceeded" in check["Output"]
    times = {target: [at for url, at in calls if url == target] for target, _ in calls}
    gaps = {
        target: {round(b - a, 3) for a, b in itertools.pairwise(at)} for target, at in times.items()
    }
    assert gaps == {"http://hangs": {12.0}, "http://well": {5.0}}


async def test_a_failure_without_words_is_named_by_its_kind() -> None:
    async def fetch(_: CheckDefinition) -> tuple[str, str]:
        raise httpx.ReadError("")

    client = connect(probing(fetch))
    await register(client, "a", http="http://a", interval="1s")
    await asyncio.sleep(2)
    check = (await client.get("/agent/checks")).json()["service:a"]
    assert check["Output"] == 'GET "http://a": ReadError'


async def test_a_flapping_target_changes_state_only_after_enough_results_in_a_row() -> None:
    results = iter("pfpfppffpfffp" + "p" * 100)

    async def fetch(check: CheckDefinition) -> tuple[str, str]:
        return ("passing" if next(results) == "p" else "critical"), ""

    client = connect(probing(fetch))
    check = {"http": "http://u", "interval": "1s", "status": "critical"}
    await register(client, **check, SuccessBeforePassing=2, FailuresBeforeCritical=3)
    states = []
    await asyncio.sleep(1)
    for _ in range(14):
        states.append("p" if await passing(client) else "f")
        await asyncio.sleep(1)
    assert "".join(states) == "fffffppppppffp"[: len(states)]


async def test_http_answers_decide_2xx_429_and_the_rest() -> None:
    async def target(scope: Any, receive: Any, send: Any) -> None:
        status = int(scope["path"].strip("/"))
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * 100_000})

    client = connect(ConsulAgent(fetch=http_fetch(httpx.ASGITransport(app=target))))
    wanted = {200: "passing", 204: "passing", 299: "passing", 429: "warning"}
    wanted |= {300: "critical", 404: "critical", 500: "critical", 503: "critical"}
    for status in wanted:
        await register(client, str(status), http=f"http://target/{status}", interval="1s")
    await asyncio.sleep(1)
    checks = (await client.get("/agent/checks")).json()
    assert {status: checks[f"service:{status}"]["Status"] for status in wanted} == wanted
    assert all(len(check["Output"]) < 5000 for check in checks.values())


async def test_a_service_that_leaves_is_probed_no_more() -> None:
    probes = 0

    async def fetch(check: CheckDefinition) -> tuple[str, str]:
        nonlocal probes
        probes += 1
        await asyncio.sleep(0.5)
        return "passing", ""

    client = connect(probing(fetch))
    await register(client, http="http://u", interval="1s")
    await asyncio.sleep(10)
    await client.put("/agent/service/deregister/u1")
    seen = probes
    await asyncio.sleep(100)
    assert probes == seen > 5


async def test_two_datacentres_answer_for_each_other() -> None:
    near, far = ConsulAgent(datacenter="near"), ConsulAgent(datacenter="far", node="agent-two")
    near.join(far)
    here, there = connect(near), connect(far)
    await register(there)
    assert (await here.get("/health/service/users")).json() == []
    found = (await here.get("/health/service/users?dc=far")).json()
    assert [entry["Node"]["Datacenter"] for entry in found] == ["far"]
    assert (await here.get("/catalog/datacenters")).json() == ["far", "near"]
    nowhere = await here.get("/health/service/users?dc=mars")
    assert (nowhere.status_code, nowhere.text) == (500, "No path to datacenter")
    waiting = asyncio.create_task(timed(here, "/health/service/users?dc=far&index=2&wait=1m"))
    await asyncio.sleep(4)
    await there.put("/agent/service/deregister/u1")
    waited, answer = await waiting
    assert (waited, answer.json()) == (4, [])


async def test_a_watcher_that_hangs_up_is_forgotten() -> None:
    agent = ConsulAgent()
    client = connect(agent)
    watch = asyncio.create_task(client.get("/health/service/users?index=1&wait=10m"))
    await asyncio.sleep(1)
    assert agent.watchers == 1
    watch.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert agent.watchers == 0


async def test_an_agent_that_starts_again_takes_up_the_checks_of_what_it_knew() -> None:
    agent = ConsulAgent()
    client = connect(agent)
    async with agent.app.router.lifespan_context(agent.app):
        await register(client, ttl="10s")
        await client.put("/agent/check/pass/service:u1")
    await asyncio.sleep(100)
    assert await passing(client) == ["u1"]
    async with agent.app.router.lifespan_context(agent.app):
        await asyncio.sleep(9.9)
        assert await passing(client) == ["u1"]
        await asyncio.sleep(0.2)
        assert await passing(client) == []
