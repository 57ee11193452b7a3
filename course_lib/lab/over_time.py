"""What a load came to as time went by, and which states a breaker was in meanwhile."""

from collections.abc import Callable
from itertools import pairwise

from course_lib.lab.load import Result
from course_lib.lab.plots import Span

Points = list[tuple[float, float]]


class Strip:
    """The states a breaker goes through; give it as `on_transition`. Instants in seconds."""

    def __init__(self) -> None:
        self._notes = [("closed", 0.0)]

    def __call__(self, name: str, old: str, new: str, at_seconds: float) -> None:
        """Note a transition."""
        self._notes.append((new, at_seconds))

    def spans(self, until: float) -> list[Span]:
        """The states from the beginning until then."""
        ends = [at for _, at in self._notes[1:]] + [until]
        return [Span(at, end, state) for (state, at), end in zip(self._notes, ends, strict=True)]


def during(result: Result, start: float, end: float) -> Result:
    """The calls that should have begun from `start` and before `end`."""
    return Result([call for call in result.calls if start <= call.started < end], end - start)


def failed_percent(result: Result) -> float:
    """The share of calls that failed, in %; 0 without calls."""
    failed = len(result.calls) - result.outcomes["ok"]
    return 100 * failed / len(result.calls) if failed else 0.0


def slowest(result: Result) -> float:
    """The longest call, in seconds; 0 without calls."""
    return max(result.latencies, default=0.0)


def every(seconds: float, of: Callable[[Result], float], result: Result) -> Points:
    """`of` each stretch of so many seconds, at the instant where the stretch begins."""
    last = max((call.started for call in result.calls), default=0.0)
    edges = [n * seconds for n in range(int(last / seconds) + 3)]  # one more for rounding
    return [(a, of(during(result, a, b))) for a, b in pairwise(edges) if a <= last]
