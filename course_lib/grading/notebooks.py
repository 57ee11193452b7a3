"""Task cells in a notebook file: found, missing, doubled, or in a file that was saved half-way."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.grading import places

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
        if path.stat().st_size > LARGEST_BYTES:
            raise NotebookUnreadable(f"{path.name} is larger than 20 MB. Clear its outputs.")
        book = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(book["cells"], list):
            raise TypeError("cells is no list")
    except FileNotFoundError as error:
        raise NotebookUnreadable(f"{path.name} is not there. `course lab` lays it.") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise NotebookUnreadable(
            f"{path.name} is not a complete notebook ({type(error).__name__}); was it saved "
            "half-way? Save it again, or bring it back with `course reset`."
        ) from error
    return book


def source(cell: dict[str, Any]) -> str:
    """The text of a cell, whichever way the file holds it."""
    text = cell.get("source", "")
    return text if isinstance(text, str) else "".join(map(str, text))


def task_name(cell: dict[str, Any]) -> str | None:
    """The NAME of a code cell that begins with `%%task NAME`."""
    match = _TASK.match(source(cell)) if cell.get("cell_type") == "code" else None
    return match[1] if match else None


def read(path: Path) -> TaskCells:
    """The setup cell and the task cells of a notebook; raises NotebookUnreadable."""
    cells: dict[str, list[str]] = {}
    setup = ""
    for cell in load(path)["cells"]:
        if not isinstance(cell, dict):
            continue
        name = task_name(cell)
        if name:
            cells.setdefault(name, []).append(_TASK.sub("", source(cell), count=1))
        elif not setup and "setup" in cell.get("metadata", {}).get("tags", []):
            setup = source(cell)
    return TaskCells(setup, cells)


def pristine(lesson: str) -> TaskCells:
    """The exercise as the course gives it; nothing in it when the lesson has none."""
    path = places.notebook(places.root() / "exercises", lesson)
    return read(path) if path is not None else TaskCells("", {})
