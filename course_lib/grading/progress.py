"""What a learner has done, in `workspace/.progress.json`, or in memory outside a workspace.

Written under a lock, to a temporary file that then takes the place of the old one, so that
neither a kill nor a second notebook can spoil it. A file that cannot be read is kept aside.
"""

import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from course_lib.grading import places
from course_lib.grading.tasks import Task

FILE = ".progress.json"
Data = dict[str, Any]


def empty() -> Data:
    """No task, no prediction."""
    return {"version": 1, "tasks": {}, "predictions": []}


class Progress:
    """The progress kept in `folder`; with None it lives and dies with this process."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._memory = empty()

    def read(self) -> Data:
        """What is stored; a spoilt file is renamed `.progress.json.unreadable-...`."""
        if self.folder is None:
            return self._memory
        path = self.folder / FILE
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            if not _whole(stored):
                raise ValueError("not a progress file")
            return dict(stored)
        except FileNotFoundError:
            return empty()
        except (ValueError, KeyError, TypeError, UnicodeDecodeError):
            stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
            os.replace(path, path.with_name(f"{FILE}.unreadable-{stamp}"))
            return empty()

    def update(self, change: Callable[[Data], None]) -> Data:
        """Read, change, write; nobody else writes in between. Raises OSError on a full disk."""
        if self.folder is None:
            change(self._memory)
            return self._memory
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / f"{FILE}.lock"):
            data = self.read()
            change(data)
            write_atomically(self.folder / FILE, json.dumps(data, indent=1).encode())
            return data

    def attempted(self, task: str, passed: bool) -> Data:
        """Record one attempt; a task that once passed stays passed."""

        def change(data: Data) -> None:
            entry = _entry(data, task)
            entry["attempts"] += 1
            if passed and not entry["passed"]:
                entry["passed"] = datetime.now(UTC).isoformat(timespec="seconds")

        return self.update(change)

    def next_hint(self, task: Task) -> str:
        """The hint to show now; the last one again when all were shown, and what comes after."""
        before, hints = 0, task.hints

        def change(data: Data) -> None:
            nonlocal before
            entry = _entry(data, task.name)
            before = entry["hints"]
            entry["hints"] = min(before + 1, len(hints))

        try:
            self.update(change)
        except OSError as error:
            sorry = (
                f"Your hints cannot be counted ({error.strerror or error}); here are all of them."
            )
            return "\n".join([sorry, *hints])
        number = min(before + 1, len(hints))
        text = f"Hint {number} of {len(hints)}: {hints[number - 1]}"
        if before < len(hints):
            return text
        return f"{text}\nThat was the last. `course solution {task.name}` shows the solution."

    def passed(self) -> set[str]:
        """The names of the tasks that passed at least once."""
        return {name for name, entry in self.read()["tasks"].items() if entry.get("passed")}


def _whole(stored: Data) -> bool:
    return (
        all(isinstance(stored[key], type(value)) for key, value in empty().items())
        and all(
            isinstance(entry["attempts"], int) and isinstance(entry["hints"], int)
            for entry in stored["tasks"].values()
        )
        and all({"question", "guess"} <= set(each) for each in stored["predictions"])
    )


def _entry(data: Data, task: str) -> dict[str, Any]:
    return data["tasks"].setdefault(task, {"attempts": 0, "passed": None, "hints": 0})


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`; the system frees it when the process dies."""
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file by new content, or leave it as it was; never half of it."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _here() -> Progress:
    inside = Path.cwd().resolve().is_relative_to(places.workspace())
    return Progress(places.workspace() if inside else None)


_current: Progress | None = None


def current() -> Progress:
    """The progress of this kernel: stored inside the workspace, in memory elsewhere."""
    global _current
    if _current is None:
        _current = _here()
    return _current
