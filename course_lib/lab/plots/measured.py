"""Pictures of numbers: bars, lines over time, and how latencies are distributed."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from course_lib.lab.plots.canvas import (
    COLOURS,
    GUESS,
    HATCHES,
    INK,
    LINE_STYLES,
    MARKERS,
    Canvas,
    Picture,
    as_number,
    guess_line,
    rounded,
    unit_of,
    with_unit,
)

Bars = Mapping[str, float]


def bars(
    values: Bars | Mapping[str, Bars],
    *,
    title: str,
    unit: str,
    guess: Any = None,
    horizontal: bool = True,
    steady: bool = True,
) -> Picture:
    """Compare names by length; `{"a": 3}`, or `{"before": {"a": 3}, "after": {"a": 5}}`.

    `unit` is the axis label, such as "requests" or "p95 (ms)". `guess` is a number (a line), a
    name (an arrow), or numbers by name (a diamond each). `steady=False` keeps numbers that differ
    from run to run out of the stored text.
    """
    series = cast("Mapping[str, Bars]", values if _nested(values) else {"": values})
    names = list(dict.fromkeys(name for group in series.values() for name in group))
    thick = 0.72 / len(series)
    size = (7.2, max(2.4, 1.5 + 0.42 * len(names) * max(1, len(series) * 0.75)))
    canvas = Canvas(title, *(size if horizontal else (7.2, 3.6)))
    axes, top = canvas.axes, max([0, *(v for group in series.values() for v in group.values())])
    draw = axes.barh if horizontal else axes.bar
    for i, (label, group) in enumerate(series.items()):
        places = [n + (i - (len(series) - 1) / 2) * thick for n in range(len(names))]
        lengths = [group.get(name, 0) for name in names]
        drawn = draw(places, lengths, thick * 0.92, color=COLOURS[i % 7], label=label)
        for bar in drawn:
            bar.set(hatch=HATCHES[i % 7], edgecolor="white")
        axes.bar_label(drawn, [rounded(v) for v in lengths], padding=4, fontsize=11)
    number = as_number(guess)
    guesses: Any = guess.values() if isinstance(guess, Mapping) else [number or 0]
    limit = max(top, *guesses) * 1.12 or 1
    ticks = (range(len(names)), names)
    if horizontal:
        axes.set_yticks(*ticks)
        axes.set(xlim=(0, limit), xlabel=unit, ylim=(len(names) - 0.4, -0.6))
        axes.grid(False, axis="y")
    else:
        axes.set_xticks(*ticks)
        axes.set(ylim=(0, limit), ylabel=unit)
        axes.grid(False, axis="x")
    axis = "horizontal" if horizontal else "vertical"
    said = [f"Bars; {axis} axis: {unit}."]
    said += _bar_guess(axes, guess, names, values, horizontal, unit_of(unit))
    if len(series) > 1 or isinstance(guess, Mapping):
        canvas.legend()
    listed = [
        f"{label + ': ' if label else ''}"
        + ", ".join(f"{name} {rounded(v)}" for name, v in group.items())
        + "."
        for label, group in series.items()
    ]
    hidden = [f"Bars for {', '.join(names)}."]
    return canvas.picture(said + (listed if steady else hidden), values=() if steady else listed)


def lines(
    series: Mapping[str, Sequence[tuple[float, float]]],
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
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        style = {"color": COLOURS[i % 7], "linestyle": LINE_STYLES[i % 7], "linewidth": 2.2}
        every = max(1, len(points) // 8)
        marks = {"marker": MARKERS[i % 7], "markevery": (i % every, every), "markersize": 6}
        axes.plot(xs, ys, label=name, drawstyle="steps-post" if steps else None, **style, **marks)
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
    _name_line_ends(axes, series)
    listed = [f"{name}: {_sampled(points)}." for name, points in series.items()]
    hidden = [f"Lines for {', '.join(series)}."] if series else []
    return canvas.picture(said + (listed if steady else hidden), values=() if steady else listed)


def latencies(
    series: Mapping[str, Sequence[float]],
    *,
    title: str,
    percentile: int = 95,
    guess: Any = None,
    steady: bool = True,
) -> Picture:
    """Which share of requests was done after how long; `series` in seconds, drawn in ms.

    The x axis is logarithmic, so one slow request in a hundred is seen; a marker sits at the
    `percentile`, which `guess` (in ms) is held against.
    """
    canvas = Canvas(title, 7.2, 3.9)
    axes = canvas.axes
    listed = []
    for i, (name, seconds) in enumerate(series.items()):
        times = sorted(1000 * s for s in seconds)
        shares = [100 * (n + 1) / len(times) for n in range(len(times))]
        mark = _nearest_rank(times, percentile)
        colour, line = COLOURS[i % 7], LINE_STYLES[i % 7]
        axes.step(times, shares, where="post", color=colour, linestyle=line, linewidth=2.2)
        label = f"{name}: p{percentile} {with_unit(mark, 'ms')}"
        style = {"marker": MARKERS[i % 7], "markersize": 9, "markeredgecolor": "white"}
        axes.plot([mark], [percentile], color=colour, linestyle=line, label=label, **style)
        points = sorted({50, percentile, 99})
        marks = [(p, with_unit(_nearest_rank(times, p), "ms")) for p in points]
        listed.append(f"{name}: {', '.join(f'p{p} {value}' for p, value in marks)}.")
    axes.axhline(percentile, color="#888888", linewidth=1, linestyle=":")
    axes.set(xscale="log", ylim=(0, 102), xlabel="latency (ms, logarithmic)")
    axes.set_ylabel("requests done (%)")
    _plain_log_ticks(axes)
    said = ["Share of requests done; horizontal axis: latency (ms); vertical axis: requests (%)."]
    number = as_number(guess)
    if number:
        said.append(guess_line(axes, number, "ms", vertical=True))
    canvas.legend(ncols=2, handlelength=3)
    hidden = [f"Curves for {', '.join(series)}."]
    return canvas.picture(said + (listed if steady else hidden), values=() if steady else listed)


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
    listed = [
        f"From {rounded(min(values))} to {rounded(max(values))}; most often between "
        f"{rounded(edges[peak])} and {rounded(edges[peak + 1])} ({int(heights[peak])} times)."
    ]
    return canvas.picture(said + (listed if steady else []), values=() if steady else listed)


def _nested(values: Mapping[str, Any]) -> bool:
    return any(isinstance(value, Mapping) for value in values.values())


def _bar_guess(
    axes: Any,
    guess: Any,
    names: list[str],
    values: Mapping[str, Any],
    horizontal: bool,
    unit: str,
) -> list[str]:
    number = as_number(guess)
    if number is not None:
        return [guess_line(axes, number, unit, vertical=horizontal)]
    if isinstance(guess, Mapping):
        places = [names.index(name) for name in guess]
        points = (list(guess.values()), places) if horizontal else (places, list(guess.values()))
        style = {"marker": "D", "s": 80, "facecolor": "white", "edgecolor": GUESS, "linewidth": 2}
        axes.scatter(*points, label="your guess", zorder=6, **style)
        said = ", ".join(f"{name} {rounded(v)}" for name, v in guess.items())
        return [f"Your guess: {said}."]
    name = None if guess is None else str(guess)
    if name not in names:
        return [] if name is None else [f"Your guess: {name}."]
    length = 0 if _nested(values) else values[name]
    at = names.index(name)
    target = (length, at) if horizontal else (at, length)
    arrow = {"arrowstyle": "->", "color": GUESS, "linewidth": 2}
    offset = (105, 0) if horizontal else (0, 40)
    limit = axes.get_xlim()[1] if horizontal else axes.get_ylim()[1]
    axes.set(**{"xlim" if horizontal else "ylim": (0, max(limit, 1.5 * length))})
    place = {"xytext": offset, "textcoords": "offset points", "color": GUESS}
    place |= {"va": "center", "ha": "left" if horizontal else "center"}
    arrow |= {"shrinkB": 42 if horizontal else 20}
    axes.annotate("your guess", target, arrowprops=arrow, weight="bold", **place)
    return [f"Your guess: {name}."]


def _name_line_ends(axes: Any, series: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """Write each name at the end of its line, pushed apart where two would overlap."""
    low, high = axes.get_ylim()
    ends = sorted(
        (points[-1][1], i, name) for i, (name, points) in enumerate(series.items()) if points
    )
    apart = (high - low) * 0.085
    heights: list[float] = []
    for value, _, _ in ends:
        heights.append(max(value, heights[-1] + apart) if heights else value)
    over = max(0.0, heights[-1] - high) if heights else 0.0
    for (_, i, name), height in zip(ends, heights, strict=True):
        place = {"xytext": (1.015, height - over), "va": "center", "annotation_clip": False}
        axes.annotate(
            name,
            (1.0, height),
            textcoords=("axes fraction", "data"),
            color=COLOURS[i % 7],
            xycoords=("axes fraction", "data"),
            weight="bold",
            **place,
        )


def _sampled(points: Sequence[tuple[float, float]], most: int = 10) -> str:
    if not points:
        return "no points"
    step = max(1, -(-len(points) // most))
    chosen = list(points[::step])
    if chosen[-1] != points[-1]:
        chosen.append(points[-1])
    return ", ".join(f"{rounded(y)} at {rounded(x)}" for x, y in chosen)


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
