"""Pictures of what happened when: states in rows, and one request through its layers."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from course_lib.lab.plots.canvas import (
    COLOURS,
    GUESS,
    HATCHES,
    INK,
    Canvas,
    Picture,
    as_number,
    guess_line,
    rounded,
    unit_of,
    with_unit,
)

# Words that mean the same everywhere keep their colour and pattern in every picture.
_GOOD, _BAD = ("#009E73", ""), ("#D55E00", "//")
_BETWEEN, _STILL = ("#E69F00", ".."), ("#999999", "\\\\")
_BEGINNING = ("#56B4E9", "--")
STATES = {
    **dict.fromkeys(("closed", "up", "ok", "ready", "serving", "passing"), _GOOD),
    **dict.fromkeys(("open", "down", "killed", "error", "failed", "critical"), _BAD),
    **dict.fromkeys(("half_open", "slow", "warning", "waiting", "some fail"), _BETWEEN),
    **dict.fromkeys(("paused", "stopped", "unknown", "cut"), _STILL),
    **{"quiet": _GOOD, "pending": _BETWEEN, "firing": _BAD},  # an alert
    **{"starting": _BEGINNING, "terminating": _BETWEEN, "back-off": _STILL},
    **{"not ready": ("#CC79A7", "xx"), "ready, hangs": ("#009E73", "xx")},
    **{"draining": ("#E69F00", "//")},  # beside "slow"
}

Rows = Mapping[str, Sequence["Span | tuple[float, float, str]"]]


class Span(NamedTuple):
    """A stretch of time in one state; `start` and `end` in the unit of the axis."""

    start: float
    end: float
    state: str


class Step(NamedTuple):
    """One layer's share of a request; `depth` is 0 for the outermost, and gives the colour.

    Steps that belong together may share a `colour` instead, counted from 0.
    """

    name: str
    start: float
    end: float
    depth: int = 0
    colour: int | None = None


def state_look(state: str, looks: dict[str, tuple[str, str]]) -> dict[str, Any]:
    """How a stretch in this state is filled; `looks` remembers those of the picture so far."""
    spare = (COLOURS[len(looks) % 7], HATCHES[len(looks) % 7])
    colour, hatch = looks.setdefault(state, STATES.get(state, spare))
    return {"facecolor": colour, "hatch": hatch, "edgecolor": "white"}


def in_words(rows: Rows) -> list[str]:
    """A sentence per row: its states and when."""
    return [
        f"{name}: " + ", ".join(f"{s} from {rounded(a)} to {rounded(b)}" for a, b, s in spans) + "."
        for name, spans in rows.items()
    ]


def timeline(
    rows: Rows,
    *,
    title: str,
    x: str = "time (s)",
    guess: Any = None,
    steady: bool = True,
) -> Picture:
    """A row per name, a coloured stretch per state: `{"a": [(0, 5, "up"), (5, 9, "killed")]}`.

    `guess` is an instant on the x axis.
    """
    canvas = Canvas(title, 7.2, 1.5 + 0.5 * len(rows))
    axes = canvas.axes
    looks: dict[str, tuple[str, str]] = {}
    written: set[str] = set()
    longest = max(end for spans in rows.values() for _, end, _ in spans)
    for row, spans in enumerate(rows.values()):
        for start, end, state in spans:
            look = state_look(state, looks)
            axes.barh(row, end - start, 0.62, left=start, label=state, **look)
            if (end - start) / longest > 0.014 * len(state) + 0.02:
                box = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.9}
                middle = ((start + end) / 2, row)
                axes.text(*middle, state, ha="center", va="center", fontsize=10.5, bbox=box)
                written.add(state)
    axes.set_yticks(range(len(rows)), list(rows))
    first = min(start for spans in rows.values() for start, _, _ in spans)
    axes.set(xlabel=x, xlim=(first, longest), ylim=(len(rows) - 0.45, -0.55))
    axes.grid(False, axis="y")
    said = [f"Timeline; horizontal axis: {x}."]
    number = as_number(guess)
    if number is not None:
        said.append(_guessed(axes, number, unit_of(x)))
    handles, labels = axes.get_legend_handles_labels()
    unwritten = {s: h for s, h in zip(labels, handles, strict=True) if s not in written}
    if unwritten:
        canvas.legend(handles=list(unwritten.values()), labels=list(unwritten))
    hidden = [f"Rows for {', '.join(rows)}; states: {', '.join(looks)}."]
    return canvas.picture(said, in_words(rows), instead=None if steady else hidden)


def waterfall(
    steps: Sequence[Step | tuple],
    *,
    title: str,
    unit: str = "ms",
    guess: Any = None,
    steady: bool = True,
) -> Picture:
    """One request through its layers: `Step(name, start, end, depth)`, times in `unit`.

    `guess` is an instant, or the name of the step the learner expected to take longest.
    """
    spans = [Step(*step) for step in steps]
    canvas = Canvas(title, 7.2, 1.5 + 0.4 * len(spans))
    axes = canvas.axes
    end = max(step.end for step in spans) or 1
    for row, step in enumerate(spans):
        colour = COLOURS[(step.depth if step.colour is None else step.colour) % 6]
        axes.barh(row, step.end - step.start, 0.6, left=step.start, color=colour)
        box = {"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.85}
        place = {"va": "center", "fontsize": 10.5, "bbox": box, "zorder": 5}
        axes.text(step.end + end * 0.015, row, _length(step, unit), **place)
    own = str(guess) if guess is not None and as_number(guess) is None else None
    names = [
        "   " * step.depth + step.name + ("  (your guess)" if step.name == own else "")
        for step in spans
    ]
    axes.set_yticks(range(len(spans)), names, ha="left", parse_math=False)
    dots = max(label.get_window_extent().width for label in axes.get_yticklabels())
    axes.tick_params(axis="y", length=0, pad=8 + dots * 72 / canvas.figure.dpi)
    axes.set(xlabel=f"time since the request began ({unit})", ylim=(len(spans) - 0.45, -0.55))
    axes.set_xlim(min(step.start for step in spans), end * 1.14)
    axes.spines["left"].set_color(INK)
    axes.grid(False, axis="y")
    said = [f"Waterfall; horizontal axis: time ({unit})."]
    number = as_number(guess)
    if number is not None:
        said.append(_guessed(axes, number, unit))
    elif own is not None:
        said.append(f"Your guess: {own}.")
    order = "; ".join("  " * s.depth + s.name for s in spans)
    numbers = [
        f"{step.name} (depth {step.depth}): from {rounded(step.start)}, {_length(step, unit)}."
        for step in spans
    ]
    hidden = [f"Layers, outermost first: {order}."]
    return canvas.picture(said, numbers, instead=None if steady else hidden)


def _guessed(axes: Any, guess: float, unit: str) -> str:
    """Draw an instant; one that lies beyond the axis is named at its end, and moves nothing."""
    first, last = axes.get_xlim()
    if first <= guess <= last:
        return guess_line(axes, guess, unit, vertical=True)
    late, label = guess > last, f"your guess: {with_unit(guess, unit)}"
    place = {"xytext": (0, 6), "ha": "right" if late else "left", "va": "bottom"}
    style = {"color": GUESS, "weight": "bold", "fontsize": 11, "textcoords": "offset points"}
    pointed = f"{label} →" if late else f"← {label}"
    axes.annotate(pointed, (late, 1), xycoords="axes fraction", **place, **style)
    return f"{label[0].upper()}{label[1:]}."


def _length(step: Step, unit: str) -> str:
    return with_unit(step.end - step.start, unit)
