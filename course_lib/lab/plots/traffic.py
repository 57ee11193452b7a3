"""The picture of a control panel: answers a second by instance, and below it the failed calls."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from course_lib.lab.plots.canvas import (
    COLOURS,
    FAINT,
    MARKERS,
    Canvas,
    Picture,
    line_look,
    rounded,
)
from course_lib.lab.plots.lines import name_ends
from course_lib.lab.plots.spans import STATES


def traffic(
    seconds: Sequence[float],
    answered: Mapping[str, Sequence[float]],
    failed_percent: Sequence[float],
    *,
    title: str,
    window_seconds: float = 30.0,
    states: Sequence[Mapping[str, str]] = (),
) -> Picture:
    """Lines per instance in requests/s over the failed share in %, the last seconds of both.

    `states` by instance, one mapping for each of `seconds`, become strips between the two.
    """
    canvas = Canvas(title, 7.2, 3.9, crisp=False)
    figure, upper = canvas.figure, canvas.axes
    wide = 0.88 - max([0.08, *(0.0145 * len(name) for name in answered)])  # names stand beside it
    upper.set_position((0.095, 0.44, wide, 0.43))
    lower: Any = figure.add_axes((0.095, 0.135, wide, 0.19), sharex=upper)
    rows = list(states[-1]) if states else []
    if rows:
        upper.set_position((0.095, 0.54, wide, 0.33))
        upper.tick_params(axis="x", labelbottom=False)
        _strips(figure.add_axes((0.095, 0.355, wide, 0.14), sharex=upper), seconds, states, rows)
    for i, rates in enumerate(answered.values()):
        every = {"marker": MARKERS[i % 7], "markersize": 6, "markevery": (3 * i % 10, 15)}
        upper.plot(seconds, rates, linewidth=2.2, **line_look(i), **every)
    lower.fill_between(seconds, failed_percent, color=COLOURS[1], alpha=0.35, hatch="//")
    lower.plot(seconds, failed_percent, color=COLOURS[1], linewidth=2)
    end = max(seconds[-1] if seconds else 0.0, window_seconds)
    top = max([10.0, *(rate for rates in answered.values() for rate in rates)]) * 1.1
    upper.set(xlim=(end - window_seconds, end), ylim=(0, top), ylabel="requests/s")
    lower.set(ylim=(0, 105), ylabel="failed (%)", xlabel="time (s)", yticks=(0, 50, 100))
    for axes in (upper, lower):
        axes.grid(color="#e6e6e6")
        axes.spines[["top", "right"]].set_visible(False)
    ends = {name: max([0.07 * top, *rates[-1:]]) for name, rates in answered.items()}
    name_ends(upper, ends, x=seconds[-1] if seconds else 0.0, apart=0.13)
    said = [
        "Upper lines: requests/s by instance; lower line: failed calls (%); "
        "horizontal axis: time (s).",
        *(f"{name}: {rounded(rates[-1])} requests/s." for name, rates in answered.items() if rates),
        *(f"Failed: {rounded(share)} %." for share in failed_percent[-1:]),
    ]
    said += [f"{name}: {states[-1][name]}." for name in rows]
    return canvas.picture(said)


def _strips(
    axes: Any, seconds: Sequence[float], states: Sequence[Mapping[str, str]], rows: Sequence[str]
) -> None:
    """Each instance's states as a strip."""
    for row, name in enumerate(rows):
        began = max(0.0, seconds[0] - 0.2)
        for at, (state, after) in zip(
            seconds, pairwise([s[name] for s in states] + [""]), strict=False
        ):
            if state != after:
                colour, hatch = STATES.get(state, (FAINT, ""))
                look = {"facecolor": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0.3}
                axes.barh(row, at - began, 0.8, left=began, **look)
                began = at
    axes.set_yticks(range(len(rows)), rows)
    axes.set(ylim=(len(rows) - 0.5, -0.5))
    axes.tick_params(axis="x", labelbottom=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(False)
