"""The fork server: imports what exercises need once, then forks a fresh child an attempt.

`python -m course_lib.grading.server` reads a job a line from stdin and answers a report a
line on stdout. It ends when stdin closes, as it does when its kernel dies in any way, and it
takes the running child with it. No threads here: it forks.
"""

import ast
import contextlib
import gc
import importlib
import json
import os
import secrets
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any, NoReturn

from course_lib.grading import child, integrity
from course_lib.grading.report import KEPT_OUTPUT_BYTES, Check, Report

PRELOAD = [
    *("course_lib.errors", "course_lib.context", "course_lib.endpoint"),
    *("course_lib.grading.checks", "course_lib.lab.virtual_time", "dataclasses"),
    *("fastapi", "httpx", "grpc.aio"),
]
FLOOD = 10_000_000


class Server:
    """One job at a time; `control` is the pipe whose end means the kernel is gone."""

    def __init__(self, control: int, answers: int) -> None:
        self.control, self.answers = control, answers
        self.waiting = b""
        self.seen: set[str] = set()
        self.taken: integrity.Photograph = []
        self.collector = _reap_orphans()

    def serve(self) -> NoReturn:
        """Grade until the control pipe ends."""
        self.preload(PRELOAD)
        while True:
            line = self.next_line()
            job = json.loads(line)
            self.preload(_imports(job["setup"]))
            report = self.grade(job)
            os.write(self.answers, json.dumps(report.to_json()).encode() + b"\n")

    def next_line(self) -> bytes:
        """One line from the control pipe; leaves the process at its end."""
        while b"\n" not in self.waiting:
            data = os.read(self.control, 65536)
            if not data:
                os._exit(0)
            self.waiting += data
        line, self.waiting = self.waiting.split(b"\n", 1)
        return line

    def preload(self, names: list[str]) -> None:
        """Import modules unless a job waits; what cannot be imported fails later, in the child."""
        for name in names:
            if name not in self.seen and not (names is PRELOAD and self._job_waits()):
                self.seen.add(name)
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
                self.taken = []

    def _job_waits(self) -> bool:
        return bool(select.select([self.control], [], [], 0)[0])

    def grade(self, job: dict[str, Any]) -> Report:
        """Fork a child for the job, follow it, and end all it started."""
        if not self.taken:
            gc.collect()
            gc.freeze()
            self.taken = integrity.photograph()
        folder = tempfile.mkdtemp(prefix="course-task-")
        result, output, life = os.pipe(), os.pipe(), os.pipe()
        nonce = secrets.token_hex(16)
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                os.chdir(folder)
                for fd in (self.control, self.answers, result[0], output[0], life[1]):
                    os.close(fd)
                _rewire(output[1])
                child.run(job, nonce, result[1], life[0], self.taken)
            finally:
                os._exit(70)
        for fd in (result[1], output[1], life[0]):
            os.close(fd)
        try:
            return Following(self, job, nonce, pid, result[0], output[0]).report()
        finally:
            for fd in (result[0], output[0], life[1]):
                os.close(fd)
            shutil.rmtree(folder, ignore_errors=True)


