"""Progress to look at: a table of lessons and tasks, for a notebook and for a terminal."""

from html import escape
from typing import Any

from course_lib.grading import places, progress, tasks

_WIDTH = 44


class ProgressPage:
    """What is done in each lesson, and what was predicted."""

    def __init__(self, data: progress.Data, number: str | None = None) -> None:
        self.data = data
        self.lessons = [
            lesson for lesson in tasks.lessons() if lesson.tasks and number in (None, lesson.number)
        ]

    def _state(self, name: str) -> str:
        entry = self.data["tasks"].get(name, {})
        if entry.get("passed"):
            return "passed"
        return f"attempts: {entry['attempts']}" if entry.get("attempts") else "to do"

    def _done(self, lesson: tasks.Lesson) -> int:
        return sum(self._state(task.name) == "passed" for task in lesson.tasks)

    def _summary(self) -> str:
        done = sum(self._done(lesson) for lesson in self.lessons)
        return f"{done} of {sum(len(lesson.tasks) for lesson in self.lessons)} tasks passed"

    def __repr__(self) -> str:
        lines = [self._summary()]
        for lesson in self.lessons:
            lines.append(f"{lesson.number:<5} {self._done(lesson)} of {len(lesson.tasks)}")
            for task in lesson.tasks:
                title = f"{task.name}: {task.title}"
                lines.append(
                    f"      {title:<{_WIDTH}} {task.minutes:>3} min  {self._state(task.name)}"
                )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(lesson.number)}</td><td style='text-align:left'>{escape(task.title)}"
            f"</td><td><code>{escape(task.name)}</code></td><td>{task.minutes} min</td>"
            f"<td>{escape(self._state(task.name))}</td></tr>"
            for lesson in self.lessons
            for task in lesson.tasks
        )
        head = "".join(
            f"<th scope='col'>{each}</th>" for each in ("lesson", "task", "name", "time", "state")
        )
        guesses = "".join(
            f"<li>{escape(str(each['question']))}: {escape(_guess(each['guess']))}</li>"
            for each in self.data["predictions"]
        )
        predicted = f"<p>What you predicted:</p><ul>{guesses}</ul>" if guesses else ""
        return (
            f"<section aria-label='Progress'><p><strong>{self._summary()}</strong></p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{predicted}</section>"
        )


def _guess(value: Any) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def progress_page(lesson: str | None = None) -> ProgressPage:
    """The progress in all lessons or one, of the workspace, or of this kernel outside it."""
    if lesson is not None and tasks.lesson_of(lesson) is None:
        raise ValueError(f"there is no lesson {lesson!r}")
    return ProgressPage(progress.current().read(), lesson)


def stored_page() -> ProgressPage:
    """The progress stored in the workspace, wherever we are."""
    return ProgressPage(progress.Progress(places.workspace()).read())
