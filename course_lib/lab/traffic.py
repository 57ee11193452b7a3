"""Steady traffic that runs beside the learner, with what came of it over the last seconds.

Requests leave at random instants at `rate` a second whether or not the earlier ones have come
back (open loop), by the clock: what came due while a picture was drawn is sent during the next
frame, spread over it.
It is really sent: what is counted was answered by the instances themselves.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any, NamedTuple, Protocol

FRAME_SECONDS, RATE_OVER_SECONDS = 0.2, 1.0
_MOST_LATE_SECONDS = 1.0  # what came due while a laptop slept is not sent all at once


class Instance(Protocol):
    """What a control panel needs of an instance; `lab.fleet` has it."""

    @property
    def state(self) -> str:
        """Such as "up", "slow", "paused" or "down"."""

    @property
    def served(self) -> int:
        """Requests answered so far."""

    def kill(self) -> None:
        """Crash."""

    def revive(self) -> None:
        """Start again."""

    def slow_down(self, seconds: float) -> None:
        """Take so much longer."""


class Sample(NamedTuple):
    """One frame: seconds of traffic so far, answers a second by instance, failed calls in %."""

    at: float
    answered: dict[str, float]
    failed_percent: float


class Traffic:
    """Calls `call()` `rate` times a second while it runs; `samples` hold the last window."""

    def __init__(
        self,
        instances: Mapping[str, Instance],
        call: Callable[[], Awaitable[Any]],
        *,
        rate: float,
        rng: Random,
        window_seconds: float = 30.0,
        frame_seconds: float = FRAME_SECONDS,
        timeout_seconds: float = 2.0,
        most_at_once: int = 200,
    ) -> None:
        self.instances, self.call, self.rate, self.rng = instances, call, rate, rng
        self.timeout_seconds, self.most_at_once = timeout_seconds, most_at_once
        self.frame_seconds = frame_seconds
        self.samples: deque[Sample] = deque(maxlen=round(window_seconds / frame_seconds))
        self.outcomes: Counter[str] = Counter()
        self.seconds = 0.0
        self._marked_at = self._sent_until = 0.0
        self._in_flight: set[asyncio.Task[None]] = set()
        length = round(RATE_OVER_SECONDS / frame_seconds) + 1
        self._marks: deque[tuple[float, dict[str, int], int, int]] = deque(maxlen=length)

    async def frame(self) -> Sample:
        """Send what came due since the last frame and during this one, then count."""
        clock = asyncio.get_running_loop().time
        if not self._marks:
            self._marked_at = self._sent_until = clock()
            self._mark()
        now = clock()
        late = min(max(0.0, now - self._sent_until), _MOST_LATE_SECONDS)
        faster = (self.frame_seconds + late) / self.frame_seconds  # spread, and not sent in a burst
        self._sent_until = now + self.frame_seconds
        due = now + self._gap() / faster
        while due < self._sent_until:
            await asyncio.sleep(max(0.0, due - clock()))
            self._send()
            due += self._gap() / faster
        await asyncio.sleep(max(0.0, self._sent_until - clock()))
        self._mark()
        self.samples.append(self._sample())
        return self.samples[-1]

    def pause(self) -> None:
        """Give up what is in flight and start counting anew with the next frame."""
        for task in self._in_flight:
            task.cancel()
        self._marks.clear()

    async def stop(self) -> None:
        """Like `pause`, and wait until nothing is in flight."""
        self.pause()
        await asyncio.gather(*self._in_flight, return_exceptions=True)

    def _gap(self) -> float:
        return self.rng.expovariate(self.rate) if self.rate > 0 else float("inf")

    def _send(self) -> None:
        if len(self._in_flight) >= self.most_at_once:
            self.outcomes["not sent, too many in flight"] += 1
            return
        task = asyncio.get_running_loop().create_task(self._one())
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)

    async def _one(self) -> None:
        limit = asyncio.timeout(self.timeout_seconds)
        try:
            async with limit:
                await self.call()
        except Exception as error:  # whatever it is, it is what the picture shows
            ours = f" (no answer within {self.timeout_seconds:g} s)" if limit.expired() else ""
            self.outcomes[f"{type(error).__name__}{ours}"] += 1
        else:
            self.outcomes["ok"] += 1

    def _mark(self) -> None:
        now = asyncio.get_running_loop().time()
        self.seconds += now - self._marked_at
        self._marked_at = now
        served = {name: instance.served for name, instance in self.instances.items()}
        done = sum(self.outcomes.values())
        self._marks.append((self.seconds, served, done, done - self.outcomes["ok"]))

    def _sample(self) -> Sample:
        (start, before, done_before, failed_before), (end, now, done, failed) = (
            self._marks[0],
            self._marks[-1],
        )
        passed = max(end - start, 1e-9)
        answered = {name: max(0, now[name] - before[name]) / passed for name in now}
        calls = done - done_before
        return Sample(end, answered, 100 * (failed - failed_before) / calls if calls else 0.0)
