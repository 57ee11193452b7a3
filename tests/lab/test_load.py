"""Load: closed and open loop, latency from the intended start, percentiles, groups, progress."""

import asyncio
import math
import time
from random import Random
from typing import Any

import pytest

from course_lib.errors import Overloaded
from course_lib.lab import virtual_time
from course_lib.lab.load import Call, Result, load


async def in_10_ms(request: Any) -> Any:
    await asyncio.sleep(0.01)
    return request


async def test_a_closed_loop_keeps_so_many_calls_running():
    running = most = 0

    async def endpoint(request: Any) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    result = await load(endpoint, requests=60, at_once=6)
    assert most == 6
    assert len(result.calls) == 60
    assert result.duration_seconds == pytest.approx(0.1)
    assert result.throughput == pytest.approx(600)
    assert (result.p50, result.p99) == pytest.approx((0.01, 0.01))


async def test_an_open_loop_sends_at_its_rate_whatever_the_service_does():
    result = await load(in_10_ms, rate=100, seconds=100, rng=Random(1))
    assert len(result.calls) == pytest.approx(10_000, rel=0.03)
    gaps = [b.started - a.started for a, b in zip(result.calls, result.calls[1:], strict=False)]
    assert sum(gap > 0.01 for gap in gaps) / len(gaps) == pytest.approx(math.exp(-1), abs=0.02)


async def test_latency_counts_from_the_intended_start():
    async def blocks_the_loop_once(request: int) -> None:
        if request == 0:
            virtual = asyncio.get_running_loop()
            virtual._now += 1.0  # type: ignore[attr-defined]  # as a long computation would

    result = await load(
        blocks_the_loop_once, rate=10, seconds=1, rng=Random(3), request=lambda n: n
    )
    assert len(result.calls) > 3
    late = [call.started + call.seconds for call in result.calls]
    assert all(instant >= 1.0 for instant in late)
    assert all(call.started < 1.0 for call in result.calls)


async def test_a_single_queue_shows_the_wait_of_every_call():
    lock = asyncio.Lock()

    async def one_at_a_time(request: Any) -> None:
        async with lock:
            await asyncio.sleep(0.01)

    result = await load(one_at_a_time, requests=10, at_once=10)
    assert [round(seconds, 9) for seconds in result.latencies] == [
        round(0.01 * n, 9) for n in range(1, 11)
    ]


async def test_errors_are_counted_by_name_and_answers_by_label():
    async def endpoint(request: int) -> str:
        if request % 4 == 0:
            raise Overloaded("no")
        return "ab"[request % 2]

    result = await load(endpoint, requests=8, request=lambda n: n, label=str)
    assert result.outcomes == {"ok": 6, "Overloaded": 2}
    assert result.count == {"a": 2, "b": 4, "Overloaded": 2}
    assert {label: len(part.calls) for label, part in result.by.items()} == result.count
    assert len(result.only("ok").calls) == 6
    assert repr(result) == "8 calls, 6 ok, 2 Overloaded"


def test_percentiles_are_nearest_ranks():
    result = Result([Call(0.0, n / 1000, "ok", "ok") for n in range(100, 0, -1)], 1.0)
    assert (result.p50, result.p95, result.p99) == (0.05, 0.095, 0.099)
    assert result.percentile(7) == 0.007  # 7 / 100 * 100 is more than 7 in floats
    assert result.percentile(100) == 0.1
    assert result.percentile(0) == 0.001
    assert math.isnan(Result([], 1.0).p99)


async def test_progress_is_told_at_intervals_and_at_the_end():
    seen: list[int] = []
    await load(
        in_10_ms,
        requests=10,
        on_progress=lambda result: seen.append(len(result.calls)),
        progress_seconds=0.065,
    )
    assert seen == [6, 10]


async def test_a_progress_callback_that_fails_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        await load(in_10_ms, requests=50, on_progress=lambda _: 1 / 0)


@pytest.mark.parametrize("wrong", [{}, {"rate": 5}, {"rate": 5, "seconds": 1}])
async def test_a_load_without_a_size_is_refused_in_words(wrong: dict[str, Any]):
    with pytest.raises(TypeError, match="closed loop"):
        await load(in_10_ms, **wrong)


@pytest.mark.parametrize("wrong", [{"requests": 5, "at_once": 0}, {"rate": 0}, {"rate": -5}])
async def test_a_load_that_could_not_end_or_begin_is_refused_in_words(wrong: dict[str, Any]):
    with pytest.raises(ValueError, match="at_once must be at least 1, rate above 0"):
        await load(in_10_ms, **wrong)


async def test_a_call_that_was_cancelled_somewhere_else_counts_too():
    async def endpoint(request: Any) -> None:
        raise asyncio.CancelledError

    assert (await load(endpoint, requests=5, at_once=2)).outcomes == {"CancelledError": 5}


def test_a_load_in_virtual_time_gives_the_same_numbers_every_time():
    async def main() -> list[Call]:
        return (await load(in_10_ms, rate=50, seconds=20, rng=Random(5))).calls

    assert virtual_time.run(main) == virtual_time.run(main)


@pytest.mark.real_time
async def test_a_load_works_in_real_time():
    began = time.monotonic()
    result = await load(in_10_ms, requests=20, at_once=10)
    assert time.monotonic() - began > 0.015
    assert result.outcomes == {"ok": 20}


@pytest.mark.real_time
async def test_a_cancelled_load_leaves_no_call_running():
    running = 0

    async def endpoint(request: Any) -> None:
        nonlocal running
        running += 1
        try:
            await asyncio.Event().wait()
        finally:
            running -= 1

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await load(endpoint, requests=5, at_once=5, on_progress=lambda _: None)
    assert running == 0
    assert len(asyncio.all_tasks()) == 1
