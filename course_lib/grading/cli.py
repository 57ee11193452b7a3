"""The `course` command: lab, next, check, hint, reset, solution, progress, grade, doctor.

Exit status of `check`: 0 when all asked-for tasks pass, 1 when one fails, 2 when nothing
could be checked.
"""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from course_lib.grading import (
    classroom,
    doctor,
    jupyter,
    notebooks,
    pages,
    places,
    progress,
    tasks,
    workspace,
)
from course_lib.grading.card import Card
from course_lib.grading.report import Report
from course_lib.grading.sandbox import Sandbox


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    asked = _parser().parse_args(arguments)
    try:
        status = int(asked.run(asked))
        sys.stdout.flush()
        return status
    except tasks.TasksMalformed as error:
        return _fail(f"The course's own tasks are damaged: {error}")
    except (workspace.WorkspaceError, notebooks.NotebookUnreadable) as error:
        return _fail(str(error))
    except BrokenPipeError:  # `course check | head`: nobody reads on, and that is no error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _fail(f"{error}. `course doctor` looks for the cause.")
    except KeyboardInterrupt:
        return _fail("stopped")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="course", description="The course in the terminal.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, run: object, help: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=help, description=help)
        made.set_defaults(run=run)
        return made

    one = verb("lab", lab, "lay the workspace and open JupyterLab at lesson 0.0")
    one.add_argument("--no-browser", action="store_true", help="only print the address")
    one.add_argument("--lay-only", action="store_true", help="lay the workspace, start nothing")
    one.add_argument("--port", type=int, help="the first port to try (default 8888)")
    verb("next", next_task, "tell which task comes next")
    one = verb("check", check, "grade tasks: all, those of a LESSON, or one TASK")
    one.add_argument("what", nargs="?", metavar="LESSON|TASK")
    one.add_argument("--work", type=Path, metavar="DIR", help="where the notebooks are")
    one = verb("hint", hint, "show the next hint of a TASK")
    one.add_argument("what", metavar="TASK")
    one = verb("reset", reset, "bring a LESSON's exercise or a TASK's cell back; yours is kept")
    one.add_argument("what", metavar="LESSON|TASK")
    one = verb("solution", solution, "show the solution of a TASK")
    one.add_argument("what", metavar="TASK")
    one.add_argument("--yes", action="store_true", help="show it before the task is done")
    verb("progress", show_progress, "show what is done")
    one = verb("grade", grade_folder, "grade a class: DIR holds a folder for each submission")
    one.add_argument("folder", type=Path, metavar="DIR")
    one.add_argument("--at-once", type=int, metavar="N", help="submissions graded in parallel")
    one.add_argument("--out", type=Path, metavar="DIR", help="where the tables go (default DIR)")
    verb("doctor", examine, "look for what is missing on this machine")
    return parser


def lab(asked: argparse.Namespace) -> int:
    """Lay the workspace and become JupyterLab, or tell where it runs already."""
    said = str(workspace.lay())
    if said or asked.lay_only:
        print(said or f"{places.workspace()} is up to date", flush=True)
    if asked.lay_only:
        workspace.quieten_jupyterlab()
        return 0
    url = jupyter.running_url()
    if url:
        print(f"JupyterLab already runs for this workspace. Open {url}")
        return 0
    jupyter.start(not asked.no_browser, asked.port)


def next_task(asked: argparse.Namespace) -> int:
    """Tell the first task that has not passed."""
    passed = _stored().passed()
    for lesson in tasks.lessons():
        for task in lesson.tasks:
            if task.name not in passed:
                print(f"{task.lesson}  {task.name}: {task.title} ({task.minutes} min)")
                path = places.notebook(places.workspace() / "exercises", task.lesson)
                print(f"open {path}" if path else "`course lab` lays the notebook it is in")
                return 0
    print("Every task is done.")
    return 0


def hint(asked: argparse.Namespace) -> int:
    """Show the next hint."""
    task = tasks.find(asked.what)
    if task is None:
        return _unknown(asked.what)
    print(_stored().next_hint(task))
    return 0


def reset(asked: argparse.Namespace) -> int:
    """Bring an exercise or a cell back."""
    task = tasks.find(asked.what)
    if task is None and tasks.lesson_of(asked.what) is None:
        return _unknown(asked.what)
    kept = workspace.reset_task(task) if task else workspace.reset_lesson(asked.what)
    print(f"{asked.what} is as it was." + (f" Your version is kept in {kept}" if kept else ""))
    print("If the notebook is open in JupyterLab, choose File, Reload Notebook from Disk.")
    return 0


