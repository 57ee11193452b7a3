"""Logging says of every call what happened, how it ended and how long it took: one event a call.

It takes any `log(event, level=..., **fields)`; `telemetry.logs.json_logger` makes one. What is
in the request stays out of the log: only the service knows which of it is secret.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from course_lib.context import caller
from course_lib.endpoint import Endpoint, Middleware, until_over, within
from course_lib.errors import Failure, outcome, words


def logging(log: Callable[..., None], *, operation: str) -> Middleware:
    """Log the event `call` with operation, outcome, seconds and caller; an error adds its message.

    An answer is logged at level info, a failure at warning, a bug at error. The call of a stream
    ends with the stream.
    """

    write: Any = log.__call__  # type: ignore[operator]  # quicker than calling an object

    def over(
        clock: Callable[[], float], started: float, who: str | None, error: BaseException | None
    ) -> None:
        seconds = round((clock() - started) * 1e6) / 1e6  # quicker than round(..., 6)
        if error is None:
            write("call", operation=operation, outcome="ok", seconds=seconds, caller=who)
            return
        fields = {"outcome": outcome(error), "seconds": seconds, "caller": who}
        write("call", level=_level(error), operation=operation, **fields, error=words(error))

    def wrap(inner: Endpoint) -> Endpoint:
        async def endpoint(request: Any) -> Any:
            clock = asyncio.get_running_loop().time
            caller_before = caller.get()  # authentication, further in, may set it
            started = clock()
            try:
                response = await inner(request)
            except BaseException as error:
                over(clock, started, caller.get(), error)
                raise
            else:
                who = caller.get()
                if hasattr(response, "__anext__"):
                    items = await within(caller, who, response)
                    return await until_over(items, partial(over, clock, started, who))
                over(clock, started, who, None)
                return response
            finally:
                caller.set(caller_before)

        return endpoint

    return wrap


def _level(error: BaseException) -> str:
    name = outcome(error)
    if name == "Internal":
        return "error"
    return "warning" if isinstance(error, Failure) else "info"
