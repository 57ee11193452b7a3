"""A live dashboard stays readable when everything has fallen to nothing."""

import io

import matplotlib.colors
import matplotlib.image
import pytest

from course_lib.lab.plots import dashboard
from course_lib.lab.plots.canvas import COLOURS
from course_lib.lab.plots.dashboard import reach


@pytest.mark.parametrize(
    ("label", "values", "end"),
    [
        ("calls/s", [0, 0, 0], 1.15),
        ("calls/s", [], 1.15),
        ("calls/s", [0, 20], 23),
        ("duration (s)", [0.002], 0.0023),
        ("errors (%)", [0], 105),
    ],
)
def test_an_axis_reaches_above_the_highest_value_and_is_never_of_no_height(label, values, end):
    assert reach(label, values) == pytest.approx(end)


def test_a_line_at_nothing_is_not_hidden_by_the_axis():
    nothing, something = (drawn([(0, 1), (10, height), (30, height)]) for height in (0, 1))
    assert nothing > 0.6 * something


def drawn(points: list[tuple[float, float]]) -> int:
    """Dots more or less in the colour of the first line, in the right half."""
    picture = dashboard({"calls/s": {"a": points}}, title="Calls")
    dots = matplotlib.image.imread(io.BytesIO(picture.png))[..., :3]
    wanted = matplotlib.colors.to_rgb(COLOURS[0])
    return int((abs(dots - wanted).max(axis=2) < 0.3)[:, dots.shape[1] // 2 :].sum())
