"""Bars: names compared by length, with the learner's guess beside what was measured."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from course_lib.lab.plots.canvas import (
    COLOURS,
    GUESS,
    HATCHES,
    Canvas,
    Picture,
    as_number,
    guess_line,
    listed,
    rounded,
    unit_of,
    with_unit,
)

Bars = Mapping[str, float]
_FAR = 5  # a guess so many times as long as the longest bar would make the bars vanish


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
    nested = any(isinstance(value, Mapping) for value in values.values())
    series = cast("Mapping[str, Bars]", values if nested else {"": values})
    names = list(dict.fromkeys(name for group in series.values() for name in group))
    size = (7.2, max(2.4, 1.5 + 0.42 * len(names) * max(1, len(series) * 0.75)))
    canvas = Canvas(title, *(size if horizontal else (7.2, 3.6)))
    axes = canvas.axes
    _draw(axes, series, names, horizontal)
    every = [value for group in series.values() for value in group.values()]
    top = max([0, *every])
    guesses = guess.values() if isinstance(guess, Mapping) else [as_number(guess) or 0]
    near = [each for each in guesses if not top or each <= _FAR * top]
    limit = max(top, 0, *near) * 1.12 or 1
    ticks = (range(len(names)), names)
    if horizontal:
        axes.set_yticks(*ticks)
        axes.set(xlim=(0, limit), xlabel=unit, ylim=(len(names) - 0.4, -0.6))
        axes.grid(False, axis="y")
    else:
        axes.set_xticks(*ticks)
        axes.set(ylim=(0, limit), ylabel=unit)
        axes.grid(False, axis="x")
    if all(isinstance(length, int) for length in every):
        axes.locator_params(axis="x" if horizontal else "y", integer=True)  # no half things
    axis = "horizontal" if horizontal else "vertical"
    said = [f"Bars; {axis} axis: {unit}."]
    lengths = [0 if nested else cast("Bars", values)[name] for name in names]
    said += _guessed(axes, guess, names, lengths, horizontal, unit_of(unit))
    if len(series) > 1 or (isinstance(guess, Mapping) and near):
        canvas.legend()
    numbers = [
        f"{label + ': ' if label else ''}{listed(group)}." for label, group in series.items()
    ]
    hidden = [f"Bars for {', '.join(names)}."]
    return canvas.picture(said, numbers, instead=None if steady else hidden)


def _draw(axes: Any, series: Mapping[str, Bars], names: Sequence[str], horizontal: bool) -> None:
    """The bars of each series, side by side at each name, with their lengths in numbers."""
    thick = 0.72 / len(series)
    box = {"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none"}  # no line runs through them
    draw = axes.barh if horizontal else axes.bar
    for i, (label, group) in enumerate(series.items()):
        places = [n + (i - (len(series) - 1) / 2) * thick for n in range(len(names))]
        lengths = [group.get(name, 0) for name in names]
        drawn = draw(places, lengths, thick * 0.92, color=COLOURS[i % 7], label=label)
        for bar in drawn:
            bar.set(hatch=HATCHES[i % 7], edgecolor="white")
        numbers = [rounded(length) for length in lengths]
        axes.bar_label(drawn, numbers, padding=4, fontsize=11, bbox=box, zorder=4)


def _guessed(
    axes: Any,
    guess: Any,
    names: Sequence[str],
    lengths: Sequence[float],
    horizontal: bool,
    unit: str,
) -> list[str]:
    """Draw a guess of any kind; returns the sentence for the alt text."""
    number = as_number(guess)
    if guess is None:
        return []
    limit = axes.get_xlim()[1] if horizontal else axes.get_ylim()[1]
    if number is not None and number > limit:
        _point_out(axes, with_unit(number, unit), horizontal)
        return [f"Your guess: {with_unit(number, unit)}."]
    if number is not None:
        return [guess_line(axes, number, unit, vertical=horizontal)]
    if isinstance(guess, Mapping):
        near = {name: value for name, value in guess.items() if value <= limit}
        places = [names.index(name) for name in near]
        points = (list(near.values()), places) if horizontal else (places, list(near.values()))
        style = {"marker": "D", "s": 80, "facecolor": "white", "edgecolor": GUESS, "linewidth": 2}
        axes.scatter(*points, label="your guess", zorder=6, **style)
        if far := {name: value for name, value in guess.items() if name not in near}:
            _point_out(axes, listed(far), horizontal)
        return [f"Your guess: {listed(guess)}."]
    if str(guess) in names:
        at = names.index(str(guess))
        _point_at(axes, lengths[at], at, horizontal)
    return [f"Your guess: {guess}."]


def _point_at(axes: Any, length: float, at: int, horizontal: bool) -> None:
    """An arrow at the end of a bar."""
    limit = axes.get_xlim()[1] if horizontal else axes.get_ylim()[1]
    axes.set(**{"xlim" if horizontal else "ylim": (0, max(limit, 1.5 * length))})
    arrow = {"arrowstyle": "->", "color": GUESS, "linewidth": 2}
    arrow |= {"shrinkB": 42 if horizontal else 20}
    place = {"xytext": (105, 0) if horizontal else (0, 40), "textcoords": "offset points"}
    place |= {"va": "center", "ha": "left" if horizontal else "center"}
    target = (length, at) if horizontal else (at, length)
    axes.annotate("your guess", target, arrowprops=arrow, weight="bold", color=GUESS, **place)


def _point_out(axes: Any, far: str, horizontal: bool) -> None:
    """Name a guess that lies beyond the end of the axis, where the axis ends."""
    label, arrow = f"your guess: {far}", "→" if horizontal else "↑"
    place = {"xytext": (0, 6), "textcoords": "offset points", "ha": "right", "va": "bottom"}
    style = {"color": GUESS, "weight": "bold", "fontsize": 11}
    axes.annotate(f"{label} {arrow}", (1, 1), xycoords="axes fraction", **place, **style)
