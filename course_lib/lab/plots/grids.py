"""Many measurements at once: small multiples on shared axes, and a table coloured by size."""

import math
from collections.abc import Mapping

from course_lib.lab.plots.canvas import Canvas, Picture, line_look, listed, rounded
from course_lib.lab.plots.lines import Points


def panels(
    groups: Mapping[str, Mapping[str, Points]],
    *,
    title: str,
    y: str,
    x: str = "time (s)",
    columns: int = 4,
) -> Picture:
    """A small picture of lines for each group, all to one scale: `{"random": {"a": [(0, 3)]}}`."""
    from matplotlib.lines import Line2D

    rows = math.ceil(len(groups) / columns)
    canvas = Canvas(title, 7.2, 1.3 + 1.6 * rows)
    canvas.axes.remove()
    grid = canvas.figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    all_axes = list(grid.flat)
    for axes, (group, series) in zip(all_axes, groups.items(), strict=False):
        for i, (name, points) in enumerate(series.items()):
            style = {"linewidth": 1.5, **line_look(i)}
            axes.plot([p[0] for p in points], [p[1] for p in points], label=name, **style)
        axes.set_title(group, fontsize=11)
        axes.margins(x=0.01)
        axes.spines[["top", "right"]].set_visible(False)
    values = [p[1] for series in groups.values() for points in series.values() for p in points]
    all_axes[0].set_ylim(0, 1.05 * max(values, default=1))
    for axes in all_axes[len(groups) :]:
        axes.set_axis_off()
    canvas.figure.supxlabel(x, fontsize=11.5)
    canvas.figure.supylabel(y, fontsize=11.5)
    first = next(iter(groups.values()), {})
    handles = [Line2D([], [], linewidth=2.2, **line_look(i)) for i in range(len(first))]
    canvas.legend(handles=handles, labels=list(first))
    said = [f"{len(groups)} small pictures; horizontal axis: {x}; vertical axis: {y}."]
    said += [
        f"{group}: at most "
        + ", ".join(f"{name} {rounded(max(p[1] for p in pts))}" for name, pts in series.items())
        + "."
        for group, series in groups.items()
    ]
    return canvas.picture(said)


def heat(table: Mapping[str, Mapping[str, float]], *, title: str, unit: str) -> Picture:
    """Columns of numbers by row name, `{"equal": {"random": 140}}`; the darker, the larger.

    Colours are logarithmic, so ten times as much is as visible at 10 as at 10,000.
    """
    from matplotlib.colors import LogNorm

    names = list(dict.fromkeys(name for column in table.values() for name in column))
    canvas = Canvas(title, 7.2, 1.5 + 0.36 * len(names))
    axes = canvas.axes
    values = [[column.get(name, math.nan) for column in table.values()] for name in names]
    known = [value for row in values for value in row if value > 0]
    norm = LogNorm(min(known), max(known))
    axes.imshow(values, cmap="Blues", norm=norm, aspect="auto")
    for row, cells in enumerate(values):
        for place, value in enumerate(cells):
            colour = "white" if value > 0 and norm(value) > 0.55 else "black"
            axes.text(place, row, rounded(value), ha="center", va="center", color=colour)
    axes.set_xticks(range(len(table)), list(table))
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0)
    axes.grid(False)
    axes.set_xlabel(unit)
    said = [f"A table; each number: {unit}."]
    said += [f"{column}: {listed(cells)}." for column, cells in table.items()]
    return canvas.picture(said)
