"""The card a graded task shows: HTML for the notebook, the same words as text for a terminal.

No script, no request, no time and no address in it: it reads the same on every run.
"""

from dataclasses import dataclass
from html import escape

from course_lib.grading.report import Check, Report
from course_lib.grading.tasks import Task

_COLOURS = {"passed": "#009E73", "not started": "#0072B2"}  # Okabe-Ito
_FAILED = "#D55E00"
_SIGNS = {"passed": "passed", "failed": "failed", "not started": "to do", "not run": "not run"}
_TITLES = {
    "error": "the cell does not run",
    "timeout": "took too long",
    "memory": "used too much memory",
    "flood": "printed too much",
    "crash": "ended the process",
    "tampered": "changed what the checks rely on",
    "missing": "cannot be graded",
    "interrupted": "stopped",
}


@dataclass(frozen=True)
class Card:
    """One attempt at one task, ready to be displayed."""

    task: Task | None
    report: Report
    done: int = 0
    total: int = 0
    passed_before: bool = False

    @property
    def headline(self) -> str:
        """The task and how it went."""
        status = self.report.status
        name = self.task.title if self.task else self.report.task or "a task without a name"
        return f"{name}: {_TITLES.get(status, status)}"

    @property
    def standing(self) -> str:
        """The progress in this lesson."""
        if not self.task:
            return ""
        standing = f"{self.done} of {self.total} tasks of lesson {self.task.lesson} passed"
        if self.passed_before and not self.report.passed:
            return f"passed before; this version does not ({standing})"
        return standing

    def __repr__(self) -> str:
        lines = [self.headline, *self.body()]
        if self.task and not self.report.passed:
            lines.append(f'next hint: hint("{self.task.name}")')
        return "\n".join([*lines, self.standing]).rstrip()

    def body(self) -> list[str]:
        """The lines between headline and hint: each check, and under the first failed one why."""
        lines, first = self.report.message.splitlines(), self._explained()
        for check in self.report.checks:
            lines.append(f"  [{_SIGNS[check.outcome]}] {check.sentence}")
            if check is first:
                lines += [f"      {label}: {text}" for label, text in check.details]
        if self.report.output and not self.report.passed:
            lines += ["your code printed:", self.report.output.rstrip()]
        return lines

    def _explained(self) -> Check | None:
        first = self.report.first_failure
        return first if first and first.details else None

    def _repr_html_(self) -> str:
        colour = _COLOURS.get(self.report.status, _FAILED)
        parts = [f"<strong>{escape(self.headline)}</strong>"]
        parts += [f"<p>{with_code(line)}</p>" for line in self.report.message.splitlines()]
        if self.report.checks:
            rows = "".join(_check(check) for check in self.report.checks)
            parts.append(f'<ul style="list-style:none;padding-left:0;margin:.5em 0">{rows}</ul>')
        first = self._explained()
        if first:
            parts.append(_table(first))
        if self.report.output and not self.report.passed:
            parts.append(_details("What your code printed", _pre(self.report.output)))
        if self.task and not self.report.passed:
            parts.append(_hints(self.task))
        parts.append(f"<p><small>{escape(self.standing)}</small></p>")
        return (
            f'<section role="status" aria-label="{escape(self.headline)}" style="color:inherit;'
            f"border-left:.4em solid {colour};padding:.3em 0 .3em 1em;max-width:50em"
            f'">{"".join(parts)}</section>'
        )


def _check(check: Check) -> str:
    colour = _COLOURS.get(check.outcome, _FAILED)
    look = "display:inline-block;min-width:4em;text-align:center;margin:.1em .4em .1em 0"
    sign = f'<span style="border:1px solid {colour};border-radius:.3em;{look}">'
    return f"<li>{sign}{_SIGNS[check.outcome]}</span> {with_code(check.sentence)}</li>"


def _table(check: Check) -> str:
    rows = "".join(_row(label, text) for label, text in check.details)
    caption = f'<caption style="text-align:left">{with_code(check.sentence)}</caption>'
    return f'<table style="margin:0;color:inherit;font-size:inherit">{caption}{rows}</table>'


def _row(label: str, text: str) -> str:
    prose = label in ("why", "what to do")
    code = f'<code style="white-space:pre-wrap">{escape(text)}</code>'
    return (
        f'<tr><th scope="row" style="text-align:left;vertical-align:top">{escape(label)}</th>'
        f'<td style="text-align:left">{with_code(text) if prose else code}</td></tr>'
    )


def _hints(task: Task) -> str:
    shown = ""
    for number in range(len(task.hints), 0, -1):
        label = f"Hint {number} of {len(task.hints)}"
        shown = _details(label, f"<p>{with_code(task.hints[number - 1])}</p>{shown}")
    return shown


def _details(summary: str, inside: str) -> str:
    return f'<details><summary style="cursor:pointer">{escape(summary)}</summary>{inside}</details>'


def _pre(text: str) -> str:
    return f'<pre style="max-height:12em;overflow:auto">{escape(text)}</pre>'


def with_code(text: str) -> str:
    """Escaped, with `code` between backticks."""
    pieces = escape(text).split("`")
    return "".join(f"<code>{p}</code>" if i % 2 else p for i, p in enumerate(pieces))
