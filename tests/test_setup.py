"""The locks, Binder's files, and what the set-up says when it cannot go on."""

import importlib.metadata
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKS = {name: ROOT / name / "requirements.txt" for name in ("binder", "tests")}
PLATFORMS = [
    {"sys_platform": system, "platform_system": name, "platform_machine": machine}
    for system, name, machine in (
        ("linux", "Linux", "x86_64"),
        ("linux", "Linux", "aarch64"),
        ("darwin", "Darwin", "arm64"),
        ("darwin", "Darwin", "x86_64"),
    )
]
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
ENVIRONMENTS = [
    {**default_environment(), **platform, "python_version": v, "python_full_version": v + ".1"}
    for platform in PLATFORMS
    for v in PYTHONS
]


def locked(*names: str) -> list[Requirement]:
    lines = [line for name in names for line in LOCKS[name].read_text().splitlines()]
    return [Requirement(line) for line in lines if line.strip()]


def pins(requirements: list[Requirement], environment: dict[str, str]) -> dict[str, str]:
    return {
        pin.name.lower(): str(pin.specifier).removeprefix("==")
        for pin in requirements
        if pin.marker is None or pin.marker.evaluate(environment)
    }


@pytest.mark.parametrize(
    "environment",
    ENVIRONMENTS,
    ids=lambda e: " ".join((e["sys_platform"], e["platform_machine"], e["python_version"])),
)
@pytest.mark.parametrize(
    "wanted, locks",
    [
        (PROJECT["dependencies"], ["binder"]),
        (PROJECT["optional-dependencies"]["tests"], ["binder", "tests"]),
    ],
    ids=["course", "tests"],
)
def test_the_locks_satisfy_pyproject_everywhere(wanted, locks, environment):
    have = pins(locked(*locks), environment)
    for requirement in map(Requirement, wanted):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            assert requirement.specifier.contains(have[requirement.name.lower()]), requirement


@pytest.mark.parametrize("path", LOCKS.values(), ids=LOCKS)
def test_a_lock_holds_names_and_versions_only(path):
    for line in path.read_text().splitlines():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+( ; .+)?", line), line
        assert "://" not in line and "@" not in line


def test_what_is_installed_is_what_is_locked():
    for name, version in pins(locked("binder", "tests"), default_environment()).items():
        assert importlib.metadata.version(name) == version, name


def test_binder_gets_python_the_course_and_a_start_that_goes_on():
    assert (ROOT / "binder/runtime.txt").read_text().strip() == "python-3.12"
    build = (ROOT / "binder/postBuild").read_text()
    assert "\nset -e\n" in build and "pip install" in build and "-e ." in build
    assert (ROOT / "binder/start").read_text().rstrip().endswith('exec "$@"')
    for name in ("postBuild", "start"):
        path = ROOT / "binder" / name
        assert path.read_text().startswith("#!/bin/bash\n")
        assert path.stat().st_mode & stat.S_IXUSR
    for package in (ROOT / "binder/apt.txt").read_text().split():
        assert re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", package)


def test_binder_would_build_this():
    tool = Path(sys.executable).parent / "jupyter-repo2docker"
    shown = subprocess.run(
        [tool, "--no-build", "--debug", ROOT], capture_output=True, text=True, timeout=120
    )
    recipe = shown.stdout + shown.stderr
    assert shown.returncode == 0, recipe
    for step in (
        'pip install --no-cache-dir -r "binder/requirements.txt"',
        "apt-get install --yes --no-install-recommends "
        + " ".join(sorted((ROOT / "binder/apt.txt").read_text().split())),
        "RUN ./binder/postBuild",
        'R2D_ENTRYPOINT="${REPO_DIR}/binder/start"',
    ):
        assert step in recipe, step


@pytest.fixture
def clone(tmp_path):
    """A folder with just what the set-up reads, and a PATH that holds no Python."""
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "dirname", "cat", "mkdir", "rm", "sleep", "pwd", "touch", "kill"):
        if found := shutil.which(tool):
            (tmp_path / "bin" / tool).symlink_to(found)
    shutil.copytree(ROOT / "binder", tmp_path / "course/binder")
    return tmp_path / "course"


