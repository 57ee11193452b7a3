"""Task cells in a real kernel: nothing is raised, the kernel lives, and runs do not differ."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from course_lib.grading.card import Card
from course_lib.grading.pages import progress_page
from course_lib.grading.quizzes import Quiz, quiz
from course_lib.grading.report import Check, Report
from course_lib.grading.tasks import Question, find

GOOD = """%%task double
def double(number):
    if not isinstance(number, int):
        raise InvalidRequest("number must be an integer")
    return number * 2
"""
CELLS = [
    "from course_lib.errors import InvalidRequest\n%load_ext course_lib.grading",
    GOOD,
    "double(21)",
    "%%task double\nimport os\nos._exit(0)",
    "double(21)",
    "%%task double\ndef double(number):\n    raise NotImplementedError",
    "%%task double\ndef double(number):\n    return number",
    "double(21)",
    "%%task answer_later\nawait something()",
    "%%task dubble\nx = 1",
    "%%task\nx = 1",
    "hint('double')",
    "%%task double\nprint('x' * 100_000)",
    "import course_lib.grading as g; g.progress_page()",
    "%%task double\ndef double(number):\n    return number / 0",
    "import traceback\ntry:\n    double(1)\nexcept ZeroDivisionError:\n"
    "    print('return number / 0' in traceback.format_exc())",
    "%%task double",
    "hint(double)\nhint(5)",
    "%%task double\nimport sys\nsys.stdout = sys.stderr = None",
    "print('still here')",
]


def run(cells: list[str], folder: Path) -> list[list[Any]]:
    """The outputs of each cell, executed in a kernel of its own."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in cells])
    NotebookClient(book, timeout=60, resources={"metadata": {"path": str(folder)}}).execute()
    return [cell.outputs for cell in book.cells]


@pytest.mark.leaves("nbclient keeps its own loop")
def test_a_kernel_lives_through_every_cell_and_shows_the_same_twice(tmp_path: Path):
    outputs = run(CELLS, tmp_path)
    text = ["\n".join(str(o.get("data", o).get("text/plain", o)) for o in each) for each in outputs]
    assert "1 of 2 tasks of lesson 9.1 passed" in text[1]
    assert text[2] == text[4] == "42", "a cell that does not survive defines nothing"
    assert "ended the process" in text[3]
    assert "not started" in text[5]
    assert "double(3)" in text[6] and "got: 3" in text[6]
    assert text[7] == "21", "a cell that survives defines its names, right or wrong"
    assert "`await` stands in an `async def` function" in text[8]
    assert "no task named `dubble`" in text[9]
    assert "a task without a name: cannot be graded" in text[10]
    assert "Hint 1 of 3" in text[11]
    assert len(text[12]) < 6000
    assert "line 3: return number / 0" in text[14]
    assert outputs[15][0].text == "True\n", "the learner's line can be seen"
    assert "Your cell defines no `double`" in text[16], "an emptied cell raises nothing"
    assert "Hint 2 of 3" in outputs[17][0].text and "no task named `5`" in outputs[17][0].text
    assert outputs[19][0].text == "still here\n", "the kernel keeps its own streams"
    assert not any(o.output_type == "error" for each in outputs for o in each)
    again = run(CELLS, tmp_path)
    assert [nbformat.v4.new_code_cell(outputs=each).outputs for each in again] == outputs


def test_a_card_has_the_same_words_as_text_and_as_html():
    checks = [
        Check("a", "Three `3` doubled is six.", "passed"),
        Check("b", "It is refused.", "failed", [("call", "f('<b>')"), ("why", "Say `no`.")]),
    ]
    card = Card(find("double"), Report("double", "failed", "", checks, "printed <x>"), 1, 2)
    html = card._repr_html_()
    for words in ("Double a number: failed", "It is refused.", "1 of 2 tasks of lesson 9.1"):
        assert words in repr(card) and words in html
    assert "&lt;b&gt;" in html and "printed &lt;x&gt;" in html
    assert "<code>no</code>" in html
    assert html.count("<details>") == 4, "what was printed, and three hints"
    assert "script" not in html and "http" not in html


def test_a_card_that_fails_says_so_though_the_task_passed_before():
    failed = Card(find("double"), Report("double", "failed"), 2, 2, passed_before=True)
    assert "passed before; this version does not" in failed._repr_html_()
    passed = Card(find("double"), Report("double", "passed"), 2, 2, passed_before=True)
    assert passed.standing == "2 of 2 tasks of lesson 9.1 passed"


def test_a_progress_page_shows_one_lesson_when_asked():
    assert repr(progress_page("9.1")) == repr(progress_page())
    with pytest.raises(ValueError, match="no lesson"):
        progress_page("9.9")


def test_a_quiz_lists_its_options_and_hides_its_answers():
    asked = quiz("9.1")
    assert repr(asked) == "1. What is twice three?\n   - five\n   - six"
    assert "Three and three are six." in asked._repr_html_()
    question = Question("`a` < `b`?", ("`yes`", "no"), 0, ("`a` is.", "It is."))
    assert Quiz((question,))._repr_html_().count("<code>") == 4, "and <, outside of it, is escaped"
    with pytest.raises(ValueError, match="has no quiz"):
        quiz("9.9")
