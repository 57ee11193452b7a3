"""State strips over curves, and in the panel's picture."""

from types import SimpleNamespace
from typing import Any

from course_lib.lab.plots import strips, traffic
from course_lib.lab.scenes.guarded import Guarded
from course_lib.middleware.breaker import CircuitBreaker


def test_a_picture_of_strips_lists_states_and_the_highest_of_each_curve() -> None:
    rows = {"breaker": [(0, 5, "closed"), (5, 9, "open")]}
    picture = strips(rows, {"failed (%)": {"a": [(0, 3), (5, 90)]}}, title="An outage")
    assert "breaker: closed from 0 to 5, open from 5 to 9." in picture.text
    assert "failed (%): a at most 90." in picture.text


def test_a_shaded_stretch_is_named() -> None:
    rows = {"breaker": [(0, 9, "closed")]}
    charts = {"failed (%)": {"a": [(0, 3), (5, 90)]}}
    picture = strips(rows, charts, title="An outage", bands=[(2, 5, "it hangs")], steps=True)
    assert "Shaded from 2 to 5: it hangs." in picture.text


def test_the_panels_picture_says_the_last_state_of_each_breaker() -> None:
    states = [{"a": "closed"}, {"a": "open"}, {"a": "open"}]
    rates = {"a": [10.0, 0.0, 0.0]}
    picture = traffic([0.2, 0.4, 0.6], rates, [0.0, 0.0, 100.0], title="Live", states=states)
    assert "a: open." in picture.text


def test_an_instance_behind_a_breaker_shows_both_states() -> None:
    instance: Any = SimpleNamespace(state="up", served=7)
    guarded = Guarded(instance, CircuitBreaker("a"))
    assert (guarded.state, guarded.strip, guarded.served) == ("up, breaker closed", "closed", 7)
