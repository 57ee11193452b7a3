"""Graders of the sample lesson."""

import asyncio

import pytest

from course_lib.errors import InvalidRequest
from course_lib.grading.checks import expect, raises


@pytest.mark.task("double")
def test_doubles_three(answer):
    """Three doubled is six."""
    expect(answer.double(3), 6, "double(3)", "Multiply by two.")


@pytest.mark.task("double")
def test_refuses_text(answer):
    """Text is refused, naming the argument."""
    with raises(InvalidRequest, call='double("a")', names="number"):
        answer.double("a")


@pytest.mark.task("answer_later")
async def test_takes_a_second(answer):
    """The answer takes one second."""
    started = asyncio.get_running_loop().time()
    await answer.answer_later(7)
    expect(asyncio.get_running_loop().time() - started, 1.0, "answer_later(7)")


@pytest.mark.task("answer_later")
async def test_gives_the_value_back(answer):
    """What goes in comes out."""
    expect(await answer.answer_later(7), 7, "await answer_later(7)")
