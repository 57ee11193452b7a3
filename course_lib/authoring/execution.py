"""Runs a notebook from top to bottom in a kernel of its own, away from anyone's progress."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

CELL_SECONDS = 120


def execute(book: nbformat.NotebookNode, path: Path) -> nbformat.NotebookNode:
    """Run every cell with the working directory of `path`; raises RuntimeError naming the cell."""
    with tempfile.TemporaryDirectory(prefix="course-authoring-") as folder:
        client = NotebookClient(
            book,
            timeout=CELL_SECONDS,
            kernel_name="python3",
            resources={"metadata": {"path": str(path.resolve().parent)}},
        )
        try:
            client.execute(env=kernel_environment(Path(folder)), cleanup_kc=True)
        except CellExecutionError as error:
            raise RuntimeError(f"a cell failed\n{error}") from error
        except (CellTimeoutError, DeadKernelError) as error:
            raise RuntimeError(f"{type(error).__name__}: {error}") from error
    return book


def kernel_environment(folder: Path) -> dict[str, Any]:
    """The environment in which a notebook writes progress and history to `folder`."""
    return {
        **os.environ,
        "COURSE_WORKSPACE": str(folder / "workspace"),
        "IPYTHONDIR": str(folder / "ipython"),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    }
