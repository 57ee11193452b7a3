"""State strips over curves on one time axis: what a breaker did, above what the callers saw."""

from collections.abc import Mapping, Sequence
from typing import Any

from course_lib.lab.plots.canvas import Canvas, Picture, line_look, rounded
from course_lib.lab.plots.lines import Points
from course_lib.lab.plots.spans import Rows, in_words, state_look

_SHADE: dict[str, Any] = {"facecolor": "#000000", "alpha": 0.1, "linewidth": 0}


def strips(
    rows: Rows,
    charts: Mapping[str, Mapping[str, Points]],
    *,
    title: str,
    x: str = "time (s)",
    bands: Sequence[tuple[float, float, str]] = (),
    steps: bool = False,
) -> Picture:
    """A strip per row, and under them a chart per y label: `{"failed (%)": {"a": [(0, 3)]}}`.

    A series keeps its colour through all charts. `bands` shade stretches of x in all of them:
    `(start, end, "c is slow")`; with `steps` a value holds until the next.
    """
    canvas = Canvas(title, 7.2, 1.5 + 0.45 * len(rows) + 1.35 * len(charts))
    canvas.axes.remove()
    heights = [0.5 * len(rows), *(1.5 for _ in charts)]
    top, *lower = canvas.figure.subplots(1 + len(charts), 1, sharex=True, height_ratios=heights)
    looks: dict[str, tuple[str, str]] = {}
    for row, spans in enumerate(rows.values()):
        for start, end, state in spans:
            look = state_look(state, looks)
            top.barh(row, end - start, 0.66, left=start, linewidth=0.4, **look)
    top.set_yticks(range(len(rows)), list(rows))
    top.set_ylim(len(rows) - 0.5, -0.5)
    top.grid(False)
    names = list(dict.fromkeys(name for series in charts.values() for name in series))
    for axes, (label, series) in zip(lower, charts.items(), strict=True):
        for name, points in series.items():
            style = {"linewidth": 2, **line_look(names.index(name))}
            style["drawstyle"] = "steps-post" if steps else "default"
            axes.plot([p[0] for p in points], [p[1] for p in points], **style)
        for start, end, _ in bands:
            axes.axvspan(start, end, **_SHADE)
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
    for axes in (top, *lower):
        axes.margins(x=0)
        axes.spines[["top", "right"]].set_visible(False)
    lower[-1].set_xlabel(x)
    canvas.figure.align_ylabels(lower)
    _explain(canvas, looks, names, [label for _, _, label in bands])
    said = [f"Strips over charts; horizontal axis: {x}."]
    said += [f"Shaded from {rounded(a)} to {rounded(b)}: {label}." for a, b, label in bands]
    said += in_words(rows)
    for label, series in charts.items():
        highest = (f"{name} at most {rounded(max(p[1] for p in s))}" for name, s in series.items())
        said.append(f"{label}: {', '.join(highest)}.")
    return canvas.picture(said)


def _explain(
    canvas: Canvas,
    looks: Mapping[str, tuple[str, str]],
    names: Sequence[str],
    shaded: Sequence[str],
) -> None:
    """States, series and shades by name, under the axes."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=state)
        for state, (colour, hatch) in looks.items()
    ]
    handles += [
        Line2D([], [], linewidth=2, label=name, **line_look(i)) for i, name in enumerate(names)
    ]
    handles += [Patch(label=label, **_SHADE) for label in shaded]
    canvas.legend(handles=handles, ncols=4)
