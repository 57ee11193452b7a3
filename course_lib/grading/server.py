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
import sys
import tempfile
from collections.abc import Iterator
from typing import Any, NoReturn

from course_lib.grading import child, integrity
from course_lib.grading.following import Following
from course_lib.grading.report import Report

PRELOAD = [
    *("course_lib.errors", "course_lib.context", "course_lib.endpoint"),
    *("course_lib.grading.checks", "course_lib.lab.virtual_time", "dataclasses"),
    *("fastapi", "httpx", "grpc.aio"),
]


class Server:
    """One job at a time; `control` is the pipe whose end means the kernel is gone."""

    def __init__(self, control: int, answers: int) -> None:
        self.control, self.answers = control, answers
        self.waiting = b""
        self.seen: set[str] = set()
        self.taken: integrity.Photograph = []
        _collect_orphans()

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

    def kernel_lives(self) -> bool:
        """Whether the control pipe is open still; keeps what comes through it meanwhile."""
        if not select.select([self.control], [], [], 0)[0]:
            return True
        data = os.read(self.control, 65536)
        self.waiting += data
        return bool(data)

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
            return Following(job, nonce, pid, result[0], output[0]).report(self.kernel_lives)
        finally:
            for fd in (result[0], output[0], life[1]):
                os.close(fd)
            shutil.rmtree(folder, ignore_errors=True)


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


def _collect_orphans() -> None:
    """On Linux, become the parent of whatever a child leaves behind (PR_SET_CHILD_SUBREAPER)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def main() -> NoReturn:
    """Take stdin and stdout for the protocol and give everything else nothing to write to."""
    control, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    Server(control, answers).serve()


if __name__ == "__main__":
    main()
