"""Pictures of how a system is built: boxes with arrows, and layers around a core."""

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

from course_lib.lab.plots.canvas import COLOURS, INK, Canvas, Picture

_FILLS = ("#DCEBF5", "#FBE5D6", "#DDF1EA", "#F6E6EF", "#FCF0D6", "#E3F3FB")


def flow(
    columns: Sequence[str | Sequence[str]],
    arrows: Mapping[tuple[str, str], str] | Sequence[tuple[str, str]] | None = None,
    *,
    title: str,
    highlight: Collection[str] = (),
) -> Picture:
    """Boxes in columns from left to right, joined by arrows with a word on each.

    `columns` such as `["client", "gateway", ["users", "orders"], "database"]`. Without `arrows`
    each box points to all boxes of the next column.
    """
    stacks = [[column] if isinstance(column, str) else list(column) for column in columns]
    joined = _arrows(stacks, arrows)
    tallest = max(map(len, stacks))
    canvas = Canvas(title, 7.2, 0.85 + 0.95 * tallest)
    canvas.blank()
    middle = 0.12 + 0.95 * tallest / 2
    widths = [max(_width(name) for name in stack) for stack in stacks]
    gap = (6.9 - sum(widths)) / max(1, len(stacks) - 1)
    where: dict[str, tuple[float, float, float]] = {}
    left = 0.15 if len(stacks) > 1 else 3.6 - widths[0] / 2
    for stack, width in zip(stacks, widths, strict=True):
        for row, name in enumerate(stack):
            y = middle + (0.95 * (len(stack) - 1)) / 2 - 0.95 * row
            where[name] = (left + width / 2, y, width)
            _box(canvas.axes, left + width / 2, y, width, name, name in highlight)
        left += width + gap
    for (start, end), word in joined.items():
        _arrow(canvas.axes, where[start], where[end], word)
    said = [f"{a} -> {b}" + (f" ({word})" if word else "") for (a, b), word in joined.items()]
    marked = [f"Highlighted: {', '.join(highlight)}."] if highlight else []
    words = [f"Boxes and arrows: {', '.join(said)}.", *marked]
    return canvas.picture([" ".join(line.split("\n")) for line in words])


def onion(
    layers: Sequence[str], core: str, *, title: str, highlight: Collection[str] = ()
) -> Picture:
    """Layers around a core, the first outermost; a request goes in at the left and comes back."""
    ring = 0.36
    canvas = Canvas(title, 7.2, 1.55 + 2 * ring * len(layers))
    canvas.blank()
    axes = canvas.axes
    total = 0.75 + 2 * ring * len(layers)
    centre, middle = 3.9, 0.15 + total / 2
    for depth, name in enumerate([*layers, core]):
        height = total - 2 * ring * depth
        width = 5.9 - 0.55 * depth * 6 / max(6, len(layers))
        inner = depth == len(layers)
        marked = name in highlight
        _panel(
            axes, centre, middle, width, height, COLOURS[0] if inner else _FILLS[depth % 6], marked
        )
        y = middle if inner else middle + height / 2 - ring / 2
        style: dict[str, Any] = {"color": "white", "weight": "bold"} if inner else {}
        style |= {"weight": "bold"} if marked else {}
        axes.text(centre, y, name, ha="center", va="center", fontsize=11.5, **style)
    edge = centre - 5.9 / 2
    for y, word, way in ((0.13, "request", "->"), (-0.17, "response", "<-")):
        arrow = {"arrowstyle": way, "linewidth": 2, "color": INK, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", (edge + 0.28, middle + y), (0.08, middle + y), arrowprops=arrow, zorder=9)
        up = y > 0
        axes.text(
            0.08,
            middle + y + (0.07 if up else -0.07),
            word,
            fontsize=10.5,
            va="bottom" if up else "top",
        )
    order = ", ".join([*layers, core])
    marked_text = [f"Highlighted: {', '.join(highlight)}."] if highlight else []
    return canvas.picture([f"Layers from the outside to the core: {order}.", *marked_text])


def _arrows(
    stacks: Sequence[Sequence[str]],
    arrows: Mapping[tuple[str, str], str] | Sequence[tuple[str, str]] | None,
) -> Mapping[tuple[str, str], str]:
    if isinstance(arrows, Mapping):
        return arrows
    if arrows is not None:
        return dict.fromkeys(arrows, "")
    neighbours = pairwise(stacks)
    return {(a, b): "" for left, right in neighbours for a in left for b in right}


def _width(name: str) -> float:
    return max(0.8, 0.3 + 0.105 * max(map(len, name.split("\n"))))


def _panel(
    axes: Any, x: float, y: float, width: float, height: float, fill: str, marked: bool
) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner = (x - width / 2 + 0.08, y - height / 2 + 0.08)
    look = cast("Any", {"facecolor": fill, "edgecolor": COLOURS[1] if marked else INK})
    line = 3.0 if marked else 1.1
    style = "round,pad=0.08,rounding_size=0.12"
    axes.add_patch(
        FancyBboxPatch(corner, width - 0.16, height - 0.16, style, linewidth=line, zorder=2, **look)
    )


def _box(axes: Any, x: float, y: float, width: float, name: str, marked: bool) -> None:
    _panel(axes, x, y, width, 0.62, _FILLS[1] if marked else _FILLS[0], marked)
    weight = "bold" if marked else "normal"
    axes.text(x, y, name, ha="center", va="center", fontsize=11.5, zorder=3, weight=weight)


def _arrow(
    axes: Any,
    start: tuple[float, float, float],
    end: tuple[float, float, float],
    word: str,
) -> None:
    forward = start[0] <= end[0]
    sign = 1 if forward else -1
    if start[0] == end[0]:
        down = 1 if end[1] < start[1] else -1
        tail, head = (start[0], start[1] - 0.31 * down), (end[0], end[1] + 0.31 * down)
    else:
        tail = (start[0] + sign * start[2] / 2, start[1] + (0.0 if forward else -0.15))
        head = (end[0] - sign * end[2] / 2, end[1] + (0.0 if forward else -0.15))
    arrow = {"arrowstyle": "-|>", "linewidth": 1.8, "color": INK, "shrinkA": 1, "shrinkB": 1}
    arrow |= {"mutation_scale": 14}
    axes.annotate("", head, tail, arrowprops=arrow, zorder=1)
    if word:
        middle = ((tail[0] + head[0]) / 2, (tail[1] + head[1]) / 2 + (0.1 if forward else -0.1))
        box = {"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.9}
        look: dict[str, Any] = {"va": "bottom" if forward else "top", "fontsize": 10, "bbox": box}
        axes.text(*middle, word, ha="center", zorder=4, **look)
