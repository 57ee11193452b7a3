"""The quiz of a lesson: every option opens to tell whether it is right, and why.

Plain HTML (`details`), so it needs no kernel, no script, and works with a keyboard.
"""

from course_lib.grading import tasks
from course_lib.grading.card import with_code
from course_lib.grading.tasks import Question


class Quiz:
    """The questions of a lesson; its text form lists questions and options only."""

    def __init__(self, questions: tuple[Question, ...]) -> None:
        self.questions = questions

    def __repr__(self) -> str:
        return "\n".join(
            line
            for number, each in enumerate(self.questions, 1)
            for line in (f"{number}. {each.question}", *(f"   - {text}" for text in each.options))
        )

    def _repr_html_(self) -> str:
        asked = "".join(_question(n, each) for n, each in enumerate(self.questions, 1))
        return f'<section aria-label="Quiz" style="color:inherit;max-width:50em">{asked}</section>'


def quiz(lesson: str) -> Quiz:
    """The quiz of the lesson with this number; raises ValueError when it has none."""
    found = tasks.lesson_of(lesson)
    if found is None or not found.quiz:
        raise ValueError(f"lesson {lesson!r} has no quiz; write its number, as in quiz('2.1')")
    return Quiz(found.quiz)


def _question(number: int, each: Question) -> str:
    options = "".join(
        f'<details style="margin:.2em 0 .2em 1em"><summary style="cursor:pointer">{with_code(text)}'
        f'</summary><p style="margin:.2em 0 .6em 1.2em"><strong>{_verdict(index, each)}</strong> '
        f"{with_code(each.explain[index])}</p></details>"
        for index, text in enumerate(each.options)
    )
    return f'<p style="margin:.8em 0 .2em">{number}. {with_code(each.question)}</p>{options}'


def _verdict(index: int, each: Question) -> str:
    return "Right." if index == each.answer else "Not this one."
