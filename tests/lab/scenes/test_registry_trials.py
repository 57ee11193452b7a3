"""What befalls a registry and its clients in the trials, told by hand."""

import asyncio
from random import Random

import pytest

from course_lib.balancing import balance, round_robin
from course_lib.discovery import Endpointer, prefer
from course_lib.discovery.consul_http import ConsulInstancer
from course_lib.endpoint import Endpoint
from course_lib.lab import virtual_time
from course_lib.lab.scenes import registry_trials as trials
from course_lib.lab.scenes.virtual_fleet import VirtualFleet


def watching(fleet: VirtualFleet, datacenter: str | None = None, seed: int = 1) -> Endpointer:
    watch = ConsulInstancer(fleet.consul, "users", datacenter=datacenter, rng=Random(seed))
    return Endpointer(watch, fleet.connect)


def in_turn(fleet: VirtualFleet, seed: int = 1) -> Endpoint:
    return balance(watching(fleet, seed=seed), round_robin())


def first(fleet: VirtualFleet) -> Endpoint:
    return balance(watching(fleet), lambda instances, key: instances[0])


async def test_what_is_remembered_is_asked_for_again_when_it_is_old_enough():
    answers = iter("abc")
    known = trials.remembered(lambda: (next(answers),), seconds=30)
    heard = []
    for _ in range(5):
        heard += known()
        await asyncio.sleep(15)
    assert heard == ["a", "a", "b", "b", "c"]


async def test_failures_are_counted_from_the_fate_of_a_on():
    failed = await trials.failures(first, "crash", 25, rate=10, ttl_seconds=10)
    assert min(failed) < 1 and 7 < max(failed) < 8.4  # the last heartbeat was at 23.33


async def test_a_call_under_way_is_lost_to_a_crash_and_finished_by_a_stop():
    crashed = await trials.failures(first, "crash", 25, rate=1000, seconds=1, ttl_seconds=10)
    assert -0.01 < min(crashed) < 0
    assert not await trials.failures(first, "stop", 25, rate=1000, seconds=1, ttl_seconds=10)


def test_the_dead_are_called_until_the_rest_of_the_ttl_is_over():
    last = trials.last_failures(in_turn, "crash", ttl_seconds=3)
    assert len(last) == 8
    assert 1.5 < min(last) < 2.2 and 2.5 < max(last) < 3


@pytest.mark.parametrize("check", [{"ttl_seconds": 10}, {"probe_seconds": 10}])
async def test_a_silent_registry_costs_nothing(check: dict[str, float]):
    assert min(await trials.registry_away(in_turn, forget=False, **check), default=0) >= 0


async def test_a_registry_that_forgot_all_costs_nearly_every_call_without_heartbeats():
    failed = await trials.registry_away(in_turn, forget=True, probe_seconds=10)
    assert 1500 < len(failed) < 1700 and max(failed) > 67


async def test_the_far_are_called_from_the_end_of_the_ttl_until_the_near_are_back():
    def nearest(fleet: VirtualFleet) -> Endpoint:
        near, far = (watching(fleet, datacenter) for datacenter in ("near", "far"))
        return balance(prefer(near, far), round_robin())

    calls = await trials.outage_nearby(nearest)
    assert [where for *_, where in calls] == ["near", "Unavailable", "far", "near"]
    assert [round(start) for start, *_ in calls] == [0, 18, 27, 40]


async def test_an_id_of_its_own_for_each_start_leaves_every_entry_behind():
    def at_random(host: str, chance: Random) -> str:
        return f"{host}-{chance.random()}"

    assert await trials.five_crashes(at_random) == {"three run": 15, "all are dead": 15}
    assert await trials.five_crashes(lambda *_: "one") == {"three run": 1, "all are dead": 1}
    expires = await trials.five_crashes(lambda host, _: host, deregister_after_seconds=60)
    assert expires == {"three run": 3, "all are dead": 0}


@pytest.mark.parametrize(("needed", "wrong", "noticed"), [(1, 8, 402.7), (3, 0, 412.7)])
def test_more_failures_in_a_row_are_wrong_less_often_and_take_longer(
    needed: int, wrong: int, noticed: float
):
    heard = virtual_time.run(trials.verdicts(needed))
    assert sum(state == "critical" for *_, state in heard) == wrong + 1
    start, end, state = heard[-1]
    assert (round(start, 1), end, state) == (noticed, 450, "critical")
