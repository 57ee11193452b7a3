"""The kernel's side of the fork server: start it when needed, ask it, stop it.

The server sits in a session of its own, so an interrupt of the kernel does not reach it, and
ends when our end of its pipe closes, even when the kernel is killed.
"""

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from typing import Any

from course_lib.grading import notebooks
from course_lib.grading.report import Report
from course_lib.grading.tasks import Task

_ENVIRONMENT = {
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",
    "PYTHONHASHSEED": "0",
    "PYTHONUNBUFFERED": "1",
}


class Sandbox:
    """One fork server; grades one attempt at a time, whoever asks first."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the server unless it runs; returns at once, it loads in the background."""
        if self._process is not None and self._process.poll() is None:
            return
        if self._closed:
            raise ValueError("the sandbox is closed")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "course_lib.grading.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment | _ENVIRONMENT,
            start_new_session=True,
        )

    def grade(self, task: Task, code: str) -> Report:
        """Grade a cell; whatever the cell does, a report comes back. Interrupting stops it."""
        given = notebooks.pristine(task.lesson)
        job = {
            "task": task.name,
            "setup": given.setup,
            "code": code,
            "grader": str(task.grader),
            "timeout_seconds": task.timeout_seconds,
            "memory_mb": task.memory_mb,
        }
        with self._lock:
            try:
                report = self._ask(job)
            except KeyboardInterrupt:
                self.stop()
                return Report(task.name, "interrupted", "You stopped the grading. Run it again.")
            except (OSError, ValueError) as error:
                self.stop()
                return Report(
                    task.name,
                    "crash",
                    f"The grading process broke off ({type(error).__name__}). Run the cell again; "
                    "if that does not help, `course doctor` looks for the cause.",
                )
        untouched = [cell.strip() for cell in given.cells.get(task.name, [])]
        if report.status == "failed" and code.strip() in untouched:
            report.status = "not started"
            for check in report.checks:
                check.outcome, check.details = "not started", []
        return report

    def _ask(self, job: dict[str, Any]) -> Report:
        self.start()
        assert self._process and self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        self._process.stdin.flush()
        return Report.from_json(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """Stop for good: what is asked later is not graded."""
        self._closed = True
        self.stop()

    def stop(self) -> None:
        """End the server and the child that is running, if any; waits until it is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if pipe:
                    pipe.close()
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


shared = Sandbox()
"""The sandbox of this process."""

atexit.register(shared.stop)
