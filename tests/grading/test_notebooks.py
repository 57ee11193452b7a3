"""Task cells are found in whatever a file holds, and a file that is none is told in words."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from course_lib.grading import notebooks
from course_lib.grading.notebooks import NotebookUnreadable

TASK = {"cell_type": "code", "source": ["%%task double\n", "x = 1"]}


def stored(tmp_path: Path, *cells: Any) -> Path:
    path = tmp_path / "9.1-sample.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    return path


@pytest.mark.parametrize(
    "odd",
    [
        None,
        5,
        "x",
        {},
        {"cell_type": "code"},
        {"cell_type": "code", "source": None},
        {"cell_type": "code", "source": 5},
        {"cell_type": "code", "source": [5, None]},
        {"cell_type": "code", "source": "", "metadata": None},
        {"cell_type": "code", "source": "", "metadata": {"tags": 5}},
        {"cell_type": "markdown", "source": "%%task double", "metadata": []},
    ],
)
def test_an_odd_cell_hides_no_other(tmp_path: Path, odd: Any):
    assert notebooks.read(stored(tmp_path, odd, TASK)).only("double") == "x = 1"


def test_line_ends_and_marks_of_windows_are_read(tmp_path: Path):
    path = stored(tmp_path, TASK | {"source": "%%task double\r\nx = 1\r\ny = 2"})
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert notebooks.read(path).only("double") == "x = 1\ny = 2"


def test_a_pipe_and_a_device_are_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "9.1-pipe.ipynb")
    (tmp_path / "9.1-zero.ipynb").symlink_to("/dev/zero")
    for path in tmp_path.iterdir():
        with pytest.raises(NotebookUnreadable, match="no ordinary file"):
            notebooks.read(path)


def test_a_huge_file_is_not_read(tmp_path: Path):
    path = tmp_path / "9.1-sample.ipynb"
    path.touch()
    os.truncate(path, 10**11)
    with pytest.raises(NotebookUnreadable, match="Clear its outputs"):
        notebooks.read(path)


@pytest.mark.parametrize(
    "content", [b"", b"null", b"[]", b'{"cells": {}}', b"\xff\xfe{", b"[" * 9999]
)
def test_what_is_no_notebook_says_which_lesson_to_bring_back(tmp_path: Path, content: bytes):
    path = tmp_path / "9.1-sample.ipynb"
    path.write_bytes(content)
    with pytest.raises(NotebookUnreadable, match=r"half-way.*`course reset 9\.1`"):
        notebooks.read(path)


def test_a_folder_in_its_place_is_no_notebook(tmp_path: Path):
    with pytest.raises(NotebookUnreadable, match="no ordinary file"):
        notebooks.read(tmp_path)


def test_a_renamed_notebook_is_known_by_its_cells(tmp_path: Path):
    (tmp_path / "a.ipynb").write_text("{half")
    mine = stored(tmp_path, TASK).rename(tmp_path / "my answers.ipynb")
    assert notebooks.of_lesson(tmp_path, "9.1") == mine
    assert notebooks.of_lesson(tmp_path, "9.9") is None
    copy = tmp_path / "9.1-sample-Copy1.ipynb"
    copy.write_text("{half")
    assert notebooks.of_lesson(tmp_path, "9.1") == copy, "a name with the number comes first"
