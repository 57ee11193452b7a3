"""What happens inside the forked child: limits, the learner's cell, the checks, and the end.

Every line it sends begins with a nonce, so that nothing the learner prints can look like one,
and holds nothing that UTF-8 cannot, so that a card and a table of grades can always be written.
"""

import faulthandler
import gc
import json
import os
import resource
import select
import signal
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from course_lib.grading import integrity, plugin
from course_lib.grading.explaining import explain, learners_line, message_of

MEMORY_OUT = 86  # exit status of a child that went over its memory
_DISABLED = (
    *("cacheprovider", "terminal", "debugging", "unittest", "capture", "legacypath", "pastebin"),
    *("junitxml", "doctest", "setuponly", "setupplan", "stepwise", "unraisableexception"),
    *("threadexception", "warnings", "logging", "faulthandler", "subtests", "skipping"),
)
_BROKEN_OFF = (
    pytest.ExitCode.INTERRUPTED,
    pytest.ExitCode.INTERNAL_ERROR,
    pytest.ExitCode.USAGE_ERROR,
)
# tmpdir, monkeypatch and recwarn stay: graders may ask for their fixtures.
OPTIONS = [
    "-c",
    os.devnull,
    "--noconftest",
    "--import-mode=importlib",
    "--assert=plain",  # graders say `expect`; rewriting their asserts takes as long as the checks
    *(f"-pno:{name}" for name in _DISABLED),
]


def arguments(grader: Path) -> list[str]:
    """What pytest is called with; it looks at no folder above the grader's, however full."""
    folder = grader.parent
    return [*OPTIONS, f"--rootdir={folder}", f"--confcutdir={folder}", str(grader)]


def run(job: dict[str, Any], nonce: str, result: int, lifeline: int, taken: Any) -> None:
    """Grade one job and leave the process; never returns."""
    compare, found = integrity.changed, [""]

    def send(message: dict[str, Any]) -> None:
        line = f"{nonce}{dumps(message, ensure_ascii=False)}\n"
        write(result, line.encode(errors="replace"))

    def tampered() -> str:
        found[0] = found[0] or compare(taken)
        return found[0]

    write, dumps, leave = os.write, json.dumps, os._exit
    memory = job["memory_mb"] * 2**20
    _limit(memory, job["timeout_seconds"])
    threading.Thread(target=_watch, args=(lifeline, memory), daemon=True).start()
    try:
        _grade(job, send, tampered)
        send({"done": True})
    except BaseException as error:
        broken = {"broken": f"{type(error).__name__}: {message_of(error)}"}
        send({"tampered": tampered()} if tampered() else broken)
    leave(0)


def _grade(job: dict[str, Any], send: plugin.Send, tampered: Callable[[], str]) -> None:
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    name = job["task"]
    try:
        plugin.execute(name, job["setup"], job["code"], module)
    except NotImplementedError:
        send({"cell": "not started"})
    except BaseException as error:
        tampered()  # puts builtins back
        line = learners_line(name, error)
        if not line and learners_line("setup", error):
            line = f"the first cell of the notebook, {learners_line('setup', error)}"
        memory = isinstance(error, MemoryError)
        send({"cell": "memory" if memory else "error", "details": explain(error, line)})
        return
    if tampered():
        send({"tampered": tampered()})
        return
    grading = plugin.Grading(name, module.__dict__, send, tampered)
    grader = Path(job["grader"])
    ended = pytest.main(arguments(grader), plugins=[grading])
    if ended in _BROKEN_OFF:
        send({"broken": f"pytest: {pytest.ExitCode(ended).name.lower().replace('_', ' ')}"})
    if tampered():
        send({"tampered": tampered()})


def _limit(memory: int, seconds: float) -> None:
    """Limits of the system; address space gets 2 GB more, since threads reserve without using."""
    for what, amount in (
        (resource.RLIMIT_CPU, int(seconds) + 5),
        (resource.RLIMIT_FSIZE, 256 * 2**20),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, _address_space() + memory + 2 * 2**30),
    ):
        try:
            resource.setrlimit(what, (amount, amount))
        except (ValueError, OSError):  # macOS knows no limit of the address space
            continue
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    faulthandler.disable()
    gc.enable()


def _address_space() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 8 * 2**30


def _watch(lifeline: int, memory: int) -> None:
    """End the whole process group when the server is gone or the memory is used up."""
    unit = 1 if sys.platform == "darwin" else 1024
    allowed = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit + memory
    while True:
        gone = select.select([lifeline], [], [], 0.05)[0]
        if gone:
            os.killpg(0, signal.SIGKILL)
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit > allowed:
            os._exit(MEMORY_OUT)
