"""Answers on record are held to their word."""

from dataclasses import replace

import pytest

from course_lib.grading.sandbox import Sandbox
from tests.grading import records


@pytest.mark.parametrize("kind", ["solution", "untouched", "wrong 1", "wrong 2"])
def test_the_samples_answers_are_as_recorded(kind: str, sandbox: Sandbox):
    for attempt in [each for each in records.attempts() if each.kind == kind]:
        assert attempt.complaint(sandbox.grade(attempt.task, attempt.code())) == ""


def test_a_wrong_answer_that_passes_or_fails_elsewhere_is_a_complaint(sandbox: Sandbox):
    attempt = next(each for each in records.attempts() if each.kind == "wrong 1")
    assert attempt.wrong is not None
    solution = replace(attempt, wrong=None, kind="solution")
    passing = sandbox.grade(attempt.task, solution.code())
    assert "should fail test_doubles_three" in attempt.complaint(passing)
    report = sandbox.grade(attempt.task, attempt.code())
    elsewhere = replace(attempt, wrong=replace(attempt.wrong, fails="test_refuses_text"))
    assert "should fail test_refuses_text" in elsewhere.complaint(report)
    otherwise = replace(attempt, wrong=replace(attempt.wrong, message="got: 5"))
    assert "should say 'got: 5'" in otherwise.complaint(report)
    assert "should be passed" in solution.complaint(report)
