"""The grading room is tested on a sample lesson of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from course_lib.grading import places
from course_lib.grading.sandbox import Sandbox

collect_ignore = ["sample"]
SAMPLE = Path(__file__).parent / "sample"


@pytest.fixture(autouse=True)
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The course is the sample lesson, and the workspace an empty folder."""
    monkeypatch.setenv("COURSE_ROOT", str(SAMPLE))
    monkeypatch.setenv("COURSE_WORKSPACE", str(tmp_path / "workspace"))
    (tmp_path / "workspace").mkdir()
    return places.root()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One fork server for a file of tests."""
    made = Sandbox()
    made.start()
    yield made
    made.stop()
