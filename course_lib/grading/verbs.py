"""What each verb of the `course` command does, but for `check`; each returns its exit status."""

import argparse
import os
import re
from pathlib import Path

from course_lib.grading import (
    class_page,
    classroom,
    doctor,
    jupyter,
    notebooks,
    pages,
    places,
    resetting,
    tasks,
    workspace,
)
from course_lib.grading.checking import exercises_in
from course_lib.grading.progress import Progress
from course_lib.grading.refusals import Refused, task_named, unknown


def lab(asked: argparse.Namespace) -> int:
    """Lay the workspace and become JupyterLab, or tell where it runs already."""
    said = str(workspace.lay())
    if said or asked.lay_only:
        print(said or f"{places.workspace()} is up to date", flush=True)
    if asked.lay_only:
        jupyter.quieten_jupyterlab()
        return 0
    url = jupyter.running_url()
    if url:
        print(f"JupyterLab already runs for this workspace. Open {url}")
        return 0
    jupyter.start(not asked.no_browser, asked.port)


def next_task(asked: argparse.Namespace) -> int:
    """Tell the first task that has not passed."""
    passed = _stored(asked.work).passed()
    every = (task for lesson in tasks.lessons() for task in lesson.tasks)
    task = next((task for task in every if task.name not in passed), None)
    if task is None:
        print("Every task is done.")
        return 0
    print(f"{task.lesson}  {task.name}: {task.title} ({task.minutes} min)")
    folder = exercises_in(asked.work) if asked.work else places.workspace() / "exercises"
    path = notebooks.of_lesson(folder, task.lesson)
    print(f"open {path}" if path else "`course lab` lays the notebook it is in")
    return 0


def hint(asked: argparse.Namespace) -> int:
    """Show the next hint."""
    print(_stored(asked.work).next_hint(task_named(asked.what)))
    return 0


def reset(asked: argparse.Namespace) -> int:
    """Bring an exercise or a cell back."""
    task = tasks.find(asked.what)
    if task is None and tasks.lesson_of(asked.what) is None:
        raise unknown(asked.what)
    kept = resetting.reset_task(task) if task else resetting.reset_lesson(asked.what)
    print(f"{asked.what} is as it was." + (f" Your version is kept in {kept}" if kept else ""))
    print("If the notebook is open in JupyterLab, choose File, Reload Notebook from Disk.")
    return 0


def solution(asked: argparse.Namespace) -> int:
    """Show the solution once the task is done, or when told twice."""
    task = task_named(asked.what)
    path = places.notebook(places.root() / "solutions", task.lesson)
    if path is None:
        raise Refused(f"The solution of lesson {task.lesson} is not here.")
    if (
        task.name not in _stored(asked.work).passed()
        and not asked.yes
        and not _confirmed(task.name)
    ):
        return 1
    code = notebooks.read(path).only(task.name)
    print(re.sub(r"(?m)^[ \t]*### (BEGIN|END) SOLUTION[ \t]*\n?", "", code).strip())
    return 0


def _confirmed(name: str) -> bool:
    question = f"{name} has not passed yet. Show the solution all the same? [y/N] "
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        print(f"\nTry `course hint {name}` first, or ask again with --yes.")
        return False


def show_progress(asked: argparse.Namespace) -> int:
    """Show the table of lessons and tasks."""
    print(pages.stored_page())
    return 0


def grade_folder(asked: argparse.Namespace) -> int:
    """Grade a class and write grades.csv, grades.json and grades.html."""
    if not asked.folder.is_dir():
        raise Refused(f"There is no folder {asked.folder}.")
    out = (asked.out or asked.folder).resolve()
    folders = [each for each in classroom.submissions(asked.folder) if each.resolve() != out]
    if not folders:
        raise Refused(f"{asked.folder} holds no folder of notebooks, one for each submission.")
    _make_writable(out)
    for path in sorted(asked.folder.glob("*.ipynb")):
        print(f"{path.name} lies in no folder of its own and is not graded")
    grades: list[classroom.Grade] = []
    try:
        for rows in classroom.grade_class(folders, asked.at_once):
            grades += rows
            passed = sum(row.passed for row in rows)
            print(f"{rows[0].submission}  {passed} of {len(rows)} tasks passed", flush=True)
    finally:  # also when it is interrupted: what is finished is kept
        if grades:
            _write_grades(grades, out)
    return 0


def _make_writable(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise Refused(f"{folder} cannot be written. Name a folder for the tables with --out DIR.")


def _write_grades(grades: list[classroom.Grade], out: Path) -> None:
    grades.sort(key=lambda grade: grade.submission)  # stable: tasks stay in reading order
    texts = {
        "grades.csv": classroom.as_csv(grades),
        "grades.json": classroom.as_json(grades),
        "grades.html": class_page.page(grades),
    }
    for name, text in texts.items():
        classroom.write(out / name, text)
    print(f"written: {', '.join(texts)} in {out}")


def examine(asked: argparse.Namespace) -> int:
    """Print what the doctor finds; 1 when something must be done."""
    findings = list(doctor.examine())
    for each in findings:
        print(f"{each.state:<9} {each.text}")
    return 1 if any(each.state == "problem" for each in findings) else 0


def _stored(work: Path | None) -> Progress:
    """The progress in the workspace, or in the one that `work` is part of."""
    if work is None:
        return Progress(places.workspace())
    return Progress(workspace.home_of(exercises_in(work).resolve()))
