"""Services as processes: what each of the buttons does to them, and that none is left over."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest

from course_lib.lab import process_log, processes
from course_lib.lab.http_load import HttpLoad
from course_lib.lab.load import load
from course_lib.lab.processes import Process

SERVICE = """
import asyncio, os, uvicorn
async def app(scope, receive, send):
    if scope["type"] != "http": return
    if scope["path"] == "/crash": os._exit(3)
    if scope["path"] == "/slow": print("slow began"); await asyncio.sleep(0.3)
    body = str(os.getpid()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
uvicorn.run(app, port=int(os.environ["PORT"]), lifespan="off")
"""


@pytest.fixture
def service() -> Iterator[Process]:
    with Process("service", [sys.executable, "-c", SERVICE]) as process:
        yield process
        process.kill()


def ask(process: Process, path: str = "/") -> str:
    return httpx.get(process.url + path, timeout=5, trust_env=False).text


def until(process: Process, state: str) -> None:
    give_up_at = time.monotonic() + 5
    while process.state != state:
        assert time.monotonic() < give_up_at, process.state
        os.sched_yield()


def test_it_answers_from_another_process_and_counts(service):
    assert service.state == "up"
    assert ask(service) == str(service.pid) != str(os.getpid())
    assert ask(service) == str(service.pid)
    assert service.served == 2
    assert "Uvicorn running" in service.log


def test_a_killed_process_refuses_and_a_revived_one_has_its_address_and_its_count(service):
    ask(service)
    address, first = service.address, service.pid
    service.kill()
    assert service.state == "down"
    with pytest.raises(httpx.ConnectError):
        ask(service)
    service.revive()
    assert service.state in ("starting", "up")
    service.wait()
    assert (service.address, service.state) == (address, "up")
    assert ask(service) != str(first)
    assert service.served == 2


def test_the_log_stays_small_while_somebody_counts_and_the_count_and_the_address_stay_right(
    service, monkeypatch
):
    monkeypatch.setattr(process_log, "KEPT_BYTES", 500)
    for n in range(1, 31):
        ask(service)
        assert service.served == n
        assert len(service.log) < 1000
    service.kill()
    service.revive()
    service.wait()
    ask(service)
    assert (service.served, service.state) == (31, "up")


def test_one_that_dies_by_itself_is_down(service):
    with pytest.raises(httpx.TransportError):
        ask(service, "/crash")
    until(service, "down")


def test_reviving_what_is_up_does_nothing(service):
    first = service.pid
    service.revive()
    assert service.pid == first


def test_a_paused_process_accepts_and_answers_when_it_goes_on(service):
    service.pause()
    assert service.state == "paused"
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(service.url, timeout=0.1, trust_env=False)
    service.resume()
    assert ask(service) == str(service.pid)


def test_a_paused_process_can_be_stopped(service):
    service.pause()
    service.stop()
    assert service.state == "down"


@pytest.mark.real_time
async def test_a_restart_finishes_what_is_in_flight_and_changes_the_process(service):
    first = service.pid
    async with HttpLoad(service.url) as client:
        slow = asyncio.create_task(load(client, requests=1, request="/slow"))
        while "slow began" not in service.log:
            await asyncio.sleep(0)
        await service.restart()
        assert (await slow).outcomes == {"ok": 1}
    assert service.state == "up"
    assert service.pid != first


def test_the_same_name_replaces(service):
    with Process("service", [sys.executable, "-c", SERVICE]) as second:
        assert (service.state, second.state) == ("down", "up")


def test_what_does_not_start_says_why():
    with pytest.raises(RuntimeError, match=r"(?s)broken did not start: .*ZeroDivisionError"):
        Process("broken", [sys.executable, "-c", "1 / 0"]).wait()


def test_stop_all_leaves_none(service):
    processes.stop_all()
    assert service.state == "down"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_it_dies_with_a_parent_that_is_killed(number):
    parent = f"""
import sys, time
from course_lib.lab.processes import Process
print(Process("child", [sys.executable, "-c", {SERVICE!r}]).wait().pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.send_signal(number)
        process.wait()
    give_up_at = time.monotonic() + 5
    while alive(child):
        assert time.monotonic() < give_up_at
        os.sched_yield()


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
