import inspect
import re

import pytest

from course_lib import errors

TREE = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, errors.CallError)
]
ANSWERS = ("InvalidRequest", "NotFound", "Conflict", "Unauthenticated", "PermissionDenied")
FAILURES = (
    *("RateLimited", "Overloaded", "CircuitOpen", "DeadlineExceeded"),
    *("Unavailable", "NoInstances", "Internal"),
)


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_not_a_failure(name):
    assert issubclass(getattr(errors, name), errors.Answer)
    assert not issubclass(getattr(errors, name), errors.Failure)


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_not_an_answer(name):
    assert issubclass(getattr(errors, name), errors.Failure)
    assert not issubclass(getattr(errors, name), errors.Answer)


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_every_error_takes_its_message_first_and_is_local_until_it_crossed_the_wire(kind):
    error = kind("no user 7")
    assert str(error) == error.message == "no user 7"
    assert error.remote is False


@pytest.mark.parametrize("name", ["CircuitOpen", "RateLimited", "Overloaded"])
def test_a_refusal_may_say_when_to_come_back(name):
    kind = getattr(errors, name)
    assert kind("later", retry_after_seconds=1.5).retry_after_seconds == 1.5
    assert kind("later").retry_after_seconds is None


def test_the_docstring_draws_the_tree_as_it_is():
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in errors.__doc__.splitlines():
        if match := re.match(r"([│├└─ ]*)([A-Z][A-Za-z]+)(  |$)", line):
            depth, name = len(match[1]) // 4, match[2]
            above[depth:] = [name]
            drawn[name] = above[depth - 1] if depth else "Exception"
    assert drawn == {kind.__name__: kind.__mro__[1].__name__ for kind in TREE}
