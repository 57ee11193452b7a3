"""What each verb of the `course` command does, but for `check`; each returns its exit status."""

import argparse
import re

from course_lib.grading import (
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
    passed = _stored().passed()
    every = (task for lesson in tasks.lessons() for task in lesson.tasks)
    task = next((task for task in every if task.name not in passed), None)
    if task is None:
        print("Every task is done.")
        return 0
    print(f"{task.lesson}  {task.name}: {task.title} ({task.minutes} min)")
    path = places.notebook(places.workspace() / "exercises", task.lesson)
    print(f"open {path}" if path else "`course lab` lays the notebook it is in")
    return 0


def hint(asked: argparse.Namespace) -> int:
    """Show the next hint."""
    print(_stored().next_hint(task_named(asked.what)))
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
    if task.name not in _stored().passed() and not asked.yes and not _confirmed(task.name):
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
    """Grade a class and write grades.csv and grades.json."""
    if not asked.folder.is_dir():
        raise Refused(f"There is no folder {asked.folder}.")
    grades = classroom.grade_class(
        asked.folder, asked.at_once, lambda line: print(line, flush=True)
    )
    if not grades:
        raise Refused(f"{asked.folder} holds no folder of notebooks, one for each submission.")
    table, data = classroom.write(grades, asked.out or asked.folder)
    print(f"written: {table} and {data}")
    return 0


def examine(asked: argparse.Namespace) -> int:
    """Print what the doctor finds; 1 when something must be done."""
    findings = list(doctor.examine())
    for each in findings:
        print(f"{each.state:<9} {each.text}")
    return 1 if any(each.state == "problem" for each in findings) else 0


def _stored() -> Progress:
    return Progress(places.workspace())
