"""The lab's loop: work from outside, results, failures, a second start, a quiet end."""

import asyncio
import os
import subprocess
import sys
import threading

import httpx
import pytest

from course_lib.lab import background
from course_lib.lab.background import on_lab, run_on_lab
from course_lib.lab.launch import running, serve
from tests.lab.apps import App


async def where() -> str:
    return threading.current_thread().name


def test_work_runs_on_the_lab_thread_and_returns_its_result():
    assert run_on_lab(where()) == background.THREAD_NAME


@pytest.mark.real_time
async def test_a_loop_goes_on_while_the_lab_works():
    ticks = asyncio.Event()
    asyncio.get_running_loop().call_soon(ticks.set)
    assert await on_lab(where()) == background.THREAD_NAME
    assert ticks.is_set()


def test_failures_come_back():
    async def fails() -> None:
        raise ValueError("here")

    with pytest.raises(ValueError, match="here"):
        run_on_lab(fails())


def test_a_task_that_exits_ends_nobody_else():
    async def leaves() -> None:
        sys.exit(3)

    async def answers() -> int:
        return 42

    with pytest.raises(SystemExit):
        run_on_lab(leaves())
    assert run_on_lab(answers()) == 42


def test_times_on_the_lab_loop_are_finer_than_a_millisecond():
    async def two() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.sleep(0)
        return loop.time() - began

    assert 0 < run_on_lab(two()) < 0.1


def test_a_closed_lab_starts_anew():
    background.close()
    assert run_on_lab(where()) == background.THREAD_NAME


def test_a_process_that_leaves_servers_running_ends_at_once_and_quietly():
    script = """
import asyncio, httpx
from course_lib.lab.launch import serve, serve_grpc, run_on_lab
async def app(scope, receive, send):
    if scope["type"] == "http":
        await asyncio.Event().wait()
server = serve(app)
other = serve_grpc([])
try:
    httpx.get(server.url, timeout=0.05)
except httpx.ReadTimeout:
    print("held")
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=20
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("held\n", "", 0)


def test_a_forked_child_has_no_servers_and_does_not_touch_its_parents():
    with serve(App(), "parent") as server:
        child = os.fork()
        if child == 0:
            os._exit(len(running()) + (run_on_lab(where()) != background.THREAD_NAME))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert httpx.get(server.url).text == "ok"


def test_grpc_is_told_to_be_quiet_before_anybody_imports_it():
    script = "import os, sys, course_lib.lab; print('grpc' in sys.modules, os.environ.get(%r))"
    environment = {n: v for n, v in os.environ.items() if n != "GRPC_VERBOSITY"}
    script %= "GRPC_VERBOSITY"
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True)
    assert run.stdout.split() == [b"False", b"NONE"]
