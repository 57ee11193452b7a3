"""What went wrong in a learner's cell or in a check, as the lines of a card."""

import bdb
import linecache
import re

from course_lib.grading.checks import CheckFailed
from course_lib.grading.report import file_name


def learners_line(task: str, error: BaseException) -> str:
    """The line of the learner's cell an error came from, with its number; empty if none."""
    if isinstance(error, SyntaxError) and error.filename == file_name(task):
        text = error.text or linecache.getline(file_name(task), error.lineno or 0)
        return f"line {error.lineno}: {text.strip()}"
    line, traceback = "", error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == file_name(task):
            text = linecache.getline(file_name(task), traceback.tb_lineno).strip()
            line = f"line {traceback.tb_lineno}: {text}"
        traceback = traceback.tb_next
    return line


def in_words(task: str, error: BaseException) -> tuple[str, list[tuple[str, str]]]:
    """The outcome of a check that raised, and the lines its card shows."""
    if isinstance(error, NotImplementedError):
        return "not started", []
    if isinstance(error, CheckFailed):
        return "failed", error.lines()
    line = learners_line(task, error)
    if isinstance(error, AssertionError) and not line:
        return "failed", [("why", message_of(error) or "the check does not hold")]
    return "failed", explain(error, line)


def message_of(error: BaseException) -> str:
    """What an error says; a message that raises in its turn is reported, not raised."""
    try:
        return str(error.msg if isinstance(error, SyntaxError) else error)
    except Exception as broken:
        return f"<a message that raised {type(broken).__name__}>"


def explain(error: BaseException, line: str) -> list[tuple[str, str]]:
    """An exception as lines of a card, with what to do about the common ones."""
    what = message_of(error)[:600]
    details = [("raised", f"{type(error).__name__}: {what}" if what else type(error).__name__)]
    if line:
        details.append(("in your cell", line))
    if isinstance(error, RecursionError):
        advice = "A function calls itself without end. Give it a case in which it stops."
    elif isinstance(error, EOFError | bdb.BdbQuit):
        advice = (
            "Nobody can answer `input()` or `breakpoint()` during grading. "
            "Take values as arguments."
        )
    elif isinstance(error, MemoryError):
        advice = "The code asked for more memory than a task may use."
    elif isinstance(error, UnboundLocalError):
        name = "".join(re.findall("'(.+)'", what)[:1]) or "the name"
        advice = (
            f"The function gives `{name}` a value, so Python takes it for a new name there, and "
            "here it has no value yet. To change the one of the function around it, write "
            f"`nonlocal {name}` as the first line; `global {name}` for one outside all functions."
        )
    elif isinstance(error, NameError):
        advice = (
            "A task's cell is graded by itself, after the first cell of the notebook. "
            "Define what it needs inside the cell."
        )
    elif isinstance(error, SyntaxError) and "'await'" in what:
        advice = "Inside a task's cell, `await` stands in an `async def` function."
    elif isinstance(error, SystemExit):
        advice = "Return a value instead of leaving with exit()."
    elif isinstance(error, TypeError) and "'NoneType' object is not" in what and not line:
        advice = (
            "Something in your cell returns None. Is a `return` missing at the end of a function?"
        )
    else:
        return details
    return [*details, ("what to do", advice)]
