"""What needs no second process: chain, virtual time, serving, the lab's load generator.

The first two only compute, so they are timed by the processor's clock, whoever else is busy.
"""

import asyncio
import time
from collections import Counter

from course_lib.endpoint import Endpoint, chain
from course_lib.lab import virtual_time
from course_lib.lab.http_load import HttpLoad
from course_lib.lab.launch import run_on_lab, serve
from course_lib.lab.load import load
from course_lib.middleware.bulkhead import bulkhead
from course_lib.middleware.instrumenting import instrumenting
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
        started = time.process_time()
        for _ in range(calls):
            await endpoint(None)
        return 1e6 * (time.process_time() - started) / calls

    runs = [asyncio.run(once()) for _ in range(rounds)]
    return Row("eight middlewares that do nothing", runs, "us/call", 1.0, at_least=False)


def in_virtual_time(rounds: int, calls: int = 20_000, at_once: int = 8) -> list[Row]:
    """Client, chain, memory transport, service, with as much on the way as the name says."""
    counted: Counter[tuple[str, str]] = Counter()

    def observe(operation: str, outcome: str, seconds: float) -> None:
        counted[operation, outcome] += 1

    endpoint = user_endpoints(with_demo_users()).get_user
    bare = memory_client(memory_server(endpoint))
    wrap = chain(tracing(), instrumenting(observe, operation="get_user"), bulkhead(at_once))
    clients = {
        "virtual time, no chain": (bare, None),
        "virtual time, trace, count, bulkhead": (wrap(bare), 50_000),
        "virtual time, the same and a deadline": (chain(wrap, deadline(1.0))(bare), None),
    }

    async def calling(client: Endpoint) -> None:
        for _ in range(calls // at_once):
            await client(GetUser(1))

    async def all_callers(client: Endpoint) -> None:
        await asyncio.gather(*(calling(client) for _ in range(at_once)))

    def once(client: Endpoint) -> float:
        started = time.process_time()
        virtual_time.run(all_callers(client))
        return calls / (time.process_time() - started)

    runs: dict[str, list[float]] = {name: [] for name in clients}
    for _ in range(rounds):
        for name, (client, _) in clients.items():
            runs[name].append(once(client))
    return [Row(name, runs[name], "requests/s", target) for name, (_, target) in clients.items()]


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
