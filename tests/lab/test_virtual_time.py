"""Virtual time: jumps, order, lost exceptions, deadlocks, refusals, nesting, interruption."""

import asyncio
import contextlib
import math
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from course_lib import context
from course_lib.lab.virtual_time import Deadlock, NotInVirtualTime, VirtualTimeLoop, run


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_coroutine_test_runs_in_virtual_time():
    assert isinstance(asyncio.get_running_loop(), VirtualTimeLoop)
    assert now() == 0.0


@pytest.mark.real_time
async def test_a_real_time_test_runs_on_an_ordinary_loop():
    assert not isinstance(asyncio.get_running_loop(), VirtualTimeLoop)


def test_a_year_takes_no_time_and_ends_on_the_second():
    async def main() -> float:
        await asyncio.sleep(31_536_000)
        return now()

    began = time.monotonic()
    assert run(main()) == 31_536_000
    assert time.monotonic() - began < 1


def test_it_takes_a_coroutine_or_a_function_that_returns_one():
    async def main() -> int:
        return 7

    assert run(main()) == run(main) == run(lambda: main()) == 7


@pytest.mark.parametrize(("main", "kind"), [(5, "int"), (lambda: 5, "int"), (None, "NoneType")])
def test_anything_else_is_refused_in_words(main: Any, kind: str):
    with pytest.raises(TypeError, match=f"a coroutine or a function that returns one, not {kind}"):
        run(main)


async def test_timers_of_one_instant_run_in_the_order_in_which_they_were_set():
    order: list[int] = []
    for n in range(20):
        asyncio.get_running_loop().call_later(1, order.append, n)
    await asyncio.sleep(1)
    assert order == list(range(20))


async def test_small_sleeps_far_out_still_pass():
    await asyncio.sleep(1e9)
    began = now()
    for _ in range(100):
        await asyncio.sleep(0.1)
    assert now() - began == pytest.approx(10, abs=1e-4)


async def test_sums_of_floats_fall_on_one_instant():
    order: list[str] = []
    loop = asyncio.get_running_loop()
    loop.call_later(0.1 + 0.2, order.append, "sum")
    loop.call_later(0.3, order.append, "literal")
    await asyncio.sleep(0.3)
    assert sorted(order) == ["literal", "sum"]


async def test_timeouts_and_cancelled_timers_cost_no_time():
    for _ in range(1000):
        async with asyncio.timeout(5):
            await asyncio.sleep(0.001)
    assert now() == pytest.approx(1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await asyncio.sleep(3)
    assert now() == pytest.approx(3)


def test_waiting_for_ever_is_a_deadlock_that_names_the_tasks():
    async def main() -> None:
        asyncio.create_task(asyncio.Event().wait(), name="the helper")  # noqa: RUF006
        await asyncio.sleep(5)
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match=r"(?s)at 5 virtual.*main waits in .*main, .*the helper"):
        run(main())


@pytest.mark.parametrize("when", [math.inf, math.nan])
def test_an_instant_that_never_comes_is_a_deadlock(when: float):
    async def main() -> None:
        asyncio.get_running_loop().call_at(when, int)
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run(main)


def test_a_deadlock_is_told_also_of_a_task_that_will_not_end():
    async def main() -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    with pytest.raises(Deadlock) as caught:
        run(main)
    assert "did not end when cancelled: main" in caught.value.__notes__[0]


def test_a_task_that_goes_on_for_ever_is_reported():
    async def stays() -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(1)

    async def main() -> None:
        asyncio.create_task(stays(), name="the helper")  # noqa: RUF006
        await asyncio.sleep(5)

    with pytest.raises(RuntimeError, match="did not end when cancelled: the helper"):
        run(main)


def test_a_machine_that_stalls_during_the_clean_up_is_waited_for():
    ended: list[bool] = []

    async def stalls() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            time.sleep(0.6)
            await asyncio.sleep(1)
            ended.append(True)

    async def main() -> None:
        asyncio.create_task(stalls())  # noqa: RUF006
        await asyncio.sleep(5)

    run(main)
    assert ended


def test_an_exception_of_a_background_task_is_raised_even_when_it_is_kept():
    kept: list[asyncio.Task[None]] = []

    async def fails() -> None:
        raise ValueError("lost")

    async def main(keep: bool) -> None:
        task = asyncio.create_task(fails())
        if keep:
            kept.append(task)
        del task
        await asyncio.sleep(1)

    for keep in (True, False):
        with pytest.raises(ValueError, match="lost"):
            run(main(keep))


def test_an_exception_of_a_callback_is_raised():
    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)

    with pytest.raises(ZeroDivisionError):
        run(main)


def test_several_lost_exceptions_come_as_a_group():
    async def main() -> None:
        for error in (ValueError("one"), KeyError("two")):
            asyncio.get_running_loop().call_soon(raise_, error)
        await asyncio.sleep(1)

    with pytest.raises(ExceptionGroup) as caught:
        run(main)
    assert [type(e) for e in caught.value.exceptions] == [ValueError, KeyError]


