"""An alert waits for its `for` and forgets at the first good count."""

from course_lib.lab.scenes.alert_rule import alert_states, rings

COUNTS = [(10, 0), (20, 9), (30, 0), (40, 9), (50, 9), (60, 9), (70, 0)]


def test_without_a_for_every_bad_step_rings():
    spans = alert_states(COUNTS, above=3)
    assert [state for _, _, state in spans] == ["quiet", "firing", "quiet", "firing", "quiet"]
    assert rings(spans) == [20, 40]


def test_with_a_for_only_what_lasts_rings_and_it_rings_later():
    assert alert_states(COUNTS, above=3, for_seconds=20) == [
        *((10, 20, "quiet"), (20, 30, "pending"), (30, 40, "quiet")),
        *((40, 60, "pending"), (60, 70, "firing"), (70, 80, "quiet")),
    ]


def test_the_threshold_itself_is_quiet_and_nothing_counted_is_no_state():
    assert rings(alert_states([(0, 3), (10, 3)], above=3)) == []
    assert alert_states([], above=3) == []
