"""What somebody handed in: a folder in which the notebook of each lesson has to be found.

It may be a workspace, a copy of the whole course, or a few notebooks under names of their own.
Hidden folders (`.backup`, checkpoints) and links that lead out of the folder do not count.
"""

import os
from pathlib import Path

from course_lib.grading import notebooks, tasks
from course_lib.grading.report import Report
from course_lib.grading.sandbox import Sandbox


class Submission:
    """One folder; it is searched once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths = _handed_in(folder)

    def notebook(self, lesson: tasks.Lesson) -> Path | None:
        """The exercise of a lesson: by its number, or else, renamed, by its task cells."""
        for path in self.paths:
            inside = path.relative_to(self.folder).parts[:-1]
            if path.name.startswith(f"{lesson.number}-") and "notebooks" not in inside:
                return path
        return notebooks.holding(self.paths, {task.name for task in lesson.tasks})

    def grade(self, lesson: tasks.Lesson, sandbox: Sandbox) -> list[Report]:
        """A report for each task of the lesson, whatever was handed in."""
        path = self.notebook(lesson)
        if path is None:
            missing = f"No notebook {lesson.number}-*.ipynb and none with its tasks was handed in."
            return [Report(task.name, "not started", missing) for task in lesson.tasks]
        return [_report(path, task, sandbox) for task in lesson.tasks]


def _handed_in(folder: Path) -> list[Path]:
    """Every notebook in the folder, the likeliest first."""
    os.listdir(folder)  # raises where rglob would pass over a folder that cannot be read
    home = folder.resolve()
    found = [
        path
        for path in folder.rglob("*.ipynb")
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not path.stem.endswith(".new")
        and path.is_file()
        and path.resolve().is_relative_to(home)
    ]

    def likeliness(path: Path) -> tuple[bool, bool, int, str]:
        inside = path.relative_to(folder).parts[:-1]
        return "solutions" in inside, "workspace" not in inside, len(path.name), str(path)

    return sorted(found, key=likeliness)


def _report(path: Path, task: tasks.Task, sandbox: Sandbox) -> Report:
    try:
        return sandbox.grade(task, notebooks.read(path).only(task.name))
    except notebooks.NotebookUnreadable as error:
        return Report(task.name, "missing", str(error))
