"""Every grader passes the solution, waits for the untouched exercise, catches what it should."""

from collections.abc import Iterator

import pytest

from course_lib.grading import tasks
from course_lib.grading.sandbox import Sandbox
from tests.grading import records


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    made = Sandbox()
    made.start()
    yield made
    made.stop()


@pytest.mark.parametrize("attempt", records.attempts(), ids=str)
def test_an_answer_is_graded_as_recorded(attempt: records.Attempt, sandbox: Sandbox):
    assert not attempt.complaint(sandbox.grade(attempt.task, attempt.code()))


@pytest.mark.parametrize("lesson", tasks.lessons(), ids=lambda lesson: lesson.number)
def test_every_task_has_two_wrong_answers_and_the_quiz_is_of_a_readable_size(lesson: tasks.Lesson):
    assert all(len(task.wrong) >= 2 for task in lesson.tasks)
    assert not lesson.quiz or 3 <= len(lesson.quiz) <= 5


def test_task_names_are_unique_in_the_course():
    names = [task.name for lesson in tasks.lessons() for task in lesson.tasks]
    assert len(names) == len(set(names))
