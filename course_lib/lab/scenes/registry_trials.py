"""Trials with a registry: what its clients lose, what it keeps, and how it judges.

Each lets something befall a `VirtualFleet` in virtual time and returns what was seen. The clients
come from the lesson: `client(fleet)` makes the endpoint that is called.
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import groupby
from random import Random
from typing import Any

from course_lib.discovery import Instance
from course_lib.discovery.consul_http import ConsulInstancer, consul_client
from course_lib.discovery.consul_registrar_http import ConsulRegistrar
from course_lib.endpoint import Endpoint
from course_lib.lab import virtual_time
from course_lib.lab.load import load
from course_lib.lab.scenes.virtual_fleet import VirtualFleet
from course_lib.lab.scenes.wire import Wire
from course_lib.stand_ins import ConsulAgent

Client = Callable[..., Endpoint]
Spans = list[tuple[float, float, str]]

_MOMENTS = [20 + 3.7 * n for n in range(8)]  # spread over the periods of three and ten seconds


def remembered(
    discover: Callable[[], Sequence[Instance]], seconds: float
) -> Callable[[], Sequence[Instance]]:
    """What `discover` last said, asked again only when that is `seconds` old."""
    now = asyncio.get_running_loop().time
    asked, known = -seconds, tuple[Instance, ...]()

    def maybe_old() -> Sequence[Instance]:
        nonlocal asked, known
        if now() - asked >= seconds:
            asked, known = now(), tuple(discover())
        return known

    return maybe_old


async def failures(
    client: Client,
    fate: str,
    at: float = 22.0,
    *,
    rate: float = 30.0,
    seconds: float = 60.0,
    **check: Any,
) -> list[float]:
    """Of three instances, at `at` seconds, a suffers its fate ("crash", "stop" or "spoil").

    The client is called `rate` times a second, from the start until `seconds` after that. Returns
    when the calls that have failed since then began, in seconds after it.
    """
    fleet = await VirtualFleet("abc", **check).start()
    calling = asyncio.create_task(
        load(client(fleet), rate=rate, seconds=at + seconds, rng=Random(1))
    )
    await asyncio.sleep(at)
    await getattr(fleet, fate)("a")
    failed = [call for call in (await calling).calls if call.outcome != "ok"]
    return [call.started - at for call in failed if call.started + call.seconds > at]


def last_failures(client: Client, fate: str, **check: Any) -> list[float]:
    """How long after its fate a was last called, for each of eight moments at which it came."""

    def last(at: float) -> float:
        failed = virtual_time.run(failures(client, fate, at, rate=10, **check))
        return max(failed, default=0.0)

    return [last(at) for at in _MOMENTS]


async def registry_away(client: Client, *, forget: bool, **check: Any) -> list[float]:
    """Cut the registry off for 32 seconds; with `forget` it comes back knowing nothing.

    Twenty clients, `client(fleet, seed=n)`, make 25 calls a second, from 20 seconds before it goes
    until 68 after its return. Returns when those that failed began, in seconds after its return.
    """
    fleet = await VirtualFleet("abc", **check).start()
    clients = [client(fleet, seed=n) for n in range(20)]
    calling = asyncio.create_task(
        load(lambda n: clients[n % 20](n), rate=25, seconds=120, rng=Random(1), request=int)
    )
    await asyncio.sleep(20)
    await fleet.cut_off(32, forget=forget)
    calls = (await calling).calls
    return [call.started - 52 for call in calls if call.outcome != "ok" and call.started > 20]


async def outage_nearby(client: Client, *, ttl_seconds: float = 10.0) -> Spans:
    """Two instances near and two far; the near ones crash at 18 seconds and are back at 40.

    `client(fleet)` is given the near fleet. Returns where its calls went, as (start, end, "near"),
    "far", or the name of the error.
    """
    names = {place: (f"{place}-1", f"{place}-2") for place in ("near", "far")}
    near, far = [
        await VirtualFleet(both, ttl_seconds=ttl_seconds, datacenter=place).start()
        for place, both in names.items()
    ]
    near.agent.join(far.agent)
    calling = asyncio.create_task(
        load(client(near), label=lambda n: n[:-2], rate=50, seconds=60, rng=Random(1))
    )
    for seconds, befall in ((18, near.crash), (22, near.revive)):
        await asyncio.sleep(seconds)
        for name in names["near"]:
            await befall(name)
    calls = sorted((await calling).calls)
    began = [(next(run).started, label) for label, run in groupby(calls, lambda each: each.label)]
    return _spans(began, 60)


async def five_crashes(id_of: Callable[[str, Random], str], **options: Any) -> dict[str, int]:
    """Five times three hosts start, run and crash; `id_of(host, chance)` names their entries.

    Returns how many entries there are while three run, and when all are dead. `options` are those
    of `ConsulRegistrar`.
    """
    consul, chance = VirtualFleet().consul, Random(1)

    async def entries() -> int:
        return len((await consul.get("agent/services")).json())

    running = 0
    for host in ("host-1", "host-2", "host-3") * 5:
        name = id_of(host, chance)
        each = ConsulRegistrar(consul, "users", f"{host}:80", id=name, ttl_seconds=10, **options)
        await each.register()
        running = await entries()
        asyncio.get_running_loop().call_later(250, each.crash)
        await asyncio.sleep(100 if host != "host-3" else 400)
    return {"three run": running, "all are dead": await entries()}


async def verdicts(needed: int, *, every_seconds: float = 5.0) -> Spans:
    """What a client hears of an instance that crashes at 400 seconds, until 450.

    The registry checks it every so often, needs `needed` failures in a row, and one check in seven
    fails by accident. Returns spans of "passing" and "critical".
    """
    now, chance, heard = asyncio.get_running_loop().time, Random(4), list[tuple[float, str]]()

    async def probe(check: Any) -> tuple[str, str]:
        return ("critical" if now() >= 400 or chance.random() < 1 / 7 else "passing"), ""

    consul = consul_client("agent", transport=Wire(ConsulAgent(fetch=probe).app))
    check: dict[str, Any] = {
        "HTTP": "http://a",
        "Interval": f"{every_seconds}s",
        "Status": "passing",
    }
    check |= {"FailuresBeforeCritical": needed}
    await consul.put("agent/service/register", json={"Name": "users", "Port": 80, "Check": check})
    ConsulInstancer(consul, "users", rng=Random(1)).register(
        lambda event: heard.append((now(), "passing" if event.instances else "critical"))
    )
    await asyncio.sleep(450)
    return _spans(heard, 450)


def _spans(began: Sequence[tuple[float, str]], end: float) -> Spans:
    ends = [at for at, _ in began[1:]] + [end]
    return [(at, until, state) for (at, state), until in zip(began, ends, strict=True)]
