"""Sampling that survives a flood: the first lines of each event are kept, then one in so many.

Every second, for each event and level apart, the first `first` lines are written and after them
every `then_every`-th, so that one event that floods never silences another. A kept line says in
`stands_for` how many it speaks for: summed over the lines, totals are right. (A random 1 % would
keep the flood and lose the one line that matters.)
"""

import os
import threading
from collections.abc import Callable, Iterable
from contextvars import Context, copy_context
from typing import Any
from weakref import WeakSet

from course_lib import context

_MOST_EVENTS = 1_000

Left = tuple[float, Context, Callable[..., None], str, str, dict[str, Any]]


class _Seen:
    """One event in one window: how often it came, and the last line that was left out."""

    __slots__ = ("came", "last", "left_out")

    def __init__(self) -> None:
        self.came = 0
        self.left_out = 0
        self.last: Left | None = None

    def tell(self) -> None:
        """Write the last line that was left out, in its context and as of its instant."""
        if self.last is not None:
            at, where, log, event, level, fields = self.last
            where.run(context.wall_clock.set, lambda: at)
            where.run(log, event, level=level, **fields, stands_for=self.left_out)


class _Window:
    """The counts of one window, shared by a sampler and the loggers bound to it, under a lock."""

    def __init__(self, first: int, then_every: int, seconds: float) -> None:
        self.first, self.then_every, self.seconds = first, then_every, seconds
        self.begin()
        _windows.add(self)

    def begin(self) -> None:
        """Begin with nothing, as after a fork: a thread of the parent may have held the lock."""
        self.lock = threading.RLock()  # a signal may come in the middle, and be logged
        self.number = -1.0
        self.seen: dict[tuple[str, str], _Seen] = {}

    def of(self, level: str, event: str, at: float) -> tuple[_Seen, Iterable[_Seen]]:
        """What was seen of the event, and all that was seen by a window that is over since."""
        over: Iterable[_Seen] = ()
        number = at // self.seconds
        if number != self.number:
            self.number, over = number, self.take()
        seen = self.seen.get((level, event))
        if seen is None:
            if len(self.seen) >= _MOST_EVENTS:  # names from outside share one count
                event = ""
            seen = self.seen.setdefault((level, event), _Seen())
        return seen, over

    def take(self) -> Iterable[_Seen]:
        with self.lock:
            seen, self.seen = self.seen, {}
        return seen.values()


_windows: WeakSet[_Window] = WeakSet()


def _begin_in_child() -> None:
    for window in _windows:
        window.begin()


os.register_at_fork(after_in_child=_begin_in_child)


class Sampled:
    """A logger in front of `log`: same call, fewer lines; see `sampled`."""

    def __init__(self, log: Any, window: _Window) -> None:
        self._log, self._window = log, window

    def __call__(self, event: str, /, level: str = "info", **fields: Any) -> None:
        """Write the event with `stands_for`, or leave it to a later line to speak for it."""
        fields.pop("stands_for", None)
        window = self._window
        with window.lock:  # a stream may take its time: what is written is written outside
            at = context.wall_clock.get()()
            seen, over = window.of(level, event, at)
            seen.came += 1
            beyond = seen.came - window.first
            if beyond > 0 and beyond % window.then_every:
                seen.left_out += 1
                seen.last = at, copy_context(), self._log, event, level, fields
                stands_for = 0
            else:
                stands_for, seen.left_out, seen.last = seen.left_out + 1, 0, None
        for each in over:
            each.tell()
        if stands_for:
            self._log(event, level=level, **fields, stands_for=stands_for)

    def bind(self, **fields: Any) -> "Sampled":
        """A logger that adds the fields to every event and is counted together with this one."""
        return Sampled(self._log.bind(**fields), self._window)

    def flush(self) -> None:
        """Write what is still left out, one line an event; call it before the stream is closed."""
        for each in self._window.take():
            each.tell()


def sampled(
    log: Any, *, first: int = 10, then_every: int = 100, window_seconds: float = 1.0
) -> Sampled:
    """Return a logger that keeps the first `first` of an event in a window, then one in so many.

    What was left out when a window ends is written as one more line, its last, when the next
    event of any kind comes, or by `flush()`; the line has the instant at which it was left out.
    May be called from any thread. (zap samples in this manner, but drops uncounted.)
    """
    if first < 1 or then_every < 1 or window_seconds <= 0:
        raise ValueError("first and then_every are at least 1, window_seconds is more than 0")
    return Sampled(log, _Window(first, then_every, window_seconds))
