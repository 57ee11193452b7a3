"""The sheet every picture is drawn on: sizes, colours, fonts, PNG, and the alt text.

It uses matplotlib's objects without pyplot, which would cost a second and keep every figure.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

# Okabe and Ito, Color Universal Design (2008), without the yellow that vanishes on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINE_STYLES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 2)), "-")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
HATCHES = ("", "//", "..", "xx", "\\\\", "++", "oo")
INK, FAINT, GUESS = "#1a1a1a", "#c8c8c8", "#8A4B9A"

_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 11.5,
    "axes.labelsize": 11.5,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "hatch.linewidth": 0.7,
    "text.color": INK,
    "text.parse_math": False,
}
_DOTS_PER_INCH = 100  # on the page; the file holds twice as many


@dataclass(frozen=True)
class Picture:
    """A finished picture: `png`, its size on the page in pixels, and the same in words.

    `text` is what is stored beside the picture and compared from run to run; `alt` may say more.
    """

    png: bytes
    width: int
    height: int
    text: str
    alt: str

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        data = {"image/png": base64.b64encode(self.png).decode(), "text/plain": self.text}
        meta = {"width": self.width, "height": self.height, "alt": self.alt}
        return data, {"image/png": meta}

    def __repr__(self) -> str:
        return self.text


class Canvas:
    """One set of axes, `width` by `height` inches of 100 pixels.

    `crisp=False` saves time for live figures: no layout of its own, a pixel for a pixel.
    """

    def __init__(
        self, title: str, width: float = 7.2, height: float = 3.6, *, crisp: bool = True
    ) -> None:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.title = title
        self._scale = 2 if crisp else 1
        layout = "constrained" if crisp else None
        self.style = cast("Any", matplotlib.rc_context)
        with self.style(_STYLE):
            self.figure = cast("Any", Figure(figsize=(width, height), layout=cast("Any", layout)))
            self.figure.set_facecolor("white")
            if crisp:
                self.figure.get_layout_engine().set(w_pad=0.12, h_pad=0.08)
            FigureCanvasAgg(self.figure)
            self.axes: Any = self.figure.subplots()
            style = {"fontsize": 13, "weight": "bold", "ha": "left"}
            self.heading = self.figure.suptitle(title, x=0.018, **style)

    def blank(self) -> None:
        """No axes, no grid: room for a drawing whose units are inches."""
        width, height = self.figure.get_size_inches()
        self.figure.set_layout_engine("none")
        self.axes.set_position((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(0, height))
        self.axes.set_axis_off()
        self.heading.set(y=1 - 0.3 / height, va="center")

    def legend(self, **settings: Any) -> None:
        """Names of colours and patterns, under the axes."""
        look = {"loc": "outside lower left", "fontsize": 11, "frameon": False, "ncols": 6}
        self.figure.legend(**{**look, **settings})

    def picture(
        self,
        said: Sequence[str],
        numbers: Sequence[str] = (),
        *,
        instead: Sequence[str] | None = None,
    ) -> Picture:
        """Draw; the text is `said` and `numbers`.

        Numbers that differ from run to run belong to the alt text alone: `instead` is stored.
        """
        from matplotlib.text import Text

        for written in self.figure.findobj(Text):
            written.set_parse_math(False)  # a name from outside may have dollars in it
        buffer = io.BytesIO()
        with self.style(_STYLE):
            dots = self._scale * _DOTS_PER_INCH
            self.figure.savefig(buffer, format="png", dpi=dots, metadata={"Software": None})
        width, height = (round(inches * _DOTS_PER_INCH) for inches in self.figure.get_size_inches())
        text = "\n".join([f"{self.title}.", *said, *(numbers if instead is None else instead)])
        alt = text if instead is None else "\n".join([text, *numbers])
        return Picture(buffer.getvalue(), width, height, text, alt)


def line_look(i: int) -> dict[str, Any]:
    """Colour and dashes of the line number `i`."""
    return {"color": COLOURS[i % 7], "linestyle": LINE_STYLES[i % 7]}


def rounded(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    short = float(f"{value:.3g}")
    return f"{short:,.0f}" if abs(short) >= 100 or short == int(short) else f"{short:g}"


def with_unit(value: float, unit: str) -> str:
    """`12 ms`, `40 %`, `3`."""
    return f"{rounded(value)} {unit}".strip()


def listed(numbers: Mapping[str, float]) -> str:
    """`a 3, b 4.25`."""
    return ", ".join(f"{name} {rounded(number)}" for name, number in numbers.items())


def unit_of(label: str) -> str:
    """`ms` from "p95 (ms)", `requests` from "requests", nothing from a longer label without one."""
    if label.endswith(")") and "(" in label:
        return label[label.rindex("(") + 1 : -1].split(",")[0]
    return "" if " " in label else label


def as_number(guess: Any) -> float | None:
    """A guess as a number, or None when it is a choice or missing."""
    if guess is None or isinstance(guess, str):
        return None
    try:
        return float(guess)
    except (TypeError, ValueError):
        return None


def guess_line(axes: Any, guess: float, unit: str, *, vertical: bool) -> str:
    """Draw the guess as a dashed line with its label; returns the sentence for the alt text."""
    label = f"your guess: {with_unit(guess, unit)}"
    style: dict[str, Any] = {"color": GUESS, "linestyle": (0, (4, 3)), "linewidth": 2, "zorder": 3}
    box: dict[str, Any] = {"boxstyle": "round,pad=0.25", "fc": "white", "ec": GUESS}
    place = {"color": GUESS, "bbox": box, "annotation_clip": False, "fontsize": 11, "zorder": 6}
    place |= {"textcoords": "offset points"}
    if vertical:
        axes.axvline(guess, **style)
        left = axes.transData.transform((guess, 0))[0] < axes.transAxes.transform((0.5, 0))[0]
        place |= {"xytext": (0, 6), "ha": "left" if left else "right", "va": "bottom"}
        place |= {"xycoords": ("data", "axes fraction")}
        axes.annotate(label, (guess, 1), **place)
    else:
        axes.axhline(guess, **style)
        place |= {"xytext": (6, 0), "ha": "left", "va": "center"}
        place |= {"xycoords": ("axes fraction", "data")}
        axes.annotate(label, (0.01, guess), **place)
    return f"{label[0].upper()}{label[1:]}."
