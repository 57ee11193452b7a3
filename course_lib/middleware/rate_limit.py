"""A rate limit lets calls through at a steady rate, by a token bucket.

A bucket of `burst` tokens fills at `rate_per_second`; each call takes a token. Nothing runs in
the background: the bucket counts up what has dripped in when somebody looks. It starts full, so
"100 a second" with a burst of 1 and a rate of 1 with a burst of 100 are two different limits.
"""

import asyncio
import math
from typing import Any

from course_lib.context import remaining_seconds
from course_lib.endpoint import Endpoint, Middleware
from course_lib.errors import RateLimited

_ROUNDING = 1e-9  # who comes back after exactly the seconds we named must not be sent off again


class TokenBucket:
    """Tokens at `rate_per_second`, at most `burst` saved up, by the clock of the running loop."""

    def __init__(self, rate_per_second: float, burst: int) -> None:
        if not (0 < rate_per_second < math.inf and burst >= 1):
            raise ValueError("rate_per_second must be a number above 0 and burst at least 1")
        self.rate_per_second = rate_per_second
        self.burst = burst
        self._tokens = float(burst)
        self._counted_at: float | None = None
        self._turn = asyncio.Lock()
        self._queued = 0

    def __repr__(self) -> str:
        return f"TokenBucket(rate_per_second={self.rate_per_second:g}, burst={self.burst})"

    def take(self) -> float:
        """Take a token and return 0.0, or take none and return the seconds until there is one."""
        self._fill()
        if self._tokens < 1 - _ROUNDING:
            return (1 - self._tokens) / self.rate_per_second
        self._tokens -= 1
        return 0.0

    async def wait(self) -> None:
        """Take a token, waiting in line for it; a wait beyond the deadline is refused at once."""
        if not self._queued:
            if not self.take():
                return
            self._turn = asyncio.Lock()  # of the loop that runs now
        self._refuse_if_too_late()
        self._queued += 1
        try:
            async with self._turn:  # fair: who came first goes first, who leaves frees the place
                self._fill()
                await asyncio.sleep(max(0.0, (1 - self._tokens) / self.rate_per_second))
                self._fill()
                self._tokens -= 1
        finally:
            self._queued -= 1

    def _fill(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._counted_at is not None and now > self._counted_at:
            dripped = (now - self._counted_at) * self.rate_per_second
            self._tokens = min(self.burst, self._tokens + dripped)
        self._counted_at = now

    def _refuse_if_too_late(self) -> None:
        remaining = remaining_seconds()
        self._fill()
        seconds = (self._queued + 1 - self._tokens) / self.rate_per_second
        if remaining is not None and seconds > remaining:
            raise RateLimited(
                f"the turn comes in {seconds:.3g} s, the deadline in {remaining:.3g} s",
                retry_after_seconds=seconds,
            )


def erroring(bucket: TokenBucket) -> Middleware:
    """Refuse with `RateLimited` when the bucket is empty; the error says when to come back."""

    def wrap(inner: Endpoint) -> Endpoint:
        async def endpoint(request: Any) -> Any:
            wait_seconds = bucket.take()
            if wait_seconds:
                raise RateLimited(
                    f"more than {bucket.rate_per_second:g} calls a second, burst {bucket.burst}",
                    retry_after_seconds=wait_seconds,
                )
            return await inner(request)

        return endpoint

    return wrap


def delaying(bucket: TokenBucket) -> Middleware:
    """Let each call wait for its turn; only the deadline bounds the line, so set one outside."""

    def wrap(inner: Endpoint) -> Endpoint:
        async def endpoint(request: Any) -> Any:
            await bucket.wait()
            return await inner(request)

        return endpoint

    return wrap
