"""A Python project with three services, laid into a folder: to be run, tested, built, changed.

The files are those of `scaffold_template`, without the `.template` at the end of their names.
"""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from course_lib.lab.processes import Process

_TEMPLATE = Path(__file__).parent / "scaffold_template"


class Project:
    """The project in its folder; `lay()` makes one. Usable as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._here = {**os.environ, "PYTHONPATH": str(folder / "src")}
        self._here["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # the course's plugins are not its own

    def tree(self) -> str:
        """Its files, indented by folder."""
        return "\n".join([f"{self.folder.name}/", *_lines(self.folder, "  ")])

    def text(self, file: str) -> str:
        """A file of it, below its name."""
        return f"# {file}\n{(self.folder / file).read_text(encoding='utf-8').rstrip()}"

    def start(self, service: str, **settings: str) -> Process:
        """Start an entry point, such as `orders`, as a process; it is not ready yet.

        `settings` become variables of its environment: `catalogue_url` becomes CATALOGUE_URL.
        """
        command = [sys.executable, "-m", f"shop.cmd.{service}"]
        variables = {name.upper(): value for name, value in settings.items()}
        environment = {**self._here, **variables}
        return Process(service, command, folder=self.folder, environment=environment)

    def change(self, file: str, old: str, new: str) -> None:
        """Put `new` in the place of `old` in a file; a second time does nothing.

        Raises ValueError if neither is there.
        """
        path = self.folder / file
        text = path.read_text(encoding="utf-8")
        if old not in text and new not in text:
            raise ValueError(f"{file} has no {old!r}")
        path.write_text(text.replace(old, new), encoding="utf-8")

    def test(self) -> str:
        """Run its tests and return the last line, such as `3 passed`."""
        options = ["-q", "-p", "no:cacheprovider", "--color=no"]
        done = self._python("-m", "pytest", *options)
        return done.rpartition(" in ")[0].rpartition("\n")[2]

    def build(self) -> Path:
        """Build its wheel by its build backend, which needs no network; return where it is."""
        self._python("-m", "flit_core.wheel", "--outdir", "dist", ".")
        return next((self.folder / "dist").glob("*.whl"))

    def _python(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self._here,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if done.returncode:
            raise RuntimeError((done.stdout + done.stderr)[-2000:])
        return done.stdout

    def remove(self) -> None:
        """Delete the folder."""
        atexit.unregister(self.remove)
        shutil.rmtree(self.folder.parent, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def __repr__(self) -> str:
        return f"<project {self.folder.name}>"


def lay() -> Project:
    """Lay the project into a temporary folder, which goes when Python ends."""
    project = Project(Path(tempfile.mkdtemp(prefix="course-")) / "shop")
    for source in sorted(_TEMPLATE.rglob("*.template")):
        path = project.folder / source.relative_to(_TEMPLATE).with_suffix("")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, path)
    atexit.register(project.remove)
    return project


def _lines(folder: Path, indent: str) -> Iterator[str]:
    for path in sorted(folder.iterdir(), key=lambda p: (p.is_file(), p.name)):
        if path.name in ("__pycache__", "dist"):
            continue
        yield f"{indent}{path.name}{'/' if path.is_dir() else ''}"
        if path.is_dir():
            yield from _lines(path, indent + "  ")
