"""Services as processes of their own: start, stop, kill, pause and revive them.

A process says that it is ready in the line that uvicorn writes then. It ends with its
parent; where there is `setpriv` (Linux) also when the parent is killed. Leaves out: starting
again by itself what has died; that is the work of systemd or Kubernetes.
"""

import asyncio
import atexit
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from course_lib.lab.process_log import ProcessLog
from course_lib.lab.servers.child import dies_with_us
from course_lib.lab.servers.ports import free_addresses

READY_SECONDS, DRAIN_SECONDS = 20.0, 2.0

_running: dict[str, "Process"] = {}


class Process:
    """A service in a child process, on a free port of 127.0.0.1 that it keeps for life.

    `command` starts it; it must listen on the port in the variable `PORT` and log as uvicorn
    does. It is started at once, and `wait()` waits until it is ready. A process of the same
    `name` is replaced.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if name in _running:
            _running[name].kill()
        taken = {process.address for process in _running.values()}
        self.name = name
        self.address: str = free_addresses(1, but=taken)[0]
        self._command, self._folder = command, folder
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})}
        self._log = ProcessLog()
        self._spawn()

    def _spawn(self) -> None:
        self._paused = self._ready = False
        self._log.new_life()
        self._child = subprocess.Popen(
            [*dies_with_us(), *self._command],
            cwd=self._folder,
            env={**self._environment, "PORT": self.address.rpartition(":")[2]},
            stdin=subprocess.DEVNULL,
            stdout=self._log.fileno(),
            stderr=self._log.fileno(),
            start_new_session=True,
        )
        _running[self.name] = self

    @property
    def url(self) -> str:
        """The address as a base URL."""
        return f"http://{self.address}"

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._child.pid

    @property
    def state(self) -> str:
        """What it is doing: "starting", "up", "paused", or "down", also when it died by itself."""
        if self._child.poll() is not None:
            return "down"
        if self._paused:
            return "paused"
        return "up" if self._is_ready() else "starting"

    @property
    def served(self) -> int:
        """How many requests it has answered in all its lives: lines of its access log."""
        answered = self._log.answered()
        if self._is_ready():  # before, its address still stands in the log
            self._log.shorten()
        return answered

    @property
    def log(self) -> str:
        """What it has written, to its standard output and to standard error."""
        return self._log.everything().decode(errors="replace")

    def wait(self) -> Self:
        """Wait until it answers; raises RuntimeError, with its last lines, if it never does."""
        give_up_at = time.monotonic() + READY_SECONDS
        while self._starting(give_up_at):
            time.sleep(0.005)
        return self

    def kill(self) -> None:
        """Crash it: connections break, nothing is finished."""
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()
        self._left()

    def stop(self) -> None:
        """End it in good order: requests in flight finish, for at most `DRAIN_SECONDS`."""
        self._ask_to_end()
        try:
            self._child.wait(DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._left()

    def revive(self) -> None:
        """Start it again at its address if it is down; returns before it is ready."""
        if self.state == "down":
            self._spawn()

    async def restart(self) -> None:
        """Stop it and start it again, as a deployment does, while the event loop goes on."""
        self._ask_to_end()
        give_up_at = time.monotonic() + DRAIN_SECONDS
        while self._child.poll() is None and time.monotonic() < give_up_at:
            await asyncio.sleep(0.005)
        self.kill()
        self.revive()
        give_up_at = time.monotonic() + READY_SECONDS
        while self._starting(give_up_at):
            await asyncio.sleep(0.005)

    def pause(self) -> None:
        """Let the operating system hold it: connections are accepted, nothing answers."""
        if self.state == "up":
            self._child.send_signal(signal.SIGSTOP)
            self._paused = True

    def resume(self) -> None:
        """Let it go on where it was held."""
        if self.state == "paused":
            self._child.send_signal(signal.SIGCONT)
            self._paused = False

    def _starting(self, give_up_at: float) -> bool:
        if self._is_ready():
            return False
        if self._child.poll() is None and time.monotonic() < give_up_at:
            return True
        last_words = self._log.this_life().decode(errors="replace")[-500:].strip()
        self.kill()
        raise RuntimeError(f"{self.name} did not start: {last_words}")

    def _is_ready(self) -> bool:
        if not self._ready:
            self._ready = f"http://{self.address} ".encode() in self._log.this_life()
        return self._ready

    def _ask_to_end(self) -> None:
        self.resume()  # a process that is held would not hear of it
        if self._child.poll() is None:
            self._child.terminate()

    def _left(self) -> None:
        if _running.get(self.name) is self:
            del _running[self.name]

    def __enter__(self) -> Self:
        return self.wait()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<{self.name}: {self.state}>"


def stop_all() -> None:
    """Kill whatever still runs."""
    for process in list(_running.values()):
        process.kill()


atexit.register(stop_all)
os.register_at_fork(after_in_child=_running.clear)  # the processes are the parent's
