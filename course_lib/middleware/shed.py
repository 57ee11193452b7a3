"""Load shedding refuses what the service could not answer in time, so that the rest is in time.

Unlike a bulkhead it finds its own limit: additive increase, multiplicative decrease, as TCP
does (Jacobson, "Congestion Avoidance and Control", 1988).
"""

import asyncio
from collections.abc import Callable
from typing import Any

from course_lib.endpoint import Endpoint, Middleware
from course_lib.errors import Overloaded


class AdaptiveLimit:
    """How many requests may be in flight at once; it follows how long they take, in seconds.

    An answer in time raises it by 1 / limit while it is in use; one too late lowers it by a
    tenth, at most once for the requests that were in flight together. A request that was
    cancelled in time says nothing.
    """

    def __init__(
        self, target_seconds: float, *, initial: float = 20.0, least: float = 1.0, most: float = 1e4
    ) -> None:
        self.target_seconds = target_seconds
        self.limit = initial
        self.least, self.most = least, most
        self.in_flight = 0
        self._lowered_at = float("-inf")

    def finished(self, started: float, now: float, *, cancelled: bool = False) -> None:
        """Learn from a request that ran from `started` to `now`."""
        if now > started + self.target_seconds:
            if started >= self._lowered_at:
                self.limit = max(self.least, self.limit * 0.9)
                self._lowered_at = now
        elif not cancelled and 2 * self.in_flight >= self.limit:
            self.limit = min(self.most, self.limit + 1 / self.limit)


def _all_alike(request: Any) -> float:
    return 1.0


def shed(limit: AdaptiveLimit, *, share: Callable[[Any], float] = _all_alike) -> Middleware:
    """Refuse with Overloaded what exceeds the limit.

    `share` says how much of the limit requests of this kind may fill, from 0 to 1, so that the
    less important ones are refused first.
    """

    def wrap(inner: Endpoint) -> Endpoint:
        async def endpoint(request: Any) -> Any:
            if limit.in_flight >= limit.limit * share(request):
                raise Overloaded(
                    f"{limit.in_flight} requests in flight, {limit.limit:.0f} can be in time",
                    retry_after_seconds=limit.target_seconds,
                )
            clock = asyncio.get_running_loop().time
            started = clock()
            cancelled = False
            limit.in_flight += 1
            try:
                return await inner(request)
            except asyncio.CancelledError:
                cancelled = True
                raise
            finally:
                limit.finished(started, clock(), cancelled=cancelled)
                limit.in_flight -= 1

        return endpoint

    return wrap
