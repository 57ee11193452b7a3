"""Where things are: the course, the learner's workspace, the notebooks of a lesson."""

import os
from pathlib import Path

import course_lib


def root() -> Path:
    """The folder of the course; COURSE_ROOT overrides it."""
    return Path(os.environ.get("COURSE_ROOT") or Path(course_lib.__file__).parents[1]).resolve()


def workspace() -> Path:
    """The learner's folder, `workspace/` in the course; COURSE_WORKSPACE overrides it."""
    return Path(os.environ.get("COURSE_WORKSPACE") or root() / "workspace").resolve()


def notebook(folder: Path, lesson: str) -> Path | None:
    """The notebook `LESSON-topic.ipynb` in `folder`, not a `-Copy1` of it; None without one."""
    found = sorted(folder.glob(f"{lesson}-*.ipynb"), key=lambda path: (len(path.name), path))
    return next((path for path in found if not path.stem.endswith(".new")), None)
