"""Runtime metrics: what a blocked loop shows, and that measuring leaves nothing behind."""

import asyncio
import gc
import threading
import time
from typing import Any

import pytest

from course_lib.telemetry.metrics import CollectorRegistry, Gauge
from course_lib.telemetry.runtime import Runtime

pytestmark = pytest.mark.real_time


def read(registry: CollectorRegistry, name: str, **labels: str) -> Any:
    return registry.get_sample_value(name, labels)


async def test_a_blocked_loop_shows_in_the_lag_by_as_much_as_it_was_blocked():
    registry = CollectorRegistry()
    async with Runtime(registry, every_seconds=0.01):
        await asyncio.sleep(0.02)
        time.sleep(0.3)  # what a blocking call in a coroutine does
        await asyncio.sleep(0.02)
    assert 0.25 < read(registry, "event_loop_lag_seconds_max") < 1
    short = read(registry, "event_loop_lag_seconds_bucket", le="0.25")
    assert short < read(registry, "event_loop_lag_seconds_count")


async def test_from_another_thread_a_block_shows_while_it_lasts():
    registry = CollectorRegistry()
    seen = []

    def scrape() -> None:
        time.sleep(0.2)
        seen.append(read(registry, "event_loop_lag_seconds_max"))

    async with Runtime(registry, every_seconds=0.01):
        await asyncio.sleep(0)
        thread = threading.Thread(target=scrape)
        thread.start()
        thread.join()  # blocks the loop
    assert seen[0] > 0.1


async def test_a_loop_that_is_not_blocked_has_hardly_any_lag():
    registry = CollectorRegistry()
    async with Runtime(registry, every_seconds=0.005):
        await asyncio.sleep(0.1)
    count = read(registry, "event_loop_lag_seconds_count")
    assert count > 5
    assert read(registry, "event_loop_lag_seconds_bucket", le="0.05") >= 0.8 * count


async def test_collections_are_counted_by_generation_and_their_pauses_measured():
    registry = CollectorRegistry()
    async with Runtime(registry):
        gc.collect(0)
        gc.collect(2)
    assert read(registry, "python_gc_collections_total", generation="2") >= 1
    assert read(registry, "python_gc_collections_total", generation="0") >= 1
    assert read(registry, "python_gc_pause_seconds_count") >= 2


async def test_threads_tasks_and_memory_are_what_they_are_when_scraped():
    registry = CollectorRegistry()
    go = threading.Event()
    async with Runtime(registry):
        before = read(registry, "python_threads"), read(registry, "python_tasks")
        thread = threading.Thread(target=go.wait)
        thread.start()
        task = asyncio.create_task(asyncio.sleep(60))
        after = read(registry, "python_threads"), read(registry, "python_tasks")
        go.set()
        thread.join()
        task.cancel()
        assert read(registry, "process_resident_memory_bytes") > 10_000_000
        assert read(registry, "process_cpu_seconds_total") > 0
        kinds = {family.name: family.type for family in registry.collect()}
        assert (kinds["process_cpu_seconds"], kinds["python_threads"]) == ("counter", "gauge")
    assert (after[0] - before[0], after[1] - before[1]) == (1, 1)


async def test_nothing_is_left_behind_and_the_figures_stay():
    callbacks, tasks = list(gc.callbacks), asyncio.all_tasks()
    registry = CollectorRegistry()
    runtime = Runtime(registry).start()
    assert runtime.start() is runtime
    gc.collect()
    await runtime.stop()
    await runtime.stop()
    assert gc.callbacks == callbacks
    assert asyncio.all_tasks() == tasks
    pauses = read(registry, "python_gc_pause_seconds_count")
    gc.collect()
    assert read(registry, "python_gc_pause_seconds_count") == pauses >= 1


async def test_every_service_has_a_registry_of_its_own():
    async with Runtime(CollectorRegistry()), Runtime(CollectorRegistry()):
        pass


async def test_a_loop_that_ends_before_anybody_has_stopped_it_leaves_nothing_behind_either():
    callbacks = list(gc.callbacks)
    registry = CollectorRegistry()
    runtime = Runtime(registry, every_seconds=0.001)

    async def measured() -> None:
        before = read(registry, "event_loop_lag_seconds_count")
        runtime.start()
        async with asyncio.timeout(5):
            while read(registry, "event_loop_lag_seconds_count") == before:
                await asyncio.sleep(0)

    for _ in range(2):
        await asyncio.to_thread(asyncio.run, measured())
        assert gc.callbacks == callbacks
    await runtime.stop()


def test_a_loop_that_was_closed_with_its_tasks_is_forgotten():
    before = len(gc.callbacks)
    loop = asyncio.new_event_loop()
    runtime = Runtime(CollectorRegistry(), every_seconds=0.01)

    async def begin() -> None:
        runtime.start()

    loop.run_until_complete(begin())
    loop.close()
    asyncio.run(runtime.stop())
    assert len(gc.callbacks) == before


def test_a_registry_refuses_a_second_metric_of_the_same_name():
    registry = CollectorRegistry()
    Runtime(registry)
    with pytest.raises(ValueError, match="python_threads"):
        Gauge("python_threads", "another", registry=registry)
