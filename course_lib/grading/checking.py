"""`course check`: grades the tasks of a folder of notebooks and prints a line for each."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from course_lib.grading import notebooks, places, tasks
from course_lib.grading.card import Card
from course_lib.grading.progress import Progress
from course_lib.grading.refusals import Refused, unknown
from course_lib.grading.report import Report
from course_lib.grading.sandbox import Sandbox


def check(asked: argparse.Namespace) -> int:
    """Grade the tasks asked for; 0 when all pass, 1 when one fails or its notebook is missing."""
    wanted, work = _wanted(asked.what), exercises_in(asked.work)
    numbers = dict.fromkeys(task.lesson for task in wanted)
    paths = {number: notebooks.of_lesson(work, number) for number in numbers}
    missing = [number for number, path in paths.items() if path is None]
    where = (
        f"The name of a notebook begins with its number, as in {next(iter(numbers))}-topic.ipynb"
    )
    where += "; `course lab` lays what is missing in your workspace."
    if len(missing) == len(paths):
        raise Refused(f"Nothing to check in {work}: no notebook of these lessons is there. {where}")
    reports = _grade_all(wanted, paths, work, detailed=bool(asked.what))
    if missing:
        print(f"No notebook of {', '.join(missing)} is in {work}. {where}")
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


def exercises_in(given: Path | None) -> Path:
    """The folder of notebooks: as given, or the exercises in it, or those of the workspace."""
    folder = given or places.workspace()
    if not folder.is_dir():
        raise Refused(f"There is no folder {folder}. `course lab` lays your workspace.")
    return folder / "exercises" if (folder / "exercises").is_dir() else folder


def _grade_all(
    wanted: Sequence[tasks.Task], paths: dict[str, Path | None], work: Path, *, detailed: bool
) -> list[Report]:
    inside = work.resolve().is_relative_to(places.workspace())
    stored = Progress(places.workspace() if inside else None)
    sandbox, reports = Sandbox(), []
    try:
        for task in wanted:
            path = paths[task.lesson]
            report = _grade(path, task, sandbox)
            if report.status == "interrupted":
                raise KeyboardInterrupt  # whoever stops one task in a terminal means them all
            _record(report, stored)
            unbegun = path is None or report.status == "not started"
            _tell(task, report, detailed=detailed or not unbegun)
            reports.append(report)
    finally:
        sandbox.stop()
    return reports


def _grade(path: Path | None, task: tasks.Task, sandbox: Sandbox) -> Report:
    """Grade one task of a notebook file; what cannot be read is said in the report."""
    if path is None:
        return Report(task.name, "missing")
    try:
        return sandbox.grade(task, notebooks.read(path).only(task.name))
    except notebooks.NotebookUnreadable as error:
        return Report(task.name, "missing", str(error))


def _record(report: Report, stored: Progress) -> None:
    if report.status in ("not started", "missing"):
        return
    try:
        stored.attempted(report.task, report.passed)
    except OSError as error:
        report.message += f"\nYour progress could not be stored: {error}."


def _tell(task: tasks.Task, report: Report, *, detailed: bool) -> None:
    plain = report.status in ("passed", "failed")
    words = report.status if plain else f"failed ({report.status})"
    print(f"{task.lesson}  {task.name}  {words}", flush=True)
    if detailed and not report.passed:
        lines = "\n".join(Card(task, report).body()).splitlines()
        for line in [*lines, f"next hint: course hint {task.name}"]:
            print(f"      {line}")
