"""The balancer as an endpoint, and the `upstream` block it can be set up from."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from course_lib import context
from course_lib.balancing import Instance, balance, ip_hash, least_connections, round_robin
from course_lib.balancing.nginx import read_upstream
from course_lib.endpoint import Endpoint
from course_lib.errors import NoInstances, Unavailable


def answering(name: str, seconds: float = 0.0) -> Endpoint:
    async def endpoint(request: Any) -> str:
        await asyncio.sleep(seconds)
        if request == "break":
            raise Unavailable(name)
        return name

    return endpoint


def fleet(**seconds: float) -> tuple[Instance, ...]:
    return tuple(Instance(name, name, 1, answering(name, s)) for name, s in seconds.items())


async def test_requests_go_to_the_instance_the_policy_picks() -> None:
    instances = fleet(a=0, b=0)
    call = balance(lambda: instances, round_robin())
    assert [await call(n) for n in range(4)] == ["a", "b", "a", "b"]


async def test_in_flight_counts_what_has_not_come_back_whatever_its_end() -> None:
    (a,) = instances = fleet(a=1.0)
    call = balance(lambda: instances, least_connections())
    good, bad, gone = (asyncio.create_task(call(word)) for word in ("", "break", "cancelled"))
    await asyncio.sleep(0.5)
    assert a.in_flight == 3
    gone.cancel()
    results = await asyncio.gather(good, bad, gone, return_exceptions=True)
    assert [type(result) for result in results] == [str, Unavailable, asyncio.CancelledError]
    assert a.in_flight == 0


async def test_a_slow_instance_gets_less_from_least_connections() -> None:
    instances = fleet(a=0.01, b=0.01, c=0.1)
    call = balance(lambda: instances, least_connections())

    async def user() -> list[str]:
        return [await call("") for _ in range(10)]

    names = [name for one in await asyncio.gather(*(user() for _ in range(6))) for name in one]
    assert names.count("c") < 10


async def test_no_instance_is_an_error_of_its_own() -> None:
    def nobody() -> Sequence[Instance]:
        return ()

    with pytest.raises(NoInstances, match="discovery returned no instance"):
        await balance(nobody, round_robin())("")


async def test_an_instance_nobody_connected_is_no_instance() -> None:
    with pytest.raises(NoInstances, match="'a' has no endpoint"):
        await balance(lambda: (Instance("a", "10.0.0.1:80"),), round_robin())("")


async def test_the_key_is_the_address_of_the_caller_unless_told_otherwise() -> None:
    instances = fleet(a=0, b=0, c=0)
    by_caller, by_user = (
        balance(lambda: instances, ip_hash()),
        balance(lambda: instances, ip_hash(), key=lambda request: request),
    )
    for address in ("10.0.0.1", "192.0.2.7", "2001:db8::1"):
        context.caller_address.set(address)
        expected = ip_hash()(instances, address).id
        assert await by_caller("") == expected == await by_user(address)


def test_an_upstream_block_becomes_instances_and_a_policy() -> None:
    upstream = read_upstream("""
        upstream shop {            # two big, one small
            least_conn;
            server 10.0.0.1:80 weight=3 max_fails=2 fail_timeout=5s;
            server 10.0.0.2:80;
            server 10.0.0.3:80 down;
        }""")
    assert upstream.name == "shop"
    assert [(i.address, i.weight) for i in upstream.instances] == [
        ("10.0.0.1:80", 3),
        ("10.0.0.2:80", 1),
    ]
    upstream.instances[0].in_flight = 4
    assert upstream.policy(upstream.instances).address == "10.0.0.2:80"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("server a;", "expected one block"),
        ("upstream x { server a; sticky; }", "upstream x: cannot read 'sticky'"),
        ("upstream x { server a weight=0; }", "server a: cannot read 'weight=0'"),
        ("upstream x { server a backup; }", "server a: cannot read 'backup'"),
        ("upstream x { hash $arg_user; server a; }", "cannot read 'hash \\$arg_user'"),
        ("upstream x { server a down; }", "at least one server"),
        ("upstream x { ip_hash; server a; server b down; }", "ip_hash counts a server"),
        ("upstream x { server a }", "expected ';' after 'server a'"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_upstream(text)


@pytest.mark.parametrize("weight", [0, -1, 1.5, "2", None])
def test_a_weight_that_is_no_whole_number_from_one_is_refused(weight: Any) -> None:
    with pytest.raises(ValueError, match=f"weight of 'a': expected a .* from 1, got {weight!r}"):
        Instance("a", "10.0.0.1:80", weight)
