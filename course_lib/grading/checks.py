"""What graders say `expect` with: a failure states call, got and expected in plain words.

The same exceptions work under plain pytest and on the card of a task.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from numbers import Real
from types import TracebackType
from typing import Any

LONGEST = 400


class CheckFailed(AssertionError):
    """A check that failed, in words: the call made, what came back, what was expected, and why."""

    def __init__(self, why: str = "", *, call: str = "", got: str = "", expected: str = "") -> None:
        self.why, self.call, self.got, self.expected = why, call, got, expected
        super().__init__("\n".join(f"{label}: {text}" for label, text in self.lines()))

    def lines(self) -> list[tuple[str, str]]:
        """Pairs of label and text; what is empty is left out."""
        pairs = [("call", self.call), ("got", self.got), ("expected", self.expected)]
        return [(label, text) for label, text in [*pairs, ("why", self.why)] if text]


def show(value: Any) -> str:
    """`repr`, cut to a readable length; a repr that raises is reported, not raised."""
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    return text if len(text) <= LONGEST else text[: LONGEST - 4] + " ..."


def expect(
    got: Any, expected: Any, call: str, why: str = "", *, within: float | None = None
) -> None:
    """Fail unless `got` equals `expected` (numbers: to `within`); `call` is shown as code."""
    if type(got).__name__ == "coroutine":
        got.close()
        raise CheckFailed(
            why or "Put `await` in front of the call inside your function.",
            call=call,
            got="a coroutine that nobody awaited",
            expected=show(expected),
        )
    if not _equal(got, expected, within):
        wanted = show(expected) if within is None else f"{show(expected)}, give or take {within:g}"
        raise CheckFailed(why, call=call, got=show(got), expected=wanted)


def _equal(got: Any, expected: Any, within: float | None) -> bool:
    if isinstance(expected, bool) != isinstance(got, bool):
        return False
    kind: Any = type(expected)
    if type(got).__module__ == "__main__" and kind is not type(got):
        # An object of the learner's own class decides nothing about equality; what it holds may.
        return within is None and isinstance(got, kind) and kind.__eq__(expected, got) is True
    if within is not None:
        number = float(got) if isinstance(got, Decimal) else got
        return isinstance(number, Real) and abs(number - expected) <= within
    return bool(got == expected)


def ensure(condition: bool, why: str, *, call: str = "", got: str = "", expected: str = "") -> None:
    """Fail with `why` unless `condition` holds; for what has no single value to compare."""
    if not condition:
        raise CheckFailed(why, call=call, got=got, expected=expected)


@contextmanager
def no_error(
    *errors: type[BaseException], call: str, expected: str = "no error", why: str = ""
) -> Iterator[None]:
    """Fail if the block raises one of these errors; what else it raises goes on."""
    try:
        yield
    except errors as error:
        raise CheckFailed(why, call=call, got=show(error), expected=expected) from error


class raises:  # reads as a verb: with raises(NotFound, call=...)
    """Fail unless the block raises `error`; `names` must stand in the message. `.error` is it."""

    def __init__(
        self, error: type[BaseException], *, call: str, names: str = "", why: str = ""
    ) -> None:
        self._wanted, self._call, self._names, self._why = error, call, names, why
        self.error: Any = None

    def __enter__(self) -> "raises":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        expected = f"{self._wanted.__name__} raised"
        if self._names:
            expected += f", with {self._names!r} in its message"
        if error is None:
            raise CheckFailed(self._why, call=self._call, got="no error", expected=expected)
        if isinstance(error, NotImplementedError | CheckFailed) or not isinstance(error, Exception):
            return False
        if not isinstance(error, self._wanted) or self._names not in str(error):
            got = f"{type(error).__name__}: {error}"
            raise CheckFailed(self._why, call=self._call, got=got, expected=expected) from error
        self.error = error
        return True
