"""Lines: values over time, each named where it ends."""

from collections.abc import Mapping, Sequence
from typing import Any

from course_lib.lab.plots.canvas import (
    COLOURS,
    INK,
    MARKERS,
    Canvas,
    Picture,
    as_number,
    guess_line,
    line_look,
    rounded,
    unit_of,
)

Points = Sequence[tuple[float, float]]


def lines(
    series: Mapping[str, Points],
    *,
    title: str,
    y: str,
    x: str = "time (s)",
    bands: Sequence[tuple[float, float, str]] = (),
    guess: Any = None,
    steps: bool = False,
    steady: bool = True,
) -> Picture:
    """Values over time: `{"a": [(0, 10), (1, 12)]}`; `x` and `y` are axis labels with units.

    `bands` shade stretches of x: `(start, end, "c is slow")`. `guess` is a level of y.
    """
    canvas = Canvas(title, 7.2, 3.7)
    axes = canvas.axes
    for i, (name, points) in enumerate(series.items()):
        every = max(1, len(points) // 8)
        # On steps marks would look like values of their own.
        marker = None if steps else MARKERS[i % 7]
        marks = {"marker": marker, "markevery": (i % every, every), "markersize": 6}
        style = {"drawstyle": "steps-post" if steps else None, "linewidth": 2.2, **line_look(i)}
        axes.plot([p[0] for p in points], [p[1] for p in points], label=name, **style, **marks)
    axes.set(xlabel=x, ylabel=y)
    axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
    axes.margins(x=0.01)
    for start, end, label in bands:
        axes.axvspan(start, end, color="#000000", alpha=0.07, linewidth=0)
        place = {"ha": "center", "va": "bottom", "fontsize": 10.5, "annotation_clip": False}
        where = ((start + end) / 2, 1.0)
        axes.annotate(label, where, xycoords=("data", "axes fraction"), color=INK, **place)
    said = [f"Lines; horizontal axis: {x}; vertical axis: {y}."]
    said += [f"Shaded from {rounded(a)} to {rounded(b)}: {label}." for a, b, label in bands]
    number = as_number(guess)
    if number is not None:
        axes.set_ylim(top=max(axes.get_ylim()[1], number * 1.1))
        said.append(guess_line(axes, number, unit_of(y), vertical=False))
    name_ends(axes, {name: points[-1][1] if points else None for name, points in series.items()})
    numbers = [f"{name}: {_sampled(points)}." for name, points in series.items()]
    hidden = [f"Lines for {', '.join(series)}."] if series else []
    return canvas.picture(said, numbers, instead=None if steady else hidden)


def name_ends(
    axes: Any, ends: Mapping[str, float | None], *, x: float | None = None, apart: float = 0.085
) -> None:
    """Write each line's name beside its last value, at `x` or at the right edge.

    Names stay `apart`, as a share of the axis, and below its top, where the title stands.
    """
    low, high = axes.get_ylim()
    order = sorted((end, i, name) for i, (name, end) in enumerate(ends.items()) if end is not None)
    heights = spread([end for end, _, _ in order], apart * (high - low), high)
    for (_, i, name), height in zip(order, heights, strict=True):
        at = (1.0, height) if x is None else (x, height)
        look: dict[str, Any] = {"color": COLOURS[i % 7], "weight": "bold", "va": "center"}
        look |= {"xycoords": "data" if x is not None else ("axes fraction", "data")}
        look |= {"xytext": (8, 0), "textcoords": "offset points", "annotation_clip": False}
        axes.annotate(name, at, **look)


def spread(values: Sequence[float], apart: float, top: float) -> list[float]:
    """Rising values moved until they are `apart` and none is above `top`: first up, then down."""
    heights: list[float] = []
    for value in values:
        heights.append(max(value, heights[-1] + apart) if heights else value)
    for n in reversed(range(len(heights))):
        heights[n] = min(heights[n], top - apart * (len(heights) - 1 - n))
    return heights


def _sampled(points: Points, most: int = 10) -> str:
    if not points:
        return "no points"
    step = max(1, -(-len(points) // most))
    chosen = list(points[::step])
    if chosen[-1] != points[-1]:
        chosen.append(points[-1])
    return ", ".join(f"{rounded(y)} at {rounded(x)}" for x, y in chosen)
