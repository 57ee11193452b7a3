"""The picture of a live dashboard: curves over the last seconds, one chart under the other."""

from collections.abc import Mapping, Sequence
from typing import Any

from course_lib.lab.plots.canvas import Canvas, Picture, line_look, rounded
from course_lib.lab.plots.lines import Points, name_ends


def dashboard(
    charts: Mapping[str, Mapping[str, Points]], *, title: str, window_seconds: float = 30.0
) -> Picture:
    """A chart per y label over one time axis in seconds: `{"rate (calls/s)": {"a": [(0, 3)]}}`.

    Only the last `window_seconds` are drawn; a label with `%` runs from 0 to 100, and a chart whose
    values are all 0 from 0 to 1. A line at 0 stands a little above the axis.
    """
    height = 0.8 + 1.35 * len(charts)
    canvas = Canvas(title, 7.2, height, crisp=False)
    canvas.axes.remove()
    share, gap = 1.35 / height, 0.3 / height
    points = [p for series in charts.values() for line in series.values() for p in line]
    end = max(window_seconds, max((at for at, _ in points), default=0.0))
    for n, (label, all_of_it) in enumerate(charts.items()):
        series = {
            name: [p for p in line if p[0] >= end - window_seconds]
            for name, line in all_of_it.items()
        }
        low = (0.5 + 1.35 * (len(charts) - 1 - n)) / height
        axes: Any = canvas.figure.add_axes((0.115, low, 0.775, share - gap))
        for i, line in enumerate(series.values()):
            axes.plot([p[0] for p in line], [p[1] for p in line], linewidth=2.2, **line_look(i))
        top = reach(label, [value for line in series.values() for _, value in line])
        axes.set(xlim=(end - window_seconds, end), ylim=(-0.04 * top, top), ylabel=label)
        axes.grid(color="#e6e6e6")
        axes.spines[["top", "right"]].set_visible(False)
        if n < len(charts) - 1:
            axes.tick_params(axis="x", labelbottom=False)
        else:
            axes.set_xlabel("time (s)")
        ends = {name: min(line[-1][1], top) if line else None for name, line in series.items()}
        name_ends(axes, ends, apart=0.2)
    said = [f"{len(charts)} charts over the same seconds; horizontal axis: time (s)."]
    for label, lines in charts.items():
        last = (f"{name} {rounded(line[-1][1])}" for name, line in lines.items() if line)
        said.append(f"{label}: {', '.join(last) or 'nothing yet'}.")
    return canvas.picture(said)


def reach(label: str, values: Sequence[float]) -> float:
    """Where the vertical axis ends: above the highest value, and never at nothing."""
    return 105.0 if "%" in label else 1.15 * (max(values, default=0.0) or 1.0)
