"""`course check`: grades the tasks of a folder of notebooks and prints a line for each."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from course_lib.grading import notebooks, places, tasks
from course_lib.grading.card import Card
from course_lib.grading.progress import Progress
from course_lib.grading.refusals import Refused, unknown
from course_lib.grading.report import Report
from course_lib.grading.sandbox import Sandbox


def check(asked: argparse.Namespace) -> int:
    """Grade the tasks asked for; 0 when all pass, 1 when one fails."""
    wanted, work = _wanted(asked.what), _folder(asked.work)
    if not work.is_dir():
        raise Refused(f"There is no folder {work}. `course lab` lays your workspace.")
    inside = work.resolve().is_relative_to(places.workspace())
    stored = Progress(places.workspace() if inside else None)
    sandbox, reports = Sandbox(), []
    try:
        for path, task in _found(wanted, work):
            report = _grade(path, task, sandbox)
            if report.status != "not started":
                stored.attempted(task.name, report.passed)
            _tell(task, report, detailed=bool(asked.what) or report.status != "not started")
            reports.append(report)
    finally:
        sandbox.stop()
    if not reports:
        raise Refused(f"Nothing to check in {work}: no notebook of these lessons is there.")
    passed = sum(report.passed for report in reports)
    print(f"{passed} of {len(reports)} tasks passed")
    return 0 if passed == len(reports) else 1


def _wanted(what: str | None) -> Sequence[tasks.Task]:
    if what is None:
        return [task for lesson in tasks.lessons() for task in lesson.tasks]
    lesson, task = tasks.lesson_of(what), tasks.find(what)
    if task is None and (lesson is None or not lesson.tasks):
        raise unknown(what)
    return [task] if task else lesson.tasks if lesson else []


def _folder(given: Path | None) -> Path:
    """The folder of notebooks: as given, or the exercises in it, or those of the workspace."""
    folder = given or places.workspace()
    return folder / "exercises" if (folder / "exercises").is_dir() else folder


def _found(wanted: Sequence[tasks.Task], work: Path) -> Iterator[tuple[Path, tasks.Task]]:
    for task in wanted:
        path = places.notebook(work, task.lesson)
        if path is not None:
            yield path, task


def _grade(path: Path, task: tasks.Task, sandbox: Sandbox) -> Report:
    """Grade one task of a notebook file; what cannot be read is said in the report."""
    try:
        return sandbox.grade(task, notebooks.read(path).only(task.name))
    except notebooks.NotebookUnreadable as error:
        return Report(task.name, "missing", str(error))


def _tell(task: tasks.Task, report: Report, *, detailed: bool) -> None:
    plain = report.status in ("passed", "failed")
    words = report.status if plain else f"failed ({report.status})"
    print(f"{task.lesson}  {task.name}  {words}", flush=True)
    if detailed and not report.passed:
        lines = "\n".join(Card(task, report).body()).splitlines()
        for line in [*lines, f"next hint: course hint {task.name}"]:
            print(f"      {line}")
