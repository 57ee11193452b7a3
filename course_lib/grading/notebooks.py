"""Task cells in a notebook file: found, missing, doubled, or in a file that was saved half-way."""

import json
import re
import stat
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.grading import places, tasks

LARGEST_BYTES = 20_000_000
_TASK = re.compile(r"\s*%%task[ \t]+(\S+)[ \t]*(?:\n|$)")


class NotebookUnreadable(Exception):
    """A notebook that cannot be read; the message says what to do."""


@dataclass(frozen=True)
class TaskCells:
    """What a notebook holds for grading: the bodies of its task cells, by name."""

    setup: str
    cells: dict[str, list[str]]

    def only(self, name: str) -> str:
        """The one cell of the task; raises NotebookUnreadable when it is missing or doubled."""
        bodies = self.cells.get(name, [])
        if len(bodies) == 1:
            return bodies[0]
        if bodies:
            raise NotebookUnreadable(
                f"{len(bodies)} cells begin with `%%task {name}`. Keep one and delete the others."
            )
        raise NotebookUnreadable(
            f"no cell begins with `%%task {name}`. Was its first line changed? "
            f"`course reset {name}` brings the cell back and keeps your version."
        )


def load(path: Path) -> dict[str, Any]:
    """The notebook as JSON; raises NotebookUnreadable."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device might never end
            raise NotebookUnreadable(f"{path.name} is no ordinary file. Put the notebook there.")
        if status.st_size > LARGEST_BYTES:
            raise NotebookUnreadable(f"{path.name} is larger than 20 MB. Clear its outputs.")
        book = json.loads(path.read_text(encoding="utf-8-sig"))
        if not isinstance(book["cells"], list):
            raise TypeError("cells is no list")
    except FileNotFoundError as error:
        raise NotebookUnreadable(f"{path.name} is not there. `course lab` lays it.") from error
    except OSError as error:
        raise NotebookUnreadable(f"{path.name} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        number = re.match(r"\d+\.\d+\w*(?=-)", path.name)
        reset = f"course reset {number[0]}" if number else "course reset LESSON"
        raise NotebookUnreadable(
            f"{path.name} is not a complete notebook ({type(error).__name__}); was it saved "
            f"half-way? Save it again, or bring it back with `{reset}`."
        ) from error
    return book


def load_given(path: Path) -> dict[str, Any]:
    """A notebook of the course itself; raises NotebookUnreadable that says how to restore it."""
    try:
        return load(path)
    except NotebookUnreadable as error:
        name = f"{path.parent.name}/{path.name}"
        raise NotebookUnreadable(
            f"{name} of the course itself cannot be read. `git restore {name}` brings it back."
        ) from error


def source(cell: dict[str, Any]) -> str:
    """The text of a cell, whichever way the file holds it."""
    text = cell.get("source", "")
    lines = text if isinstance(text, list) else [text]
    return "".join(line for line in lines if isinstance(line, str)).replace("\r\n", "\n")


def task_name(cell: Any) -> str | None:
    """The NAME of a code cell that begins with `%%task NAME`."""
    if not isinstance(cell, dict) or cell.get("cell_type") != "code":
        return None
    match = _TASK.match(source(cell))
    return match[1] if match else None


def read(path: Path) -> TaskCells:
    """The setup cell and the task cells of a notebook; raises NotebookUnreadable."""
    return _task_cells(load(path))


def of_lesson(folder: Path, number: str) -> Path | None:
    """The exercise of a lesson in `folder`: by its number, or else, renamed, by its task cells."""
    named, lesson = places.notebook(folder, number), tasks.lesson_of(number)
    if named is not None or lesson is None:
        return named
    return holding(sorted(folder.glob("*.ipynb")), {task.name for task in lesson.tasks})


def holding(paths: Iterable[Path], names: Collection[str]) -> Path | None:
    """The first of these notebooks with a cell for one of the tasks, whatever its name is."""
    for path in paths:
        try:
            if not read(path).cells.keys().isdisjoint(names):
                return path
        except NotebookUnreadable:
            continue
    return None


def _task_cells(book: dict[str, Any]) -> TaskCells:
    cells: dict[str, list[str]] = {}
    setup = ""
    for cell in book["cells"]:
        name = task_name(cell)
        if name:
            cells.setdefault(name, []).append(_TASK.sub("", source(cell), count=1))
        elif not setup and _is_setup(cell):
            setup = source(cell)
    return TaskCells(setup, cells)


def _is_setup(cell: Any) -> bool:
    metadata = cell.get("metadata") if isinstance(cell, dict) else None
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    return isinstance(tags, list) and "setup" in tags


def pristine(lesson: str) -> TaskCells:
    """The exercise as the course gives it; nothing in it when the lesson has none."""
    path = places.notebook(places.root() / "exercises", lesson)
    return _task_cells(load_given(path)) if path is not None else TaskCells("", {})
