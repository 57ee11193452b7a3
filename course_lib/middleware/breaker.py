"""A circuit breaker stops calling somebody who keeps failing, and tries again with a few probes.

closed -> open when too many calls fail or are slow; open -> half_open at the first call after
`open_seconds`; half_open -> closed or open when the probes are judged. The rules are those of
resilience4j, the generations gobreaker's. A probe that never ends keeps its permit: put a timeout
inside the breaker.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from math import inf, ulp
from typing import Any

from course_lib.endpoint import Endpoint, Middleware
from course_lib.errors import Answer, CircuitOpen

OnTransition = Callable[[str, str, str, float], None]


def not_an_answer(error: Exception) -> bool:
    """Whether an error counts as a failure: an answer is a success, anything else is not."""
    return not isinstance(error, Answer)


class _Window:
    """The latest results, by count or by age, and how many of them failed or were slow."""

    def __init__(self, calls: float, seconds: float | None) -> None:
        self.calls, self.seconds = calls, seconds
        self.results: deque[tuple[float, bool, bool]] = deque()
        self.failed = self.slow = 0

    def add(self, now: float, failed: bool, slow: bool) -> None:
        results, seconds = self.results, self.seconds
        results.append((now, failed, slow))
        if failed:
            self.failed += 1
        if slow:
            self.slow += 1
        while results[0][0] + seconds <= now if seconds is not None else len(results) > self.calls:
            _, old_failed, old_slow = results.popleft()
            if old_failed:
                self.failed -= 1
            if old_slow:
                self.slow -= 1


class CircuitBreaker:
    """What is known of one instance or service, and whether it may be called. Times in seconds.

    Opens when a rate reaches its threshold among the last `window` calls (or the calls of the
    last `window_seconds`), at least `minimum_calls` of them. A call is slow when it takes
    strictly longer than `slow_call_seconds`. `is_failure` says True, False, or None to ignore.
    """

    def __init__(
        self,
        name: str,
        *,
        failure_rate_threshold: float = 0.5,
        slow_call_seconds: float = 60.0,
        slow_call_rate_threshold: float = 1.0,
        window: int = 100,
        window_seconds: float | None = None,
        minimum_calls: int = 100,
        open_seconds: float = 60.0,
        half_open_permits: int = 10,
        is_failure: Callable[[Exception], bool | None] = not_an_answer,
        on_transition: OnTransition | None = None,
    ) -> None:
        if min(window, minimum_calls, half_open_permits) < 1:
            raise ValueError("window, minimum_calls and half_open_permits: expected 1 or more")
        for rate in (failure_rate_threshold, slow_call_rate_threshold):
            if not 0 <= rate <= 1:
                raise ValueError(f"a rate threshold is a share from 0 to 1, got {rate}")
        if window_seconds is not None and not window_seconds > 0:
            raise ValueError(f"window_seconds: expected more than 0, got {window_seconds}")
        self.name = name
        self.failure_rate_threshold = failure_rate_threshold
        self.slow_call_seconds = slow_call_seconds
        self.slow_call_rate_threshold = slow_call_rate_threshold
        self.window = window
        self.window_seconds = window_seconds
        # A count window never holds more than its size, so asking for more would never open.
        self.minimum_calls = min(minimum_calls, window) if window_seconds is None else minimum_calls
        self.open_seconds = open_seconds
        self.half_open_permits = half_open_permits
        self.is_failure = is_failure
        self.on_transition = on_transition
        self._to_judge = min(minimum_calls, half_open_permits)
        self._needed = self.minimum_calls
        self._state = "closed"
        self._generation = 0
        self._permits = 0
        self._open_until = 0.0
        self._results = _Window(window, window_seconds)

    @property
    def state(self) -> str:
        """ "closed", "open" or "half_open"; open lasts until a call comes after its time."""
        return self._state

    @property
    def refusing(self) -> bool:
        """Whether a call made now would be refused, so that a balancer may look elsewhere."""
        if self._state == "open":
            return asyncio.get_running_loop().time() <= self._open_until
        return self._state == "half_open" and not self._permits

    def admit(self, now: float) -> int:
        """Let a call through and return the generation it belongs to, or raise CircuitOpen."""
        if self._state == "closed":
            return self._generation
        if self._state == "open":
            if now <= self._open_until:
                # At the very end it is one tick, or whoever waits that long would never get on.
                wait = self._open_until - now or ulp(now)
                raise CircuitOpen(
                    f"{self.name} is open for another {wait:.3g} s", retry_after_seconds=wait
                )
            self._turn("half_open", now)
        if not self._permits:
            raise CircuitOpen(f"{self.name} is half open and its probes are on their way")
        self._permits -= 1
        return self._generation

    def record(self, generation: int, started: float, now: float, failed: bool | None) -> None:
        """Take the result of an admitted call; None gives its permit back and counts nothing.

        A result of an earlier generation is too late to say anything about this one.
        """
        if generation != self._generation:
            return
        if failed is None:
            self._permits += self._state == "half_open"
            return
        results = self._results
        results.add(now, failed, now > started + self.slow_call_seconds)
        count = len(results.results)
        if count < self._needed:
            return
        if (
            results.failed / count >= self.failure_rate_threshold
            or results.slow / count >= self.slow_call_rate_threshold
        ):
            self._turn("open", now)
        elif self._state == "half_open":
            self._turn("closed", now)

    def _turn(self, new: str, now: float) -> None:
        old, self._state = self._state, new
        self._generation += 1
        self._open_until = now + self.open_seconds
        self._permits = self.half_open_permits
        self._needed = self.minimum_calls if new == "closed" else self._to_judge
        self._results = (
            _Window(self.window, self.window_seconds) if new == "closed" else _Window(inf, None)
        )
        if self.on_transition is not None:
            self.on_transition(self.name, old, new, now)


def breaker(circuit_breaker: CircuitBreaker) -> Middleware:
    """Call through `circuit_breaker`; raises CircuitOpen while it does not let calls through.

    A call that is cancelled says nothing about the other side and counts as nothing.
    """

    def wrap(inner: Endpoint) -> Endpoint:
        async def endpoint(request: Any) -> Any:
            clock = asyncio.get_running_loop().time
            started = clock()
            generation = circuit_breaker.admit(started)
            failed: bool | None = None
            try:
                response = await inner(request)
                failed = False
                return response
            except Exception as error:
                failed = circuit_breaker.is_failure(error)
                raise
            finally:
                circuit_breaker.record(generation, started, clock(), failed)

        return endpoint

    return wrap
