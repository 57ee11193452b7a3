"""Pictures say in words what they show, and colour is never the only cue."""

import io
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable

import matplotlib.colors
import matplotlib.image
import pytest

from course_lib.lab import plots
from course_lib.lab.plots.canvas import COLOURS, rounded, unit_of
from course_lib.lab.plots.lines import spread

EVERY_KIND: dict[str, Callable[[], plots.Picture]] = {
    "bars": lambda: plots.bars({"a": 20, "b": 31.234}, title="By name", unit="p95 (ms)", guess=12),
    "lines": lambda: plots.lines({"a": [(0, 1), (1, 2)]}, title="Over time", y="requests/s"),
    "timeline": lambda: plots.timeline({"c": [(0, 5, "closed"), (5, 9, "open")]}, title="States"),
    "waterfall": lambda: plots.waterfall([("client", 0, 9), ("service", 2, 5, 1)], title="One"),
    "onion": lambda: plots.onion(["logging", "limit"], "endpoint", title="The onion"),
    "flow": lambda: plots.flow(["client", ["users", "orders"], "database"], title="The shop"),
    "panels": lambda: plots.panels({"in turn": {"a": [(0, 3), (1, 9)]}}, title="All", y="queue"),
    "heat": lambda: plots.heat({"equal": {"in turn": 90, "by lot": 0}}, title="Heat", unit="ms"),
    "traffic": lambda: plots.traffic([0, 1], {"a": [5, 6]}, [0, 50], title="Live"),
}


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_picture_is_a_png_twice_as_fine_as_its_place_on_the_page(kind: str):
    picture = EVERY_KIND[kind]()
    data, metadata = picture._repr_mimebundle_()
    width, height = struct.unpack(">II", picture.png[16:24])
    fine = 1 if kind == "traffic" else 2
    assert (width, height) == (fine * picture.width, fine * picture.height)
    assert metadata["image/png"]["alt"].startswith(data["text/plain"])


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_the_same_numbers_give_the_same_bytes(kind: str):
    assert EVERY_KIND[kind]().png == EVERY_KIND[kind]().png


def test_the_words_state_title_axis_guess_and_rounded_values():
    assert str(EVERY_KIND["bars"]()).splitlines() == [
        "By name.",
        "Bars; horizontal axis: p95 (ms).",
        "Your guess: 12 ms.",
        "a 20, b 31.2.",
    ]
    assert "closed from 0 to 5, open from 5 to 9" in str(EVERY_KIND["timeline"]())
    assert "client -> users, client -> orders, users -> database" in str(EVERY_KIND["flow"]())


NAME = r"GET /a$\b$"
NAMED: dict[str, Callable[[], plots.Picture]] = {
    "bars": lambda: plots.bars({NAME: {NAME: 1}}, title=NAME, unit=NAME, guess=NAME),
    "lines": lambda: plots.lines({NAME: [(0, 1)]}, title=NAME, y=NAME, bands=[(0, 1, NAME)]),
    "timeline": lambda: plots.timeline({NAME: [(0, 5, NAME)]}, title=NAME, x=NAME, guess=3),
    "waterfall": lambda: plots.waterfall([(NAME, 0, 9)], title=NAME, unit=NAME, guess=NAME),
    "onion": lambda: plots.onion([NAME], NAME, title=NAME),
    "flow": lambda: plots.flow([NAME, "b"], {(NAME, "b"): NAME}, title=NAME),
    "panels": lambda: plots.panels({NAME: {NAME: [(0, 3)]}}, title=NAME, y=NAME),
    "heat": lambda: plots.heat({NAME: {NAME: 9}}, title=NAME, unit=NAME),
    "traffic": lambda: plots.traffic([0, 1], {NAME: [5, 6]}, [0, 50], title=NAME),
    "dashboard": lambda: plots.dashboard({NAME: {NAME: [(0, 3)]}}, title=NAME),
    "strips": lambda: plots.strips({NAME: [(0, 5, NAME)]}, {NAME: {NAME: [(0, 3)]}}, title=NAME),
}


