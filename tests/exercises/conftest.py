"""Under plain pytest the graders see the solution; `test_records.py` runs the other answers.

In the notebook and in `course check`, `course_lib.grading.plugin` gives `answer` instead.
"""

import types
from functools import cache

import pytest

from course_lib.grading import notebooks, places, plugin, tasks


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "task(name): the task this check belongs to")


@cache
def solution(name: str) -> plugin.Answer:
    """What the solution of a task defines."""
    task = tasks.find(name)
    assert task is not None, f"no file of tasks names {name!r}"
    path = places.notebook(places.root() / "solutions", task.lesson)
    assert path is not None, f"lesson {task.lesson} has no solution"
    cells = notebooks.read(path)
    module = types.ModuleType(f"solution_of_{name}")
    plugin.execute(name, cells.setup, cells.only(name), module)
    return plugin.Answer(module.__dict__)


@pytest.fixture
def answer(request: pytest.FixtureRequest) -> plugin.Answer:
    """The names the task's solution defines, as attributes."""
    name = plugin.task_of(request.node)
    assert name is not None, "bind the check to its task with @pytest.mark.task"
    return solution(name)
