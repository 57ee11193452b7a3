"""Grades a folder of submissions, one folder each, in parallel; one bad submission stops nobody."""

import csv
import io
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from course_lib.grading import notebooks, tasks
from course_lib.grading.progress import write_atomically
from course_lib.grading.report import Report
from course_lib.grading.sandbox import Sandbox


@dataclass(frozen=True)
class Grade:
    """One task of one submission."""

    submission: str
    lesson: str
    task: str
    passed: bool
    status: str
    message: str


def grade_class(folder: Path, at_once: int | None, tell: Callable[[str], None]) -> list[Grade]:
    """Grade every folder in `folder`; `tell` hears a line for each submission that is finished."""
    submissions = sorted(path for path in folder.iterdir() if path.is_dir() and _visible(path))
    lessons = [lesson for lesson in tasks.lessons() if lesson.tasks]
    grades: list[Grade] = []
    with ThreadPoolExecutor(at_once or os.cpu_count() or 1) as pool:
        for rows in pool.map(lambda path: _grade_safely(path, lessons), submissions):
            grades += rows
            passed = sum(row.passed for row in rows)
            tell(f"{rows[0].submission}  {passed} of {len(rows)} tasks passed")
    return grades


def _visible(path: Path) -> bool:
    return not path.name.startswith(".")


def _grade_safely(folder: Path, lessons: list[tasks.Lesson]) -> list[Grade]:
    sandbox = Sandbox()
    try:
        return [
            _row(folder.name, task, _report(folder, task, sandbox))
            for lesson in lessons
            for task in lesson.tasks
        ]
    finally:
        sandbox.stop()


def _report(folder: Path, task: tasks.Task, sandbox: Sandbox) -> Report:
    try:
        found = sorted(path for path in folder.rglob(f"{task.lesson}-*.ipynb") if path.is_file())
        found = [
            path
            for path in found
            if ".ipynb_checkpoints" not in path.parts and not path.stem.endswith(".new")
        ]
        if not found:
            return Report(task.name, "missing", f"no notebook {task.lesson}-*.ipynb")
        return sandbox.grade(task, notebooks.read(found[0]).only(task.name))
    except notebooks.NotebookUnreadable as error:
        return Report(task.name, "missing", str(error))
    except Exception as error:
        return Report(task.name, "crash", f"{type(error).__name__}: {error}")


def _row(submission: str, task: tasks.Task, report: Report) -> Grade:
    message = report.message
    first = report.first_failure
    if not message and first is not None:
        details = "; ".join(f"{label}: {text}" for label, text in first.details)
        message = f"{first.sentence} {details}"
    return Grade(submission, task.lesson, task.name, report.passed, report.status, message)


def write(grades: list[Grade], folder: Path) -> tuple[Path, Path]:
    """Write grades.csv and grades.json into `folder`."""
    rows = [asdict(grade) for grade in grades]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(Grade.__dataclass_fields__))
    writer.writeheader()
    writer.writerows({key: _harmless(value) for key, value in row.items()} for row in rows)
    table, data = folder / "grades.csv", folder / "grades.json"
    write_atomically(table, text.getvalue().encode())
    write_atomically(data, json.dumps(rows, indent=1, ensure_ascii=False).encode())
    return table, data


def _harmless(value: object) -> object:
    """A spreadsheet takes a text that begins with one of these for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@") else value