@pytest.mark.parametrize("kind", NAMED)
def test_a_name_with_dollars_in_it_is_no_formula(kind: str):
    assert NAME in NAMED[kind]().text


def test_a_request_that_took_no_time_is_drawn_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.waterfall([("client", 0, 0), ("service", 0, 0, 1)], title="One")


def test_a_box_of_two_lines_is_one_name_in_words():
    assert "token check -> users" in str(plots.flow(["token\ncheck", "users"], title="The way"))


def test_what_is_counted_has_whole_numbers_on_its_axis():
    counted = plots.bars({"a": 10, "b": 20}, title="Ten, twenty", unit="traces")
    measured = plots.bars({"a": 10.0, "b": 20.0}, title="Ten, twenty", unit="traces")
    assert counted.png != measured.png  # whose ticks are 2.5 apart
    assert counted.text == measured.text


@pytest.mark.parametrize("horizontal", [True, False])
def test_a_guess_far_beyond_leaves_the_bars_their_length(horizontal: bool):
    far, near = (
        plots.bars({"a": 20}, title="p95", unit="ms", horizontal=horizontal, guess=guess)
        for guess in (20_000, 15)
    )
    assert far.text.splitlines()[2:] == ["Your guess: 20,000 ms.", "a 20."]
    assert coloured(far.png) > 0.9 * coloured(near.png)


def coloured(png: bytes) -> int:
    """How many of its pixels have the colour of the first bars."""
    dots = matplotlib.image.imread(io.BytesIO(png))[..., :3]
    return int((abs(dots - matplotlib.colors.to_rgb(COLOURS[0])) < 0.01).all(axis=-1).sum())


@pytest.mark.parametrize("guess", [20_000, -20_000])
def test_an_instant_far_beyond_is_named_and_leaves_the_axis_as_it_is(guess: float):
    steps, rows = [("client", 0, 9)], {"c": [(0, 9, "open")]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns when it finds no room for the axes
        for picture in (
            plots.waterfall(steps, title="One", guess=guess),
            plots.timeline(rows, title="States", x="time (ms)", guess=guess),
        ):
            assert f"Your guess: {guess:,} ms." in picture.text


def test_a_choice_can_be_a_guess():
    values = {"round robin": 200, "two choices": 31}
    picture = plots.bars(values, title="p95", unit="p95 (ms)", guess="two choices")
    assert "Your guess: two choices." in picture.text


def test_a_measurement_that_is_not_steady_keeps_its_numbers_out_of_the_stored_text():
    picture = plots.bars({"a": 17.3}, title="Real", unit="ms", steady=False)
    assert "17.3" not in picture.text
    assert "a 17.3" in picture.alt


def test_a_live_figure_draws_no_faster_than_it_was_told_and_keeps_its_text():
    drawn = []
    picture = EVERY_KIND["bars"]()
    figure = plots.LiveFigure(lambda: drawn.append(1) or picture, text="Live.")
    assert not figure.update(), "it is not shown yet"
    figure.show()
    assert not figure.update(), "the first frame is too young"
    assert figure.frames == len(drawn) == 1


def test_numbers_are_rounded_to_three_digits_and_units_found_in_labels():
    assert [rounded(v) for v in (0.01234, 9.999, 12345, 3.0)] == ["0.0123", "10", "12,300", "3"]
    assert [unit_of(v) for v in ("p95 (ms)", "requests", "how often")] == ["ms", "requests", ""]


@pytest.mark.parametrize(
    ("values", "heights"),
    [
        ([], []),
        ([2, 5, 8], [2, 5, 8]),
        ([2, 2, 8], [2, 3, 8]),
        ([9, 10, 10], [8, 9, 10]),
        ([4, 9.5, 9.5, 9.5], [4, 8, 9, 10]),
    ],
)
def test_names_of_lines_are_apart_and_none_is_above_the_axes(
    values: list[float], heights: list[float]
):
    assert spread(values, apart=1, top=10) == heights


def test_importing_plots_does_not_import_matplotlib():
    code = "import sys, course_lib.lab.plots; print('matplotlib' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "False\n"
