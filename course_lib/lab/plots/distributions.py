"""How measurements are distributed: the share of requests done in time, and a histogram."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from course_lib.lab.plots.canvas import (
    COLOURS,
    MARKERS,
    Canvas,
    Picture,
    as_number,
    guess_line,
    line_look,
    rounded,
    unit_of,
    with_unit,
)


def latencies(
    series: Mapping[str, Sequence[float]],
    *,
    title: str,
    guess: Any = None,
    steady: bool = True,
) -> Picture:
    """Which share of requests was done after how long; `series` in seconds, drawn in ms.

    The x axis is logarithmic, so one slow request in a hundred is seen; a marker sits at the
    95th percentile, which `guess` (in ms) is held against.
    """
    canvas = Canvas(title, 7.2, 3.9)
    axes = canvas.axes
    numbers = []
    for i, (name, seconds) in enumerate(series.items()):
        times = sorted(1000 * s for s in seconds)
        shares = [100 * (n + 1) / len(times) for n in range(len(times))]
        mark = _nearest_rank(times, 95)
        axes.step(times, shares, where="post", linewidth=2.2, **line_look(i))
        label = f"{name}: p95 {with_unit(mark, 'ms')}"
        style = {"marker": MARKERS[i % 7], "markersize": 9, "markeredgecolor": "white"}
        axes.plot([mark], [95], label=label, **line_look(i), **style)
        marks = [f"p{p} {with_unit(_nearest_rank(times, p), 'ms')}" for p in (50, 95, 99)]
        numbers.append(f"{name}: {', '.join(marks)}.")
    axes.axhline(95, color="#888888", linewidth=1, linestyle=":")
    axes.set(xscale="log", ylim=(0, 102), xlabel="latency (ms, logarithmic)")
    axes.set_ylabel("requests done (%)")
    _plain_log_ticks(axes)
    said = ["Share of requests done; horizontal axis: latency (ms); vertical axis: requests (%)."]
    number = as_number(guess)
    if number:
        said.append(guess_line(axes, number, "ms", vertical=True))
    canvas.legend(ncols=2, handlelength=3)
    hidden = [f"Curves for {', '.join(series)}."]
    return canvas.picture(said, numbers, instead=None if steady else hidden)


def histogram(
    values: Sequence[float],
    *,
    title: str,
    x: str,
    bins: int = 20,
    guess: Any = None,
    steady: bool = True,
) -> Picture:
    """How often each range of values came up; `x` is the axis label with its unit."""
    canvas = Canvas(title)
    axes = canvas.axes
    heights, edges, _ = axes.hist(values, bins=bins, color=COLOURS[0], edgecolor="white")
    axes.set(xlabel=x, ylabel="how often")
    axes.grid(False, axis="x")
    said = [f"Histogram of {len(values)} values; horizontal axis: {x}."]
    number = as_number(guess)
    if number is not None:
        said.append(guess_line(axes, number, unit_of(x), vertical=True))
    peak = int(heights.argmax())
    numbers = [
        f"From {rounded(min(values))} to {rounded(max(values))}; most often between "
        f"{rounded(edges[peak])} and {rounded(edges[peak + 1])} ({int(heights[peak])} times)."
    ]
    return canvas.picture(said, numbers, instead=None if steady else [])


def _nearest_rank(ordered: Sequence[float], percentile: float) -> float:
    return ordered[max(0, math.ceil(len(ordered) * percentile / 100) - 1)]


def _plain_log_ticks(axes: Any) -> None:
    """1, 10, 100 instead of powers of ten; 2 and 5 between them when there is room."""
    low, high = axes.get_xlim()
    ticks = [m * 10.0**e for e in range(-4, 8) for m in (1, 2, 5) if low <= m * 10.0**e <= high]
    if len(ticks) > 8:
        ticks = [tick for tick in ticks if f"{tick:e}".startswith("1")]
    axes.set_xticks(ticks, [rounded(tick) for tick in ticks])
    axes.set_xticks([], minor=True)
