"""A class is graded whatever is handed in: tables in three forms, and nobody is stopped."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from course_lib.grading import class_page, tasks
from course_lib.grading.classroom import Grade, as_csv, as_json, write
from course_lib.grading.cli import main
from course_lib.grading.submission import Submission

NAME = "9.1-sample.ipynb"


def hand_in(
    sample: Path, folder: Path, name: str = NAME, answer: str = "return number * 2"
) -> Path:
    """The solution in `folder`, perhaps with another answer to the first task."""
    folder.mkdir(parents=True, exist_ok=True)
    text = (sample / "solutions" / NAME).read_text()
    assert "return number * 2" in text
    (folder / name).write_text(text.replace("return number * 2", answer))
    return folder / name


def grades_in(folder: Path) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads((folder / "grades.json").read_text())
    return rows


def test_one_bad_submission_stops_nobody(sample: Path, tmp_path: Path):
    room = tmp_path / "class"
    hand_in(sample, room / "ada")
    hand_in(sample, room / "=linus", answer="import os; os._exit(0)")
    hand_in(sample, room / "odd", answer="raise ValueError(chr(0xd800))")
    half = hand_in(sample, room / "grace")
    half.write_text(half.read_text()[:500])
    (room / "empty").mkdir()
    (room / os.fsdecode(b"Zo\xeb")).mkdir()
    (room / "a loose file").write_text("")
    assert main(["grade", str(room)]) == 0
    passed = [(row["submission"], row["task"]) for row in grades_in(room) if row["passed"]]
    assert passed == [
        ("=linus", "answer_later"),
        ("ada", "double"),
        ("ada", "answer_later"),
        ("odd", "answer_later"),
    ]
    assert len(grades_in(room)) == 12
    with (room / "grades.csv").open() as file:
        names = {row["submission"] for row in csv.DictReader(file)}
    assert names == {"'=linus", "ada", "odd", "grace", "empty", "Zo?"}


def test_the_failed_check_is_named(sample: Path, tmp_path: Path):
    hand_in(sample, tmp_path / "class" / "ada", answer="return number")
    assert main(["grade", str(tmp_path / "class"), "--out", str(tmp_path / "new" / "out")]) == 0
    row = grades_in(tmp_path / "new" / "out")[0]
    assert (row["status"], row["check"]) == ("failed", "Three doubled is six.")
    assert "got: 3" in str(row["message"])
    assert "Three doubled is six." in (tmp_path / "new/out/grades.html").read_text()


@pytest.mark.parametrize(
    ("place", "name", "beside"),
    [
        ("exercises", NAME, ".backup/9.1-sample.20250101-101010-000000.ipynb"),
        ("exercises", NAME, "exercises/9.1-sample-Copy1.ipynb"),
        ("exercises", NAME, "exercises/9.1-sample.new.ipynb"),
        ("exercises", NAME, "exercises/.ipynb_checkpoints/9.1-sample-checkpoint.ipynb"),
        ("course/workspace/exercises", NAME, "course/exercises/9.1-sample.ipynb"),
        ("exercises", "my answers.ipynb", "notebooks/9.1-sample.ipynb"),
        (".", "Ada 9.1.ipynb", "other.ipynb"),
    ],
)
def test_the_notebook_that_counts_is_found(
    sample: Path, tmp_path: Path, place: str, name: str, beside: str
):
    counts = hand_in(sample, tmp_path / "ada" / place, name)
    other = tmp_path / "ada" / beside
    other.parent.mkdir(parents=True, exist_ok=True)
    lesson = "notebooks" in other.parts or other.name == "other.ipynb"
    shutil.copy(sample / ("notebooks" if lesson else "exercises") / NAME, other)
    (found,) = tasks.lessons()
    assert Submission(tmp_path / "ada").notebook(found) == counts


def test_links_are_followed_within_a_submission_alone(sample: Path, tmp_path: Path):
    (found,) = tasks.lessons()
    elsewhere = hand_in(sample, tmp_path / "grace")
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / NAME).symlink_to(elsewhere)
    assert Submission(tmp_path / "ada").notebook(found) is None
    (tmp_path / "linked").symlink_to(tmp_path / "grace")
    assert Submission(tmp_path / "linked").notebook(found) == tmp_path / "linked" / NAME


def test_what_cannot_begin_is_told_before_anything_is_graded(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    hand_in(sample, tmp_path / "class")
    assert main(["grade", str(tmp_path / "class")]) == 2
    assert "no folder of notebooks" in capsys.readouterr().err
    hand_in(sample, tmp_path / "class" / "ada")
    (tmp_path / "in_the_way").write_text("")
    assert main(["grade", str(tmp_path / "class"), "--out", str(tmp_path / "in_the_way")]) == 2
    assert "passed" not in capsys.readouterr().out
    with pytest.raises(SystemExit) as refused:
        main(["grade", str(tmp_path / "class"), "--at-once", "0"])
    assert refused.value.code == 2
    assert "a number from 1 to 1000" in capsys.readouterr().err


def test_an_interrupted_class_keeps_what_is_finished_and_ends_at_once(sample: Path, tmp_path: Path):
    hand_in(sample, tmp_path / "class" / "ada")
    endless = "while True: pass"
    for name in ("grace", "linus"):
        path = hand_in(sample, tmp_path / "class" / name, answer=endless)
        path.write_text(path.read_text().replace("await asyncio.sleep(1)", endless))
    command = [sys.executable, "-m", "course_lib.grading.cli", "grade", str(tmp_path / "class")]
    running = subprocess.Popen(
        [*command, "--at-once", "3"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "ada  2 of 2 tasks passed\n"
    running.send_signal(signal.SIGINT)
    rest = running.communicate(timeout=8)[0]
    assert (running.returncode, "stopped" in rest, "written: " in rest) == (2, True, True)
    assert {row["submission"] for row in grades_in(tmp_path / "class")} == {"ada"}


GRADES = [
    Grade("ada", "9.1", "double", True, "passed", "", ""),
    Grade("ada", "9.1", "later", False, "not started", "", "Replace `raise`."),
    Grade("<b>", "9.1", "double", False, "failed", "Three doubled is <six>.", "got: <5>\nwhy: no"),
    Grade("<b>", "9.1", "later", False, "timeout", "", "still running after 10 s"),
]


class Cells(HTMLParser):
    """The text of each cell of the table, and the addresses the page refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        for name, value in attrs:
            if name in ("href", "src"):
                self.links.append(str(value))
            if name == "id":
                self.ids.append(str(value))

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def test_the_page_is_a_table_of_tasks_by_submissions_with_totals():
    page = class_page.page(GRADES)
    cells = Cells(page.split("<h2>")[0])
    assert cells.rows == [
        ["", "ada", "<b>", "passed by"],
        ["all tasks (2)", "1", "0", ""],
        ["lesson 9.1 (2)", "1", "0", ""],
        ["double", "✓", "✗", "1"],
        ["later", "·", "✗", "0"],
    ]


def test_a_cross_leads_to_why_and_the_page_refers_to_nothing_else():
    page = Cells(class_page.page(GRADES))
    assert page.links == ["#s1-double", "#s1-later"]
    assert page.ids == ["s1-double", "s1-later"]


def test_what_somebody_handed_in_is_text_and_never_markup():
    page = class_page.page(GRADES)
    assert "<b>" not in page and "<six>" not in page and "<5>" not in page
    assert "Three doubled is &lt;six&gt;." in page and "got: &lt;5&gt;" in page
    assert "script" not in page and "http" not in page


def test_no_text_runs_as_a_formula_or_keeps_a_table_from_being_written(tmp_path: Path):
    row = ["'=1+1", "9.1", "double", "False", "error", "", "'@sum"]
    grades = [Grade("=1+1", "9.1", "double", False, "error", "", "@sum")]
    assert list(csv.reader(as_csv(grades).splitlines()))[1] == row
    odd = [Grade("\ud800", "9.1", "double", False, "error", "", "\udcff")]
    for text in (as_csv(odd), as_json(odd), class_page.page(odd)):
        write(tmp_path / "out", text)
        assert "?" in (tmp_path / "out").read_text()
