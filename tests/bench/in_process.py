"""What needs no second process: chain, virtual time, serving, the lab's load generator."""

import asyncio
import time

from course_lib.endpoint import Endpoint, chain
from course_lib.lab import virtual_time
from course_lib.lab.http_load import HttpLoad
from course_lib.lab.launch import run_on_lab, serve
from course_lib.lab.load import load
from course_lib.middleware.timeout import deadline
from course_lib.middleware.tracing import tracing
from course_lib.shop.endpoints import user_endpoints
from course_lib.shop.users import GetUser, with_demo_users
from course_lib.shop.users_http import user_routes
from course_lib.transport.http_server import http_app
from course_lib.transport.memory import memory_client, memory_server
from tests.bench.report import Row


def does_nothing(inner: Endpoint) -> Endpoint:
    async def endpoint(request: object) -> object:
        return await inner(request)

    return endpoint


def eight_middlewares(rounds: int, calls: int = 50_000) -> Row:
    """A call through a chain of eight that do nothing."""

    async def answers(request: object) -> object:
        return request

    async def once() -> float:
        endpoint = chain(*[does_nothing] * 8)(answers)
        started = time.perf_counter()
        for _ in range(calls):
            await endpoint(None)
        return 1e6 * (time.perf_counter() - started) / calls

    runs = [asyncio.run(once()) for _ in range(rounds)]
    return Row("eight middlewares that do nothing", runs, "us/call", 1.0, at_least=False)


def in_virtual_time(rounds: int, calls: int = 20_000, at_once: int = 8) -> list[Row]:
    """Client, memory transport, service; and the same behind a chain of trace and deadline."""
    endpoint = user_endpoints(with_demo_users()).get_user
    bare = memory_client(memory_server(endpoint))
    traced = chain(tracing(), deadline(1.0))(bare)

    async def calling(client: Endpoint) -> None:
        for _ in range(calls // at_once):
            await client(GetUser(1))

    async def all_callers(client: Endpoint) -> None:
        await asyncio.gather(*(calling(client) for _ in range(at_once)))

    def once(client: Endpoint) -> float:
        started = time.perf_counter()
        virtual_time.run(all_callers(client))
        return calls / (time.perf_counter() - started)

    runs = [(once(bare), once(traced)) for _ in range(rounds)]
    return [
        Row("virtual time, no chain", [pair[0] for pair in runs], "requests/s"),
        Row("virtual time, trace and deadline", [pair[1] for pair in runs], "requests/s", 50_000),
    ]


def serving(rounds: int) -> list[Row]:
    """How long until a service in this process is ready, and until it has stopped when idle."""
    app = http_app("users", user_routes(user_endpoints(with_demo_users())))
    ready, stopped = [], []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        server = serve(app)
        ready.append(1e3 * (time.perf_counter() - started))
        started = time.perf_counter()
        server.stop()
        stopped.append(1e3 * (time.perf_counter() - started))
    return [
        Row("service ready", ready[1:], "ms", 30, at_least=False),
        Row("idle service stopped", stopped[1:], "ms", 50, at_least=False),
    ]


def load_generator(rounds: int, requests: int = 5_000) -> Row:
    """The lab's generator and the service it drives, in one process on one loop."""
    app = http_app("users", user_routes(user_endpoints(with_demo_users())))

    async def once(url: str) -> float:
        async with HttpLoad(url) as http:
            result = await load(http, requests=requests, at_once=16, request="/users/1")
        assert result.outcomes == {"ok": requests}, result
        return result.throughput

    with serve(app) as server:
        runs = [run_on_lab(once(server.url)) for _ in range(rounds)]
    return Row("load generator beside its service", runs, "requests/s", 5_000)


def run(rounds: int) -> list[Row]:
    """The rows of all of them."""
    return [
        eight_middlewares(rounds),
        *in_virtual_time(rounds),
        *serving(rounds),
        load_generator(rounds),
    ]
