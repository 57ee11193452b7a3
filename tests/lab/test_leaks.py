"""Leaks: whatever a lesson leaves behind is named; the lab's own house does not count."""

import asyncio
import socket
import subprocess
import sys
import threading

from course_lib.lab.background import lab_loop
from course_lib.lab.launch import serve
from course_lib.lab.leaks import left_since, snapshot
from tests.lab.apps import App


def left(before: object) -> str:
    return " ".join(left_since(before, wait_seconds=0))  # type: ignore[arg-type]


def test_nothing_new_is_nothing_left():
    assert left_since(snapshot()) == []


def test_a_thread_is_named():
    before, end = snapshot(), threading.Event()
    thread = threading.Thread(target=end.wait, name="forgotten")
    thread.start()
    assert "thread forgotten" in left(before)
    end.set()
    thread.join()
    assert left_since(before) == []


def test_a_socket_is_named():
    before = snapshot()
    with socket.create_server(("127.0.0.1", 0)):
        assert "socket" in left(before)
    assert left_since(before) == []


def test_a_process_is_named():
    before = snapshot()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert f"process {child.pid}" in left(before)
    assert left_since(before) == []


def test_a_server_is_named():
    before = snapshot()
    with serve(App(), "forgotten"):
        assert "server forgotten" in left(before)
    assert left_since(before) == []


def test_a_task_on_the_lab_loop_is_named():
    async def forgotten() -> None:
        await asyncio.Event().wait()

    before = snapshot()
    future = asyncio.run_coroutine_threadsafe(forgotten(), lab_loop())
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), lab_loop()).result()
    assert "forgotten" in left(before)
    future.cancel()
    assert left_since(before) == []
