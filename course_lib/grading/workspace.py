"""The learner's copy of the course: laid once, updated without ever losing what they wrote.

A manifest remembers what was laid. A file the learner changed is kept, and a newer version of
it is put beside it as NAME.new.ipynb. Whatever is replaced is kept in `.backup/` first.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from course_lib.grading import notebooks, places
from course_lib.grading.progress import locked, write_atomically
from course_lib.grading.tasks import Task

_PARTS = ("notebooks", "exercises")
_MANIFEST = ".laid.json"
_QUIET = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
    }
}


class WorkspaceError(Exception):
    """The workspace cannot be laid or changed; the message says what to do."""


@dataclass
class Laid:
    """What laying did: file names relative to the workspace."""

    new: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = []
        if self.new:
            what = self.new[0] if len(self.new) == 1 else f"{len(self.new)} files"
            lines.append(f"laid {what} in {places.workspace()}")
        if self.updated:
            lines.append(f"brought up to date: {', '.join(self.updated)}")
        lines += [f"you changed {n}; it is kept, the new version is {_new(n)}" for n in self.beside]
        lines += [f"{n} cannot be read; `git restore {n}` brings it back" for n in self.damaged]
        return "\n".join(lines)


def lay() -> Laid:
    """Bring the workspace up to date; raises WorkspaceError when it cannot be written."""
    folder = places.workspace()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".laid.lock"):
            return _lay(folder)
    except OSError as error:
        raise WorkspaceError(
            f"The workspace {folder} cannot be written: {error.strerror or error}. Make the folder "
            "writable, or set COURSE_WORKSPACE to one that is."
        ) from error


def _lay(folder: Path) -> Laid:
    laid, manifest = Laid(), _manifest(folder)
    for name, path in _upstream():
        try:
            content = pristine(path)
        except notebooks.NotebookUnreadable:
            laid.damaged.append(name)
            continue
        target, wanted = folder / name, fingerprint(name, content)
        before = manifest.get(name)
        manifest[name] = wanted
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(target, content)
            laid.new.append(name)
            continue
        now = fingerprint(name, target.read_bytes())
        if now == wanted:
            continue
        if now == before:
            back_up(target)
            write_atomically(target, content)
            laid.updated.append(name)
        elif wanted != before:
            write_atomically(folder / _new(name), content)
            laid.beside.append(name)
    write_atomically(folder / _MANIFEST, json.dumps(manifest, indent=1).encode())
    return laid


def _manifest(folder: Path) -> dict[str, str]:
    try:
        return dict(json.loads((folder / _MANIFEST).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return {}


def _new(name: str) -> str:
    return str(Path(name).with_suffix(f".new{Path(name).suffix}"))


def _upstream() -> Iterator[tuple[str, Path]]:
    """Every file the learner gets: its name in the workspace, and where it comes from."""
    for part in _PARTS:
        for path in sorted((places.root() / part).rglob("*")):
            hidden = any(each.startswith((".", "__")) for each in path.parts[-3:])
            if path.is_file() and not hidden:
                yield str(path.relative_to(places.root())), path


def pristine(path: Path) -> bytes:
    """A file of the course without stored outputs, as it is laid."""
    if path.suffix != ".ipynb":
        return path.read_bytes()
    book = notebooks.load(path)
    for cell in book["cells"]:
        if cell.get("cell_type") == "code":
            cell["outputs"], cell["execution_count"] = [], None
    book.get("metadata", {}).pop("widgets", None)
    return json.dumps(book, indent=1, ensure_ascii=False).encode() + b"\n"


def fingerprint(name: str, content: bytes) -> str:
    """What a learner can change: the text of a notebook's cells, not outputs or saved state."""
    if name.endswith(".ipynb"):
        try:
            cells = json.loads(content)["cells"]
            kept = [[cell.get("cell_type"), notebooks.source(cell)] for cell in cells]
            content = json.dumps(kept).encode()
        except (ValueError, KeyError, TypeError, AttributeError):
            pass  # saved half-way: then every byte counts
    return hashlib.sha256(content).hexdigest()


def back_up(path: Path) -> Path:
    """Copy a file of the workspace to `.backup/` under a name with the time in it."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    kept = places.workspace() / ".backup" / f"{path.stem}.{stamp}{path.suffix}"
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(kept, path.read_bytes())
    return kept


def reset_lesson(lesson: str) -> Path | None:
    """Bring a lesson's exercise back as it was; returns where the learner's version is kept."""
    source = _given(lesson)
    target = places.workspace() / "exercises" / source.name
    kept = back_up(target) if target.exists() else None
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, pristine(source))
    return kept


def reset_task(task: Task) -> Path:
    """Bring one task's cell back as it was; returns where the learner's version is kept."""
    source = _given(task.lesson)
    target = places.notebook(places.workspace() / "exercises", task.lesson)
    if target is None:
        raise WorkspaceError(
            f"Lesson {task.lesson} is not in your workspace. `course lab` lays it."
        )
    try:
        book = notebooks.load(target)
    except notebooks.NotebookUnreadable as error:
        raise WorkspaceError(f"{error} (`course reset {task.lesson}`)") from error
    fresh = next(
        cell for cell in notebooks.load(source)["cells"] if notebooks.task_name(cell) == task.name
    )
    fresh["outputs"], fresh["execution_count"] = [], None
    book["cells"] = list(_replaced(book["cells"], task.name, fresh))
    kept = back_up(target)
    write_atomically(target, json.dumps(book, indent=1, ensure_ascii=False).encode() + b"\n")
    return kept


def _replaced(cells: list[Any], name: str, fresh: dict[str, Any]) -> Iterator[dict[str, Any]]:
    found = False
    for cell in cells:
        if notebooks.task_name(cell) != name:
            yield cell
        elif not found:
            found = True
            yield fresh
    if not found:
        yield fresh


def _given(lesson: str) -> Path:
    source = places.notebook(places.root() / "exercises", lesson)
    if source is None:
        raise WorkspaceError(f"Lesson {lesson} has no exercise. `course progress` lists them.")
    return source


def quieten_jupyterlab() -> None:
    """Turn JupyterLab's prompt for news off; settings somebody made by hand are left alone."""
    path = Path(sys.prefix) / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    if path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(_QUIET, indent=1).encode())
    except OSError:
        return  # the prompt is a nuisance, not a failure
