"""Every notebook keeps its promises: it runs, says what it said before, and leaves nothing behind.

nbval runs in subprocesses of its own: it slows every start of pytest by seconds, and there its
notebooks are spread over two workers. The lessons run offline and are watched.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell

from course_lib.authoring.checks import broken_links, problems
from course_lib.authoring.normal import read, write

ROOT = Path(__file__).parents[1]
LESSONS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
EVERY = [
    path
    for part in ("notebooks", "solutions", "exercises")
    for path in sorted((ROOT / part).glob("*.ipynb"))
]
CANARIES = ROOT / "tests" / "canary"
LOOK_AROUND = """\
from zmq.utils.garbage import gc as _zmq  # the kernel's own, begun by its first large picture
from course_lib.lab import leaks as _leaks
_zmq.is_alive() or _zmq.start()
from grpc._cython.cygrpc import init_grpc_aio as _poll  # gRPC's own, begun by its first channel
_poll()
_before = _leaks.snapshot()"""
LOOK_AGAIN = """\
import asyncio as _asyncio
from course_lib.grading.sandbox import shared as _grading
from course_lib.lab import fleet as _fleet, launch as _launch, processes as _processes
from course_lib.lab.servers import child as _servers
from course_lib.transport import http_client as _http
_grading.stop()
_launch.stop_all()
_fleet.close_lines()
_processes.stop_all()
_servers.stop_all()
await _http.close_connections()
await _launch.on_lab(_http.close_connections())  # services call each other too
_house = ("run_in_context", "Kernel.shell_main")  # the kernel's own, one for every cell
await _asyncio.get_running_loop().shutdown_default_executor()  # the kernel's own threads
for _ in range(100):  # connections of the kernel's loop close while it turns
    _left = _leaks.left_since(_before, wait_seconds=0.05)
    _left = [name for name in _left if not name.endswith(_house)]
    if not _left:
        break
    await _asyncio.sleep(0.01)
assert not _left, "left behind: " + ", ".join(_left)"""


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def nbval(folder: Path, *arguments: str, prefix: tuple[str, ...] = ()) -> tuple[int, str]:
    """Run nbval strictly on the arguments; progress and history go to `folder`."""
    command = [sys.executable, "-m", "pytest", "-p", "nbval", "--nbval", "-q", "--color=no"]
    command += ["-c", str(ROOT / "pyproject.toml"), "-p", "no:cacheprovider"]
    command += [f"--nbval-sanitize-with={ROOT / 'tests' / 'nbval_sanitize.cfg'}"]
    environment = {
        **os.environ,
        "COURSE_WORKSPACE": str(folder / "workspace"),
        "IPYTHONDIR": str(folder / "ipython"),
        "COURSE_ROOT": str(ROOT),
    }
    environment.pop("PYTEST_XDIST_WORKER", None)
    run = subprocess.run(
        [*prefix, *command, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    return run.returncode, (run.stdout + run.stderr)[-12_000:]


def watched(book: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The lesson between two cells that look at what is there."""
    book.cells.insert(0, new_code_cell(LOOK_AROUND, execution_count=1))
    book.cells.append(new_code_cell(LOOK_AGAIN, execution_count=1))
    return book


def loopback_alone() -> tuple[str, ...]:
    """A command prefix that takes the network away; nothing where the system cannot."""
    prefix = ("unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
    able = shutil.which("unshare") and shutil.which("ip")
    if able and subprocess.run([*prefix, "true"], capture_output=True).returncode == 0:
        return prefix
    if os.environ.get("CI") == "true":
        pytest.fail("the offline run needs `unshare` and `ip`, and leave to use them")
    return ()


def test_solutions_say_what_they_said_and_exercises_run_untouched(tmp_path: Path):
    code, said = nbval(tmp_path, "-n", "2", "--dist", "loadfile", "solutions", "exercises")
    assert code == 0, said


def test_lessons_say_what_they_said_offline_and_leave_nothing_behind(tmp_path: Path):
    prefix = loopback_alone()
    for path in LESSONS:
        write(watched(read(path)), tmp_path / "notebooks" / path.name)
    shutil.copytree(ROOT / "notebooks" / "files", tmp_path / "notebooks" / "files")
    folder = str(tmp_path / "notebooks")
    spread = ("-n", "2", "--dist", "loadfile", f"--rootdir={tmp_path}")
    code, said = nbval(tmp_path, *spread, folder, prefix=prefix)
    assert code == 0, said


def test_a_wrong_output_and_a_raising_cell_turn_the_run_red(tmp_path: Path):
    code, said = nbval(
        tmp_path,
        "-rA",
        *(str(CANARIES / f"{n}.ipynb") for n in ("sound", "wrong-output", "raising")),
    )
    assert code == 1, said
    assert "1 passed" in said and "2 failed" in said
    assert "Cell outputs differ" in said
    assert "Cell execution caused an exception" in said


def test_a_leak_turns_the_run_red(tmp_path: Path):
    book = nbformat.v4.new_notebook(metadata=read(CANARIES / "sound.ipynb").metadata)
    leak = "import asyncio; forgotten = asyncio.create_task(asyncio.sleep(600))"
    book.cells = [new_code_cell(leak, execution_count=1)]
    write(watched(book), tmp_path / "leaking.ipynb")
    code, said = nbval(tmp_path, f"--rootdir={tmp_path}", str(tmp_path / "leaking.ipynb"))
    assert code == 1, said
    assert "left behind: task" in said


def test_a_stripped_notebook_is_refused():
    assert any("not executed" in problem for problem in problems(CANARIES / "9.9-stripped.ipynb"))


@pytest.mark.parametrize("path", EVERY, ids=name)
def test_a_notebook_fulfils_the_contract(path: Path):
    assert problems(path) == []


def test_each_lesson_has_its_solution_and_its_exercise():
    for part in ("solutions", "exercises"):
        assert {path.name for path in (ROOT / part).glob("[0-9]*.ipynb")} == {
            p.name for p in LESSONS
        }


def pages() -> Iterator[Path]:
    yield from ROOT.glob("*.md")
    for part in ("notebooks", "exercises", "solutions"):
        yield from (ROOT / part).glob("*.md")


@pytest.mark.parametrize("path", sorted(pages()), ids=name)
def test_links_in_a_page_lead_somewhere(path: Path):
    assert list(broken_links(path.read_text(encoding="utf-8"), path.parent)) == []
