"""Adaptive throttling: a client that is refused too often stops asking so often.

Even a refusal costs the server work. A request is dropped here with the probability
max(0, (requests - k * accepts) / (requests + 1)) over the last two minutes.
Source: "Site Reliability Engineering", chapter 21, "Handling Overload".
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Any

from course_lib.endpoint import Endpoint, Middleware
from course_lib.errors import ComeBackLater, Overloaded, Unavailable


def turned_away(error: Exception) -> bool:
    """Whether the server did not take the request on."""
    return isinstance(error, ComeBackLater | Unavailable)


class Throttle:
    """Counts requests and accepts over a sliding window, in steps of a sixtieth of it.

    With `k` 2 about twice as many requests are sent as are accepted; a smaller one is stricter.
    Never more than `most` are dropped: by the book, after two minutes of refusals one request
    in thousands would be left to find out that the server is back.
    """

    def __init__(
        self, *, k: float = 2.0, window_seconds: float = 120.0, most: float = 0.98
    ) -> None:
        self.k = k
        self.most = most
        self.requests = self.accepts = 0
        self._step_seconds = window_seconds / 60
        self._steps: deque[list[int]] = deque()

    def count(self, now: float, requests: int, accepts: int) -> None:
        """Count what happened now, and forget what is older than the window."""
        step = int(now / self._step_seconds)
        if not self._steps or self._steps[-1][0] != step:
            self._steps.append([step, 0, 0])
        self._steps[-1][1] += requests
        self._steps[-1][2] += accepts
        self.requests += requests
        self.accepts += accepts
        while self._steps[0][0] <= step - 60:
            _, old_requests, old_accepts = self._steps.popleft()
            self.requests -= old_requests
            self.accepts -= old_accepts

    @property
    def drop_probability(self) -> float:
        """How likely the next request is dropped."""
        excess = (self.requests - self.k * self.accepts) / (self.requests + 1)
        return min(self.most, max(0.0, excess))


def throttle(
    state: Throttle,
    rng: random.Random,
    *,
    is_refusal: Callable[[Exception], bool] = turned_away,
) -> Middleware:
    """Drop requests with Overloaded before they are sent, as often as `state` says."""

    def wrap(inner: Endpoint) -> Endpoint:
        async def endpoint(request: Any) -> Any:
            clock = asyncio.get_running_loop().time
            state.count(clock(), 0, 0)
            chance = state.drop_probability
            state.count(clock(), 1, 0)
            if rng.random() < chance:
                raise Overloaded(f"dropped before sending: {chance:.0%} of requests are")
            accepted = 1
            try:
                return await inner(request)
            except Exception as error:
                accepted = 1 - is_refusal(error)
                raise
            finally:
                state.count(clock(), 0, accepted)

        return endpoint

    return wrap
