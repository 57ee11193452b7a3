"""How tests run: coroutine tests in virtual time, or with `real_time` on an ordinary loop."""

import asyncio
import inspect

import pytest

from course_lib.lab import virtual_time


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "real_time: run the coroutine test on an ordinary loop")


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
