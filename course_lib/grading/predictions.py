"""`predict` records what a learner expects before a cell shows what happens."""

import math
from collections.abc import Sequence
from typing import Any

from course_lib.grading import progress


class Guess(float):
    """A number somebody predicted; plots draw it beside the measurement."""

    question: str

    def __repr__(self) -> str:
        return f"your prediction: {float(self):g} ({self.question})"


class Choice(str):
    """An option somebody predicted."""

    question: str

    def __repr__(self) -> str:
        return f"your prediction: {self!s} ({self.question})"


def predict(question: str, guess: Any, choices: Sequence[str] | None = None) -> Guess | Choice:
    """Record a guess, a number or one of `choices`; raises ValueError when it is neither."""
    answer: Guess | Choice
    if choices is not None:
        if guess not in choices:
            raise ValueError(f"{question}: choose one of {', '.join(choices)}; got {guess!r}")
        answer = Choice(guess)
    else:
        answer = Guess(_number(question, guess))
    answer.question = question
    kept = {"question": question, "guess": guess if choices else float(answer)}

    def change(data: dict[str, Any]) -> None:
        others = [each for each in data["predictions"] if each.get("question") != question]
        data["predictions"] = [*others, kept]

    try:
        progress.current().update(change)
    except OSError as error:
        print(f"Your prediction could not be stored: {error}.")
    return answer


def _number(question: str, guess: Any) -> float:
    try:
        number = float(guess)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(guess, bool) or not math.isfinite(number):
        raise ValueError(f"{question}: predict with a number, got {guess!r}")
    return number
