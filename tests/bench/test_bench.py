"""The benchmarks themselves: fair peers, and a table that does not hide a missed target."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"bench_{name}", Path(__file__).with_name(name))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_peers_answer_log_and_count_alike():
    command = [sys.executable, "-m", "tests.bench", "--check"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert checked.returncode == 0, checked.stderr
    assert "alike" in checked.stdout


def test_a_missed_target_is_said_in_the_table():
    report = load("report.py")
    rows = [
        report.Row("quick enough", [3.0, 1.0, 2.0], "ms", 2.0, at_least=False),
        report.Row("too slow", [40.0, 45.0, 60.0], "requests/s", 50.0),
        report.Row("for comparison", [1.0], "us"),
    ]
    met, missed, neither = report.table(rows).splitlines()[1:]
    assert met.endswith("at most 2 ms: met")
    assert missed.endswith("at least 50 requests/s: MISSED")
    assert neither.endswith("us")
    assert [row.met for row in rows] == [True, False, True]


def test_the_plot_is_saved(tmp_path):
    report = load("report.py")
    report.plot([report.Row("ready", [3.0], "ms", 30.0, at_least=False)], tmp_path / "x" / "b.png")
    assert (tmp_path / "x" / "b.png").read_bytes().startswith(b"\x89PNG")
