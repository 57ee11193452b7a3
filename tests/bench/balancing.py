"""What a pick costs for every policy, beside a plain scan; and a balanced, guarded call."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable

from course_lib.balancing import (
    Instance,
    Policy,
    balance,
    consistent_hash,
    ip_hash,
    least_connections,
    random_choice,
    rendezvous_hash,
    round_robin,
    two_choices,
    weighted_round_robin,
)
from course_lib.balancing.plain import plain_least_connections, plain_weighted_round_robin
from course_lib.endpoint import Endpoint
from course_lib.lab import virtual_time
from course_lib.middleware.breaker import CircuitBreaker, breaker
from course_lib.shop.endpoints import user_endpoints
from course_lib.shop.users import GetUser, with_demo_users
from course_lib.transport.memory import memory_client, memory_server
from tests.bench.report import Row

SCANS = "rendezvous hash", "plain weighted round robin", "plain least connections"
POLICIES: dict[str, Callable[[], Policy]] = {
    "round robin": round_robin,
    "weighted round robin": weighted_round_robin,
    "least connections": least_connections,
    "ip hash": ip_hash,
    "random choice": lambda: random_choice(random.Random(1)),
    "two choices": lambda: two_choices(random.Random(1)),
    "consistent hash": consistent_hash,
    "rendezvous hash": rendezvous_hash,
    "plain weighted round robin": plain_weighted_round_robin,
    "plain least connections": plain_least_connections,
}


def picks(rounds: int) -> list[Row]:
    """Microseconds a pick, weights 1 to 5, one request held open for each instance."""
    rng, rows = random.Random(1), []
    for size in (10, 1500):
        for name, make in POLICIES.items():
            target = 2.0 if size == 1500 and name not in SCANS else None
            count = 200 if name in SCANS else 10_000
            clients = [f"10.{rng.randrange(256)}.{rng.randrange(256)}.7" for _ in range(count)]
            policy, instances = make(), fleet(size)
            held = deque(policy(instances, "10.0.0.1") for _ in range(size))
            for instance in held:
                instance.in_flight += 1
            spent = [one_round(policy, instances, clients, held) for _ in range(rounds)]
            rows.append(Row(f"{name}, n = {size}", spent, "us/pick", target, at_least=False))
    return rows


def fleet(size: int) -> tuple[Instance, ...]:
    return tuple(Instance(f"i{n}", f"10.0.{n >> 8}.{n & 255}:80", 1 + n % 5) for n in range(size))


def one_round(
    policy: Policy, instances: tuple[Instance, ...], clients: list[str], held: deque[Instance]
) -> float:
    """Microseconds a pick, without what the counting of requests costs."""

    def once(pick: bool) -> float:
        started = time.process_time()
        for client in clients:
            instance = policy(instances, client) if pick else held[0]
            instance.in_flight += 1
            held.append(instance)
            held.popleft().in_flight -= 1
        return time.process_time() - started

    return 1e6 * (once(pick=True) - once(pick=False)) / len(clients)


def guarded_call(rounds: int, calls: int = 8_000, at_once: int = 8) -> Row:
    """Throughput in virtual time of a balanced, breaker-guarded call, in percent of the bare."""
    bare = memory_client(memory_server(user_endpoints(with_demo_users()).get_user))
    instances = tuple(
        Instance(name, name, endpoint=breaker(CircuitBreaker(name))(bare)) for name in "abc"
    )
    guarded = balance(lambda: instances, least_connections())

    async def calling(client: Endpoint) -> None:
        for _ in range(calls // at_once):
            await client(GetUser(1))

    async def all_callers(client: Endpoint) -> None:
        await asyncio.gather(*(calling(client) for _ in range(at_once)))

    def seconds(client: Endpoint) -> float:
        started = time.process_time()
        virtual_time.run(all_callers(client))
        return time.process_time() - started

    shares = [100 * seconds(bare) / seconds(guarded) for _ in range(3 * rounds)]
    return Row("balanced and guarded, of bare virtual time", shares, "%", 70)


def closed_breaker(rounds: int, calls: int = 20_000) -> Row:
    """Microseconds a closed breaker adds to a call."""

    async def answers(request: object) -> object:
        return request

    async def once(endpoint: Endpoint) -> float:
        started = time.process_time()
        for _ in range(calls):
            await endpoint(None)
        return 1e6 * (time.process_time() - started) / calls

    async def added() -> float:
        return await once(breaker(CircuitBreaker("x"))(answers)) - await once(answers)

    runs = [asyncio.run(added()) for _ in range(rounds)]
    return Row("closed breaker", runs, "us/call", 3.0, at_least=False)


def run(rounds: int) -> list[Row]:
    """The rows of all of them."""
    return [*picks(rounds), closed_breaker(rounds), guarded_call(rounds)]
