"""Faults on purpose: make a share of the calls slow, failing, hanging or lost.

`Faults` wraps an endpoint, on the client's or the server's side; what it does can be changed
while calls are running. `slowed` does the simplest of it to a whole ASGI application.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from course_lib.endpoint import Endpoint
from course_lib.errors import CallError, Internal, Unavailable


class Faults:
    """A middleware that breaks calls at given rates (0 to 1), drawn from the given source.

    `slow` is the share of calls that take `slow_seconds` longer. Of all calls, `error` fail with
    `failure` instead of being made, `hang` never come back, and `drop` are made but their answer
    is lost. The three exclude each other, so together they may not be more than 1.
    """

    def __init__(
        self,
        rng: random.Random,
        *,
        slow: float = 0.0,
        slow_seconds: float = 0.1,
        error: float = 0.0,
        hang: float = 0.0,
        drop: float = 0.0,
        failure: Callable[[str], CallError] = Internal,
    ) -> None:
        self._rng = rng
        self.slow, self.slow_seconds = slow, slow_seconds
        self.error, self.hang, self.drop = error, hang, drop
        self.failure = failure

    def heal(self) -> None:
        """Stop doing harm."""
        self.slow = self.error = self.hang = self.drop = 0.0

    def __call__(self, inner: Endpoint) -> Endpoint:
        """Wrap an endpoint."""

        async def endpoint(request: Any) -> Any:
            # Two draws for each call, whatever the rates: changing one keeps the others' dice.
            slow, fate = self._rng.random(), self._rng.random()
            if slow < self.slow:
                await asyncio.sleep(self.slow_seconds)
            if fate < self.error:
                raise self.failure("this call fails on purpose")
            if fate < self.error + self.hang:
                await asyncio.get_running_loop().create_future()
            response = await inner(request)
            if fate < self.error + self.hang + self.drop:
                raise Unavailable("the answer was lost on purpose")
            return response

        return endpoint


def slowed(app: Any, delay: Callable[[], float]) -> Any:
    """An ASGI application that waits `delay()` seconds before each request."""

    async def slow_app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and (seconds := delay()) > 0:
            await asyncio.sleep(seconds)
        await app(scope, receive, send)

    return slow_app