def solution(asked: argparse.Namespace) -> int:
    """Show the solution once the task is done, or when told twice."""
    task = tasks.find(asked.what)
    if task is None:
        return _unknown(asked.what)
    path = places.notebook(places.root() / "solutions", task.lesson)
    if path is None:
        return _fail(f"The solution of lesson {task.lesson} is not here.")
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
        return _fail(f"There is no folder {asked.folder}.")
    grades = classroom.grade_class(
        asked.folder, asked.at_once, lambda line: print(line, flush=True)
    )
    if not grades:
        return _fail(f"{asked.folder} holds no folder of notebooks, one for each submission.")
    table, data = classroom.write(grades, asked.out or asked.folder)
    print(f"written: {table} and {data}")
    return 0


def examine(asked: argparse.Namespace) -> int:
    """Print what the doctor finds; 1 when something must be done."""
    findings = list(doctor.examine())
    for each in findings:
        print(f"{each.state:<9} {each.text}")
    return 1 if any(each.state == "problem" for each in findings) else 0


def check(asked: argparse.Namespace) -> int:
    """Grade the tasks asked for; a line each."""
    wanted = _select(asked.what)
    work = _work(asked.work)
    if not wanted and asked.what:
        return _unknown(asked.what)
    if not work.is_dir():
        return _fail(f"There is no folder {work}. `course lab` lays your workspace.")
    sandbox, graded, failed = Sandbox(), 0, 0
    stored = (
        progress.Progress(places.workspace()) if _is_workspace(work) else progress.Progress(None)
    )
    try:
        for lesson in wanted:
            graded_here, failed_here = _check_lesson(
                lesson, work, sandbox, stored, bool(asked.what)
            )
            graded, failed = graded + graded_here, failed + failed_here
    finally:
        sandbox.stop()
    if not graded:
        return _fail(f"Nothing to check in {work}: no notebook of these lessons is there.")
    print(f"{graded - failed} of {graded} tasks passed")
    return 1 if failed else 0


def _check_lesson(
    lesson: tasks.Lesson,
    work: Path,
    sandbox: Sandbox,
    stored: progress.Progress,
    detailed: bool,
) -> tuple[int, int]:
    path = places.notebook(work, lesson.number)
    if path is None:
        return 0, 0
    failed = 0
    for task in lesson.tasks:
        report = grade(path, task, sandbox)
        if report.status != "not started":
            stored.attempted(task.name, report.passed)
        failed += not report.passed
        plain = report.status in ("passed", "failed")
        words = report.status if plain else f"failed ({report.status})"
        print(f"{lesson.number}  {task.name}  {words}", flush=True)
        if not report.passed and (detailed or report.status != "not started"):
            lines = "\n".join(Card(task, report).body()).splitlines()
            print(
                "\n".join(
                    f"      {line}" for line in [*lines, f"next hint: course hint {task.name}"]
                )
            )
    return len(lesson.tasks), failed


def grade(path: Path, task: tasks.Task, sandbox: Sandbox) -> Report:
    """Grade one task of a notebook file; what cannot be read is said in the report."""
    try:
        code = notebooks.read(path).only(task.name)
    except notebooks.NotebookUnreadable as error:
        return Report(task.name, "missing", str(error))
    return sandbox.grade(task, code)


def _select(what: str | None) -> list[tasks.Lesson]:
    """The lessons asked for, each with the tasks asked for."""
    everything = [lesson for lesson in tasks.lessons() if lesson.tasks]
    if what is None:
        return everything
    chosen = [lesson for lesson in everything if lesson.number == what]
    task = tasks.find(what)
    return [tasks.Lesson(task.lesson, (task,), ())] if task else chosen


def _work(given: Path | None) -> Path:
    """The folder of notebooks: as given, or the exercises in it, or those of the workspace."""
    folder = given or places.workspace()
    return folder / "exercises" if (folder / "exercises").is_dir() else folder


def _is_workspace(folder: Path) -> bool:
    return folder.resolve().is_relative_to(places.workspace())


def _stored() -> progress.Progress:
    return progress.Progress(places.workspace())


def _unknown(what: str) -> int:
    near = tasks.nearest(what)
    asked = f" Did you mean {near}?" if near else ""
    return _fail(f"No lesson or task is called {what!r}; `course progress` lists them.{asked}")


def _fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
