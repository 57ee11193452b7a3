"""Traces are whole where the decision to record is made once."""

from random import Random

import pytest

from course_lib.lab.scenes.sampled import whole_traces
from course_lib.telemetry.traces import always_off, always_on, by_chance, ratio


@pytest.mark.parametrize(("sampler", "whole"), [(always_on(), 200), (always_off(), 0)])
def test_a_constant_sampler_keeps_all_or_nothing(sampler, whole):
    assert whole_traces(sampler, requests=200) == whole


def test_three_dice_keep_an_eighth_where_one_decision_keeps_half():
    assert whole_traces(by_chance(0.5, Random(1)), requests=2000) == pytest.approx(250, abs=60)
    assert whole_traces(ratio(0.5), requests=2000) == pytest.approx(1000, abs=120)
