"""Follows one grading child from outside and puts into words how it ended."""

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Callable
from typing import Any

from course_lib.grading.child import MEMORY_OUT
from course_lib.grading.report import KEPT_OUTPUT_BYTES, Check, Report

FLOOD_BYTES = 10_000_000


class Following:
    """Reads what one child sends and prints until it is done, dead or late."""

    def __init__(self, job: dict[str, Any], nonce: str, pid: int, result: int, output: int) -> None:
        self.job, self.nonce, self.pid = job, nonce.encode(), pid
        self.result, self.output = result, output
        self.made = Report(job["task"])
        self.printed, self.kept, self.lines = 0, b"", b""
        self.begun, self.done = "", False
        self.exit_status: int | None = None

    def report(self, kernel_lives: Callable[[], bool]) -> Report:
        """Follow the child to its end and say how it ended; leaves when the kernel is gone."""
        deadline = time.monotonic() + self.job["timeout_seconds"]
        status = ""
        while not status and not self.done:
            status = self._step(deadline)
            if not kernel_lives():
                self._end()
                os._exit(0)
        self._end()
        self.made.output = self.kept.decode(errors="replace")
        self.made.status, self.made.message = self._verdict(status)
        return self.made

    def _step(self, deadline: float) -> str:
        ready = select.select([self.result, self.output], [], [], 0.02)[0]
        if self.output in ready:
            self._read_output()
        if self.result in ready:
            self._read_results()
        if self.done:
            return ""
        if time.monotonic() > deadline:
            return "timeout"
        if self.printed > FLOOD_BYTES:
            return "flood"
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.exit_status = os.waitstatus_to_exitcode(status)
            self._drain()
            return "" if self.done else "died"
        return ""

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
            made.message = made.message or message["broken"]
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
        while orphans := _orphans():  # killing one may orphan its children in turn
            for orphan in orphans:
                with contextlib.suppress(ProcessLookupError, ChildProcessError):
                    os.kill(orphan, signal.SIGKILL)
                    os.waitpid(orphan, 0)

    def _verdict(self, status: str) -> tuple[str, str]:
        made, seconds = self.made, self.job["timeout_seconds"]
        now = next((check.sentence for check in made.checks if check.name == self.begun), "")
        when = f" while this was checked: {now.rstrip('.')}" if now else " while the cell ran"
        if status == "timeout":
            return "timeout", (
                f"Your code was still running after {seconds:g} s{when}. Look for a loop that "
                "never ends, or for something that waits for ever. Is your machine busy? Then run "
                "the cell again first."
            )
        if status == "flood":
            return "flood", (
                f"Your code printed more than {FLOOD_BYTES // 1_000_000} MB{when}. "
                "Is there a print in a loop that never ends?"
            )
        if made.status == "tampered":
            return "tampered", _tampered(made)
        if made.status in ("error", "memory"):
            return made.status, made.message
        if not self.done:
            return self._died(when)
        outcomes = [check.outcome for check in made.checks]
        if made.status == "not started":
            return "not started", "Replace `raise NotImplementedError` with your own code."
        if not outcomes or "not run" in outcomes:
            return "missing", _not_checked(made)
        if all(outcome == "passed" for outcome in outcomes):
            return "passed", ""
        if all(outcome in ("passed", "not started") for outcome in outcomes):
            return "not started", "Replace `raise NotImplementedError` with your own code."
        return "failed", ""

    def _died(self, when: str) -> tuple[str, str]:
        status = self.exit_status or 0
        if status == MEMORY_OUT:
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


def _not_checked(made: Report) -> str:
    if not made.message:
        return "No check was found for this task. Tell whoever maintains the course."
    return (
        f"The checks could not be run ({made.message}). Does your cell change something that "
        "Python or pytest relies on? If not, tell whoever maintains the course."
    )


def _tampered(made: Report) -> str:
    return (
        f"Your code replaced `{made.message}`, which the checks rely on. "
        "Leave it as it is and give your own function another name."
    )


def _orphans() -> list[int]:
    try:
        with open("/proc/thread-self/children") as children:
            return [int(pid) for pid in children.read().split()]
    except OSError:  # not on Linux
        return []