def test_a_gather_that_was_cancelled_and_left_has_lost_nothing():
    async def main() -> str:
        both = asyncio.gather(asyncio.sleep(5), asyncio.sleep(6))
        await asyncio.sleep(1)
        both.cancel()
        await asyncio.sleep(1)
        return "ended"

    assert run(main) == "ended"


def raise_(error: Exception) -> None:
    raise error


def test_an_exception_somebody_retrieved_is_not_raised_again():
    async def main() -> str:
        results = await asyncio.gather(asyncio.to_thread(int), return_exceptions=True)
        return type(results[0]).__name__

    assert run(main) == "NotInVirtualTime"


def test_pending_tasks_are_cancelled_in_the_order_in_which_they_were_made():
    ended: list[int] = []

    async def wait(n: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1)
            ended.append(n)

    async def main() -> None:
        tasks = [asyncio.create_task(wait(n)) for n in range(10)]
        await asyncio.sleep(1)
        del tasks

    run(main)
    assert ended == list(range(10))


def test_a_task_that_does_not_end_when_cancelled_is_named():
    async def stubborn() -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(1)

    async def main() -> None:
        task = asyncio.create_task(stubborn(), name="the mule")
        await asyncio.sleep(1)
        del task

    with pytest.raises(RuntimeError, match="the mule"):
        run(main)


def test_thousands_of_tasks_may_take_their_time_to_end():
    async def main() -> str:
        async def ends_slowly() -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                end = time.perf_counter() + 0.0005
                while time.perf_counter() < end:
                    pass

        async def numbers() -> AsyncIterator[int]:
            yield 1
            yield 2

        kept.append(numbers())
        await anext(kept[0])
        tasks.extend(asyncio.create_task(ends_slowly()) for _ in range(1500))
        await asyncio.sleep(1)
        return "done"

    kept: list[Any] = []
    tasks: list[asyncio.Task[None]] = []
    assert run(main) == "done"
    assert all(task.cancelled() for task in tasks)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: asyncio.to_thread(int),
        lambda: asyncio.open_connection("127.0.0.1", 1),
        lambda: asyncio.start_server(print, "127.0.0.1", 0),
        lambda: asyncio.create_subprocess_exec("true"),
        lambda: asyncio.get_running_loop().getaddrinfo("localhost", 80),
    ],
)
async def test_threads_sockets_and_processes_are_refused(ask: Callable[[], Any]):
    with pytest.raises(NotInVirtualTime, match="virtual"):
        await ask()


def test_an_answer_from_a_thread_is_refused_in_words():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=answer, args=(loop,))
        thread.start()
        thread.join()
        await asyncio.Event().wait()

    def answer(loop: asyncio.AbstractEventLoop) -> None:
        with pytest.raises(NotInVirtualTime):
            loop.call_soon_threadsafe(int)

    with pytest.raises(NotInVirtualTime, match="thread"):
        run(main)


def test_the_wall_clock_and_the_ids_are_the_same_on_every_run():
    async def main() -> tuple[str, str]:
        await asyncio.sleep(90)
        return context.now().isoformat(), context.new_trace().traceparent

    first = run(main, seed=1)
    assert first == run(main, seed=1)
    assert first[0] == "2025-01-01T00:01:30+00:00"
    assert first[1] != run(main, seed=2)[1]


async def test_a_run_inside_a_run_has_a_clock_of_its_own():
    await asyncio.sleep(5)

    async def inner() -> float:
        await asyncio.sleep(1)
        return now()

    assert run(inner()) == 1
    assert now() == 5
    await asyncio.sleep(1)


@pytest.mark.real_time
async def test_a_running_loop_is_suspended_and_taken_up_again():
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    context.caller.set("outside")

    async def inner() -> str | None:
        seen = context.caller.get()
        context.caller.set("inside")
        await asyncio.sleep(3600)
        return seen

    assert run(inner()) == "outside"
    assert context.caller.get() == "outside"
    assert asyncio.get_running_loop() is loop
    assert asyncio.current_task() is task
    await asyncio.sleep(0)


async def busy() -> None:
    while True:
        await asyncio.sleep(1)


async def busy_with_stubborn_tasks() -> None:
    async def stubborn() -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)

    tasks = [asyncio.create_task(stubborn()) for _ in range(1000)]
    await busy()
    del tasks


class Cleared:
    """Its end is where an interrupt comes, and where Python drops it."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_python_drops_stops_the_loop_all_the_same():
    async def main() -> None:
        Cleared()
        await busy()

    with pytest.raises(KeyboardInterrupt):
        run(main)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("main", [busy, busy_with_stubborn_tasks])
def test_an_interrupt_stops_a_loop_that_never_ends(main: Callable[[], Any]):
    usual = signal.getsignal(signal.SIGINT)
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(main)
    assert time.monotonic() - began < 1
    timer.join()
    assert signal.getsignal(signal.SIGINT) is usual


def test_objects_of_an_earlier_run_cannot_be_used():
    async def make() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    with pytest.raises(RuntimeError, match="over"):
        run(make).call_soon(int)
