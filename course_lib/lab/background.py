"""The lab's loop: one event loop on one background thread, on which every lab server runs.

It starts when it is first needed, uses uvloop where there is one, and ends with the process.
"""

import asyncio
import atexit
import contextvars
import logging
import os
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

THREAD_NAME = "course lab"

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None


def run_on_lab(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the lab's loop, wait for it, and return its result.

    Blocks the calling thread. An interrupt cancels the coroutine.
    """
    future = submit(coroutine, contextvars.copy_context())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


async def on_lab(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the lab's loop while the calling loop goes on with other work."""
    return await asyncio.wrap_future(submit(coroutine, contextvars.copy_context()))


def submit(coroutine: Coroutine[Any, Any, T], context: contextvars.Context) -> Future[T]:
    """Start a coroutine on the lab's loop, in the given context."""
    loop = lab_loop()
    if threading.current_thread() is _thread:
        coroutine.close()
        raise RuntimeError("this code already runs on the lab's loop; waiting for it would hang")
    return context.run(asyncio.run_coroutine_threadsafe, coroutine, loop)


def lab_loop() -> asyncio.AbstractEventLoop:
    """The lab's loop; its thread is started by the first call."""
    global _loop, _thread
    with _lock:
        if _loop is None:
            _loop = _new_loop()
            _thread = threading.Thread(target=_run, args=(_loop,), name=THREAD_NAME, daemon=True)
            _thread.start()
        return _loop


def close() -> None:
    """End the lab's loop and its thread; the next use starts new ones."""
    global _loop, _thread
    with _lock:
        loop, thread, _loop, _thread = _loop, _thread, None, None
    if loop is None or thread is None:
        return
    asyncio.run_coroutine_threadsafe(_cancel_all(), loop)
    thread.join(timeout=1)
    if not thread.is_alive():
        loop.close()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Until the loop is stopped: a `sys.exit` in one task must not end all the others."""
    while True:
        try:
            return loop.run_forever()
        except SystemExit:
            continue


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=0.5)
    asyncio.get_running_loop().stop()


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()

    class Loop(uvloop.Loop):
        """uvloop with a clock that shows microseconds too, so that measured times are true."""

        def time(self) -> float:
            return time.monotonic()

    return Loop()


def _forget() -> None:
    """After a fork the thread does not exist in the child."""
    global _loop, _thread, _lock
    _loop, _thread, _lock = None, None, threading.Lock()


def _worth_a_word(record: logging.LogRecord) -> bool:
    """grpc.aio wakes every loop of the process for each event; all but one find nothing to read."""
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, BlockingIOError) and "PollerCompletionQueue" in str(record.msg))


logging.getLogger("asyncio").addFilter(_worth_a_word)
os.register_at_fork(after_in_child=_forget)
atexit.register(close)
