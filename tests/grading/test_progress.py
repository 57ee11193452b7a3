"""Progress is written whole or not at all, by one at a time, and never thrown away."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from course_lib.grading import places, predictions, progress, tasks
from course_lib.grading.pages import stored_page


def test_an_attempt_is_stored_and_a_pass_stays_a_pass(tmp_path: Path):
    stored = progress.Progress(tmp_path)
    stored.attempted("double", passed=True)
    stored.attempted("double", passed=False)
    assert progress.Progress(tmp_path).passed() == {"double"}
    assert stored.read()["tasks"]["double"]["attempts"] == 2


SPOILT = [
    '{"version": 1, "tasks": {"double": 5}, "predictions": []}',
    '{"version": 1, "tasks": {"double": {"attempts": 1}}, "predictions": []}',
    '{"version": 1, "tasks": {"double": {"attempts": "x", "hints": 0}}, "predictions": []}',
    '{"version": 1, "tasks": {}, "predictions": [5]}',
    '{"version": 1, "tasks": {}, "predictions": [{"guess": 5}]}',
]


@pytest.mark.parametrize(
    "spoilt", ["", "{half", "[]", '{"version": 1}', '{"tasks": 3}', "\udcff", *SPOILT]
)
def test_a_spoilt_file_is_kept_aside(tmp_path: Path, spoilt: str):
    (tmp_path / progress.FILE).write_text(spoilt, errors="surrogateescape")
    progress.Progress(tmp_path).attempted("double", passed=True)
    kept = [path for path in tmp_path.iterdir() if "unreadable" in path.name]
    assert [path.read_text(errors="surrogateescape") for path in kept] == [spoilt]
    assert progress.Progress(tmp_path).passed() == {"double"}


def test_hints_are_given_where_nothing_can_be_stored(tmp_path: Path):
    (tmp_path / "in_the_way").write_text("")
    task = tasks.find("double")
    assert task is not None
    said = progress.Progress(tmp_path / "in_the_way" / "workspace").next_hint(task).splitlines()
    assert "cannot be counted" in said[0]
    assert said[1:] == list(task.hints)


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path):
    script = (
        "import sys; from pathlib import Path; from course_lib.grading.progress import Progress\n"
        "for n in range(25): Progress(Path(sys.argv[1])).attempted('double', False)\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert progress.Progress(tmp_path).read()["tasks"]["double"]["attempts"] == 75


def test_a_kill_while_writing_leaves_a_whole_file(tmp_path: Path):
    script = (
        "import sys; from pathlib import Path; from course_lib.grading.progress import Progress\n"
        "stored = Progress(Path(sys.argv[1])); print(flush=True)\n"
        "while True: stored.attempted('x' * 50_000, False)\n"
    )
    for turn in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        for _ in range(turn * 400):
            os.stat(tmp_path)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        path = tmp_path / progress.FILE
        assert not path.exists() or "tasks" in json.loads(path.read_text())
    progress.Progress(tmp_path).attempted("double", passed=True)
    assert progress.Progress(tmp_path).passed() == {"double"}


def test_predictions_are_numbers_or_one_of_the_choices(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "_current", progress.Progress(places.workspace()))
    assert predictions.predict("p95 in ms", 12) + 1 == 13
    assert predictions.predict("which", "a", choices=("a", "b")) == "a"
    predictions.predict("p95 in ms", 14)
    assert progress.current().read()["predictions"] == [
        {"question": "which", "guess": "a"},
        {"question": "p95 in ms", "guess": 14.0},
    ]
    with pytest.raises(ValueError, match="choose one of a, b"):
        predictions.predict("which", "c", choices=("a", "b"))
    with pytest.raises(ValueError, match="predict with a number"):
        predictions.predict("p95 in ms", "many")


def test_the_page_tells_what_is_done():
    progress.Progress(places.workspace()).attempted("double", passed=True)
    stored = {"question": "p95 in ms", "guess": 12.0}
    progress.Progress(places.workspace()).update(lambda data: data["predictions"].append(stored))
    page = stored_page()
    assert "1 of 2 tasks passed" in repr(page)
    assert "<li>p95 in ms: 12</li>" in page._repr_html_()
    assert "Double a number" in page._repr_html_()
