"""The `%%task NAME` cell magic: grade the cell, show the card, and define its names if it lived.

It never raises, so that Run All works. See `card` for what is shown, `server` for how it runs.
"""

import contextlib
import io
from typing import Any

from course_lib.grading import progress, tasks
from course_lib.grading.card import Card
from course_lib.grading.report import KEPT_OUTPUT_BYTES, Report, compile_cell
from course_lib.grading.sandbox import shared


def task(line: str, cell: str, shell: Any) -> Card:
    """Grade a cell and return its card."""
    name = line.strip()
    try:
        wanted = tasks.find(name)
    except tasks.TasksMalformed as error:
        return Card(None, Report(name, "missing", f"The course's own tasks are damaged: {error}"))
    if wanted is None:
        return Card(None, Report(name, "missing", unknown(name)))
    report = shared.grade(wanted, cell)
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
        with contextlib.redirect_stdout(io.StringIO()) if quiet else contextlib.nullcontext():
            exec(code, shell.user_ns)
    except NotImplementedError:
        return
    except Exception as error:
        print(f"{name} passed its grading run, but not here: {type(error).__name__}: {error}")


def unknown(name: str) -> str:
    """What to say of a name that no task has."""
    near = tasks.nearest(name)
    text = f"There is no task named `{name}`. The first line of the cell is `%%task NAME`."
    return f"{text} Did you mean `{near}`?" if near else text


def hint(name: str) -> None:
    """Show the next hint of a task."""
    wanted = tasks.find(name)
    if wanted is None:
        print(unknown(name))
        return
    print(progress.current().next_hint(wanted))


def load(shell: Any) -> None:
    """Register the magic and start the fork server in the background."""

    def run(line: str, cell: str = "") -> Card:
        return task(line, cell, shell)

    shell.register_magic_function(run, "cell", "task")
    shell.user_ns.setdefault("hint", hint)
    shared.start()
