"""How the process itself fares: garbage collection, threads, memory, and the loop's lag.

The lag is how much later than asked for a task woke up: what every request has to wait besides its
own work. Names follow Prometheus' Python client where it has them. `stop()` leaves nothing behind.
"""

import asyncio
import gc
import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Self

import psutil

from course_lib.telemetry.metrics import (
    CollectorRegistry,
    Counter,
    CounterMetricFamily,
    GaugeMetricFamily,
    Histogram,
)

PAUSE_BUCKETS_SECONDS = (0.0001, 0.001, 0.01, 0.1, 1.0)
LAG_BUCKETS_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Runtime:
    """Metrics of this process in a registry, from `start()` to `stop()`; or `async with`.

    The loop it is started on is the one whose lag is measured, every `every_seconds`. The other
    figures are read when they are scraped.
    """

    def __init__(self, registry: CollectorRegistry, *, every_seconds: float = 0.1) -> None:
        self._every_seconds = every_seconds
        self._task: asyncio.Task[None] | None = None
        self._clock = time.monotonic
        self._due = math.inf
        self._longest_seconds = 0.0
        self._began = 0.0
        self._collected: deque[tuple[int, float]] = deque()
        self._process = psutil.Process()
        self._collections = Counter(
            "python_gc_collections", "Garbage collections", ["generation"], registry=registry
        )
        self._pauses = Histogram(
            "python_gc_pause_seconds",
            "How long the process stood still for a garbage collection",
            registry=registry,
            buckets=PAUSE_BUCKETS_SECONDS,
        )
        self._lag = Histogram(
            "event_loop_lag_seconds",
            "How much later than asked for a task woke up",
            registry=registry,
            buckets=LAG_BUCKETS_SECONDS,
        )
        registry.register(self)

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """The figures that are read when they are scraped."""
        cpu, memory = self._process.cpu_times(), self._process.memory_info()
        gauge, counter = GaugeMetricFamily, CounterMetricFamily
        yield gauge("event_loop_lag_seconds_max", "The longest lag so far", self.longest_lag())
        yield gauge("python_threads", "Threads that are alive", threading.active_count())
        yield gauge("python_tasks", "Tasks of the loop that are not done", self._tasks())
        yield gauge("process_resident_memory_bytes", "Memory in RAM", memory.rss)
        yield counter("process_cpu_seconds", "CPU time used so far", cpu.user + cpu.system)

    describe = collect  # so that the registry knows their names

    def longest_lag(self) -> float:
        """Seconds; read from another thread it also knows of a block that is not over."""
        return max(self._longest_seconds, self._clock() - self._due)

    def start(self) -> Self:
        """Measure the running loop; starting again changes nothing."""
        self._forget_a_closed_loop()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._measure(), name="loop lag")
            self._task.add_done_callback(self._ended)
            gc.callbacks.append(self._on_collection)
        return self

    async def stop(self) -> None:
        """Measure no more; the figures stay."""
        self._forget_a_closed_loop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _measure(self) -> None:
        self._clock = asyncio.get_running_loop().time
        try:
            while True:
                self._due = self._clock() + self._every_seconds
                await asyncio.sleep(self._every_seconds)
                lag = max(self._clock() - self._due, 0.0)
                self._lag.observe(lag)
                self._longest_seconds = max(self._longest_seconds, lag)
                self._count_collections()
        finally:
            self._due = math.inf

    def _forget_a_closed_loop(self) -> None:
        if self._task is not None and self._task.get_loop().is_closed():
            self._ended(None)

    def _ended(self, _: object) -> None:  # also when the loop ends before anybody has stopped it
        self._task = None
        gc.callbacks.remove(self._on_collection)
        self._count_collections()

    def _on_collection(self, phase: str, details: dict[str, int]) -> None:
        # A collection may begin while a metric's lock is held, so no metric may be touched here.
        if phase == "start":
            self._began = time.perf_counter()
        elif self._began:
            self._collected.append((details["generation"], time.perf_counter() - self._began))

    def _count_collections(self) -> None:
        while self._collected:
            generation, seconds = self._collected.popleft()
            self._collections.labels(str(generation)).inc()
            self._pauses.observe(seconds)

    def _tasks(self) -> int:
        return 0 if self._task is None else len(asyncio.all_tasks(self._task.get_loop()))
