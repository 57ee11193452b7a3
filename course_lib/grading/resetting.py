"""Bringing a lesson's exercise or one task's cell back; what the learner wrote is kept first."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from course_lib.grading import notebooks, places
from course_lib.grading.progress import write_atomically
from course_lib.grading.tasks import Task
from course_lib.grading.workspace import WorkspaceError, back_up, pristine


def reset_lesson(lesson: str) -> Path | None:
    """Bring a lesson's exercise back as it was; returns where the learner's version is kept."""
    source = _given(lesson)
    content = pristine(source)
    target = places.workspace() / "exercises" / source.name
    kept = back_up(target) if target.exists() else None
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, content)
    return kept


def reset_task(task: Task) -> Path:
    """Bring one task's cell back as it was; returns where the learner's version is kept."""
    source = _given(task.lesson)
    target = notebooks.of_lesson(places.workspace() / "exercises", task.lesson)
    if target is None:
        raise WorkspaceError(
            f"Lesson {task.lesson} is not in your workspace. `course lab` lays it."
        )
    try:
        book = notebooks.load(target)
    except notebooks.NotebookUnreadable as error:
        raise WorkspaceError(str(error)) from error
    fresh = next(
        cell
        for cell in notebooks.load_given(source)["cells"]
        if notebooks.task_name(cell) == task.name
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
