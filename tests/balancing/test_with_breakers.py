"""The client's side put together: retry, balance, and for each instance breaker and timeout."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from course_lib.balancing import Instance, balance, least_connections
from course_lib.discovery import Endpointer, LocalInstancer, only
from course_lib.endpoint import Endpoint, chain
from course_lib.errors import CallError, Unavailable
from course_lib.middleware.breaker import CircuitBreaker, breaker
from course_lib.middleware.retry import RetryBudget, retry
from course_lib.middleware.timeout import timeout

Discover = Callable[[], Sequence[Instance]]


class Shop:
    """Three instances that answer in 10 ms; those in `dead` refuse the connection at once."""

    def __init__(self) -> None:
        self.dead: set[str] = set()
        self.calls: Counter[str] = Counter()
        self.circuits = {name: CircuitBreaker(name, minimum_calls=10) for name in "abc"}
        instancer = LocalInstancer(Instance(name, f"{name}:80") for name in "abc")
        self.endpointer = Endpointer(instancer, self.connect)

    def connect(self, instance: Instance) -> Endpoint:
        async def endpoint(_request: Any) -> str:
            self.calls[instance.id] += 1
            if instance.id in self.dead:
                raise Unavailable(f"{instance.address}: connection refused")
            await asyncio.sleep(0.01)
            return instance.id

        return chain(breaker(self.circuits[instance.id]), timeout(0.5))(endpoint)

    async def failures(self, discover: Discover, requests: int = 500, at_once: int = 5) -> int:
        """How many of so many requests fail in spite of two attempts."""
        twice = retry(2, budget=RetryBudget(), rng=random.Random(1), base_seconds=0.001)
        call = twice(balance(discover, least_connections()))

        async def user() -> int:
            failed = 0
            for _ in range(requests // at_once):
                try:
                    await call("")
                except CallError:
                    failed += 1
            return failed

        return sum(await asyncio.gather(*(user() for _ in range(at_once))))


async def test_while_all_live_nothing_fails() -> None:
    shop = Shop()
    assert await shop.failures(shop.endpointer) == 0
    assert min(shop.calls.values()) > 100


async def test_an_open_breaker_looks_idle_to_least_connections_and_draws_the_requests() -> None:
    shop = Shop()
    shop.dead.add("b")
    assert await shop.failures(shop.endpointer) > 200
    assert shop.calls["b"] == 10 and shop.circuits["b"].state == "open"


async def test_a_balancer_that_asks_the_breaker_looks_elsewhere() -> None:
    shop = Shop()
    shop.dead.add("b")
    usable = only(shop.endpointer, lambda each: not shop.circuits[each.id].refusing)
    assert await shop.failures(usable) < 20
    assert shop.calls["b"] == 10


async def test_and_finds_the_instance_again_when_it_is_back() -> None:
    shop = Shop()
    usable = only(shop.endpointer, lambda each: not shop.circuits[each.id].refusing)
    shop.dead.add("b")
    await shop.failures(usable)
    shop.dead.clear()
    await asyncio.sleep(61)
    assert await shop.failures(usable) == 0
    assert shop.circuits["b"].state == "closed" and shop.calls["b"] > 100
