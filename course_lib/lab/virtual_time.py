"""Virtual time: an event loop that never waits but jumps to the next timer.

The same services, middlewares and load generators run on it as on an ordinary loop; hours of
sleeping take milliseconds and give the same numbers every time. There are no threads, sockets
or child processes here: they live in real time, and asking for one is an error.
"""

import asyncio
import contextvars
import inspect
import random
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from course_lib import context
from course_lib.lab.virtual_loop import Deadlock, NotInVirtualTime, VirtualTimeLoop

__all__ = ["Deadlock", "NotInVirtualTime", "VirtualTimeLoop", "run"]

T = TypeVar("T")

EPOCH_SECONDS = 1_735_689_600.0
"""2025-01-01T00:00:00Z, where the wall clock stands when a run begins."""

_CLEAN_UP_SECONDS, _CLEAN_UP_SECONDS_A_TASK = 0.5, 0.002


def run(main: Coroutine[Any, Any, T] | Callable[[], Awaitable[T]], *, seed: int = 0) -> T:
    """Run `main` to its end in virtual time and return its result.

    `main` is a coroutine or a function that returns one; `seed` decides the ids that are made.
    Raises what `main` raises, an exception that nobody else retrieved, or `Deadlock`. May be
    called anywhere, also from a notebook cell: a loop that is running there is suspended.
    """
    loop = VirtualTimeLoop()
    inherited = contextvars.copy_context()
    inherited.run(_enter, loop, seed)
    with _suspended_loop(), _prompt_interrupt(loop):
        try:
            return _run(loop, main, inherited)
        finally:
            loop.close()


def _enter(loop: VirtualTimeLoop, seed: int) -> None:
    context.wall_clock.set(lambda: EPOCH_SECONDS + loop.time())
    context.ids.set(random.Random(seed))
    context.deadline.set(None)  # an instant on another clock means nothing here


async def _call(main: Any) -> Any:
    awaitable = main() if callable(main) else main
    if not inspect.isawaitable(awaitable):
        got = type(awaitable).__name__
        raise TypeError(f"run(main): a coroutine or a function that returns one, not {got}")
    return await awaitable


def _run(loop: VirtualTimeLoop, main: Any, inherited: contextvars.Context) -> Any:
    task = loop.create_task(_call(main), name="main", context=inherited)
    try:
        result = loop.run_until_complete(task)
    except KeyboardInterrupt:
        loop.interrupted = False
        _finish(loop, seconds_a_task=0.0)  # who interrupts does not wait
        raise
    except BaseException as error:
        lost = [e for e in _finish(loop) if e is not error]
        if isinstance(error, Deadlock) and any(not isinstance(e, _Stubborn) for e in lost):
            raise _one(lost) from error
        for other in lost:
            error.add_note(f"and nobody retrieved: {other!r}")
        raise
    if lost := _finish(loop):
        raise _one(lost)
    return result


def _one(errors: list[BaseException]) -> BaseException:
    if len(errors) == 1:
        return errors[0]
    return BaseExceptionGroup("exceptions that nobody retrieved", errors)


class _Stubborn(RuntimeError):
    """Something went on although it was cancelled."""


def _finish(
    loop: VirtualTimeLoop, seconds_a_task: float = _CLEAN_UP_SECONDS_A_TASK
) -> list[BaseException]:
    """Cancel what is pending, and return the exceptions nobody asked for, in order."""
    pending = loop.pending()
    _clean_up_within(loop, _CLEAN_UP_SECONDS + len(pending) * seconds_a_task)
    try:
        while pending:
            for task in pending:
                task.cancel("the virtual run is over")
            loop.run_until_complete(asyncio.wait(pending))
            pending = loop.pending()
        _clean_up_within(loop, _CLEAN_UP_SECONDS)
        loop.run_until_complete(loop.shutdown_asyncgens())
    except (Deadlock, TimeoutError):
        stuck = [task.get_name() for task in pending if not task.done()]
        words = f"these tasks did not end when cancelled: {', '.join(stuck)}"
        loop.lost.append(_Stubborn(words if stuck else "a generator did not end when closed"))
        for task in loop.pending():
            task._log_destroy_pending = False  # type: ignore[attr-defined]
    return loop.unretrieved()


def _clean_up_within(loop: VirtualTimeLoop, seconds: float) -> None:
    """Seconds of this thread's processor time: a machine that stalls takes nothing away."""
    worked, passed = time.thread_time() + seconds, time.monotonic() + 10 * seconds
    loop.give_up = lambda: time.thread_time() > worked or time.monotonic() > passed


@contextmanager
def _suspended_loop() -> Iterator[None]:
    """Make this thread look as if no loop were running in it, for as long as the block lasts."""
    outer = asyncio._get_running_loop()
    if outer is None:
        yield
        return
    task = asyncio.current_task(outer)
    if task is not None:
        asyncio.tasks._leave_task(outer, task)  # type: ignore[attr-defined]
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(outer)
        if task is not None:
            asyncio.tasks._enter_task(outer, task)  # type: ignore[attr-defined]


@contextmanager
def _prompt_interrupt(loop: VirtualTimeLoop) -> Iterator[None]:
    """Let Ctrl-C raise at once: a suspended loop could not act on it.

    Python drops what is raised while it clears up an object, so the loop raises it once more.
    """
    usual = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(usual):
        yield
        return

    def interrupt(number: int, frame: Any) -> None:
        loop.interrupted = True
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
