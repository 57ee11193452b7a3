"""A herd: many callers at once before a service that still fails, and a breaker between them.

pybreaker tells the wall clock's time, so this runs in real time.
"""

import asyncio
from contextlib import AbstractContextManager
from typing import Any, Protocol

from course_lib.endpoint import Endpoint, Middleware
from course_lib.errors import Unavailable

_SECONDS = 0.01


class Calling(Protocol):
    """The part of pybreaker's CircuitBreaker that may go around an `await`; its `call` may not."""

    def calling(self) -> AbstractContextManager[Any]:
        """Raise CircuitBreakerError while it is open; judge by how the block ends."""


def calling(circuit: Calling) -> Middleware:
    """The real pybreaker as a middleware."""

    def wrap(inner: Endpoint) -> Endpoint:
        async def endpoint(request: Any) -> Any:
            with circuit.calling():
                return await inner(request)

        return endpoint

    return wrap


async def let_through(guard: Middleware, callers: int) -> int:
    """Send a call for each of the callers at once; returns how many reached the service."""
    reached = 0

    async def broken(request: Any) -> None:
        nonlocal reached
        reached += 1
        await asyncio.sleep(_SECONDS)
        raise Unavailable("still broken")

    guarded = guard(broken)
    await asyncio.gather(*(guarded(n) for n in range(callers)), return_exceptions=True)
    return reached
