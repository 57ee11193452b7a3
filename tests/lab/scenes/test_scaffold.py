"""The scaffolded project: it starts, is tested, is built, and is as clean as this one."""

import subprocess
import sys
import zipfile
from collections.abc import Iterator

import httpx
import pytest

from course_lib.lab.processes import Process
from course_lib.lab.scenes.scaffold import Project, lay


@pytest.fixture
def project() -> Iterator[Project]:
    with lay() as project:
        yield project


@pytest.fixture
def no_process_is_left() -> Iterator[list[Process]]:
    started: list[Process] = []
    yield started
    for process in started:
        process.kill()


def status(method: str, process: Process, path: str) -> int:
    return httpx.request(method, process.url + path, timeout=5, trust_env=False).status_code


def test_it_has_the_six_parts_of_a_project(project):
    lines = project.tree().split()
    for part in ("api/", "configs/", "cmd/", "internal/", "pkg/", "pyproject.toml"):
        assert part in lines


def test_a_file_is_shown_below_its_name(project):
    shown = project.text("src/shop/cmd/orders.py").splitlines()
    assert shown[0] == "# src/shop/cmd/orders.py"
    assert '    serve("orders", orders.router(remote_price(client)))' in shown


def test_its_own_tests_pass(project):
    assert project.test() == "3 passed"


def test_a_broken_change_turns_its_tests_red(project):
    project.change("src/shop/internal/catalogue.py", '"lamp": 4500', '"lamp": 1')
    with pytest.raises(RuntimeError, match="1 == 4500"):
        project.test()


def test_a_change_that_finds_nothing_to_change_says_so(project):
    with pytest.raises(ValueError, match="has no 'moon'"):
        project.change("pyproject.toml", "moon", "sun")


def test_a_change_may_be_made_twice(project):
    for _ in range(2):
        project.change("src/shop/internal/catalogue.py", "async def search", "def search")
    changed = (project.folder / "src/shop/internal/catalogue.py").read_text()
    assert "\ndef search" in changed


def test_its_wheel_holds_the_code_and_names_what_it_needs(project):
    wheel = project.build()
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        metadata = file.read("shop-0.1.0.dist-info/METADATA").decode()
    assert "shop/cmd/orders.py" in names
    assert not [name for name in names if "configs" in name or "tests" in name]
    assert "Requires-Dist: fastapi" in metadata


def test_pip_builds_the_same_wheel(project):
    ours = zipfile.ZipFile(project.build()).namelist()
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-index", "."]
    command = [*pip, "--no-build-isolation", "--wheel-dir", "by-pip"]
    subprocess.run(command, cwd=project.folder, check=True, capture_output=True)
    (theirs,) = project.folder.glob("by-pip/*.whl")
    assert zipfile.ZipFile(theirs).namelist() == ours


def test_as_one_program_and_as_services_it_answers_the_same(project, no_process_is_left):
    one, catalogue = project.start("everything"), project.start("catalogue")
    no_process_is_left += [one, catalogue]
    one.wait(), catalogue.wait()
    orders = project.start("orders", catalogue_url=catalogue.url)
    no_process_is_left.append(orders)
    orders.wait()
    for sku, expected in (("lamp", 201), ("moon", 404)):
        for program in (one, orders):
            assert status("POST", program, f"/orders?sku={sku}") == expected
    catalogue.kill()
    assert status("GET", orders, "/orders/1") == 200
    assert status("POST", orders, "/orders?sku=lamp") == 503
    assert status("POST", one, "/orders?sku=lamp") == 201


def test_it_keeps_to_the_rules_of_this_repository(project):
    rules = ["--isolated", "--no-cache", "--line-length", "100"]
    for arguments in (["check", "--select", "E,F,I,B,UP,SIM,RUF"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *arguments, *rules, "."]
        done = subprocess.run(command, cwd=project.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_left_of_it(project):
    folder = project.folder.parent
    project.remove()
    assert not folder.exists()
