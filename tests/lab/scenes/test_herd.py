"""Before a broken service: every caller gets through an open door, and pybreaker's herd is real."""

import asyncio

import pybreaker

from course_lib.lab.scenes.herd import calling, let_through
from course_lib.middleware.breaker import CircuitBreaker, breaker


async def test_without_a_guard_every_caller_reaches_the_service() -> None:
    assert await let_through(lambda inner: inner, 50) == 50


async def test_the_real_pybreaker_lets_all_through_that_come_before_its_probe_is_back() -> None:
    circuit = pybreaker.CircuitBreaker(reset_timeout=0)
    circuit.open()
    assert await let_through(calling(circuit), 50) == 50
    assert circuit.current_state == "open"


async def test_the_real_pybreaker_refuses_all_while_it_is_open() -> None:
    circuit = pybreaker.CircuitBreaker(reset_timeout=3600)
    circuit.open()
    assert await let_through(calling(circuit), 50) == 0


async def test_ours_lets_as_many_through_as_it_has_permits() -> None:
    circuit = CircuitBreaker("ours", open_seconds=0, half_open_permits=10)
    assert await let_through(breaker(circuit), 100) == 100
    await asyncio.sleep(1)
    assert await let_through(breaker(circuit), 50) == 10
