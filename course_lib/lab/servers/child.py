"""A real server as a child process, in a temporary folder that goes when the server goes.

It ends with `stop()` and with this process; where there is `setpriv` (Linux) also when this
process is killed.
"""

import atexit
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

STARTING_SECONDS = 20.0

_running: "set[ServerProcess]" = set()


def stop_all() -> None:
    """End every server that still runs."""
    for server in [*_running]:
        server.stop()


def dies_with_us(last_signal: signal.Signals = signal.SIGKILL) -> list[str]:
    """What stands before a command that shall end with the thread that starts it."""
    name = last_signal.name.removeprefix("SIG")
    return ["setpriv", "--pdeathsig", name, "--"] if shutil.which("setpriv") else []


class ServerProcess:
    """What all real servers have in common; `folder` is theirs alone, `ends_at` ends them."""

    def __init__(self, name: str, *, ends_at: signal.Signals = signal.SIGKILL) -> None:
        self.name, self._ends_at = name, ends_at
        self.folder = Path(tempfile.mkdtemp(prefix=f"{name.lower()}-"))
        self._log = self.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.stop)

    @property
    def log(self) -> str:
        """What it has said."""
        return self._log.read_text(errors="replace")

    @property
    def pid(self) -> int | None:
        """The number of its process, if it runs."""
        if self._process is None or self._process.poll() is not None:
            return None
        return self._process.pid

    def _start(
        self,
        command: Sequence[str | Path],
        ready: Callable[[], bool],
        *,
        before: Sequence[str] = (),
    ) -> None:
        """Run the command and return when it is `ready`; raises RuntimeError with its own words."""
        try:
            self._run([*before, *dies_with_us(self._ends_at), *command], ready)
        except BaseException:
            self.stop()
            raise

    def _run(self, command: Sequence[str | Path], ready: Callable[[], bool]) -> None:
        with self._log.open("wb") as log:
            _running.add(self)
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        give_up_at = time.monotonic() + STARTING_SECONDS
        while not ready():
            if self.pid is None or time.monotonic() > give_up_at:
                raise RuntimeError(f"{self.name} did not start: {self._last_words()}")
            time.sleep(0.005)

    def _last_words(self) -> str:
        return self.log[-500:].strip()

    def stop(self) -> None:
        """End it and remove its folder; a second time does nothing."""
        atexit.unregister(self.stop)
        _running.discard(self)
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(self._ends_at)
            self._process.wait(timeout=10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<{self.name}: {'down' if self.pid is None else 'up'}>"
