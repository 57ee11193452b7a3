"""What graders say `expect` with."""

from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

import pytest

from course_lib.errors import InvalidRequest, NotFound
from course_lib.grading.checks import CheckFailed, ensure, expect, no_error, raises


def said(failed: pytest.ExceptionInfo[CheckFailed]) -> str:
    return str(failed.value)


def test_a_failure_says_call_got_expected_and_why():
    with pytest.raises(CheckFailed) as failed:
        expect(4, 6, "double(3)", "Multiply.")
    assert said(failed) == "call: double(3)\ngot: 4\nexpected: 6\nwhy: Multiply."


def test_true_is_not_one_and_a_tolerance_is_told():
    expect(1.04, 1, "f()", within=0.05)
    with pytest.raises(CheckFailed):
        expect(1, True, "f()")
    with pytest.raises(CheckFailed, match=r"give or take 0\.05"):
        expect(1.1, 1, "f()", within=0.05)


def test_an_exact_number_is_a_number():
    for exact in (Fraction(200, 3), Decimal(200) / 3):
        expect(exact, 200 / 3, "f()", within=1e-6)
    for wrong in (Fraction(201, 3), Decimal(67), "66.7", 66 + 2j):
        with pytest.raises(CheckFailed):
            expect(wrong, 200 / 3, "f()", within=1e-6)


class Word(StrEnum):
    FIRING = "firing"


class Page(NamedTuple):
    status: int
    outcome: dict[str, str]


class Yes(str):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = str.__hash__


def test_a_class_of_the_learners_own_counts_for_what_it_holds(monkeypatch):
    for kind in (Word, Page, Yes):
        monkeypatch.setattr(kind, "__module__", "__main__")
    expect(Word.FIRING, "firing", "f()")
    expect(Page(200, {}), (200, {}), "f()")
    wrong = [(Word.FIRING, "pending"), (Page(503, {}), (200, {})), (Yes("a"), "b"), (Yes("a"), 7)]
    for got, expected in wrong:
        with pytest.raises(CheckFailed):
            expect(got, expected, "f()")


def test_a_coroutine_nobody_awaited_is_named():
    async def double(number: int) -> int:
        return number * 2

    with pytest.raises(CheckFailed, match="nobody awaited"):
        expect(double(3), 6, "await f(3)")


def test_the_right_error_is_kept_and_the_wrong_one_is_told():
    with raises(InvalidRequest, call="f(-1)", names="age") as caught:
        raise InvalidRequest("age must not be negative")
    assert caught.error.message == "age must not be negative"
    for wrong in (NotFound("age"), InvalidRequest("no")):
        with pytest.raises(CheckFailed) as failed, raises(InvalidRequest, call="f", names="age"):
            raise wrong
        assert type(wrong).__name__ in said(failed)
    with pytest.raises(CheckFailed, match="got: no error"), raises(NotFound, call="f(7)"):
        pass


def test_a_task_not_started_stays_not_started():
    with pytest.raises(NotImplementedError), raises(NotFound, call="f(7)"):
        raise NotImplementedError


def test_a_condition_that_does_not_hold_says_why():
    ensure(True, "never said")
    with pytest.raises(CheckFailed, match="Call the inner endpoint"):
        ensure(False, "Call the inner endpoint.", call="wrap(inner)")


def test_an_error_that_must_not_be_is_what_the_card_says_was_got():
    with pytest.raises(CheckFailed) as failed, no_error(ValueError, call="f()", expected="7"):
        raise ValueError("no")
    assert failed.value.lines() == [
        ("call", "f()"),
        ("got", "ValueError('no')"),
        ("expected", "7"),
    ]
    with pytest.raises(KeyError), no_error(ValueError, call="f()"):
        raise KeyError("x")