def set_up(clone: Path, *prefix: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*prefix, "sh", str(clone / "binder/setup.sh")],
        env={"PATH": str(clone.parent / "bin"), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def fake_python(clone: Path, body: str) -> None:
    path = clone.parent / "bin/python3"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_an_old_python_is_told_what_to_install(clone):
    fake_python(clone, '[ "$1" = --version ] && echo "Python 3.9.6"; exit 1')
    done = set_up(clone)
    assert done.returncode == 1
    assert "needs Python 3.11 or later; found: Python 3.9.6" in done.stderr
    assert "brew install python" in done.stderr
    assert not (clone / ".venv.lock").exists()


def test_a_python_that_was_named_and_does_not_serve_is_told(clone):
    fake_python(clone, 'case "$2" in *ensurepip*) exit 1;; *) exit 0;; esac')
    done = set_up(clone, PYTHON="/no/such python")
    assert "PYTHON=/no/such python is no Python 3.11" in done.stderr
    assert "python3 cannot make virtual environments" in done.stderr, "another one was found"


def test_without_any_python_nothing_but_words_is_shown(clone):
    done = set_up(clone)
    assert "needs Python 3.11 or later; found: none." in done.stderr
    assert "not found" not in done.stderr


def fits(clone: Path) -> str:
    command = ["sh", str(clone / "binder/setup.sh"), "fits"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def test_an_environment_fits_until_its_folder_moves_or_its_python_goes(clone):
    assert fits(clone) == ""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], cwd=clone, check=True)
    assert fits(clone) == "fits"
    moved = clone.rename(clone.with_name("another course"))
    assert fits(moved) == ""
    back = moved.rename(clone)
    (back / ".venv/bin/python").unlink()
    assert fits(back) == ""


def test_make_builds_anew_what_no_longer_fits(clone, tmp_path):
    shutil.copy(ROOT / "Makefile", clone)
    (clone / "pyproject.toml").touch()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], cwd=clone, check=True)
    (clone / ".venv/.course-ready").touch()
    command = ["make", "--dry-run", "setup"]
    assert "setup.sh" not in subprocess.check_output(command, cwd=clone, text=True)
    moved = clone.rename(tmp_path / "another course")
    assert "sh binder/setup.sh" in subprocess.check_output(command, cwd=moved, text=True)


def test_a_python_without_venv_is_told_which_package_is_missing(clone):
    fake_python(clone, 'case "$2" in *ensurepip*) exit 1;; *) exit 0;; esac')
    done = set_up(clone)
    assert done.returncode == 1
    assert "apt install python3-venv" in done.stderr


def test_without_a_network_the_set_up_says_so_and_can_go_on_later(clone):
    bin_ = clone / ".venv/bin"
    bin_.mkdir(parents=True)
    (bin_ / "python").write_text('#!/bin/sh\ncase "$*" in *install*) exit 1;; *) exit 0;; esac\n')
    (bin_ / "python").chmod(0o755)
    (clone / ".venv/pyvenv.cfg").write_text(f"command = python3 -m venv --clear {clone}/.venv")
    done = set_up(clone)
    assert done.returncode == 1
    assert "Without a network the set-up cannot finish" in done.stderr
    assert bin_.exists() and not (clone / ".venv.lock").exists()


def test_a_read_only_folder_is_named(clone):
    prefix = []
    if os.geteuid() == 0:
        if not (setpriv := shutil.which("setpriv")):
            pytest.skip("root may write everywhere, and setpriv is missing here")
        prefix = [setpriv, "--reuid=65534", "--clear-groups"]
        for parent in [clone, *clone.parents]:
            if parent.is_relative_to("/tmp") and parent != Path("/tmp"):
                parent.chmod(0o755)
    clone.chmod(0o555)
    try:
        done = set_up(clone, *prefix)
    finally:
        clone.chmod(0o755)
    assert done.returncode == 1
    assert "read-only" in done.stderr and "home folder" in done.stderr


def test_a_lock_left_by_a_dead_set_up_does_not_stop_the_next(clone):
    (clone / ".venv.lock").mkdir()
    (clone / ".venv.lock/pid").write_text("999999999")
    fake_python(clone, "exit 1")
    assert "needs Python 3.11" in set_up(clone).stderr


def test_make_knows_the_verbs_a_person_needs():
    verbs = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"lab", "test", "setup", "lint", "lock", "bench"} <= set(verbs)


def test_nothing_lies_about_at_the_top():
    """No key, log or scratch file of somebody's is handed out with the course."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    rooms = {"notebooks", "course_lib", "exercises", "solutions", "binder", "tests", ".ci"}
    files = {"README.md", "pyproject.toml", "Makefile", "LICENSE", ".gitignore"}
    assert {path.split("/")[0] for path in listed.stdout.splitlines()} == rooms | files
