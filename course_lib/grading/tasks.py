"""The tasks of the course, read from the TOML file that stands beside each grader.

tests/exercises/2.1.toml describes what tests/exercises/test_2_1.py checks.
"""

import difflib
import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import UnionType
from typing import Any

from course_lib.grading import places


class TasksMalformed(ValueError):
    """A file of tasks that cannot be read; the message names file, task and field."""


@dataclass(frozen=True)
class Wrong:
    """A wrong answer on record: every check passes except `fails`, whose card shows `message`."""

    code: str
    fails: str
    message: str


@dataclass(frozen=True)
class Task:
    """One task: one cell that begins with `%%task NAME`."""

    lesson: str
    name: str
    title: str
    minutes: int
    hints: tuple[str, ...]
    wrong: tuple[Wrong, ...]
    timeout_seconds: float
    memory_mb: int
    grader: Path


@dataclass(frozen=True)
class Question:
    """A quiz question; `explain` has one sentence for each option."""

    question: str
    options: tuple[str, ...]
    answer: int
    explain: tuple[str, ...]


@dataclass(frozen=True)
class Lesson:
    """The tasks and the quiz of a lesson."""

    number: str
    tasks: tuple[Task, ...]
    quiz: tuple[Question, ...]


def read(path: Path) -> Lesson:
    """Read one file of tasks, anew only when it has changed; raises TasksMalformed."""
    status = path.stat()
    return _read(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _read(path: Path, _changed_ns: int, _size: int) -> Lesson:
    try:
        data = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TasksMalformed(f"{path.name}: {error}") from error
    number = _field(data, "lesson", str, path.name)
    grader = path.with_name(f"test_{number.replace('.', '_')}.py")
    tasks = tuple(_task(entry, number, grader, path.name) for entry in _tables(data, "task", path))
    quiz = tuple(_question(entry, path.name) for entry in _tables(data, "quiz", path))
    return Lesson(number, tasks, quiz)


def _tables(data: dict[str, Any], key: str, path: Path) -> list[dict[str, Any]]:
    found = data.get(key, [])
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise TasksMalformed(f"{path.name}: write [[{key}]] above each {key}")
    return found


def _task(entry: dict[str, Any], lesson: str, grader: Path, where: str) -> Task:
    name = _field(entry, "name", str, where)
    where = f"{where}, task {name}"
    if not name.isidentifier():
        raise TasksMalformed(f"{where}: a name is made of letters, digits and underscores")
    hints = tuple(_field(entry, "hints", list, where))
    if len(hints) != 3 or not all(isinstance(hint, str) for hint in hints):
        raise TasksMalformed(f"{where}: three hints are needed, found {hints!r}")
    wrong = tuple(
        Wrong(*(_field(each, key, str, f"{where}, wrong") for key in ("code", "fails", "message")))
        for each in entry.get("wrong", [])
    )
    return Task(
        lesson,
        name,
        _field(entry, "title", str, where),
        _field(entry, "minutes", int, where),
        hints,
        wrong,
        _field({"timeout_seconds": 10} | entry, "timeout_seconds", int | float, where),
        _field({"memory_mb": 512} | entry, "memory_mb", int, where),
        grader,
    )


def _question(entry: dict[str, Any], where: str) -> Question:
    text = _field(entry, "question", str, where)
    where = f"{where}, question {text!r}"
    options = tuple(_field(entry, "options", list, where))
    answer = _field(entry, "answer", int, where)
    explain = tuple(_field(entry, "explain", list, where))
    if len(explain) != len(options) or not 0 <= answer < len(options):
        raise TasksMalformed(f"{where}: one explanation an option, and an answer among them")
    return Question(text, options, answer, explain)


def _field(entry: dict[str, Any], key: str, kind: type | UnionType, where: str) -> Any:
    value = entry.get(key)
    if not isinstance(value, kind):
        wanted = kind.__name__ if isinstance(kind, type) else str(kind)
        raise TasksMalformed(f"{where}: `{key}` must be {wanted}, found {value!r}")
    return value


def lessons() -> list[Lesson]:
    """Every lesson that has a file of tasks, in reading order; raises TasksMalformed."""
    found = [read(path) for path in (places.root() / "tests" / "exercises").glob("*.toml")]
    return sorted(found, key=lambda lesson: reading_order(lesson.number))


def reading_order(number: str) -> tuple[int, int, str]:
    """A key by which 2.4 comes before 2.4b, and 2.10 after both."""
    match = re.fullmatch(r"(\d+)\.(\d+)(\w*)", number)
    return (int(match[1]), int(match[2]), match[3]) if match else (99, 99, number)


def lesson_of(number: str) -> Lesson | None:
    """The lesson with this number."""
    return next((lesson for lesson in lessons() if lesson.number == number), None)


def find(name: str) -> Task | None:
    """The task with this name; names are unique in the course."""
    return next((task for each in lessons() for task in each.tasks if task.name == name), None)


def nearest(name: str) -> str | None:
    """The name of a task that somebody who wrote `name` may have meant."""
    names = {each.name.replace("_", ""): each.name for lesson in lessons() for each in lesson.tasks}
    near = difflib.get_close_matches(name.replace("_", "").lower(), names, 1)
    return names[near[0]] if near else None
