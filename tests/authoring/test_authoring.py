"""Notebooks get a normal form, exercises come from solutions, and the contract is enforced."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_lib.authoring.__main__ import main
from course_lib.authoring.checks import problems, prose
from course_lib.authoring.generation import generate, stub
from course_lib.authoring.normal import dumps, normalise, read, write

SECTIONS = ["Break it", "In production", "Mistakes people make", "On Monday", "Recap"]


def lesson(**changes: str) -> nbformat.NotebookNode:
    """A lesson that fulfils the contract; `code`, `prose` and `text` are added to it."""
    cells = [new_markdown_cell(f"## {title}\n" + "word " * 180) for title in SECTIONS]
    cells.append(new_markdown_cell(changes.get("prose", "")))
    sources = ['guess = predict("p95 in ms", 12)', *["x = 1"] * 20, changes.get("code", "x = 1")]
    for count, source in enumerate(sources, 1):
        cells.append(new_code_cell(source, execution_count=count))
    if "text" in changes:
        cells[-1].outputs = [new_output("stream", text=changes["text"])]
    return new_notebook(cells=cells)


def found(tmp_path: Path, **changes: str) -> list[str]:
    path = tmp_path / "notebooks" / "9.1-sample.ipynb"
    write(normalise(lesson(**changes), path.stem), path)
    return problems(path)


def test_a_good_lesson_has_no_problems(tmp_path: Path):
    assert found(tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"code": "x = 1\n" * 11}, "11 lines of code"),
        ({"code": "clear_output()"}, "clear_output"),
        ({"prose": "What a day!"}, "exclamation mark"),
        ({"prose": "See https://example.org/x"}, "leaves the course"),
        ({"prose": "See [there](missing.ipynb)"}, "leads nowhere"),
        ({"prose": "word " * 900}, "words of prose"),
        ({"text": "<object at 0x7f00>"}, "address in memory"),
        ({"text": "took 12 ms"}, "differs from run to run"),
    ],
)
def test_what_breaks_the_contract_is_named(tmp_path: Path, changes: dict[str, str], message: str):
    assert [problem for problem in found(tmp_path, **changes) if message in problem]


@pytest.mark.parametrize("prose", ["`x != 1`", "```\nprint('Hi!')\n```", "http://127.0.0.1:1/docs"])
def test_code_and_loopback_addresses_are_no_offence(tmp_path: Path, prose: str):
    assert found(tmp_path, prose=prose) == []


def test_the_tags_of_a_folded_note_are_no_words():
    note = "<details><summary>Why</summary>\n\nSo.\n\n</details>"
    assert prose(new_notebook(cells=[new_markdown_cell(note)])).split() == ["Why", "So."]


def test_code_on_monday_is_counted_in_fences(tmp_path: Path):
    path = tmp_path / "notebooks" / "9.1-sample.ipynb"
    book = lesson()
    book.cells[3].source += "\n```python\n" + "x = 1\n" * 26 + "```"
    write(normalise(book, path.stem), path)
    assert any("26 lines of code" in problem for problem in problems(path))


def test_a_picture_needs_an_alt_text(tmp_path: Path):
    path = tmp_path / "notebooks" / "9.1-sample.ipynb"
    book = lesson()
    png = "iVBORw0KGgo="
    book.cells[-1].outputs = [
        new_output("display_data", {"image/png": png, "text/plain": "<Figure size 640x480>"})
    ]
    write(normalise(book, path.stem), path)
    assert any("without alt text" in problem for problem in problems(path))


def test_the_normal_form_is_a_fixed_point_and_drops_what_differs():
    book = lesson()
    book.cells[-1].metadata["execution"] = {"iopub.status.busy": "2025-01-01"}
    book.cells[-1].execution_count = 77
    once = dumps(normalise(book, "9.1-sample"))
    assert dumps(normalise(nbformat.reads(once, 4), "9.1-sample")) == once
    assert "2025" not in once and ": 77," not in once and once.endswith("}\n")


def test_a_new_cell_renames_no_other():
    book = normalise(lesson(), "9.1-sample")
    before = [cell.id for cell in book.cells]
    book.cells.insert(2, new_markdown_cell("something new"))
    after = [cell.id for cell in normalise(book, "9.1-sample").cells]
    assert [name for name in after if name in before] == before


def test_a_solution_becomes_a_stub_and_loses_its_outputs():
    source = (
        "%%task double\ndef double(n: int) -> int:\n    ### BEGIN SOLUTION\n"
        "    return 2 * n\n    ### END SOLUTION\n"
    )
    secret = new_code_cell("print(1)", metadata={"tags": ["solution"]})
    cell = new_code_cell(source, execution_count=1, outputs=[new_output("stream", text="card")])
    made = generate(new_notebook(cells=[cell, secret]), "9.1-sample")
    assert [cell.id for cell in made.cells] == ["task-double"]
    assert made.cells[0].outputs == [] and made.cells[0].execution_count is None
    assert made.cells[0].source == (
        '%%task double\ndef double(n: int) -> int:\n    raise NotImplementedError("your turn")'
    )


def test_two_stretches_in_one_cell_become_two_stubs_and_a_lone_mark_is_an_error():
    part = "### BEGIN SOLUTION\nx = 1\n### END SOLUTION\n"
    assert stub(part + "y = 2\n" + part).count("raise NotImplementedError") == 2
    with pytest.raises(ValueError, match="without an END"):
        stub("### BEGIN SOLUTION\nx = 1\n")


@pytest.mark.parametrize(
    "begin", ["###BEGIN SOLUTION", "### begin solution", "x = 0  # BEGIN SOLUTION"]
)
def test_a_mark_that_is_nearly_right_gives_no_answer_away(begin: str):
    with pytest.raises(ValueError, match="on a line of its own"):
        stub(f"{begin}\nx = 1\n{begin.replace('BEGIN', 'END').replace('begin', 'end')}\n")


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("Double: passed\n  [passed] Three.", None),
        ("Double: failed\n  [passed] Three.", "not passed by its own solution"),
        ("double: cannot be graded", "not passed by its own solution"),
    ],
)
def test_a_solution_passes_its_own_task(tmp_path: Path, card: str, message: str | None):
    path = tmp_path / "solutions" / "9.1-sample.ipynb"
    source = "%%task double\n### BEGIN SOLUTION\nx = 1\n### END SOLUTION"
    shown = new_output("execute_result", {"text/plain": card}, execution_count=1)
    cell = new_code_cell(source, execution_count=1, outputs=[shown])
    write(normalise(new_notebook(cells=[cell]), path.stem), path)
    found = problems(path)
    assert found == [] if message is None else message in found[0]


BROKEN = ['{"cells": [', "null", "[]", '{"cells": 5, "metadata": {}, "nbformat": 4}', "\udcff"]


@pytest.mark.parametrize("verb", ["execute", "normalise", "generate", "check"])
@pytest.mark.parametrize("text", BROKEN)
def test_what_is_no_notebook_is_told_and_left_alone(
    tmp_path: Path, verb: str, text: str, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "solutions" / "9.1-sample.ipynb"
    path.parent.mkdir()
    path.write_text(text, errors="surrogateescape")
    assert main([verb, str(path)]) == 1
    told = capsys.readouterr()
    assert f"{path}: it is not a readable notebook" in told.out + told.err
    assert path.read_text(errors="surrogateescape") == text


def test_an_exercise_is_made_from_a_solution_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    lesson = tmp_path / "notebooks" / "9.1-sample.ipynb"
    assert main(["new", str(lesson)]) == 0
    assert main(["generate", str(lesson)]) == 1
    assert "in solutions/" in capsys.readouterr().err
    assert not (tmp_path / "exercises").exists()
    assert main(["new", str(tmp_path / "9.1-sample.txt")]) == 1


@pytest.mark.leaves("nbclient's loop and its sockets live as long as the process")
def test_a_notebook_is_executed_in_place_and_a_failing_cell_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "solutions" / "9.1-sample.ipynb"
    assert main(["new", str(path)]) == 0
    book = read(path)
    book.cells = [new_code_cell("print(6 * 7)"), new_code_cell("1 / 0")]
    write(book, path)
    assert main(["execute", str(path)]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err
    book.cells.pop()
    write(book, path)
    assert main(["execute", str(path)]) == 0
    assert read(path).cells[0].outputs[0].text == "42\n"


def test_an_exercise_that_is_not_what_its_solution_gives_is_refused(tmp_path: Path):
    path = tmp_path / "solutions" / "9.1-sample.ipynb"
    assert main(["new", str(path)]) == 0
    assert main(["generate", str(path)]) == 0
    exercise = tmp_path / "exercises" / path.name
    assert problems(exercise) == []
    exercise.write_text(exercise.read_text().replace("your turn", "my turn"))
    assert any("authoring generate" in problem for problem in problems(exercise))
