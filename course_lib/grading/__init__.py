"""The grading room: `%load_ext course_lib.grading` gives a notebook `%%task` and `hint`.

%%task NAME                         grades the cell and shows a card
hint("NAME")                        shows the next of three hints
guess = predict("p95 in ms", 12)    records a prediction
quiz("2.1")                         asks the questions of a lesson
progress_page()                     shows what is done; progress_page("2.1") one lesson
"""

from typing import Any

from course_lib.grading.magic import hint, load
from course_lib.grading.pages import progress_page
from course_lib.grading.predictions import predict
from course_lib.grading.quizzes import quiz

__all__ = ["hint", "predict", "progress_page", "quiz"]


def load_ipython_extension(shell: Any) -> None:
    """What `%load_ext course_lib.grading` calls."""
    load(shell)
