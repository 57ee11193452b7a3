"""Instances that leave, and the balancer that asks who is ready."""

import threading
import time
from typing import Any

import pytest

from course_lib.lab.scenes.leaving import Polling, ReadyFleet, ReadyInstance, load_while, work
from course_lib.telemetry.probes import Probe

pytestmark = pytest.mark.real_time


async def test_who_leaves_in_order_fails_no_request():
    result = await load_while(ReadyInstance.left)
    assert len(result.calls) > 200
    assert set(result.outcomes) == {"ok"}


@pytest.mark.parametrize("leaving", [ReadyInstance.stopped, ReadyInstance.killed])
async def test_without_the_wait_the_balancer_still_sends_and_some_fail(leaving):
    result = await load_while(leaving)
    assert result.outcomes["Unavailable"] > 3


def until(fleet: ReadyFleet, ready: Polling, listed: str, state: str) -> None:
    give_up_at = time.monotonic() + 5
    while ("".join(each.id for each in ready()), fleet["a"].state) != (listed, state):
        assert time.monotonic() < give_up_at, (ready(), fleet.state)
        time.sleep(0.005)


def test_the_balancer_learns_what_becomes_of_an_instance_and_a_new_life_is_ready():
    with ReadyFleet(lambda name: work, "ab") as fleet, Polling(fleet.clients()) as ready:
        a = fleet["a"]
        until(fleet, ready, "ab", "up")
        a.acts["not ready"]()
        until(fleet, ready, "b", "not ready")
        a.revive()
        until(fleet, ready, "ab", "up")
        a.acts["leave"]()
        assert a.state == "draining"
        until(fleet, ready, "b", "down")
        a.revive()
        until(fleet, ready, "ab", "up")


async def test_who_asks_for_its_health_is_not_counted_as_served():
    with ReadyFleet(lambda name: work, "a") as fleet, Polling(fleet.clients()) as ready:
        client: Any = ready()[0].endpoint
        await client("/")
        await client("/readyz")
        assert fleet.served == {"a": 1}
        await client.aclose()


def test_who_asks_for_its_health_while_it_hangs_is_not_counted_either():
    quick = Probe(period_seconds=0.05, timeout_seconds=0.1, failure_threshold=2)
    with ReadyFleet(lambda name: work, "a") as fleet, Polling(fleet.clients(), quick) as ready:
        until(fleet, ready, "a", "up")
        fleet["a"].pause()
        until(fleet, ready, "", "paused")
        assert fleet.served == {"a": 0}
        fleet["a"].resume()
        until(fleet, ready, "a", "up")
        assert fleet.served == {"a": 0}


def test_a_leave_that_was_overtaken_does_not_stop_the_next_life():
    with ReadyFleet(lambda name: work, "a", notice_seconds=0.2) as fleet:
        a = fleet["a"]
        a.acts["leave"]()
        a.kill()
        a.revive()
        for timer in threading.enumerate():
            if isinstance(timer, threading.Timer):
                timer.join()
        assert a.state == "up"
