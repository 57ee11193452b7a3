"""What Prometheus computes from the samples of a counter and from the buckets of a histogram.

The rules are those of Prometheus 2.x (`promql/functions.go` and `promql/quantile.go` of 2.42):
a window holds both its ends (since 3.0 it leaves out its start). Leaves out: native histograms.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate, pairwise

Sample = tuple[float, float | None]
"""A time in seconds and a value; None marks the end of a series that went stale."""


def histogram_quantile(q: float, buckets: Iterable[tuple[float, float]]) -> float:
    """Estimate the `q` quantile (0 to 1) from pairs of upper bound and cumulative count.

    Linear inside the bucket the quantile falls into; the highest finite bound when it falls into
    the last, infinite one; NaN without observations or without an infinite bucket.
    """
    if math.isnan(q):
        return math.nan
    if not 0 <= q <= 1:
        return math.copysign(math.inf, q)
    bounds, counts = _cumulative(buckets)
    if len(bounds) < 2 or bounds[-1] != math.inf or not counts[-1]:
        return math.nan
    rank, last = q * counts[-1], len(bounds) - 1
    found = bisect_left(counts, True, hi=last, key=lambda count: count >= rank)  # NaN is below any
    if found == last:
        return bounds[-2]
    if found == 0 and bounds[0] <= 0:
        return bounds[0]
    start, below = (bounds[found - 1], counts[found - 1]) if found else (0.0, 0.0)
    inside = counts[found] - below
    share = (rank - below) / inside if inside else math.nan  # q = 0 and an empty first bucket
    return start + (bounds[found] - start) * share


def increase(samples: Iterable[Sample], start: float, end: float) -> float | None:
    """How much a counter grew between two instants (seconds); None with fewer than two samples.

    Resets count as such, and the growth between the first and the last sample is extrapolated to
    the ends of the window, so three requests may be an increase of 3.2.
    """
    grown = _growth(samples, start, end)
    return None if grown is None else grown[0] * grown[1]


def rate(samples: Iterable[Sample], start: float, end: float) -> float | None:
    """The increase a second; None with fewer than two samples in the window."""
    grown = _growth(samples, start, end)
    seconds = (_milliseconds(end) - _milliseconds(start)) / 1000
    return None if grown is None else grown[0] * (grown[1] / seconds)


def _cumulative(buckets: Iterable[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Sorted, equal bounds added up, and a count that falls lifted to the highest before it."""
    merged: dict[float, float] = {}
    for bound, count in sorted(buckets):
        merged[bound] = merged.get(bound, 0.0) + count
    counts = list(merged.values())
    highest = accumulate(counts, max)
    lifted = [most if count < most else count for count, most in zip(counts, highest, strict=True)]
    return list(merged), lifted


def _growth(samples: Iterable[Sample], start: float, end: float) -> tuple[float, float] | None:
    """The growth between the first and the last sample, and the factor that extrapolates it."""
    first, last = _milliseconds(start), _milliseconds(end)
    known = ((_milliseconds(t), value) for t, value in samples if value is not None)
    window = [(t, value) for t, value in known if first <= t <= last]
    if len(window) < 2 or window[0][0] == window[-1][0]:
        return None
    values = [value for _, value in window]
    growth = values[-1] - values[0]
    for before, after in pairwise(values):
        if after < before:  # the counter began again at zero
            growth += before
    sampled = (window[-1][0] - window[0][0]) / 1000
    gap = sampled / (len(window) - 1)
    to_start, to_end = (window[0][0] - first) / 1000, (last - window[-1][0]) / 1000
    if growth > 0 and values[0] >= 0:  # a counter was never below zero
        to_start = min(to_start, sampled * (values[0] / growth))
    covered = sampled
    for to_edge in (to_start, to_end):
        covered += to_edge if to_edge < gap * 1.1 else gap / 2
    return growth, covered / sampled


def _milliseconds(seconds: float) -> int:
    """An instant as Prometheus stores it."""
    return round(seconds * 1000)
