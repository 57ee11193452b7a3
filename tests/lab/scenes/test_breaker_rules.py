"""Where the rules of gobreaker and Hystrix differ from ours, one difference a test."""

import asyncio

from course_lib.errors import CircuitOpen, Unavailable
from course_lib.lab.scenes.breaker_rules import GobreakerRules, HystrixRules
from course_lib.middleware.breaker import CircuitBreaker, breaker


async def call(circuit: CircuitBreaker, *good: bool, seconds: float = 0.0) -> list[str]:
    """Call once for each word, True for one that succeeds; says what came of it."""

    async def inner(request: bool) -> str:
        await asyncio.sleep(seconds)
        if not request:
            raise Unavailable()
        return "ok"

    came: list[str] = []
    for each in good:
        try:
            came.append(await breaker(circuit)(inner)(each))
        except (Unavailable, CircuitOpen) as error:
            came.append(type(error).__name__)
    return came


async def test_gobreaker_opens_at_the_sixth_failure_in_a_row_and_never_at_two_of_three() -> None:
    circuit = GobreakerRules("shop")
    await call(circuit, *[False, False, True] * 100)
    await call(circuit, *[False] * 5)
    assert circuit.state == "closed"
    await call(circuit, False)
    assert circuit.state == "open"


async def test_gobreaker_closes_when_all_its_probes_are_good_and_opens_at_the_first_bad() -> None:
    circuit = GobreakerRules("shop", max_requests=3)
    await call(circuit, *[False] * 6)
    await asyncio.sleep(61)
    await call(circuit, True, True, False)
    assert circuit.state == "open"
    await asyncio.sleep(61)
    await call(circuit, True, True, True)
    assert circuit.state == "closed"


async def test_gobreaker_counts_a_cancelled_probe_as_a_failure() -> None:
    circuit = GobreakerRules("shop")
    await call(circuit, *[False] * 6)
    await asyncio.sleep(61)
    probe = asyncio.create_task(call(circuit, True, seconds=9))
    await asyncio.sleep(0)
    probe.cancel()
    await asyncio.wait([probe])
    assert circuit.state == "open"


async def test_hystrix_needs_twenty_calls_in_ten_seconds_and_looks_every_half_second() -> None:
    circuit = HystrixRules("shop")
    await call(circuit, *[False] * 19)
    await asyncio.sleep(0.6)
    assert await call(circuit, False) == ["Unavailable"]
    assert await call(circuit, False) == ["Unavailable"]
    await asyncio.sleep(0.5)
    assert await call(circuit, True) == ["CircuitOpen"]


async def test_hystrix_forgets_what_is_older_than_ten_seconds() -> None:
    circuit = HystrixRules("shop")
    await call(circuit, *[False] * 15)
    await asyncio.sleep(10.6)
    await call(circuit, *[False] * 15)
    await asyncio.sleep(0.6)
    assert await call(circuit, True) == ["ok"]


async def test_hystrix_lets_a_single_probe_through_after_five_seconds() -> None:
    circuit = HystrixRules("shop")
    await call(circuit, *[False] * 20)
    await asyncio.sleep(0.5)
    assert await call(circuit, True) == ["CircuitOpen"]
    await asyncio.sleep(5.1)
    came = await asyncio.gather(*(call(circuit, True, seconds=1) for _ in range(5)))
    assert came == [["ok"], *[["CircuitOpen"]] * 4]
    assert circuit.state == "closed"


async def test_hystrix_takes_a_late_result_of_an_older_call_for_the_probe() -> None:
    circuit = HystrixRules("shop")
    late = asyncio.create_task(call(circuit, True, seconds=6.5))
    await call(circuit, *[False] * 20)
    await asyncio.sleep(6)
    probe = asyncio.create_task(call(circuit, False, seconds=3))
    await asyncio.sleep(0)
    assert circuit.state == "half_open"
    await late
    assert circuit.state == "closed"
    await probe
