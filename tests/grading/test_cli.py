"""The course command: its exit statuses and what it prints."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from course_lib.grading import places
from course_lib.grading.cli import main


def work(sample: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A folder with a copy of the solution, and the path of the copy."""
    folder = tmp_path / "work"
    folder.mkdir()
    path = shutil.copy(sample / "solutions/9.1-sample.ipynb", folder)
    return folder, Path(path)


def test_solutions_pass_with_0(sample: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["check", "--work", str(sample / "solutions")]) == 0
    assert "9.1  double  passed" in capsys.readouterr().out


def test_untouched_exercises_fail_with_1(sample: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["check", "--work", str(sample / "exercises")]) == 1
    assert "9.1  double  failed (not started)" in capsys.readouterr().out


def test_nothing_to_check_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["check", "--work", str(tmp_path)]) == 2
    assert main(["check", "--work", str(tmp_path / "nowhere")]) == 2
    assert main(["check", "no_such_task"]) == 2
    assert "Nothing to check" in capsys.readouterr().err


def test_one_task_and_one_lesson_can_be_asked_for(sample: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["check", "double", "--work", str(sample / "solutions")]) == 0
    assert "answer_later" not in capsys.readouterr().out
    assert main(["check", "9.1", "--work", str(sample / "solutions")]) == 0


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("%%task double", "%%task dubble", "no cell begins with `%%task double`"),
        ("%%task answer_later", "%%task double", "2 cells begin with `%%task double`"),
    ],
)
def test_a_missing_or_doubled_cell_is_told_and_the_rest_graded(
    old: str, new: str, words: str, sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder, path = work(sample, tmp_path)
    path.write_text(path.read_text().replace(old, new))
    assert main(["check", "--work", str(folder)]) == 1
    out = capsys.readouterr().out
    assert words in out
    assert ("answer_later  passed" in out) == (new == "%%task dubble")


def test_a_notebook_saved_half_way_is_told(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder, path = work(sample, tmp_path)
    path.write_text(path.read_text()[:300])
    assert main(["check", "--work", str(folder)]) == 1
    assert "was it saved half-way?" in capsys.readouterr().out


def test_hints_come_one_after_the_other(capsys: pytest.CaptureFixture[str]):
    for _ in range(4):
        assert main(["hint", "double"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line[:11] for line in said] == [
        "Hint 1 of 3",
        "Hint 2 of 3",
        "Hint 3 of 3",
        "Hint 3 of 3",
        "That was th",
    ]
    assert "`course solution double`" in said[-1]


def test_a_solution_is_shown_after_finishing_or_when_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("builtins.input", lambda question: "n")
    assert main(["solution", "double"]) == 1
    assert main(["solution", "double", "--yes"]) == 0
    shown = capsys.readouterr().out
    assert "return number * 2" in shown
    assert "SOLUTION" not in shown


def test_a_failure_stands_under_its_check_with_the_next_step_of_a_terminal(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder, path = work(sample, tmp_path)
    path.write_text(path.read_text().replace("return number * 2", "return number"))
    assert main(["check", "double", "--work", str(folder)]) == 1
    lines = capsys.readouterr().out.splitlines()
    call = next(n for n, line in enumerate(lines) if "call: double(3)" in line)
    assert "[failed]" in lines[call - 1]
    assert lines[-2].strip() == "next hint: course hint double"


def test_whoever_reads_no_further_is_told_nothing(sample: Path, tmp_path: Path):
    command = [sys.executable, "-m", "course_lib.grading.cli", "check", "--work"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*command, str(sample / "solutions")], stdout=writing, stderr=subprocess.PIPE, timeout=60
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_name_that_is_nearly_right_is_understood(capsys: pytest.CaptureFixture[str]):
    assert main(["hint", "answerlater"]) == 2
    assert "Did you mean answer_later?" in capsys.readouterr().err


def test_from_laying_to_the_next_task(capsys: pytest.CaptureFixture[str]):
    assert main(["lab", "--lay-only"]) == 0
    assert main(["lab", "--lay-only"]) == 0
    assert "is up to date" in capsys.readouterr().out
    assert main(["next"]) == 0
    assert "double: Double a number (2 min)" in capsys.readouterr().out
    shutil.copy(places.root() / "solutions/9.1-sample.ipynb", places.workspace() / "exercises")
    assert main(["check"]) == 0
    assert main(["next"]) == 0
    assert "Every task is done." in capsys.readouterr().out
    assert main(["progress"]) == 0
    assert "2 of 2 tasks passed" in capsys.readouterr().out
    assert main(["reset", "9.1"]) == 0
    assert main(["check"]) == 1


def test_a_notebook_that_is_missing_among_others_fails(
    sample: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    copy = tmp_path / "course"
    shutil.copytree(sample, copy)
    monkeypatch.setenv("COURSE_ROOT", str(copy))
    other = (copy / "tests/exercises/9.1.toml").read_text().replace("9.1", "9.2")
    other = other.replace('"double"', '"treble"').replace('"answer_later"', '"answer_sooner"')
    (copy / "tests/exercises/9.2.toml").write_text(other)
    assert main(["check", "--work", str(copy / "solutions")]) == 1
    out = capsys.readouterr().out
    assert "9.1  double  passed" in out and "9.2  treble  failed (missing)" in out
    assert "No notebook of 9.2 is in" in out and "9.2-topic.ipynb" not in out
    assert main(["check", "treble", "--work", str(copy / "solutions")]) == 2
    assert "as in 9.2-topic.ipynb" in capsys.readouterr().err


def test_a_renamed_notebook_is_graded(sample: Path, tmp_path: Path):
    folder, path = work(sample, tmp_path)
    path.rename(folder / "my answers.ipynb")
    assert main(["check", "--work", str(folder)]) == 0


def test_a_workspace_that_cannot_be_written_is_graded_all_the_same(
    sample: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert main(["lab", "--lay-only"]) == 0
    shutil.copy(sample / "solutions/9.1-sample.ipynb", places.workspace() / "exercises")
    (places.workspace() / ".progress.json.lock").mkdir()
    assert main(["check"]) == 0
    assert "2 of 2 tasks passed" in capsys.readouterr().out


def test_what_is_missing_counts_as_no_attempt(capsys: pytest.CaptureFixture[str]):
    assert main(["lab", "--lay-only"]) == 0
    mine = places.workspace() / "exercises/9.1-sample.ipynb"
    mine.write_text(mine.read_text().replace("%%task double", "%%task dubble"))
    assert main(["check"]) == 1
    assert main(["progress"]) == 0
    assert "attempts" not in capsys.readouterr().out


def test_stopping_a_check_stops_all_of_it(sample: Path, tmp_path: Path):
    folder, path = work(sample, tmp_path)
    path.write_text(path.read_text().replace("await asyncio.sleep(1)", "while True: pass"))
    command = [sys.executable, "-m", "course_lib.grading.cli", "check", "--work", str(folder)]
    checking = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert checking.stdout is not None
    assert checking.stdout.readline() == "9.1  double  passed\n"
    checking.send_signal(signal.SIGINT)
    out, problem = checking.communicate(timeout=8)
    assert (checking.returncode, out, problem) == (2, "", "stopped\n")


def test_a_lesson_in_place_of_a_task_is_answered_with_its_tasks(
    capsys: pytest.CaptureFixture[str],
):
    assert main(["hint", "9.1"]) == 2
    assert (
        "9.1 is a lesson; name one of its tasks: double, answer_later." in capsys.readouterr().err
    )


def test_another_workspace_has_progress_and_hints_of_its_own(
    sample: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    other = tmp_path / "other"
    monkeypatch.setenv("COURSE_WORKSPACE", str(other))
    assert main(["lab", "--lay-only"]) == 0
    shutil.copy(sample / "solutions/9.1-sample.ipynb", other / "exercises")
    assert main(["check", "double"]) == 0
    monkeypatch.setenv("COURSE_WORKSPACE", str(tmp_path / "workspace"))
    capsys.readouterr()
    assert main(["next", "--work", str(other)]) == 0
    said = capsys.readouterr().out
    assert "answer_later" in said and str(other / "exercises/9.1-sample.ipynb") in said
    assert main(["solution", "double", "--work", str(other / "exercises")]) == 0
    assert main(["hint", "double", "--work", str(other)]) == 0
    assert main(["hint", "double", "--work", str(other / "exercises")]) == 0
    assert "Hint 2 of 3" in capsys.readouterr().out
    assert main(["hint", "double"]) == 0
    assert "Hint 1 of 3" in capsys.readouterr().out
    assert main(["hint", "double", "--work", str(tmp_path / "nowhere")]) == 2


def test_a_terminal_that_knows_few_letters_is_no_reason_to_stop(sample: Path):
    command = [sys.executable, "-m", "course_lib.grading.cli", "check", "--work"]
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*command, "caf\u00e9"], capture_output=True, env=ascii_only, timeout=60)
    assert (done.returncode, b"There is no folder caf?." in done.stderr) == (2, True)


def test_the_doctor_says_what_to_do(capsys: pytest.CaptureFixture[str]):
    assert main(["doctor"]) == 1, "the sample course has no lock"
    assert "take the whole repository" in capsys.readouterr().out


def test_the_doctor_sees_that_no_workspace_can_be_laid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "in_the_way").write_text("")
    monkeypatch.setenv("COURSE_WORKSPACE", str(tmp_path / "in_the_way" / "workspace"))
    assert main(["doctor"]) == 1
    assert f"none can be laid in {tmp_path}/in_the_way: make it" in capsys.readouterr().out


def test_damaged_tasks_are_told(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    copy = tmp_path / "course"
    shutil.copytree(sample, copy)
    monkeypatch.setenv("COURSE_ROOT", str(copy))
    (copy / "tests/exercises/9.1.toml").write_text("lesson = ")
    assert main(["check"]) == 2
