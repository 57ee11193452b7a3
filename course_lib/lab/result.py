"""What a load came to: one call, all of them, and the figures that are made of them."""

import math
from collections import Counter
from functools import cached_property
from typing import NamedTuple


class Call(NamedTuple):
    """One call: when it should have begun (seconds since the load did), and what came of it.

    `seconds` counts from there, so waiting for a turn is not forgotten (no coordinated omission).
    `outcome` is "ok" or the name of the error; `label` tells calls apart, such as by instance.
    """

    started: float
    seconds: float
    outcome: str
    label: str


class Result:
    """What a load came to. Times are seconds; every call counts, failed ones too."""

    def __init__(self, calls: list[Call], duration_seconds: float) -> None:
        self.calls = calls
        self.duration_seconds = duration_seconds

    @property
    def count(self) -> Counter[str]:
        """How many calls had each label: what `label` said of an answer, or the error's name."""
        return Counter(call.label for call in self.calls)

    @property
    def outcomes(self) -> Counter[str]:
        """How many calls ended in "ok" and in each error."""
        return Counter(call.outcome for call in self.calls)

    @property
    def latencies(self) -> list[float]:
        """How long each call took, in the order in which they ended."""
        return [call.seconds for call in self.calls]

    @property
    def throughput(self) -> float:
        """Calls finished a second."""
        return len(self.calls) / self.duration_seconds if self.duration_seconds else math.inf

    @property
    def by(self) -> dict[str, "Result"]:
        """The same result, apart for each label, in the order of the labels."""
        return {label: self._where(3, label) for label in sorted(self.count)}

    def only(self, outcome: str) -> "Result":
        """The calls that had this outcome."""
        return self._where(2, outcome)

    def _where(self, field: int, value: str) -> "Result":
        return Result([c for c in self.calls if c[field] == value], self.duration_seconds)

    def percentile(self, percent: float) -> float:
        """The time within which `percent` of the calls ended (nearest rank); NaN without calls."""
        if not self.calls:
            return math.nan
        rank = math.ceil(round(percent * len(self.calls) / 100, 9))
        return self._sorted[max(rank, 1) - 1]

    @cached_property
    def _sorted(self) -> list[float]:
        return sorted(self.latencies)

    @property
    def p50(self) -> float:
        """Half of the calls took no longer."""
        return self.percentile(50)

    @property
    def p95(self) -> float:
        """95 of 100 calls took no longer."""
        return self.percentile(95)

    @property
    def p99(self) -> float:
        """99 of 100 calls took no longer."""
        return self.percentile(99)

    def __repr__(self) -> str:
        counts = sorted(self.outcomes.items(), key=lambda item: (item[0] != "ok", item[0]))
        return ", ".join([f"{len(self.calls)} calls", *(f"{n} {name}" for name, n in counts)])
