"""The grades of a class as one page of HTML: tasks by submissions, and what failed in each.

Self-contained: no script, no request, and no colour that says what a sign does not say too.
"""

from html import escape
from itertools import groupby

from course_lib.grading.card import with_code
from course_lib.grading.classroom import Grade

_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 22%, transparent);
  --good: #009E73; --bad: #D55E00; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; }
h1 { font-size: 1.5rem; margin: 0 0 .3rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem; }
.scroll { overflow: auto; max-height: 92vh; padding-bottom: .5rem; }
table { border-collapse: separate; border-spacing: 0; font-variant-numeric: tabular-nums; }
th, td { padding: .1rem .35rem; border-bottom: 1px solid var(--line); text-align: center; }
th[scope=row] { position: sticky; left: 0; background: Canvas; text-align: left;
  font-weight: normal; white-space: nowrap; padding-right: 1.2rem; }
thead th, thead td { vertical-align: bottom; position: sticky; top: 0; z-index: 1;
  background: Canvas; }
thead td { left: 0; z-index: 2; }
thead th span { writing-mode: vertical-rl; transform: rotate(180deg); white-space: nowrap;
  max-height: 16rem; overflow: hidden; text-overflow: ellipsis; font-weight: normal; }
tr.sum th, tr.sum td { font-weight: 600; padding-top: .55rem; }
tr.all th, tr.all td { border-bottom: 2px solid currentColor; }
td.passed { background: color-mix(in srgb, var(--good) 22%, transparent); }
td.failed { background: color-mix(in srgb, var(--bad) 30%, transparent); }
td a { color: inherit; display: block; text-decoration: none; font-weight: 700; }
.key { display: inline-block; min-width: 1.5em; text-align: center; }
details { border-bottom: 1px solid var(--line); padding: .35rem 0; max-width: 62rem; }
summary { cursor: pointer; }
dt { margin-top: .5rem; } dt:target { outline: 2px solid var(--bad); outline-offset: 3px; }
dd { margin: 0 0 .3rem 1.5rem; white-space: pre-line; overflow-wrap: anywhere; }
code, pre { font-size: .92em; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .1rem 0; opacity: .85; }
"""
_SIGNS = {"passed": "✓", "failed": "✗", "not attempted": "·"}


def page(grades: list[Grade]) -> str:
    """The whole page; `grades` is sorted by submission, and by lesson within it."""
    classes = [list(rows) for _, rows in groupby(grades, lambda grade: grade.submission)]
    failures = "".join(_failures(number, rows) for number, rows in enumerate(classes))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Grades</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><main><h1>Grades</h1>{_summary(classes)}{_table(classes)}"
        f"<h2>What failed</h2>{failures or '<p>Nothing.</p>'}</main></body></html>\n"
    )


def outcome(grade: Grade) -> str:
    """passed, failed, or not attempted."""
    if grade.passed:
        return "passed"
    return "not attempted" if grade.status == "not started" else "failed"


def _summary(classes: list[list[Grade]]) -> str:
    keys = ", ".join(
        f'<span class="key" aria-hidden="true">{sign}</span>{name}' for name, sign in _SIGNS.items()
    )
    count = f"{len(classes)} submission{'' if len(classes) == 1 else 's'}"
    tasks = f"{len(classes[0]) if classes else 0} tasks"
    return f"<p>{count}, {tasks}. {keys}. A ✗ leads to why.</p>"


def _table(classes: list[list[Grade]]) -> str:
    names = "".join(f'<th scope="col"><span>{_name(rows)}</span></th>' for rows in classes)
    head = f'<thead><tr><td></td>{names}<th scope="col"><span>passed by</span></th></tr></thead>'
    body = [_sums("all tasks", classes, "sum all")]
    rows = list(zip(*classes, strict=True))  # the grades of all submissions, task by task
    for lesson, group in groupby(rows, lambda row: row[0].lesson):
        of_lesson = list(group)
        columns = [list(column) for column in zip(*of_lesson, strict=True)]
        body.append(_sums(f"lesson {lesson}", columns, "sum"))
        body += [_task(row) for row in of_lesson]
    return f'<div class="scroll"><table>{head}<tbody>{"".join(body)}</tbody></table></div>'


def _sums(label: str, columns: list[list[Grade]], look: str) -> str:
    cells = "".join(f"<td>{sum(each.passed for each in column)}</td>" for column in columns)
    of = f" ({len(columns[0])})" if columns else ""
    return f'<tr class="{look}"><th scope="row">{label}{of}</th>{cells}<td></td></tr>'


def _task(row: tuple[Grade, ...]) -> str:
    cells = "".join(_cell(number, grade) for number, grade in enumerate(row))
    passed = f"<td>{sum(grade.passed for grade in row)}</td>"
    return f'<tr><th scope="row"><code>{escape(row[0].task)}</code></th>{cells}{passed}</tr>'


def _cell(number: int, grade: Grade) -> str:
    what = outcome(grade)
    sign = f'<span role="img" aria-label="{what}">{_SIGNS[what]}</span>'
    title = escape(f"{grade.submission}, {grade.task}: {what}. {grade.check}".strip())
    if what == "failed":
        sign = f'<a href="#{_anchor(number, grade)}">{sign}</a>'
    return f'<td class="{what.replace(" ", "-")}" title="{title}">{sign}</td>'


def _failures(number: int, rows: list[Grade]) -> str:
    failed = [grade for grade in rows if outcome(grade) == "failed"]
    if not failed:
        return ""
    entries = "".join(_failure(number, grade) for grade in failed)
    summary = f"<summary>{_name(rows)}: {len(failed)} failed</summary>"
    return f"<details open>{summary}<dl>{entries}</dl></details>"


def _failure(number: int, grade: Grade) -> str:
    details = f"<pre>{escape(grade.message)}</pre>" if grade.check else with_code(grade.message)
    return (
        f'<dt id="{_anchor(number, grade)}">{escape(grade.lesson)} <code>{escape(grade.task)}'
        f"</code>: {escape(grade.status)}</dt><dd>{escape(grade.check)}{details}</dd>"
    )


def _anchor(number: int, grade: Grade) -> str:
    return f"s{number}-{escape(grade.task)}"


def _name(rows: list[Grade]) -> str:
    return escape(rows[0].submission)
