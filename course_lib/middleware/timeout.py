"""A timeout is a duration and local; a deadline is an instant and travels with the call.

Both end the call by cancelling what runs inside and raise `DeadlineExceeded`. A call that is
cancelled from outside stays cancelled, and work that never waits cannot be interrupted. Leaves
out streams: an endpoint that returns an iterator has answered when it returns.
"""

import asyncio
from collections.abc import Generator
from types import coroutine
from typing import Any

from course_lib import context
from course_lib.endpoint import Endpoint, Middleware
from course_lib.errors import DeadlineExceeded


def timeout(seconds: float) -> Middleware:
    """Give each call at most `seconds`, less if its deadline comes earlier."""

    too_slow = f"no answer within {seconds:g} s"

    def wrap(inner: Endpoint) -> Endpoint:
        async def endpoint(request: Any) -> Any:
            loop = asyncio.get_running_loop()
            instant, travelling = loop.time() + seconds, context.deadline.get()
            if travelling is not None and travelling <= instant:
                return await _until(travelling, loop, inner, request, "the deadline passed")
            return await _until(instant, loop, inner, request, too_slow)

        return endpoint

    return wrap


def deadline(default_seconds: float | None = None) -> Middleware:
    """Hold each call to the deadline it came with, or give it one of `default_seconds`.

    A call whose deadline has passed on arrival is refused without calling the endpoint.
    """

    def wrap(inner: Endpoint) -> Endpoint:
        async def endpoint(request: Any) -> Any:
            loop, instant = asyncio.get_running_loop(), context.deadline.get()
            if instant is None:
                if default_seconds is None:
                    return await inner(request)
                instant = loop.time() + default_seconds
            return await _until(instant, loop, inner, request, "the deadline passed")

        return endpoint

    return wrap


@coroutine
def _until(
    instant: float, loop: asyncio.AbstractEventLoop, inner: Endpoint, request: Any, why: str
) -> Generator[Any, Any, Any]:
    """Do what `asyncio.timeout_at(instant)` does, but set a timer only once the call waits.

    For that it steps through the call by hand, as `await` would (PEP 380).
    """
    late = loop.time() - instant
    if late >= 0:
        raise DeadlineExceeded(f"the deadline passed {late:.3f} s before the call began")
    alarm = None
    restore = context.deadline.set(instant)
    try:
        steps = inner(request).__await__()
        waits_for = steps.send(None)
        alarm = _Alarm(loop, instant)
        while True:
            try:
                answer = yield waits_for
            except BaseException as error:
                waits_for = steps.throw(error)
            else:
                waits_for = steps.send(answer)
    except StopIteration as over:
        return over.value
    except asyncio.CancelledError:
        if alarm is not None and alarm.only_reason:
            raise DeadlineExceeded(why) from None
        raise
    finally:
        if alarm is not None:
            alarm.off()
        context.deadline.reset(restore)


class _Alarm:
    """Cancels the running task at `instant`, unless it is turned off before."""

    def __init__(self, loop: asyncio.AbstractEventLoop, instant: float) -> None:
        task = asyncio.current_task(loop)
        assert task is not None
        self._task = task
        self._cancelled_before = task.cancelling()
        self._rang = False
        self._timer = loop.call_at(instant, self._ring)

    @property
    def only_reason(self) -> bool:
        """Whether it has rung, and nobody else has cancelled the task."""
        return self._rang and self._task.cancelling() <= self._cancelled_before + 1

    def off(self) -> None:
        """Take the cancellation back, or see to it that none comes."""
        self._timer.cancel()
        if self._rang:
            self._task.uncancel()

    def _ring(self) -> None:
        self._rang = True
        self._task.cancel()
