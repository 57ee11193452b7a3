"""What a benchmark came to: a row with a target, the table, and the plot."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Row:
    """One figure, all its runs, and the target it is held against (None: only for comparison)."""

    name: str
    runs: Sequence[float]
    unit: str
    target: float | None = None
    at_least: bool = True

    @property
    def value(self) -> float:
        return median(self.runs)

    @property
    def figure(self) -> str:
        return f"{written(self.value)} {self.unit}"

    @property
    def met(self) -> bool:
        if self.target is None:
            return True
        return self.value >= self.target if self.at_least else self.value <= self.target

    @property
    def verdict(self) -> str:
        if self.target is None:
            return ""
        goal = f"{'at least' if self.at_least else 'at most'} {self.target:,g} {self.unit}"
        return f"{goal}: {'met' if self.met else 'MISSED'}"


def written(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"


def table(rows: Sequence[Row]) -> str:
    """The rows as text: the median of the runs, the lowest and the highest, the verdict."""
    width = max(len(row.name) for row in rows)
    lines = [f"{'':{width}}  {'median':>10} {'lowest':>10} {'highest':>10}"]
    for row in rows:
        figures = " ".join(f"{written(x):>10}" for x in (row.value, min(row.runs), max(row.runs)))
        lines.append(f"{row.name:{width}}  {figures} {row.unit:14} {row.verdict}".rstrip())
    return "\n".join(lines)


def plot(rows: Sequence[Row], path: Path) -> None:
    """Save a picture: each figure as a multiple of its target, on the side that meets it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    held = [row for row in rows if row.target]
    times = [
        row.value / row.target if row.at_least else row.target / row.value  # type: ignore[operator]
        for row in held
    ]
    figure = Figure(figsize=(9, 0.5 * len(held) + 1.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    colours = ["#009E73" if row.met else "#D55E00" for row in held]
    bars = axes.barh([row.name for row in held], times, color=colours)
    axes.bar_label(bars, [f" {row.figure}" for row in held])
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlim(min(0.5, *times) / 1.5, max(2.0, *times) * 4)
    axes.set_xlabel("times better than the target (1 = just met)")
    axes.invert_yaxis()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
