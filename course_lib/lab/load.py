"""Load on an endpoint: a fixed number of callers, or arrivals that wait for nobody.

Closed loop: each of `at_once` callers sends its next request when it has its answer. Open loop:
requests arrive at random times (a Poisson process), whether or not the service keeps up. Works
on any endpoint, in real and in virtual time.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

from course_lib.endpoint import Endpoint
from course_lib.lab.result import Call, Result


async def load(
    endpoint: Endpoint,
    *,
    requests: int | None = None,
    at_once: int = 1,
    rate: float | None = None,
    seconds: float | None = None,
    rng: random.Random | None = None,
    request: Any = None,
    label: Callable[[Any], str] | None = None,
    on_progress: Callable[[Result], None] | None = None,
    progress_seconds: float = 0.1,
) -> Result:
    """Call the endpoint many times and return what came of it.

    Closed loop: `requests` calls, `at_once` at a time. Open loop: `rate` calls a second for
    `seconds`, at times drawn from `rng`. `request` is sent, or what it returns for the number
    of the call (from 0); `label(response)` names a group. `on_progress` sees the result so far
    every `progress_seconds`.
    """
    if at_once < 1 or (rate is not None and not rate > 0):
        raise ValueError(f"at_once must be at least 1, rate above 0; got {at_once} and {rate}")
    run = _Run(endpoint, request if callable(request) else lambda _: request, label)
    async with run.reporting(on_progress, progress_seconds):
        if rate is None and requests is not None:
            numbers = iter(range(requests))
            callers = [run.caller(numbers) for _ in range(min(at_once, requests))]
            await _all(callers)
        elif rate is not None and seconds is not None and rng is not None:
            await run.arrivals(rate, seconds, rng)
        else:
            raise TypeError("give either requests (closed loop), or rate, seconds and rng (open)")
    return run.result()


class _Run:
    def __init__(
        self, endpoint: Endpoint, request: Callable[[int], Any], label: Callable[[Any], str] | None
    ) -> None:
        self._endpoint, self._request, self._label = endpoint, request, label
        self._time = asyncio.get_running_loop().time
        self._began = self._time()
        self._calls: list[Call] = []

    async def call(self, number: int, intended: float) -> None:
        """Make one call and note what came of it."""
        try:
            response = await self._endpoint(self._request(number))
            outcome = "ok"
            label = self._label(response) if self._label else outcome
        except (Exception, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # it is the load that was cancelled, not the call
            outcome = label = type(error).__name__
        taken = self._time() - intended
        self._calls.append(Call(intended - self._began, taken, outcome, label))

    async def caller(self, numbers: Iterator[int]) -> None:
        """Closed loop: take the next number when the last call is over."""
        for number in numbers:
            await self.call(number, self._time())

    async def arrivals(self, rate: float, seconds: float, rng: random.Random) -> None:
        """Open loop: start each call when it is due, whatever became of the others."""
        number, due = 0, self._began + rng.expovariate(rate)
        async with asyncio.TaskGroup() as calls:
            while due < self._began + seconds:
                if (wait := due - self._time()) > 0:
                    await asyncio.sleep(wait)
                # A timer may fire a little early; nothing may take less than no time.
                calls.create_task(self.call(number, min(due, self._time())))
                number, due = number + 1, due + rng.expovariate(rate)

    @asynccontextmanager
    async def reporting(
        self, on_progress: Callable[[Result], None] | None, every_seconds: float
    ) -> AsyncIterator[None]:
        """Tell how far it is, as long as the block lasts."""
        if on_progress is None:
            yield
            return

        async def report() -> None:
            while True:
                await asyncio.sleep(every_seconds)
                on_progress(self.result())

        reporter = asyncio.create_task(report())
        try:
            yield
        finally:
            reporter.cancel()
            await asyncio.wait([reporter])
        if not reporter.cancelled():
            reporter.result()  # the callback failed: say so
        on_progress(self.result())

    def result(self) -> Result:
        """What has come of it so far."""
        return Result(list(self._calls), self._time() - self._began)


async def _all(coroutines: list[Any]) -> None:
    async with asyncio.TaskGroup() as group:
        for coroutine in coroutines:
            group.create_task(coroutine)
