"""Go-kit's rules for the client side of discovery: who stays, who goes, what errors do."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from course_lib.discovery import Endpointer, Event, Instance, LocalInstancer, in_zone, only, prefer
from course_lib.errors import NoInstances, Unavailable


def at(*names: str) -> list[Instance]:
    return [Instance(name, f"{name}:80") for name in names]


def ids(instances: Sequence[Instance]) -> str:
    return "".join(instance.id for instance in instances)


class Connections:
    """A factory that notes what it made and closed, and cannot connect what is in `broken`."""

    def __init__(self, *broken: str) -> None:
        self.broken = set(broken)
        self.made: list[str] = []
        self.closed: list[str] = []

    def __call__(self, instance: Instance) -> Any:
        if instance.id in self.broken:
            raise OSError(f"no route to {instance.id}")
        self.made.append(instance.id)

        async def endpoint(_request: Any) -> str:
            return instance.id

        return endpoint, lambda: self.closed.append(instance.id)


def test_a_sink_is_told_at_once_and_at_every_change() -> None:
    instancer, told = LocalInstancer(at("b", "a")), list[Event]()
    instancer.register(told.append)
    instancer.put(at("a", "b", "a"))
    instancer.put([*at("a"), Instance("b", "b:80", weight=3)])
    instancer.put(at("c"))
    instancer.deregister(told.append)
    instancer.put(at("d"))
    assert [ids(event.instances) for event in told] == ["ab", "ab", "c"]
    assert [event.instances[-1].weight for event in told] == [1, 3, 1]


def test_the_set_is_sorted_and_without_duplicates_but_keeps_ids_that_collide() -> None:
    told: list[Event] = []
    twice = [
        Instance("a", "10.0.0.2:80"),
        Instance("a", "10.0.0.1:80"),
        Instance("a", "10.0.0.2:80"),
    ]
    LocalInstancer(twice).register(told.append)
    assert [each.address for each in told[0].instances] == ["10.0.0.1:80", "10.0.0.2:80"]


async def test_the_instances_can_be_called() -> None:
    endpointer = Endpointer(LocalInstancer(at("a", "b")), Connections())
    assert [await each.endpoint("") for each in endpointer() if each.endpoint] == ["a", "b"]


def test_who_stays_keeps_the_endpoint_and_who_leaves_is_closed() -> None:
    instancer, connections = LocalInstancer(at("a", "b")), Connections()
    endpointer = Endpointer(instancer, connections)
    a, _b = endpointer()
    a.in_flight = 3
    instancer.put(at("a", "c"))
    assert ids(endpointer()) == "ac" and endpointer()[0] is a and a.in_flight == 3
    assert connections.made == ["a", "b", "c"] and connections.closed == ["b"]


async def test_the_tuple_is_the_same_until_something_changes() -> None:
    instancer = LocalInstancer(at("a", "b"))
    endpointer = Endpointer(instancer, Connections())
    first = endpointer()
    instancer.fail(Unavailable())
    instancer.put(at("b", "a"))
    assert endpointer() is first


def test_a_new_weight_is_a_new_tuple_of_the_same_instances() -> None:
    instancer = LocalInstancer(at("a", "b"))
    endpointer = Endpointer(instancer, Connections())
    before = endpointer()
    instancer.put([*at("a"), Instance("b", "b:80", weight=5)])
    after = endpointer()
    assert after is not before and after[1] is before[1] and after[1].weight == 5


def test_the_same_id_at_another_address_is_connected_anew() -> None:
    instancer, connections = LocalInstancer([Instance("a", "a:80")]), Connections()
    endpointer = Endpointer(instancer, connections)
    instancer.put([Instance("a", "a:81")])
    assert endpointer()[0].address == "a:81"
    assert connections.made == ["a", "a"] and connections.closed == ["a"]


def test_who_cannot_be_connected_is_skipped_and_tried_again() -> None:
    skipped: list[str] = []
    instancer, connections = LocalInstancer(at("a", "b")), Connections("b")
    endpointer = Endpointer(
        instancer, connections, on_skipped=lambda each, error: skipped.append(f"{each.id}: {error}")
    )
    assert ids(endpointer()) == "a" and skipped == ["b: no route to b"]
    connections.broken.clear()
    instancer.put(at("a", "b", "c"))
    assert ids(endpointer()) == "abc" and connections.made == ["a", "b", "c"]


async def test_on_errors_the_last_known_set_is_kept_for_ever() -> None:
    instancer, connections = LocalInstancer(at("a", "b")), Connections()
    endpointer = Endpointer(instancer, connections)
    instancer.fail(Unavailable("registry down"))
    await asyncio.sleep(10_000)
    assert ids(endpointer()) == "ab" and connections.closed == []


async def test_or_it_is_dropped_some_seconds_after_the_first_error() -> None:
    instancer, connections = LocalInstancer(at("a", "b")), Connections()
    endpointer = Endpointer(instancer, connections, invalidate_on_error_seconds=30)
    await asyncio.sleep(100)
    for _ in range(3):
        instancer.fail(Unavailable("registry down"))
        assert ids(endpointer()) == "ab"
        await asyncio.sleep(10)
    with pytest.raises(NoInstances, match=r"failed for 30.0 s: Unavailable\('registry down'\)"):
        endpointer()
    assert connections.closed == ["a", "b"]
    instancer.put(at("a"))
    assert ids(endpointer()) == "a" and connections.made == ["a", "b", "a"]


async def test_a_good_answer_in_between_starts_the_time_again() -> None:
    instancer = LocalInstancer(at("a"))
    endpointer = Endpointer(instancer, Connections(), invalidate_on_error_seconds=30)
    instancer.fail(Unavailable())
    await asyncio.sleep(29)
    instancer.put(at("a"))
    instancer.fail(Unavailable())
    await asyncio.sleep(29)
    assert ids(endpointer()) == "a"


async def test_a_close_may_be_a_coroutine_and_may_fail() -> None:
    closed: list[str] = []

    def connect(instance: Instance) -> Any:
        async def close() -> None:
            await asyncio.sleep(1)
            closed.append(instance.id)
            raise OSError("already gone")

        def broken() -> None:
            raise OSError("already gone")

        return connect, broken if instance.id == "b" else close

    instancer = LocalInstancer(at("a", "b", "c"))
    endpointer = Endpointer(instancer, connect)
    instancer.put([])
    assert endpointer() == ()
    await asyncio.sleep(2)
    assert closed == ["a", "c"]


def test_after_stop_everything_is_closed_and_nothing_comes() -> None:
    instancer, connections = LocalInstancer(at("a", "b")), Connections()
    endpointer = Endpointer(instancer, connections)
    endpointer.stop()
    instancer.put(at("c"))
    assert endpointer() == () and connections.closed == ["a", "b"]


def test_stopping_once_more_or_after_the_instancer_does_no_harm() -> None:
    instancer, connections = LocalInstancer(at("a", "b")), Connections()
    endpointer = Endpointer(instancer, connections)
    instancer.stop()
    endpointer.stop()
    endpointer.stop()
    assert endpointer() == () and connections.closed == ["a", "b"]


async def test_one_can_wait_for_the_first_word() -> None:
    class Later(LocalInstancer):
        def register(self, sink: Any) -> None:
            asyncio.get_running_loop().call_later(2, lambda: LocalInstancer.register(self, sink))

    endpointer = Endpointer(Later(at("a")), Connections())
    assert endpointer() == ()
    await endpointer.heard()
    assert ids(endpointer()) == "a" and asyncio.get_running_loop().time() == 2


def test_the_near_is_preferred_and_the_far_is_the_fallback() -> None:
    def spread(**zones: str) -> list[Instance]:
        return [Instance(name, f"{name}:80", zone=zone) for name, zone in zones.items()]

    instancer = LocalInstancer(spread(a="east", b="west", c="east"))
    endpointer = Endpointer(instancer, Connections())
    discover = prefer(in_zone(endpointer, "east"), endpointer)
    assert ids(discover()) == "ac" and discover() is discover()
    instancer.put(spread(b="west"))
    assert ids(discover()) == "b"
    instancer.put([])
    assert discover() == ()


async def test_a_registry_that_fails_near_leaves_the_far() -> None:
    near, far = LocalInstancer(at("a")), LocalInstancer(at("b"))
    discover = prefer(
        Endpointer(near, Connections(), invalidate_on_error_seconds=5),
        Endpointer(far, Connections()),
    )
    near.fail(Unavailable())
    assert ids(discover()) == "a"
    await asyncio.sleep(5)
    assert ids(discover()) == "b"


def test_who_is_not_usable_is_left_out_unless_nobody_is() -> None:
    endpointer = Endpointer(LocalInstancer(at("a", "b", "c")), Connections())
    bad: set[str] = set()
    discover = only(endpointer, lambda each: each.id not in bad)
    assert discover() is endpointer()
    bad.add("b")
    assert ids(discover()) == "ac" and discover() is discover()
    bad |= {"a", "c"}
    assert discover() is endpointer()
