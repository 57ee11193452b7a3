"""Races between balancing policies in virtual time: each gets the same calls.

An instance serves one request at a time, and the others wait in line. There is no network.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

from course_lib.balancing import Instance, Policy, balance
from course_lib.endpoint import Endpoint
from course_lib.lab import virtual_time
from course_lib.lab.load import Result, load

Points = list[tuple[float, float]]

_SECONDS = 10


class Race(NamedTuple):
    """What a race came to: its calls, and how many requests were in flight where, over time."""

    result: Result
    queues: dict[str, Points]


def at(name: str, endpoint: Endpoint | None = None, weight: int = 1) -> Instance:
    """The instance a, b, c or so, at an address of its own."""
    return Instance(name, f"10.0.0.{ord(name) - 96}:80", weight, endpoint)


def instance(
    name: str, seconds: Callable[[float], float] = lambda now: 0.020, weight: int = 1
) -> Instance:
    """One that needs `seconds(now)` for a request on average (exponential), and serves singly."""
    turn, dice, clock = asyncio.Semaphore(1), Random(name), asyncio.get_running_loop().time

    async def endpoint(client: Any) -> str:
        async with turn:
            await asyncio.sleep(dice.expovariate(1 / seconds(clock())))
        return name

    return at(name, endpoint, weight)


def side_by_side(
    policies: Mapping[str, Policy],
    make: Callable[[], Iterable[Instance]],
    rate: float,
    clients: Sequence[str],
) -> dict[str, Race]:
    """A race under each policy: `rate` calls a second for ten seconds, by `clients` in turn.

    `make()` makes the instances. The calls begin at the same random moments in every race.
    """
    return {n: virtual_time.run(_race(each, make, rate, clients)) for n, each in policies.items()}


async def _race(
    policy: Policy, make: Callable[[], Iterable[Instance]], rate: float, clients: Sequence[str]
) -> Race:
    pool = tuple(make())
    queues: dict[str, Points] = {each.id: [] for each in pool}

    def look(so_far: Result) -> None:
        for each in pool:
            queues[each.id].append((so_far.duration_seconds, each.in_flight))

    result = await load(
        balance(lambda: pool, policy, key=lambda client: client),
        rate=rate,
        seconds=_SECONDS,
        rng=Random(1),
        on_progress=look,
        request=clients.__getitem__,
        label=str,
    )
    return Race(result, queues)


def longest_line(race: Race) -> Points:
    """How many requests were in flight where most were, over time."""
    moments = zip(*race.queues.values(), strict=True)
    return [(now[0][0], max(waiting for _, waiting in now)) for now in moments]


def each_second(race: Race, percent: float) -> Points:
    """A percentile of the calls that began in each second of a race, at the middle of it."""
    points = []
    for second in range(_SECONDS):
        calls = [c for c in race.result.calls if second <= c.started < second + 1]
        points.append((second + 0.5, Result(calls, 1).percentile(percent)))
    return points


async def newcomer(policy: Policy) -> Points:
    """How many connections d has, every two seconds for three minutes; it joins after one.

    Ten customers a second connect to a, b and c, for a minute on average.
    """
    dice, clock = Random(2), asyncio.get_running_loop().time
    on_d: Points = []

    async def chat(customer: Any) -> None:
        await asyncio.sleep(dice.expovariate(1 / 60))

    four = tuple(at(name, chat) for name in "abcd")
    shop = balance(lambda: four if clock() >= 60 else four[:3], policy)
    await load(
        shop,
        rate=10,
        seconds=180,
        rng=Random(1),
        progress_seconds=2,
        on_progress=lambda so_far: on_d.append((clock(), four[3].in_flight)),
    )
    return on_d[:90]