class Following:
    """Reads what one child sends and prints until it is done, dead or late."""

    def __init__(
        self, server: Server, job: dict[str, Any], nonce: str, pid: int, result: int, output: int
    ) -> None:
        self.server, self.job, self.nonce, self.pid = server, job, nonce.encode(), pid
        self.result, self.output = result, output
        self.made = Report(job["task"])
        self.printed, self.kept, self.lines = 0, b"", b""
        self.begun, self.done = "", False
        self.exit_status: int | None = None

    def report(self) -> Report:
        """Follow the child to its end and say how it ended."""
        deadline = time.monotonic() + self.job["timeout_seconds"]
        status = ""
        while not status and not self.done:
            status = self._step(deadline)
        self._end()
        self.made.output = self.kept.decode(errors="replace")
        self.made.status, self.made.message = self._verdict(status)
        return self.made

    def _step(self, deadline: float) -> str:
        watched = [self.server.control, self.result, self.output]
        ready = select.select(watched, [], [], 0.02)[0]
        if self.server.control in ready and not self._kernel_lives():
            self._end()
            os._exit(0)
        if self.output in ready:
            self._read_output()
        if self.result in ready:
            self._read_results()
        if self.done:
            return ""
        if time.monotonic() > deadline:
            return "timeout"
        if self.printed > FLOOD:
            return "flood"
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.exit_status = os.waitstatus_to_exitcode(status)
            self._drain()
            return "" if self.done else "died"
        return ""

    def _kernel_lives(self) -> bool:
        data = os.read(self.server.control, 65536)
        self.server.waiting += data
        return bool(data)

    def _drain(self) -> None:
        while select.select([self.result], [], [], 0)[0] and self._read_results():
            pass
        for _ in range(200):
            if not select.select([self.output], [], [], 0)[0] or not self._read_output():
                break

    def _read_output(self) -> bytes:
        data = os.read(self.output, 65536)
        self.printed += len(data)
        if len(self.kept) < KEPT_OUTPUT_BYTES:
            self.kept = (self.kept + data)[:KEPT_OUTPUT_BYTES]
        return data

    def _read_results(self) -> bytes:
        data = os.read(self.result, 65536)
        *lines, self.lines = (self.lines + data).split(b"\n")
        for line in lines:
            if line.startswith(self.nonce):
                self._take(json.loads(line[len(self.nonce) :]))
        return data

    def _take(self, message: dict[str, Any]) -> None:
        made = self.made
        if "checks" in message:
            made.checks = [Check(each["name"], each["sentence"]) for each in message["checks"]]
        elif "begins" in message:
            self.begun = message["begins"]
        elif "ends" in message:
            for check in made.checks:
                if check.name == message["ends"]:
                    check.outcome = message["outcome"]
                    check.details = [(label, text) for label, text in message["details"]]
        elif "cell" in message:
            made.status = message["cell"]
            made.message = "\n".join(
                f"{label}: {text}" for label, text in message.get("details", [])
            )
        elif "tampered" in message:
            made.status, made.message = "tampered", message["tampered"]
        elif "broken" in message:
            made.message = message["broken"]
        else:
            self.done = bool(message.get("done"))

    def _end(self) -> None:
        """Kill the child's group and everything orphaned from it; wait until it is gone."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        if self.exit_status is None:
            with contextlib.suppress(ChildProcessError):
                self.exit_status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self._drain()
        for orphan in _orphans() if self.server.collector else []:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(orphan, signal.SIGKILL)
                os.waitpid(orphan, 0)

    def _verdict(self, status: str) -> tuple[str, str]:
        made, seconds = self.made, self.job["timeout_seconds"]
        now = next((check.sentence for check in made.checks if check.name == self.begun), "")
        when = f" while this was checked: {now}" if now else " while the cell ran"
        if status == "timeout":
            return "timeout", (
                f"Your code was still running after {seconds:g} s{when}. Look for a loop that "
                "never ends, or for something that waits for ever."
            )
        if status == "flood":
            return "flood", (
                f"Your code printed more than {FLOOD // 1_000_000} MB{when}. "
                "Is there a print in a loop that never ends?"
            )
        if made.status in ("error", "memory", "tampered") and not made.checks:
            return made.status, _tampered(made) if made.status == "tampered" else made.message
        if made.status == "tampered":
            return "tampered", _tampered(made)
        if not self.done:
            return self._died(when)
        outcomes = [check.outcome for check in made.checks]
        if not outcomes:
            return "missing", "No check was found for this task. Tell whoever maintains the course."
        if all(outcome == "passed" for outcome in outcomes):
            return "passed", ""
        if all(outcome in ("passed", "not started") for outcome in outcomes):
            return "not started", "Replace `raise NotImplementedError` with your own code."
        return "failed", ""

    def _died(self, when: str) -> tuple[str, str]:
        status = self.exit_status or 0
        if status == child.MEMORY_OUT:
            return "memory", (
                f"Your code used more than {self.job['memory_mb']} MB of memory{when}. "
                "Look for a list that grows without end."
            )
        if self.made.message:
            return "crash", f"The grading broke off{when}: {self.made.message}"
        if status < 0:
            name = signal.Signals(-status).name
            return "crash", (
                f"Your code crashed the process ({name}){when}. The kernel is unharmed. "
                "Very deep recursion and faulty native code do this."
            )
        return "crash", (
            f"Your code ended the whole process with exit status {status}{when}. "
            "Take out os._exit, or whatever leaves the process."
        )


def _tampered(made: Report) -> str:
    return (
        f"Your code replaced `{made.message}`, which the checks rely on. "
        "Leave it as it is and give your own function another name."
    )


def _rewire(output: int) -> None:
    """Point stdin at nothing and stdout and stderr at the pipe, for Python and for C."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", buffering=1, errors="replace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="replace", closefd=False)  # noqa: SIM115


def _imports(setup: str) -> list[str]:
    """The modules a setup cell imports from packages, so that they are loaded once."""
    try:
        tree = ast.parse("\n".join(x for x in setup.splitlines() if not x.startswith(("%", "!"))))
    except SyntaxError:
        return []
    return [name for node in ast.walk(tree) for name in _imported(node)]


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module


def _reap_orphans() -> bool:
    """On Linux, become the parent of whatever a child leaves behind (PR_SET_CHILD_SUBREAPER)."""
    if sys.platform != "linux":
        return False
    import ctypes

    return ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0


def _orphans() -> list[int]:
    with open("/proc/thread-self/children") as children:
        return [int(pid) for pid in children.read().split()]


def main() -> NoReturn:
    """Take stdin and stdout for the protocol and give everything else nothing to write to."""
    control, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    Server(control, answers).serve()


if __name__ == "__main__":
    main()
