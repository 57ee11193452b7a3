"""`course lab` starts JupyterLab on the workspace, once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from course_lib.grading import jupyter, places
from course_lib.grading.cli import main


def test_a_second_lab_tells_where_the_first_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    command = [sys.executable, "-m", "course_lib.grading.cli", "lab", "--no-browser"]
    log = tmp_path / "log"
    with log.open("w") as file:
        lab = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)
    try:
        end = time.monotonic() + 60
        while "http://" not in log.read_text():
            assert lab.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        assert main(["lab"]) == 0
        url = jupyter.running_url()
        assert url is not None and "token=" in url
        assert url in capsys.readouterr().out
        assert (places.workspace() / "exercises/9.1-sample.ipynb").exists()
        first = psutil.Process(lab.pid).environ()["PATH"].split(os.pathsep)[0]
        assert first == str(Path(sys.executable).parent), "`!course` in a cell finds the command"
    finally:
        os.killpg(lab.pid, signal.SIGKILL)
        lab.wait()
    assert jupyter.running_url() is None


def test_settings_made_by_hand_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    jupyter.quieten_jupyterlab()
    (path,) = tmp_path.rglob("overrides.json")
    assert '"fetchNews": "false"' in path.read_text()
    path.write_text("{}")
    jupyter.quieten_jupyterlab()
    assert path.read_text() == "{}"
