"""The `course` command: lab, next, check, hint, reset, solution, progress, grade, doctor.

Exit status of `check`: 0 when all asked-for tasks pass, 1 when one fails, 2 when nothing
could be checked.
"""

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from course_lib.grading import verbs
from course_lib.grading.checking import check
from course_lib.grading.notebooks import NotebookUnreadable
from course_lib.grading.refusals import Refused
from course_lib.grading.tasks import TasksMalformed
from course_lib.grading.workspace import WorkspaceError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    for stream in (sys.stdout, sys.stderr):  # a name the terminal cannot show is no reason to stop
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    asked = _parser().parse_args(arguments)
    try:
        status = int(asked.run(asked))
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # `course check | head`: nobody reads on, and that is no error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except TasksMalformed as error:
        problem = f"The course's own tasks are damaged: {error}"
    except (Refused, WorkspaceError, NotebookUnreadable) as error:
        problem = str(error)
    except OSError as error:
        problem = f"{error}. `course doctor` looks for the cause."
    except KeyboardInterrupt:
        problem = "stopped"
    print(problem, file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="course", description="The course in the terminal.")
    known = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, run: object, help: str) -> argparse.ArgumentParser:
        made = known.add_parser(name, help=help, description=help)
        made.set_defaults(run=run)
        return made

    def at_work(made: argparse.ArgumentParser) -> None:
        made.add_argument("--work", type=Path, metavar="DIR", help="where the notebooks are")

    one = verb("lab", verbs.lab, "lay the workspace and open JupyterLab at lesson 0.0")
    one.add_argument("--no-browser", action="store_true", help="only print the address")
    one.add_argument("--lay-only", action="store_true", help="lay the workspace, start nothing")
    one.add_argument("--port", type=_between(0, 65535), help="the first port to try (default 8888)")
    at_work(verb("next", verbs.next_task, "tell which task comes next"))
    one = verb("check", check, "grade tasks: all, those of a LESSON, or one TASK")
    one.add_argument("what", nargs="?", metavar="LESSON|TASK")
    at_work(one)
    one = verb("hint", verbs.hint, "show the next hint of a TASK")
    one.add_argument("what", metavar="TASK")
    at_work(one)
    one = verb(
        "reset", verbs.reset, "bring a LESSON's exercise or a TASK's cell back; yours is kept"
    )
    one.add_argument("what", metavar="LESSON|TASK")
    one = verb("solution", verbs.solution, "show the solution of a TASK")
    one.add_argument("what", metavar="TASK")
    one.add_argument("--yes", action="store_true", help="show it before the task is done")
    at_work(one)
    verb("progress", verbs.show_progress, "show what is done")
    one = verb("grade", verbs.grade_folder, "grade a class: DIR holds a folder for each submission")
    one.add_argument("folder", type=Path, metavar="DIR")
    one.add_argument(
        "--at-once", type=_between(1, 1000), metavar="N", help="submissions graded in parallel"
    )
    one.add_argument("--out", type=Path, metavar="DIR", help="where the tables go (default DIR)")
    verb("doctor", verbs.examine, "look for what is missing on this machine")
    return parser


def _between(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"give a number from {least} to {most}, not {text!r}")
        return int(text)

    return number


if __name__ == "__main__":
    sys.exit(main())
