"""Races between policies: told by hand where one instance makes the numbers plain."""

from course_lib.balancing import least_connections, round_robin
from course_lib.lab import virtual_time
from course_lib.lab.result import Call, Result
from course_lib.lab.scenes import races

CLIENTS = ["10.1.1.1"] * 3000


def test_every_policy_gets_the_same_calls():
    ran = races.side_by_side(
        {"in turn": round_robin(), "fewest": least_connections()},
        lambda: map(races.instance, "abcd"),
        100,
        CLIENTS,
    )
    begun = [sorted(call.started for call in race.result.calls) for race in ran.values()]
    assert begun[0] == begun[1] and 900 < len(begun[0]) < 1100
    assert ran["in turn"].result.count["a"] in (len(begun[0]) // 4, len(begun[0]) // 4 + 1)
    assert list(ran["fewest"].queues) == ["a", "b", "c", "d"]


def test_an_instance_serves_singly_so_what_it_cannot_do_waits_in_line():
    def make():
        return [races.instance("a", lambda now: 0.1)]

    race = races.side_by_side({"only": round_robin()}, make, 50, CLIENTS)["only"]
    longest = max(waiting for _, waiting in race.queues["a"])
    assert 300 < longest < 500  # of 500 that come it does 100 in the ten seconds


def test_the_longest_line_is_the_one_that_is_longest_at_that_moment():
    queues = {"a": [(0.1, 1.0), (0.2, 5.0)], "b": [(0.1, 3.0), (0.2, 2.0)]}
    assert races.longest_line(races.Race(Result([], 1), queues)) == [(0.1, 3.0), (0.2, 5.0)]


def test_a_percentile_belongs_to_the_second_in_which_the_calls_began():
    calls = [Call(0.2, 0.1, "ok", "a"), Call(0.9, 0.5, "ok", "a"), Call(1.0, 3.0, "ok", "a")]
    points = races.each_second(races.Race(Result(calls, 10), {}), 99)
    assert points[:2] == [(0.5, 0.5), (1.5, 3.0)]


def test_a_newcomer_gets_every_new_connection_until_it_has_caught_up_or_its_share_alone():
    fewest = dict(virtual_time.run(races.newcomer(least_connections())))
    in_turn = dict(virtual_time.run(races.newcomer(round_robin())))
    assert fewest[58] == in_turn[58] == 0
    assert fewest[80] > 90 and in_turn[80] < 50
