"""The `%%task NAME` cell magic: grade the cell, show the card, and define its names if it lived.

It never raises, so that Run All works. See `card` for what is shown, `server` for how it runs.
"""

import contextlib
import io
import sys
from typing import Any

from course_lib.grading import progress, tasks
from course_lib.grading.card import Card
from course_lib.grading.explaining import message_of
from course_lib.grading.notebooks import NotebookUnreadable
from course_lib.grading.report import KEPT_OUTPUT_BYTES, Report, compile_cell
from course_lib.grading.sandbox import shared


def task(line: str, cell: str, shell: Any) -> Card:
    """Grade a cell and return its card."""
    name = line.strip()
    try:
        wanted = tasks.find(name)
        if wanted is None:
            return Card(None, Report(name, "missing", unknown(name)))
        report = shared.grade(wanted, cell)
    except (tasks.TasksMalformed, NotebookUnreadable, OSError) as error:
        return Card(None, Report(name, "missing", f"The course's own tasks are damaged: {error}"))
    if report.survived:
        define(shell, name, cell, quiet=len(report.output) >= KEPT_OUTPUT_BYTES)
    return card(wanted, report)


def card(task: tasks.Task, report: Report) -> Card:
    """Record the attempt and make its card."""
    before: set[str] = set()
    try:
        before = progress.current().passed()
        if report.status != "not started":
            progress.current().attempted(task.name, report.passed)
        passed = progress.current().passed()
    except OSError as error:
        report.message += f"\nYour progress could not be stored: {error}."
        passed = {task.name} if report.passed else set()
    lesson = tasks.lesson_of(task.lesson)
    names = {each.name for each in lesson.tasks} if lesson else {task.name}
    return Card(task, report, len(names & passed), len(names), task.name in before)


def define(shell: Any, name: str, cell: str, *, quiet: bool) -> None:
    """Run the cell in the learner's kernel; what goes wrong there is printed, never raised."""
    try:
        code = compile_cell(name, "\n" + shell.transform_cell(cell))
        # Redirecting also brings the kernel's streams back where a cell has replaced them.
        shown = io.StringIO() if quiet else sys.stdout
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(sys.stderr):
            exec(code, shell.user_ns)
    except NotImplementedError:
        return
    except (Exception, SystemExit) as error:
        what = f"{type(error).__name__}: {message_of(error)}"
        print(f"{name} ran while it was graded, but not here: {what}")


def unknown(name: str) -> str:
    """What to say of a name that no task has."""
    near = tasks.nearest(name)
    text = f"There is no task named `{name}`." if name else "The task has no name."
    text += " The first line of the cell is `%%task NAME`; `course progress` lists the names."
    return f"{text} Did you mean `{near}`?" if near else text


def hint(name: Any) -> None:
    """Show the next hint of a task; `hint(double)` will do for `hint("double")`."""
    called = str(getattr(name, "__name__", name))
    wanted = tasks.find(called)
    if wanted is None:
        print(unknown(called))
        return
    print(progress.current().next_hint(wanted))


def with_body(lines: list[str]) -> list[str]:
    """Give a task's cell that was emptied a blank line: IPython raises where there is none."""
    emptied = len(lines) == 1 and lines[0].startswith("%%task")
    return [lines[0].rstrip() + "\n", "\n"] if emptied else lines


def load(shell: Any) -> None:
    """Register the magic and start the fork server in the background."""

    def run(line: str, cell: str = "") -> Card:
        return task(line, cell, shell)

    shell.register_magic_function(run, "cell", "task")
    shell.input_transformers_cleanup.append(with_body)
    shell.user_ns.setdefault("hint", hint)
    shared.start()
