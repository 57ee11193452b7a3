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
import re
import secrets
import select
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import course_lib
from course_lib.grading import child, integrity
from course_lib.grading.following import Following
from course_lib.grading.report import Report

ROOMS = ("shop", "transport", "middleware", "telemetry")
ALWAYS = ["course_lib.grading.checks", "course_lib.lab.virtual_time"]  # what checks run on


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
        likely = [*ALWAYS, "fastapi", "httpx", "grpc.aio", *_modules(), "course_lib.lab.launch"]
        while True:
            self.preload(likely, idle=True)
            job = json.loads(self.next_line())
            self.preload([*ALWAYS, *_needed(job)])
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

    def preload(self, names: list[str], *, idle: bool = False) -> None:
        """Import modules; idle: only until a job comes. What fails, fails again in the child."""
        for name in names:
            if idle and select.select([self.control], [], [], 0)[0]:
                return
            if name not in self.seen:
                self.seen.add(name)
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
                self.taken = []

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


def _modules() -> list[str]:
    """The modules of the rooms that exercises use."""
    folder = Path(course_lib.__file__).parent
    paths = [path for room in ROOMS for path in sorted((folder / room).glob("*.py"))]
    return [f"course_lib.{path.parent.name}.{path.stem}" for path in paths if path.stem[0] != "_"]


def _needed(job: dict[str, Any]) -> list[str]:
    """What the setup cell and the grader import, and what the cell imports from the course."""
    grader = Path(job["grader"]).read_text() if Path(job["grader"]).exists() else ""
    ours = [name for name in _imports(job["code"]) if name.startswith("course_lib.")]
    return [*_imports(job["setup"]), *_imports(grader), *ours]


def _imports(code: str) -> list[str]:
    try:
        tree = ast.parse(re.sub(r"(?m)^[%!].*$", "", code))
    except (SyntaxError, ValueError, RecursionError):
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
