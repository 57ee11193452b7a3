"""The learner's copy of the course: laid once, updated without ever losing what they wrote.

A manifest remembers what was laid. A file the learner changed is kept, and a newer version of
it is put beside it as NAME.new.ipynb. Whatever is replaced, that one too, is kept in `.backup/`.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from course_lib.grading import notebooks, places
from course_lib.grading.progress import locked, write_atomically

_PARTS = ("notebooks", "exercises")
_MANIFEST = ".laid.json"


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
            f"The workspace {folder} cannot be written: {error.strerror or error} "
            f"({error.filename or folder}). Make it writable, take away what is in the way, or "
            "set COURSE_WORKSPACE to another folder."
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
            beside = folder / _new(name)
            if beside.exists() and fingerprint(name, beside.read_bytes()) != wanted:
                back_up(beside)  # an earlier one, in which the learner may have worked
            write_atomically(beside, content)
            laid.beside.append(name)
    write_atomically(folder / _MANIFEST, json.dumps(manifest, indent=1).encode())
    return laid


def home_of(folder: Path) -> Path | None:
    """The workspace that `folder` is, or whose exercises it holds; None when it is none."""
    return next((each for each in (folder, folder.parent) if (each / _MANIFEST).exists()), None)


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
            name = path.relative_to(places.root())
            hidden = any(each.startswith((".", "__")) for each in name.parts)
            if path.is_file() and not hidden:
                yield str(name), path


def pristine(path: Path) -> bytes:
    """A file of the course without stored outputs, as it is laid."""
    if path.suffix != ".ipynb":
        return path.read_bytes()
    book = notebooks.load_given(path)
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
