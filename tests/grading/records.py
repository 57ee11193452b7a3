"""Graders graded: against the solution, the untouched exercise, and wrong answers on record.

A wrong answer must pass every check except the one it names, and fail that one in the words
on record. tests/exercises/test_records.py runs this for the whole course.
"""

from dataclasses import dataclass

from course_lib.grading import notebooks, places, tasks
from course_lib.grading.report import Report
from course_lib.grading.tasks import Task, Wrong


@dataclass(frozen=True)
class Attempt:
    """One answer to one task whose grading is known beforehand."""

    task: Task
    kind: str
    wrong: Wrong | None = None

    def __str__(self) -> str:
        return f"{self.task.lesson} {self.task.name} {self.kind}"

    def code(self) -> str:
        """The answer; raises NotebookUnreadable."""
        if self.wrong is not None:
            return self.wrong.code
        folder = "solutions" if self.kind == "solution" else "exercises"
        path = places.notebook(places.root() / folder, self.task.lesson)
        if path is None:
            raise notebooks.NotebookUnreadable(f"{folder}/{self.task.lesson}-*.ipynb is not there")
        return notebooks.read(path).only(self.task.name)

    def complaint(self, report: Report) -> str:
        """What the grading got wrong about this answer; empty when it is as recorded."""
        if self.wrong is None:
            wanted = "passed" if self.kind == "solution" else "not started"
            return "" if report.status == wanted else f"should be {wanted}, is:\n{_words(report)}"
        failed = [check for check in report.checks if check.outcome != "passed"]
        if [check.name for check in failed] != [self.wrong.fails]:
            return f"should fail {self.wrong.fails} and nothing else:\n{_words(report)}"
        said = "\n".join(f"{label}: {text}" for label, text in failed[0].details)
        if self.wrong.message not in said:
            return f"should say {self.wrong.message!r}, says:\n{said}"
        return ""


def attempts() -> list[Attempt]:
    """Every answer on record, task by task."""
    return [
        attempt
        for lesson in tasks.lessons()
        for task in lesson.tasks
        for attempt in (
            Attempt(task, "solution"),
            Attempt(task, "untouched"),
            *(Attempt(task, f"wrong {n}", each) for n, each in enumerate(task.wrong, 1)),
        )
    ]


def _words(report: Report) -> str:
    checks = [f"  {each.name}: {each.outcome} {each.details}" for each in report.checks]
    return "\n".join([f"{report.status} {report.message}", *checks, report.output])
