"""A timeout is a duration and local; a deadline is an instant and travels with the call.

Both end the call by cancelling what runs inside and raise `DeadlineExceeded`. A call that is
cancelled from outside stays cancelled, and work is cut off only where it waits: one that blocks
beyond its time may still pass a wait or two that end at once. Leaves out streams: an endpoint that
returns an iterator has answered when it returns. (Over a wire the instant goes along as the call's
deadline, and ends its stream.)
"""

import asyncio
from collections.abc import Callable
from typing import Any

from course_lib import context
from course_lib.endpoint import Endpoint, Middleware
from course_lib.errors import DeadlineExceeded

Until = Callable[[asyncio.AbstractEventLoop], tuple[float | None, str]]
"""The instant a call that begins now must end, if any, and what to say when it has not."""

_PASSED = "the deadline passed"


def timeout(seconds: float) -> Middleware:
    """Give each call at most `seconds`, less if its deadline comes earlier."""
    too_slow = f"no answer within {seconds:g} s"

    def until(loop: asyncio.AbstractEventLoop) -> tuple[float, str]:
        instant, travelling = loop.time() + seconds, context.deadline.get()
        if travelling is not None and travelling <= instant:
            return travelling, _PASSED
        return instant, too_slow

    return _held(until)


def deadline(default_seconds: float | None = None) -> Middleware:
    """Hold each call to the deadline it came with, or give it one of `default_seconds`.

    A call whose deadline has passed on arrival is refused without calling the endpoint.
    """

    def until(loop: asyncio.AbstractEventLoop) -> tuple[float | None, str]:
        instant = context.deadline.get()
        if instant is None and default_seconds is not None:
            instant = loop.time() + default_seconds
        return instant, _PASSED

    return _held(until)


def _held(until: Until) -> Middleware:
    """Do what `asyncio.timeout_at(instant)` does, in less time."""

    def wrap(inner: Endpoint) -> Endpoint:
        async def endpoint(request: Any) -> Any:
            loop = asyncio.get_running_loop()
            instant, why = until(loop)
            if instant is None:
                return await inner(request)
            late = loop.time() - instant
            if late >= 0:
                raise DeadlineExceeded(f"the deadline passed {late:.3f} s before the call began")
            task = asyncio.current_task(loop)
            assert task is not None
            cancelled_before = task.cancelling()
            expired = False
            alarm: asyncio.Handle

            def expire() -> None:
                nonlocal expired
                expired = True
                task.cancel()

            def set_timer() -> None:
                nonlocal alarm
                alarm = loop.call_at(instant, expire)

            alarm = loop.call_soon(set_timer)  # a call that does not wait is over by then
            restore = context.deadline.set(instant)
            try:
                return await inner(request)
            except asyncio.CancelledError:
                if expired and task.cancelling() <= cancelled_before + 1:  # nobody else cancelled
                    raise DeadlineExceeded(why) from None
                raise
            finally:
                alarm.cancel()
                if expired:
                    task.uncancel()
                context.deadline.reset(restore)

        return endpoint

    return wrap
