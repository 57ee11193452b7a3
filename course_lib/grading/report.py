"""What grading found out, as plain data that crosses a pipe as JSON."""

import linecache
import types
from dataclasses import asdict, dataclass, field
from typing import Any

KEPT_OUTPUT_BYTES = 4_000
SURVIVED = ("passed", "failed", "not started")


def file_name(task: str) -> str:
    """The file name a task's cell is compiled under."""
    return f"<task {task}>"


def compile_cell(task: str, code: str) -> types.CodeType:
    """Compile a cell so that tracebacks show its lines; raises SyntaxError."""
    where = file_name(task)
    linecache.cache[where] = (len(code), None, code.splitlines(True), where)
    return compile(code, where, "exec", dont_inherit=True)


@dataclass
class Check:
    """One check of a task; outcome is passed, failed, not started or not run."""

    name: str
    sentence: str
    outcome: str = "not run"
    details: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Report:
    """One attempt at a task.

    status: passed, failed, not started; or, when the code did not survive: error (the cell
    raised), timeout, memory, flood, crash, tampered, missing, interrupted.
    """

    task: str
    status: str = "crash"
    message: str = ""
    checks: list[Check] = field(default_factory=list)
    output: str = ""

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return self.status == "passed"

    @property
    def survived(self) -> bool:
        """Whether the cell may be run in the learner's own kernel."""
        return self.status in SURVIVED

    @property
    def first_failure(self) -> Check | None:
        """The first check that did not pass."""
        return next((check for check in self.checks if check.outcome != "passed"), None)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Report":
        """The way back from `to_json`."""
        checks = [Check(**check) for check in data.pop("checks")]
        return cls(**data, checks=checks)
