"""One recorded outage, told call by call to any circuit breaker, ours or the real pybreaker.

A recorded call is an instant in seconds and whether it would have succeeded; it takes no time.
pybreaker reads the wall clock, so for as long as a replay lasts its module gets another one.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, NamedTuple

import pybreaker

from course_lib.errors import CircuitOpen
from course_lib.lab.plots import Span
from course_lib.middleware.breaker import CircuitBreaker

Recorded = tuple[float, bool]


class Replay(NamedTuple):
    """The states in order, and how many failing calls were made and good ones refused."""

    spans: list[Span]
    failures_met: int
    good_refused: int


def replay(circuit: CircuitBreaker | pybreaker.CircuitBreaker, calls: Iterable[Recorded]) -> Replay:
    """Offer the calls to a breaker in its first state and say what it made of them."""
    spans: list[Span] = []
    met = refused = 0
    with _clock() as set_clock:
        for at, good in calls:
            set_clock(at)
            admitted = _step(circuit, at, good)
            met += admitted and not good
            refused += good and not admitted
            state = _state(circuit)
            if spans and spans[-1].state == state:
                spans[-1] = spans[-1]._replace(end=at)
            else:
                if spans:
                    spans[-1] = spans[-1]._replace(end=at)
                spans.append(Span(spans[-1].end if spans else 0.0, at, state))
    return Replay(spans, met, refused)


def _step(circuit: Any, at: float, good: bool) -> bool:
    """Offer one call; says whether it was let through."""
    if isinstance(circuit, CircuitBreaker):
        try:
            generation = circuit.admit(at)
        except CircuitOpen:
            return False
        circuit.record(generation, at, at, not good)
        return True
    made: list[bool] = []

    def call() -> None:
        made.append(good)
        if not good:
            raise ConnectionError

    with suppress(ConnectionError, pybreaker.CircuitBreakerError):
        circuit.call(call)
    return bool(made)


def _state(circuit: Any) -> str:
    if isinstance(circuit, CircuitBreaker):
        return circuit.state
    return str(circuit.current_state).replace("-", "_")


@contextmanager
def _clock() -> Iterator[Callable[[float], None]]:
    """Give pybreaker's module a clock that stands where it is told to."""
    now = datetime(2025, 1, 1, tzinfo=UTC)

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return now

    def set_clock(seconds: float) -> None:
        nonlocal now
        now = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)

    module: Any = pybreaker
    usual, module.datetime = module.datetime, Clock
    try:
        yield set_clock
    finally:
        module.datetime = usual
