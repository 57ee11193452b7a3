"""A memory for time series: what a scraper saw, by name and labels, for a limited time.

Each series is a short queue of (instant, value); a stale one ends with None. Leaves out:
compression, the disk, and a query language; the questions are methods.
"""

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from course_lib.telemetry.series import Sample, histogram_quantile, rate

LOOK_BACK_SECONDS = 300.0
"""So old may the newest sample be to be the value now, as in Prometheus."""

Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass
class Series:
    """One name with one set of labels, and its samples in the order of time."""

    name: str
    labels: dict[str, str]
    samples: deque[Sample] = field(default_factory=deque)

    def at(self, instant: float) -> float | None:
        """The newest value then; None when it is stale or more than five minutes old."""
        for seconds, value in reversed(self.samples):
            if seconds <= instant:
                return value if instant - seconds <= LOOK_BACK_SECONDS else None
        return None

    def __repr__(self) -> str:
        labels = ", ".join(f'{name}="{value}"' for name, value in sorted(self.labels.items()))
        return f"{self.name}{{{labels}}}"


class SeriesMemory:
    """At most `most_series` series of at most `most_samples` samples, none older than kept.

    `refused` counts the samples of series there was no room for.
    """

    def __init__(
        self,
        *,
        keep_seconds: float = 3600.0,
        most_series: int = 10_000,
        most_samples: int = 4000,
    ) -> None:
        self.refused = 0
        self._keep, self._most_series, self._most_samples = keep_seconds, most_series, most_samples
        self._series: dict[Key, Series] = {}

    def add(self, name: str, labels: Mapping[str, str], at: float, value: float | None) -> Key:
        """Remember one sample; None marks the series as stale."""
        key = name, tuple(sorted(labels.items()))
        series = self._series.get(key)
        if series is None:
            if len(self._series) >= self._most_series or value is None:
                self.refused += value is not None
                return key
            series = Series(name, dict(labels), deque(maxlen=self._most_samples))
            self._series[key] = series
        series.samples.append((at, value))
        while series.samples[0][0] < at - self._keep:
            series.samples.popleft()
        return key

    def end(self, key: Key, at: float) -> None:
        """Mark a series as stale."""
        self.add(key[0], dict(key[1]), at, None)

    def forget(self, now: float) -> None:
        """Drop the series whose last sample is older than what is kept."""
        oldest = now - self._keep
        gone = [key for key, series in self._series.items() if series.samples[-1][0] < oldest]
        for key in gone:
            del self._series[key]

    def select(self, name: str, **labels: str) -> list[Series]:
        """Every series of this name that has these labels."""
        return [
            series
            for (series_name, _), series in self._series.items()
            if series_name == name and labels.items() <= series.labels.items()
        ]

    def samples(self, name: str, **labels: str) -> list[Sample]:
        """The samples of the one series that fits; raises LookupError if it is not exactly one."""
        found = self.select(name, **labels)
        if len(found) != 1:
            raise LookupError(f"{len(found)} series fit {name} {labels}: {found[:5]}")
        return list(found[0].samples)

    def sum_rate(self, name: str, start: float, end: float, **labels: str) -> float:
        """`sum(rate(...))`: the growth a second of all series that fit, added up."""
        rates = (rate(series.samples, start, end) for series in self.select(name, **labels))
        return sum(value for value in rates if value is not None)

    def quantile(self, q: float, name: str, start: float, end: float, **labels: str) -> float:
        """`histogram_quantile(q, sum by (le) (rate(NAME_bucket ...)))`, in the histogram's unit.

        A bucket whose bound is no number is left out, as in Prometheus.
        """
        buckets: dict[float, float] = defaultdict(float)
        for series in self.select(f"{name}_bucket", **labels):
            grown, bound = rate(series.samples, start, end), _bound(series.labels.get("le", ""))
            if grown is not None and bound is not None:
                buckets[bound] += grown
        return histogram_quantile(q, buckets.items())

    def __len__(self) -> int:
        return len(self._series)


def _bound(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
