"""Grades a folder of submissions, one folder each, in parallel; one bad submission stops nobody."""

import csv
import io
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

from course_lib.grading import tasks
from course_lib.grading.progress import write_atomically
from course_lib.grading.report import Report
from course_lib.grading.sandbox import Sandbox
from course_lib.grading.submission import Submission


@dataclass(frozen=True)
class Grade:
    """One task of one submission; `check` is the first one that failed, in its own words."""

    submission: str
    lesson: str
    task: str
    passed: bool
    status: str
    check: str
    message: str


def submissions(folder: Path) -> list[Path]:
    """The folders in `folder` that are not hidden."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")


def grade_class(folders: list[Path], at_once: int | None) -> Iterator[list[Grade]]:
    """Grade every folder and give the grades of each as it is finished; closing stops at once."""
    lessons = [lesson for lesson in tasks.lessons() if lesson.tasks]
    sandboxes = [Sandbox() for _ in folders]
    pool = ThreadPoolExecutor(at_once or os.cpu_count() or 1)
    try:
        jobs = zip(folders, sandboxes, strict=True)
        futures = [pool.submit(_grade, folder, lessons, sandbox) for folder, sandbox in jobs]
        for future in as_completed(futures):
            yield future.result()
    finally:
        for sandbox in sandboxes:
            sandbox.close()
        pool.shutdown(cancel_futures=True)


def _grade(folder: Path, lessons: list[tasks.Lesson], sandbox: Sandbox) -> list[Grade]:
    grades: list[Grade] = []
    try:
        submission = Submission(folder)
        for lesson in lessons:
            reports = submission.grade(lesson, sandbox)
            grades += [_row(folder.name, lesson.number, report) for report in reports]
    except Exception as error:  # of ours, then; the others are graded all the same
        broken = f"{type(error).__name__}: {error}"
        done = {grade.task for grade in grades}
        grades += [
            _row(folder.name, lesson.number, Report(task.name, "crash", broken))
            for lesson in lessons
            for task in lesson.tasks
            if task.name not in done
        ]
    finally:
        sandbox.close()
    return grades


def _row(submission: str, lesson: str, report: Report) -> Grade:
    first = report.first_failure if report.status == "failed" else None
    message = report.message
    if not message and first is not None:
        message = "; ".join(f"{label}: {text}" for label, text in first.details)
    check = first.sentence if first is not None else ""
    return Grade(submission, lesson, report.task, report.passed, report.status, check, message)


def as_csv(grades: list[Grade]) -> str:
    """A line for each task of each submission."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(Grade.__dataclass_fields__))
    writer.writeheader()
    for grade in grades:
        writer.writerow({key: _harmless(value) for key, value in asdict(grade).items()})
    return text.getvalue()


def _harmless(value: object) -> object:
    """A spreadsheet takes a text that begins with one of these for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") else value


def as_json(grades: list[Grade]) -> str:
    """The same as a list of objects."""
    return json.dumps([asdict(grade) for grade in grades], indent=1, ensure_ascii=False)


def write(path: Path, text: str) -> None:
    """Replace a report by a new one; a name that is no Unicode does not keep it from us."""
    write_atomically(path, text.encode(errors="replace"))
