"""The pytest plugin of a grading child: the `answer` fixture, virtual time, results as they come.

tests/exercises/conftest.py gives graders the same fixture when pytest runs them by itself.
"""

import asyncio
import inspect
import re
import types
from collections.abc import Callable
from typing import Any

import pytest

from course_lib.grading.checks import CheckFailed
from course_lib.grading.explaining import in_words
from course_lib.grading.report import compile_cell

Send = Callable[[dict[str, Any]], None]


class Answer:
    """The names a learner's cell defined, as attributes."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.__dict__["names"] = names

    def __getattr__(self, name: str) -> Any:
        names: dict[str, Any] = self.__dict__["names"]
        if name not in names:
            raise CheckFailed(
                f"Your cell defines no `{name}`. Give it exactly this name.",
                call=name,
                got="no such name",
                expected=f"a definition of `{name}`",
            )
        return names[name]


def execute(task: str, setup: str, code: str, module: types.ModuleType) -> None:
    """Run the setup cell and then the task's cell in `module`; line 1 of a cell is its magic."""
    for name, text in (("setup", setup), (task, "\n" + code)):
        exec(_compiled(name, text), module.__dict__)


def _compiled(name: str, text: str) -> types.CodeType:
    """Compile a cell; only one that is no Python as it stands loses its `%` and `!` lines."""
    try:
        return compile_cell(name, text)
    except SyntaxError:
        return compile_cell(name, re.sub(r"(?m)^[%!].*$", "", text))


def sentence(function: Callable[..., Any]) -> str:
    """What a check says of itself: the first paragraph of its docstring, or its name."""
    words = inspect.getdoc(function) or function.__name__.removeprefix("test_").replace("_", " ")
    return " ".join(words.split("\n\n")[0].split())


class Grading:
    """Runs the checks of one task against one answer and sends each outcome as it is known."""

    def __init__(self, task: str, names: dict[str, Any], send: Send, tampered: Callable[[], str]):
        self.task, self.names, self.send, self.tampered = task, names, send, tampered

    def pytest_configure(self, config: pytest.Config) -> None:
        config.option.tbstyle = "no"  # pytest's own words would take as long as the checks
        config.addinivalue_line("markers", "task(name): the task this check belongs to")
        config.addinivalue_line("markers", "real_time: run on an ordinary event loop")

    @pytest.fixture
    def answer(self) -> Answer:
        """What the learner's cell defined."""
        return Answer(self.names)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:  # the grader itself; what is wrong with it stands last
            last = str(report.longrepr).strip().splitlines()[-1]
            self.send({"broken": last.removeprefix("E").strip()})

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makeitem(self, obj: object) -> list[pytest.Item] | None:
        """Spare pytest the checks of other tasks."""
        tasks = [m.args for m in getattr(obj, "pytestmark", ()) if m.name == "task"]
        return [] if tasks and (self.task,) not in tasks else None

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if task_of(item) == self.task]
        about = [
            {"name": item.name, "sentence": sentence(item.function)}  # type: ignore[attr-defined]
            for item in items
        ]
        self.send({"checks": about})

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool:
        try:
            run_check(pyfuncitem)
        except (KeyboardInterrupt, pytest.exit.Exception) as error:  # pytest would end here
            raise CheckFailed(
                "This ends the whole program. Return a value, or raise an ordinary error.",
                got=type(error).__name__,
            ) from error
        finally:
            if "monkeypatch" not in pyfuncitem.fixturenames:  # a grader's own patch ends later
                self.tampered()
        return True

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.send({"begins": nodeid.rpartition("::")[2]})

    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        if call.when == "call" or call.excinfo is not None:
            outcome = "passed"
            details: list[tuple[str, str]] = []
            if call.excinfo is not None:
                outcome, details = in_words(self.task, call.excinfo.value)
            self.send({"ends": item.name, "outcome": outcome, "details": details})


def task_of(item: pytest.Item) -> str | None:
    """The task a grader's test is bound to by `@pytest.mark.task("NAME")`."""
    marker = item.get_closest_marker("task")
    return marker.args[0] if marker is not None and marker.args else None


def run_check(item: pytest.Function) -> None:
    """Run a check; `async def` runs in virtual time, or on an ordinary loop when real_time."""
    arguments = {name: item.funcargs[name] for name in item._fixtureinfo.argnames}
    if not inspect.iscoroutinefunction(item.obj):
        item.obj(**arguments)
    elif item.get_closest_marker("real_time") is not None:
        asyncio.run(item.obj(**arguments))
    else:
        from course_lib.lab import virtual_time

        virtual_time.run(item.obj(**arguments))
