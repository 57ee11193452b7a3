"""Exercises are made from solutions: what the learner writes becomes a stub."""

import copy
import re
from pathlib import Path

import nbformat

from course_lib.authoring.normal import normalise

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
_SOLUTION = re.compile(
    rf"^(?P<indent>[ \t]*){BEGIN}[^\n]*\n.*?^[ \t]*{END}[^\n]*$", re.MULTILINE | re.DOTALL
)
_MARK = re.compile(r"#[ \t]*(BEGIN|END)[ _]SOLUTION", re.IGNORECASE)


def generate(solution: nbformat.NotebookNode, stem: str) -> nbformat.NotebookNode:
    """The exercise of a solution: stubs for answers, no outputs; raises ValueError on odd marks."""
    book = copy.deepcopy(solution)
    book.cells = [cell for cell in book.cells if "solution" not in cell.metadata.get("tags", [])]
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.source = stub(cell.source)
            cell.outputs, cell.execution_count = [], None
    return normalise(book, stem)


def stub(source: str) -> str:
    """Replace each marked stretch by one line that raises NotImplementedError."""
    text = _SOLUTION.sub(r'\g<indent>raise NotImplementedError("your turn")', source)
    if _MARK.search(text):  # a mark that is nearly right would give the answer away
        first = source.strip().split("\n")[0]
        raise ValueError(
            f"the cell {first!r} has a BEGIN SOLUTION without an END, or the reverse; "
            f"each stands on a line of its own: {BEGIN}, {END}"
        )
    return text


def exercise_path(solution: Path) -> Path:
    """`exercises/N.M-topic.ipynb`, beside the folder of the solution."""
    return solution.resolve().parent.parent / "exercises" / solution.name
