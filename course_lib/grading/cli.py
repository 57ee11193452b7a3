"""The `course` command: lab, next, check, hint, reset, solution, progress, grade, doctor.

Exit status of `check`: 0 when all asked-for tasks pass, 1 when one fails, 2 when nothing
could be checked.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from course_lib.grading import notebooks, places, progress, tasks
from course_lib.grading.card import Card
from course_lib.grading.report import Report
from course_lib.grading.sandbox import Sandbox


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    asked = _parser().parse_args(arguments)
    try:
        return int(asked.run(asked))
    except tasks.TasksMalformed as error:
        return _fail(f"The course's own tasks are damaged: {error}")
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

    one = verb("check", check, "grade tasks: all, those of a LESSON, or one TASK")
    one.add_argument("what", nargs="?", metavar="LESSON|TASK")
    one.add_argument("--work", type=Path, metavar="DIR", help="where the notebooks are")
    return parser


def check(asked: argparse.Namespace) -> int:
    """Grade the tasks asked for; a line each."""
    wanted = _select(asked.what)
    work = _work(asked.work)
    if not wanted and asked.what:
        return _fail(f"No lesson or task is called {asked.what!r}; `course progress` lists them.")
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
        stored.attempted(task.name, report.passed)
        failed += not report.passed
        words = "passed" if report.passed else f"failed ({report.status})"
        print(f"{lesson.number}  {task.name}  {words}", flush=True)
        if not report.passed and (detailed or report.status != "not started"):
            print(
                "\n".join(f"      {line}" for line in repr(Card(task, report)).splitlines()[1:-1])
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


def _fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
