"""What a lesson or a test left behind: threads, tasks, sockets, child processes, servers.

The lab's own thread and grpc.aio's poller are part of the house and do not count.
"""

import asyncio
import gc
import os
import stat
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from course_lib.lab import background

_HOUSE_THREADS = (background.THREAD_NAME, "(_poll_wrapper)")


@dataclass(frozen=True)
class Snapshot:
    """What is there now; each thing by a name that does not change while it lives."""

    threads: frozenset[str]
    tasks: frozenset[str]
    sockets: frozenset[str]
    processes: frozenset[str]
    servers: frozenset[str]

    def new_since(self, before: "Snapshot") -> list[str]:
        """What is here and was not there before, as words."""
        kinds = {"thread": "threads", "task": "tasks", "process": "processes", "server": "servers"}
        if not before.servers:  # connections to a server that stays may stay with it
            kinds["socket"] = "sockets"
        return [
            f"{word} {name}"
            for word, kind in kinds.items()
            for name in sorted(getattr(self, kind) - getattr(before, kind))
        ]


def snapshot() -> Snapshot:
    """Look around; takes less than a millisecond."""
    background.lab_loop()  # started here so that its own sockets are never somebody's leak
    return Snapshot(_threads(), _tasks(), _sockets(), _children(), _servers())


def left_since(before: Snapshot, *, wait_seconds: float = 1.0) -> list[str]:
    """What is here and was not there before; things that are just ending get `wait_seconds`."""
    end = time.monotonic() + wait_seconds
    left = snapshot().new_since(before)
    while left and time.monotonic() < end:
        gc.collect()
        time.sleep(0.01)
        left = snapshot().new_since(before)
    return left


def _threads() -> frozenset[str]:
    return frozenset(
        f"{thread.name} ({thread.ident})"
        for thread in threading.enumerate()
        if not thread.name.endswith(_HOUSE_THREADS)
    )


def _tasks() -> frozenset[str]:
    loops = {background.lab_loop(), asyncio._get_running_loop()} - {None}
    return frozenset(
        f"{task.get_name()} ({id(task)}) of {getattr(task.get_coro(), '__qualname__', '?')}"
        for loop in loops
        for task in asyncio.all_tasks(loop)
        if loop is background.lab_loop() or task is not asyncio.current_task()
    )


def _sockets() -> frozenset[str]:
    found = []
    for descriptor in os.listdir("/dev/fd"):
        try:
            status = os.fstat(int(descriptor))
        except OSError:
            continue  # the descriptor of the listing itself
        if stat.S_ISSOCK(status.st_mode):
            found.append(f"{descriptor} (inode {status.st_ino})")
    return frozenset(found)


def _children() -> frozenset[str]:
    try:
        lists = [task.joinpath("children") for task in Path("/proc/self/task").iterdir()]
        return frozenset(pid for file in lists for pid in file.read_text().split())
    except OSError:  # no such thing here, or a thread has just ended
        import psutil

        return frozenset(str(child.pid) for child in psutil.Process().children())


def _servers() -> frozenset[str]:
    launch = sys.modules.get("course_lib.lab.launched")  # not imported, nothing launched
    return frozenset(server.name for server in launch.running()) if launch else frozenset()
