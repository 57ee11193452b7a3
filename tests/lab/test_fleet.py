"""A fleet: instances by name, killed, revived at the same address, slowed down, paused."""

import asyncio
import time
from collections.abc import Iterator

import grpc
import httpx
import pytest

from course_lib import context
from course_lib.errors import DeadlineExceeded, Unavailable
from course_lib.lab.fleet import Fleet, GrpcInstance
from course_lib.lab.launch import running
from course_lib.shop.endpoints import user_endpoints
from course_lib.shop.users import with_demo_users
from course_lib.shop.users_grpc import add_users, grpc_user_client
from tests.lab.apps import App, ask


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with Fleet(App, ("a", "b"), name="shop") as fleet:
        yield fleet


def test_each_instance_answers_in_its_own_name(fleet: Fleet):
    assert {name: httpx.get(fleet[name].url).text for name in fleet} == {"a": "a", "b": "b"}
    assert fleet.served == {"a": 1, "b": 1}
    assert fleet.addresses == {"a": fleet["a"].address, "b": fleet["b"].address}
    assert repr(fleet) == "<Fleet a: up, b: up>"


def test_a_killed_instance_comes_back_at_its_address_and_keeps_its_count(fleet: Fleet):
    address = fleet["a"].address
    httpx.get(fleet["a"].url)
    fleet["a"].kill()
    assert fleet.state == {"a": "down", "b": "up"}
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{address}")
    fleet["a"].revive()
    assert fleet["a"].state == "up"
    assert httpx.get(f"http://{address}").text == "a"
    assert fleet.served == {"a": 2, "b": 0}


def test_a_slow_instance_is_slow_until_it_recovers(fleet: Fleet):
    fleet["a"].slow_down(seconds=30)
    assert fleet["a"].state == "slow"
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(fleet["a"].url, timeout=0.05)
    fleet["a"].recover()
    assert fleet["a"].state == "up"
    assert httpx.get(fleet["a"].url).text == "a"


def test_a_paused_instance_answers_when_it_resumes(fleet: Fleet):
    fleet["a"].pause()
    answer = ask(fleet["a"].url)
    assert fleet["a"].state == "paused"
    fleet["a"].resume()
    assert answer.result(5) == "a"


def test_reviving_what_is_up_changes_nothing(fleet: Fleet):
    fleet["a"].slow_down(seconds=0.001)
    fleet["a"].revive()
    assert fleet["a"].state == "slow"


def test_a_fleet_of_the_same_name_replaces_the_one_before(fleet: Fleet):
    with Fleet(App, ("a", "b"), name="shop") as again:
        assert fleet.state == {"a": "down", "b": "down"}
        assert again.state == {"a": "up", "b": "up"}
        assert len(running()) == 2


def test_a_fleet_stops_all_its_instances_at_the_same_time():
    apps: dict[str, App] = {}
    names = ("a", "b", "c", "d")
    fleet = Fleet(lambda name: apps.setdefault(name, App(name)), names, name="busy")
    answers = [ask(fleet[name].url + "/wait") for name in names]
    assert all(apps[name].arrived.acquire(timeout=5) for name in names)
    began = time.monotonic()
    fleet.stop()
    assert time.monotonic() - began < 3  # one second to drain, not four
    assert all(answer.exception(5) for answer in answers)


@pytest.mark.real_time
async def test_an_instance_over_grpc_is_killed_revived_and_slowed_down_like_the_others():
    service = user_endpoints(with_demo_users())
    instance = GrpcInstance("a", lambda server: add_users(server, service), "shop-grpc")
    try:
        assert await name_of_first(instance) == "Ada"
        instance.slow_down(seconds=30)
        assert instance.state == "slow"
        context.deadline.set(asyncio.get_running_loop().time() + 0.05)
        with pytest.raises(DeadlineExceeded):
            await name_of_first(instance)
        context.deadline.set(None)
        instance.recover()
        assert (instance.state, await name_of_first(instance)) == ("up", "Ada")
        instance.kill()
        assert instance.state == "down"
        with pytest.raises(Unavailable):
            await name_of_first(instance)
        served = instance.served
        instance.revive()
        assert await name_of_first(instance) == "Ada"
        assert instance.served == served + 1
    finally:
        instance.stop()


async def name_of_first(instance: GrpcInstance) -> str:
    async with grpc.aio.insecure_channel(instance.address) as channel:
        return (await grpc_user_client(channel).get_user(1)).name


@pytest.fixture
def lined() -> Iterator[Fleet]:
    with Fleet(App, ("a",), name="lined", lined=True) as fleet:
        yield fleet


def test_a_partition_is_silence_until_the_line_is_mended(lined: Fleet):
    with httpx.Client(base_url=lined["a"].url, timeout=0.3) as client:
        assert client.get("/").text == "a"
        lined["a"].partition()
        assert lined["a"].state == "parted"
        with pytest.raises(httpx.ReadTimeout):
            client.get("/")
        lined["a"].revive()
        assert lined["a"].state == "up"
        assert client.get("/").text == "a"


def test_a_lined_instance_is_killed_and_revived_behind_its_line(lined: Fleet):
    lined["a"].kill()
    with pytest.raises(httpx.TransportError):
        httpx.get(lined["a"].url)
    lined["a"].revive()
    assert httpx.get(lined["a"].url).text == "a"


def test_a_fleet_without_lines_says_how_to_get_them(fleet: Fleet):
    assert fleet["a"].acts == {}
    with pytest.raises(RuntimeError, match="lined=True"):
        fleet["a"].partition()
