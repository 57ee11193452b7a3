"""A fleet that registers itself, the client that watches it, and a wire that can be cut."""

import asyncio
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from course_lib.discovery.consul_http import consul_client
from course_lib.lab.fleet import Fleet
from course_lib.lab.launch import serve
from course_lib.lab.scenes.registered import Diary, Noted, RegisteredFleet, Seen, Watch
from course_lib.lab.scenes.virtual_fleet import VirtualFleet
from course_lib.lab.scenes.wire import Wire
from course_lib.stand_ins import ConsulAgent
from tests.lab.apps import App


def soon(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


@pytest.fixture
def house() -> Iterator[tuple[RegisteredFleet, Watch]]:
    diary = Diary()
    with serve(ConsulAgent().app, "consul") as agent:
        fleet = RegisteredFleet(App, agent.address, "users", "ab", diary=diary, ttl_seconds=0.6)
        with fleet, Watch(agent.address, "users", lambda each: lambda _: each, diary) as watch:
            yield fleet, watch


def known(watch: Watch) -> str:
    return "".join(each.id for each in watch())


def test_a_stop_is_known_at_once_and_a_crash_when_the_ttl_is_over(house):
    fleet, watch = house
    assert soon(lambda: known(watch) == "ab")
    fleet["b"].stop()
    fleet["a"].kill()
    assert soon(lambda: known(watch) == "a", 0.3)
    assert Seen(fleet["a"], watch).state == "down, listed"
    assert soon(lambda: known(watch) == "")
    diary = fleet.diary
    assert diary.when("a, for the client", "gone") > diary.when("b, for the client", "gone") + 0.2
    assert [state for _, _, state in diary.rows()["b"]] == ["up", "stopped"]


def test_who_is_revived_registers_again_at_the_same_address(house):
    fleet, watch = house
    address = fleet["a"].address
    fleet["a"].kill()
    assert soon(lambda: known(watch) == "b")
    Seen(fleet["a"], watch).revive()
    assert soon(lambda: known(watch) == "ab")
    assert watch()[0].address == address
    assert httpx.get(f"http://{address}").text == "a"


def test_who_is_revived_while_the_registry_is_away_registers_when_it_is_back():
    registry = Fleet(lambda name: ConsulAgent().app, ("consul",), name="registry")["consul"]
    fleet = RegisteredFleet(App, registry.address, "users", "a", ttl_seconds=0.6)
    with fleet, Watch(registry.address, "users", lambda each: lambda _: each) as watch:
        fleet["a"].kill()
        assert soon(lambda: known(watch) == "")
        registry.kill()
        fleet["a"].revive()
        assert fleet["a"].state == "up"
        registry.revive()
        assert soon(lambda: known(watch) == "a")
    registry.stop()


def test_the_diary_tells_when_an_instance_was_cut_off_and_when_its_line_was_mended(house):
    fleet, _ = house
    fleet["a"].partition()
    fleet["a"].revive()
    assert [state for _, _, state in fleet.diary.rows()["a"]] == ["up", "cut", "up"]


def test_what_a_panel_does_to_a_registry_is_in_the_diary():
    diary = Diary()
    registry = Fleet(lambda name: ConsulAgent().app, ("consul",), name="registry")["consul"]
    noted = Noted(registry, diary)
    noted.kill()
    assert registry.state == "down"
    noted.revive()
    assert registry.state == "up"
    assert [state for _, _, state in diary.rows()["consul"]] == ["up", "killed", "up"]
    registry.stop()


def test_a_slow_instance_is_as_fast_as_before_when_it_is_revived(house):
    fleet, watch = house
    fleet["a"].slow_down(30)
    assert Seen(fleet["a"], watch).state == "slow, listed"
    Seen(fleet["a"], watch).revive()
    assert fleet["a"].state == "up"


async def test_a_cut_wire_breaks_who_waits_and_refuses_who_comes():
    wire = Wire(ConsulAgent().app)
    client = consul_client("agent", transport=wire)
    waiting = asyncio.create_task(client.get("health/service/users?index=1&wait=1m"))
    await asyncio.sleep(1)
    wire.cut()
    with pytest.raises(httpx.ReadError):
        await waiting
    with pytest.raises(httpx.ConnectError):
        await client.put("kv/sent", content=b"1")
    wire.restore()
    assert (await client.get("status/leader")).is_success
    assert (await client.get("kv/sent")).status_code == 404


async def healthy(fleet: VirtualFleet) -> str:
    found = (await fleet.consul.get("health/service/users?passing")).json()
    return "".join(entry["Service"]["ID"] for entry in found)


@pytest.mark.parametrize("check", [{"ttl_seconds": 10}, {"probe_seconds": 10}])
async def test_a_fleet_in_memory_is_checked_as_a_real_one(check: dict[str, float]):
    fleet = await VirtualFleet("abc", **check).start()
    await asyncio.sleep(20)
    await fleet.stop("c")
    assert await healthy(fleet) == "ab"
    await fleet.crash("a")
    await asyncio.sleep(10.1)
    assert await healthy(fleet) == "b"
    await fleet.revive("a")
    await asyncio.sleep(10.1)
    assert await healthy(fleet) == "ab"


async def test_heartbeats_go_on_when_an_instance_is_spoilt_and_a_probe_finds_out():
    for check, left in (({"ttl_seconds": 10}, "ab"), ({"probe_seconds": 10}, "b")):
        fleet = await VirtualFleet("ab", **check).start()
        await asyncio.sleep(20)
        await fleet.spoil("a")
        await asyncio.sleep(20)
        assert await healthy(fleet) == left


async def test_an_agent_that_forgot_all_is_told_again_by_heartbeats_alone():
    for check, left in (({"ttl_seconds": 10}, "ab"), ({"probe_seconds": 10}, "")):
        fleet = await VirtualFleet("ab", **check).start()
        await asyncio.sleep(20)
        await fleet.cut_off(5, forget=True)
        await asyncio.sleep(20)
        assert await healthy(fleet) == left
