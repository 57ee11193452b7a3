"""What a notebook must fulfil before it is committed, as sentences about what is wrong.

The folder says what a notebook is: `solutions/`, `exercises/`, anything else is a lesson.
A name without a number is a page, such as the glossary: only its links are checked.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nbformat

from course_lib.authoring.generation import BEGIN, END, generate
from course_lib.authoring.normal import dumps, read

SECTIONS = ("Break it", "In production", "Mistakes people make", "On Monday", "Recap")
CODE_LINES, MONDAY_LINES = 10, 25
CELLS, WORDS = range(25, 41), range(800, 1501)
_FENCE = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
_CODE_SPAN = re.compile(r"`[^`\n]*`")
_FOLD = re.compile(r"</?(details|summary)>")
_LINK = re.compile(r"\]\(<?([^)\s>]+)>?[^)]*\)")
_URL = re.compile(r"https?://[^\s)>\]]+")
_LOOPBACK = re.compile(r"https?://(127\.0\.0\.1|localhost|\[::1\])([:/]|$)")
_HEADING = re.compile(r"^#{1,6} +(.+)$", re.MULTILINE)
_ADDRESS = re.compile(r"\bat 0x[0-9a-f]+")
_MILLISECONDS = re.compile(r"\d\s?(ms|µs|us|milliseconds)\b")


def problems(path: Path) -> list[str]:
    """Everything that is wrong with the notebook; an empty list is a good one."""
    try:
        book = read(path)
    except (OSError, ValueError) as error:
        return [str(error)]
    kind = path.resolve().parent.name
    found = [*_links(book, path)]
    if not path.stem[:1].isdigit():
        return found
    if kind == "exercises":
        return [*found, *_exercise(book, path)]
    found += [*_stored(book)]
    if kind == "solutions":
        return [*found, *_solution(book)]
    return [*found, *_lesson(book, path.stem)]


def prose(book: nbformat.NotebookNode) -> str:
    """The markdown of a notebook without code."""
    text = "\n\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    return _FOLD.sub("", _CODE_SPAN.sub("", _FENCE.sub("", text)))


def _code(book: nbformat.NotebookNode) -> Iterator[tuple[int, Any]]:
    return ((i, cell) for i, cell in enumerate(book.cells, 1) if cell.cell_type == "code")


def _lesson(book: nbformat.NotebookNode, stem: str) -> Iterator[str]:
    if len(book.cells) not in CELLS:
        yield f"{len(book.cells)} cells; a lesson has 25 to 40"
    text = prose(book)
    words = len(re.findall(r"\w[\w'-]*", re.sub(r"\]\([^)]*\)", "]", text)))
    if words not in WORDS:
        yield f"{words} words of prose; a lesson has 800 to 1,500"
    for i, cell in _code(book):
        lines = len(cell.source.strip().splitlines())
        if lines > CODE_LINES:
            yield f"cell {i} has {lines} lines of code; at most {CODE_LINES}"
    headings = _HEADING.findall(text)
    needed = ("Recap",) if stem.startswith("0.") else SECTIONS
    for section in needed:
        if not any(section.lower() in heading.lower() for heading in headings):
            yield f'there is no section "{section}"'
    if not any("predict(" in cell.source for _, cell in _code(book)):
        yield "the learner predicts nothing: there is no predict(...)"
    monday = _monday_lines(book)
    if monday > MONDAY_LINES:
        yield f'"On Monday" has {monday} lines of code; at most {MONDAY_LINES}'
    for line in re.sub(r"!\[", "[", text).splitlines():
        if "!" in line:
            yield f"an exclamation mark in: {line.strip()[:60]}"


def _stored(book: nbformat.NotebookNode) -> Iterator[str]:
    counts = [cell.execution_count for _, cell in _code(book)]
    if counts != list(range(1, len(counts) + 1)):
        yield "its cells are not executed once each from top to bottom: run `authoring execute`"
    tags = [tag for cell in book.cells for tag in cell.metadata.get("tags", [])]
    if tags.count("nbval-ignore-output") > 2:
        yield f"{tags.count('nbval-ignore-output')} cells tagged nbval-ignore-output; at most 2"
    if "nbval-skip" in tags:
        yield "a cell tagged nbval-skip is never compared"
    for i, cell in _code(book):
        if "clear_output" in cell.source:
            yield f"cell {i} uses clear_output; let a live figure update through its display_id"
        for output in cell.outputs:
            yield from (f"cell {i}: {problem}" for problem in _output(output, cell))


def _output(output: Any, cell: Any) -> Iterator[str]:
    tags = cell.metadata.get("tags", [])
    if output.output_type == "error" and "raises-exception" not in tags:
        yield f"it failed with {output.ename}"
    text = output.get("text", "") or output.get("data", {}).get("text/plain", "")
    if _ADDRESS.search(text):
        yield f"its output holds an address in memory: {text[:60]}"
    compared = "nbval-ignore-output" not in tags
    if compared and output.output_type == "stream" and _MILLISECONDS.search(text):
        yield f"its output holds a time, which differs from run to run: {text.strip()[:60]}"
    if any(mime.startswith("image/") for mime in output.get("data", {})):
        alt = output.metadata.get("image/png", {}).get("alt", "")
        if len(alt) < 20 or alt.startswith("<"):
            yield "a picture without alt text; draw it with course_lib.lab.plots"


def _monday_lines(book: nbformat.NotebookNode) -> int:
    inside, lines = False, 0
    for cell in book.cells:
        if cell.cell_type == "markdown":
            for heading in _HEADING.findall(_FENCE.sub("", cell.source)):
                inside = "on monday" in heading.lower()
            if inside:
                fences = _FENCE.finditer(cell.source)
                lines += sum(fence[0].count("\n") - 1 for fence in fences)
        elif inside:
            lines += len(cell.source.strip().splitlines())
    return lines


def _links(book: nbformat.NotebookNode, path: Path) -> Iterator[str]:
    text = prose(book)
    for url in _URL.findall(text):
        if not _LOOPBACK.match(url):
            yield f"a link leaves the course: {url}"
    yield from broken_links(text, path.parent)


def broken_links(markdown: str, folder: Path) -> Iterator[str]:
    """Relative links that lead nowhere from `folder`."""
    for target in _LINK.findall(markdown):
        name = unquote(target.split("#")[0])
        if name and not re.match(r"[a-z][a-z0-9+.-]*:", target) and not (folder / name).exists():
            yield f"a link leads nowhere: {target}"


def _solution(book: nbformat.NotebookNode) -> Iterator[str]:
    tasks = [cell for _, cell in _code(book) if cell.source.lstrip().startswith("%%task")]
    if not tasks:
        yield "it has no task: no code cell begins with %%task NAME"
    for cell in tasks:
        if BEGIN not in cell.source or END not in cell.source:
            yield f"{cell.source.splitlines()[0]} has nothing between {BEGIN} and {END}"
        cards = [output.get("data", {}).get("text/plain", "") for output in cell.outputs]
        if not any(card.partition("\n")[0].endswith(": passed") for card in cards):
            yield f"{cell.source.splitlines()[0]} is not passed by its own solution"


def _exercise(book: nbformat.NotebookNode, path: Path) -> Iterator[str]:
    source = path.resolve().parent.parent / "solutions" / path.name
    if not source.exists():
        yield f"solutions/{path.name}, which it is made from, is not there"
    elif dumps(generate(read(source), source.stem)) != dumps(book):
        yield f"it is not what solutions/{path.name} gives: run `authoring generate`"
