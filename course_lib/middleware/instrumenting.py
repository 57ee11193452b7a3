"""Instrumenting counts and times every call by its outcome, and knows no metrics library.

`telemetry.metrics.Red` has an `observe` that fits; a test hands in a list's `append`. Durations are
as fine as the loop's clock: uvloop's, but for the lab's own, counts whole milliseconds.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from course_lib.endpoint import Endpoint, Middleware, until_over
from course_lib.errors import outcome

Observe = Callable[[str, str, float], None]
Clock = Callable[[], float]


def instrumenting(observe: Observe, *, operation: str) -> Middleware:
    """Call `observe(operation, outcome, seconds)` once for each call that ends, however it ends.

    The call of a stream ends with the stream.
    """

    def over(clock: Clock, started: float, error: BaseException | None) -> None:
        observe(operation, outcome(error), clock() - started)

    def wrap(inner: Endpoint) -> Endpoint:
        async def endpoint(request: Any) -> Any:
            clock = asyncio.get_running_loop().time
            started = clock()
            try:
                response = await inner(request)
            except BaseException as error:
                over(clock, started, error)
                raise
            if hasattr(response, "__anext__"):
                return await until_over(response, partial(over, clock, started))
            observe(operation, "ok", clock() - started)
            return response

        return endpoint

    return wrap
