"""How tests run: coroutine tests in virtual time, and nothing may be left when a test ends.

`real_time` runs a coroutine test on an ordinary loop; `leaves` lifts the check, with a reason.
"""

import asyncio
import inspect
import signal
from collections.abc import Iterator

import pytest

from course_lib.lab import leaks, virtual_time


def pytest_configure(config: pytest.Config) -> None:
    """Name the markers; listen to interrupts, which a run in the background would ignore."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "real_time: run the coroutine test on an ordinary loop")
    config.addinivalue_line("markers", "leaves(reason): threads, tasks or sockets may stay behind")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no worker is left alone with one of them at the end."""
    items.sort(key=lambda item: item.path.name not in ("test_notebooks.py", "test_browser.py"))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test; leave the others to pytest."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    test = pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
    if pyfuncitem.get_closest_marker("real_time"):
        with asyncio.Runner() as runner:
            runner.run(test)
    else:
        virtual_time.run(test)
    return True


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """No thread, task, socket, child process or server outlives its test."""
    if request.node.get_closest_marker("leaves"):
        yield
        return
    before = leaks.snapshot()
    yield
    left = leaks.left_since(before, wait_seconds=5)
    assert not left, "left behind: " + ", ".join(left)
