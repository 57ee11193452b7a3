"""Where the trace goes along with work that is handed over."""

import asyncio

import pytest

from course_lib.lab.scenes.handed_over import traces_of_ten


async def direct(work):
    work()


async def to_thread(work):
    await asyncio.to_thread(work)


async def in_executor(work):
    await asyncio.get_running_loop().run_in_executor(None, work)


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("hand_over", "traces"), [(direct, 10), (to_thread, 10), (in_executor, 20)]
)
async def test_only_a_bare_executor_loses_the_trace(hand_over, traces):
    assert await traces_of_ten(hand_over, asyncio.Queue()) == traces


async def test_what_waits_in_the_queue_is_counted_too():
    queue = asyncio.Queue()

    async def put(work):
        queue.put_nowait(work)

    async def work_off():
        while True:
            (await queue.get())()
            queue.task_done()

    worker = asyncio.create_task(work_off())
    assert await traces_of_ten(put, queue) == 20
    worker.cancel()
