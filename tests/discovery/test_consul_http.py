"""Registrar and instancer against the embedded agent, and against registries that misbehave."""

import asyncio
import json
import queue
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import inf
from random import Random
from typing import Any

import httpx
import pytest

from course_lib.discovery.consul_http import ConsulInstancer, consul_client
from course_lib.discovery.consul_registrar_http import ConsulRegistrar
from course_lib.discovery.endpointer import Endpointer
from course_lib.discovery.instancer import Event
from course_lib.errors import NoInstances, Unavailable
from course_lib.lab.launch import run_on_lab, serve
from course_lib.stand_ins import ConsulAgent


def names(event: Event) -> str:
    return " ".join(each.id for each in event.instances)


class Log:
    """A sink that writes down what it is told, and when."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.lines: list[tuple[float, str]] = []

    def __call__(self, event: Event) -> None:
        at = round(asyncio.get_running_loop().time(), 3)
        self.events.append(event)
        self.lines.append((at, "error" if event.error else names(event)))


def client_of(agent: ConsulAgent) -> httpx.AsyncClient:
    return consul_client("agent", transport=httpx.ASGITransport(app=agent.app))


def answering(handle: Callable[[httpx.Request], httpx.Response]) -> httpx.AsyncClient:
    return consul_client("agent", transport=httpx.MockTransport(handle))


@asynccontextmanager
async def watching(client: httpx.AsyncClient, **options: Any) -> AsyncIterator[Log]:
    log, instancer = Log(), ConsulInstancer(client, "users", rng=Random(1), **options)
    instancer.register(log)
    await asyncio.sleep(0.001)
    yield log
    instancer.stop()


def entry(name: str, address: str = "", port: int = 80) -> dict[str, Any]:
    service = {"ID": name, "Address": address or f"10.0.0.{name[1:]}", "Port": port}
    return {"Node": {"Address": "10.9.9.9", "Datacenter": "dc1"}, "Service": service}


async def test_the_full_sorted_set_comes_at_once_and_on_every_change() -> None:
    client = client_of(ConsulAgent())
    c = ConsulRegistrar(client, "users", "127.0.0.1:3", id="c", weight=3, meta={"zone": "east"})
    await c.register()
    async with watching(client) as log:
        await asyncio.sleep(5)
        async with ConsulRegistrar(client, "users", "127.0.0.1:1", id="a"):
            await asyncio.sleep(5)
        await asyncio.sleep(500)
    assert log.lines == [(0, "c"), (5.001, "a c"), (10.001, "c")]
    first = log.events[0].instances[0]
    assert (first.address, first.weight, first.zone) == ("127.0.0.1:3", 3, "east")


async def test_an_empty_service_is_an_empty_set_not_silence() -> None:
    async with watching(client_of(ConsulAgent())) as log:
        assert log.lines == [(0, "")]


async def test_a_late_sink_is_told_what_is_known_and_a_removed_one_nothing_more() -> None:
    client = client_of(ConsulAgent())
    instancer, early, late = ConsulInstancer(client, "users"), Log(), Log()
    instancer.register(early)
    await asyncio.sleep(1)
    instancer.register(late)
    instancer.deregister(early)
    instancer.deregister(early)
    async with ConsulRegistrar(client, "users", "127.0.0.1:1", id="a"):
        await asyncio.sleep(1)
    instancer.stop()
    assert (early.lines, late.lines[:2]) == ([(0, "")], [(1, ""), (1, "a")])


async def test_a_heartbeat_keeps_an_instance_and_a_crash_shows_after_the_ttl() -> None:
    client = client_of(ConsulAgent())
    registrar = ConsulRegistrar(client, "users", "127.0.0.1:1", id="a", ttl_seconds=9)
    await registrar.register()
    async with watching(client) as log:
        await asyncio.sleep(100)
        registrar.crash()
        await asyncio.sleep(100)
        await registrar.register()
        await asyncio.sleep(1)
        await registrar.deregister()
        await asyncio.sleep(1)
    assert [line for _, line in log.lines] == ["a", "", "a", ""]
    assert 100 < log.lines[1][0] <= 109


async def test_an_http_check_lets_the_agent_find_out() -> None:
    healthy = True

    async def fetch(_: Any) -> tuple[str, str]:
        return ("passing" if healthy else "critical"), ""

    client = client_of(ConsulAgent(fetch=fetch))
    registrar = ConsulRegistrar(client, "users", "127.0.0.1:1", id="a", check_url="http://a/ready")
    async with registrar, watching(client) as log:
        await asyncio.sleep(10)
        healthy = False
        await asyncio.sleep(10)
    assert [line for _, line in log.lines] == ["", "a", ""]
    assert 10 < log.lines[2][0] <= 11.1


async def test_an_agent_that_forgot_an_instance_is_told_again() -> None:
    client = client_of(ConsulAgent())
    registrar = ConsulRegistrar(client, "users", "127.0.0.1:1", id="a", ttl_seconds=9)
    async with registrar:
        await client.put("agent/service/deregister/a")
        await asyncio.sleep(3.1)
        assert list((await client.get("agent/services")).json()) == ["a"]


async def test_duplicates_of_one_address_count_once() -> None:
    entries = [entry("u2"), entry("u1"), entry("u9", "10.0.0.1"), entry("u1")]

    async def handle(request: httpx.Request) -> httpx.Response:
        if "index" in request.url.params:
            await asyncio.Event().wait()
        return httpx.Response(200, json=entries, headers={"x-consul-index": "5"})

    async with watching(answering(handle)) as log:  # type: ignore[arg-type]
        assert log.lines == [(0, "u1 u2")]


async def test_an_index_that_goes_backwards_is_reset_to_zero() -> None:
    answers = iter([("7", "u1"), ("3", "u2"), ("3", "u3")])
    asked: list[str | None] = []

    async def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params.get("index"))
        index, name = next(answers, ("", ""))
        if not index:
            await asyncio.Event().wait()
        return httpx.Response(200, json=[entry(name)], headers={"x-consul-index": index})

    async with watching(answering(handle)) as log:  # type: ignore[arg-type]
        await asyncio.sleep(5)
    assert asked == [None, "7", None, "3"]
    assert [line for _, line in log.lines] == ["u1", "u2", "u3"]


@pytest.mark.parametrize("headers", [{}, {"x-consul-index": "0"}, {"x-consul-index": "7"}])
async def test_an_index_that_never_blocks_does_not_make_it_spin(headers: dict[str, str]) -> None:
    asked = 0

    def handle(_: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        return httpx.Response(200, json=[entry("u1")], headers=headers)

    async with watching(answering(handle)) as log:
        await asyncio.sleep(100)
    assert len(log.lines) == 1
    assert 100 < asked < 400


async def test_errors_are_told_and_followed_by_ever_longer_pauses_with_jitter() -> None:
    asked: list[float] = []
    broken = True

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(asyncio.get_running_loop().time())
        if broken:
            raise httpx.ConnectError("refused")
        return httpx.Response(200, json=[entry("u1")], headers={"x-consul-index": "0"})

    async with watching(answering(handle)) as log:
        await asyncio.sleep(100)
        assert 15 < len(asked) < 50
        assert isinstance(log.events[0].error, Unavailable)
        broken = False
        await asyncio.sleep(11)
    assert [line for _, line in log.lines][-2:] == ["error", "u1"]


@pytest.mark.parametrize("status", [400, 404, 500, 503])
async def test_refusals_are_errors_too(status: int) -> None:
    def handle(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, text="No cluster leader")

    async with watching(answering(handle)) as log:
        await asyncio.sleep(1)
    assert "No cluster leader" in str(log.events[0].error)


NONSENSE = ["", "null", "{}", '[{"Node": 1}]', "[[]]", '[{"Service": {}}]']
NONSENSE += [
    json.dumps([entry("u1"), {"Node": {}, "Service": entry("u2")["Service"] | wrong}])
    for wrong in (
        {"Weights": None}, {"Weights": {"Passing": inf}}, {"Meta": [1]}, {"ID": None}, {"ID": [1]},
    )
]  # fmt: skip


@pytest.mark.parametrize("body", [*NONSENSE, pytest.param("[" * 10_000, id="too deep")])
async def test_an_answer_that_makes_no_sense_is_an_error_and_not_the_end(body: str) -> None:
    sense = '[{"Node": {"Address": "n"}, "Service": {"ID": "a", "Address": "", "Port": 1}}]'
    answers = iter([body, sense])

    async def handle(_: httpx.Request) -> httpx.Response:
        text = next(answers, None)
        if text is None:
            await asyncio.Event().wait()
        return httpx.Response(200, text=text, headers={"x-consul-index": "5"})

    async with watching(answering(handle)) as log:  # type: ignore[arg-type]
        await asyncio.sleep(2)
    assert [line for _, line in log.lines] == ["error", "a"]
    assert log.events[1].instances[0].address == "n:1"


async def test_an_answer_that_cannot_be_decoded_is_an_error_and_not_the_end() -> None:
    def handle(_: httpx.Request) -> httpx.Response:
        garbled = httpx.ByteStream(b"not gzip")
        return httpx.Response(200, headers={"content-encoding": "gzip"}, stream=garbled)

    async with watching(answering(handle)) as log:
        await asyncio.sleep(30)
    assert len(log.events) > 5 and isinstance(log.events[-1].error, Unavailable)


async def test_an_agent_that_never_answers_is_named_as_the_timeout_it_is() -> None:
    async def handle(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        return httpx.Response(200)

    async with watching(answering(handle)) as log:  # type: ignore[arg-type]
        await asyncio.sleep(6)
    assert str(log.events[0].error) == "no answer from Consul: TimeoutError"


@pytest.mark.parametrize("address", ["localhost", ":80", "localhost:", "localhost:http", ""])
def test_a_registrar_needs_host_and_port(address: str) -> None:
    with pytest.raises(ValueError, match="expected HOST:PORT, got"):
        ConsulRegistrar(client_of(ConsulAgent()), "users", address)


async def test_an_agent_that_hangs_is_an_error_after_the_wait() -> None:
    async def handle(request: httpx.Request) -> httpx.Response:
        if "index" in request.url.params:
            await asyncio.Event().wait()
        return httpx.Response(200, json=[entry("u1")], headers={"x-consul-index": "5"})

    async with watching(answering(handle), wait_seconds=16) as log:  # type: ignore[arg-type]
        await asyncio.sleep(23)
    assert log.lines[:2] == [(0, "u1"), (22, "error")]


async def test_tags_and_datacentre_are_asked_for() -> None:
    near, far = ConsulAgent(datacenter="near"), ConsulAgent(datacenter="far")
    near.join(far)
    there = client_of(far)
    await ConsulRegistrar(there, "users", "10.0.0.1:1", id="a", tags=["v1"]).register()
    await ConsulRegistrar(there, "users", "10.0.0.2:1", id="b", tags=["v2"]).register()
    async with watching(client_of(near), datacenter="far", tags=["v2"]) as log:
        assert [line for _, line in log.lines] == ["b"]
        assert log.events[0].instances[0].zone == "far"


def test_over_real_sockets_a_watch_survives_the_agents_death_and_rebirth() -> None:
    lines: queue.Queue[str] = queue.Queue()

    def until(wanted: str) -> None:
        while lines.get(timeout=10) != wanted:
            pass

    with serve(ConsulAgent().app, "consul") as server:
        client = consul_client(server.address)
        instancer = ConsulInstancer(client, "users", rng=Random(2))
        registrar = ConsulRegistrar(client, "users", "127.0.0.1:1", id="a", ttl_seconds=0.6)

        async def begin() -> None:
            instancer.register(lambda event: lines.put("error" if event.error else names(event)))
            await registrar.register()

        async def end() -> None:
            instancer.stop()
            await registrar.deregister()
            await client.aclose()

        run_on_lab(begin())
        until("a")
        server.kill()
        until("error")
        with serve(ConsulAgent().app, "consul", port=int(server.address.rpartition(":")[2])):
            until("a")
            run_on_lab(end())


async def test_an_endpointer_over_it_keeps_the_last_known_set_while_the_agent_is_away() -> None:
    agent, away = ConsulAgent(), False

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if away:
            raise httpx.ConnectError("refused")
        await agent.app(scope, receive, send)

    async def endpoint(_: Any) -> str:
        return "ok"

    client = consul_client("agent", transport=httpx.ASGITransport(app=app))
    await ConsulRegistrar(client, "users", "127.0.0.1:1", id="a").register()
    instancer = ConsulInstancer(client, "users", wait_seconds=1)
    forgiving = Endpointer(instancer, lambda _: endpoint)
    strict = Endpointer(instancer, lambda _: endpoint, invalidate_on_error_seconds=30)
    await strict.heard()
    away = True
    await asyncio.sleep(25)
    assert [each.id for each in strict()] == ["a"]
    await asyncio.sleep(25)
    assert [each.id for each in forgiving()] == ["a"]
    with pytest.raises(NoInstances):
        strict()
    away = False
    await asyncio.sleep(11)
    assert [each.id for each in strict()] == ["a"]
    instancer.stop()
