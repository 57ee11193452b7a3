"""What a learner waits for: the set-up, the first response, a lesson's run, the card of a task.

Everything runs in real kernels, from the request to execute a cell until the kernel is idle.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

from course_lib.authoring.execution import execute
from course_lib.authoring.normal import read
from tests.bench.report import Row

ROOT = Path(__file__).parents[2]
LESSONS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
FIRST = ROOT / "notebooks" / "0.0-start-here.ipynb"
CELLS_TO_THE_FIRST_RESPONSE = 2


def code(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


@contextmanager
def kernel() -> Iterator[BlockingKernelClient]:
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(ROOT / "notebooks"))
    try:
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def seconds_for(client: BlockingKernelClient, source: str) -> float:
    """Run a cell, and fail when it raises."""
    started = time.perf_counter()
    reply = client.execute_interactive(source, output_hook=lambda _: None, allow_stdin=False)
    assert reply["content"]["status"] == "ok", reply["content"]
    return time.perf_counter() - started


def first_response() -> float:
    """From the start of a kernel to the answer of the first service of lesson 0.0."""
    started = time.perf_counter()
    with kernel() as client:
        for cell in code(FIRST)[:CELLS_TO_THE_FIRST_RESPONSE]:
            seconds_for(client, cell.source)
        return time.perf_counter() - started


def clone_to_first_response() -> float:
    """A clone, `make setup` with a warm package cache, and the first cells of lesson 0.0."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
        subprocess.run(["make", "--silent", "setup"], cwd=folder, check=True, stdout=2)
        script = "\n".join(cell.source for cell in code(FIRST)[:CELLS_TO_THE_FIRST_RESPONSE])
        run = [".venv/bin/python", "-m", "IPython", "--no-banner", "-c", script]
        environment = {**os.environ, "IPYTHONDIR": f"{folder}/.ipython"}
        subprocess.run(run, cwd=folder, check=True, stdout=2, env=environment)
        return time.perf_counter() - started


def cards(runs: int) -> tuple[float, list[float]]:
    """Seconds from running a solved task's cell to its card: the first time, and then."""
    cells = code(ROOT / "solutions" / "2.4-middleware.ipynb")
    task = next(cell.source for cell in cells if cell.source.startswith("%%task"))
    with kernel() as client:
        seconds_for(client, cells[0].source)
        first = seconds_for(client, task)
        return first, [seconds_for(client, task) for _ in range(runs)]


def lesson(path: Path) -> float:
    """Seconds to run a lesson from top to bottom, the start of its kernel included."""
    started = time.perf_counter()
    execute(read(path), path)
    return time.perf_counter() - started


def run(rounds: int) -> list[Row]:
    """The rows of all of them."""
    measured = [cards(20) for _ in range(max(1, rounds // 3))]
    warm = [1e3 * seconds for _, each in measured for seconds in each]
    rows = [
        Row("clone to first response", [clone_to_first_response()], "s", 60, at_least=False),
        Row(
            "kernel start to first response",
            [first_response() for _ in range(max(1, rounds // 3))],
            "s",
            5,
            at_least=False,
        ),
        Row("first card of a task", [first for first, _ in measured], "s", 1, at_least=False),
        Row("card of a task, once warm", warm, "ms", 100, at_least=False),
    ]
    for path in LESSONS:
        most = 15 if path.stem < "3" else 20
        name = f"lesson {path.stem.split('-')[0]} from top to bottom"
        rows.append(Row(name, [lesson(path)], "s", most, at_least=False))
    return rows
