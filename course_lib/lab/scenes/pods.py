"""A service in three pods before one database, in virtual time: what its probes make of a hiccup.

Each pod answers from its cache, and asks the database for what is not there or has grown old. The
database does one query at a time; during its hiccup it answers nothing.
"""

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping
from random import Random

from course_lib.balancing import Instance, balance, round_robin
from course_lib.endpoint import Endpoint
from course_lib.errors import DeadlineExceeded, Unavailable
from course_lib.lab.load import Result, load
from course_lib.lab.over_time import every, failed_percent
from course_lib.lab.plots import Span
from course_lib.platform.container import Container
from course_lib.platform.pod import Pod
from course_lib.telemetry.health import Health
from course_lib.telemetry.probes import Probe

_USERS, _REMEMBERED_SECONDS = 300, 300.0


class Database:
    """Ten queries a second, one at a time; from `since` until `until` it stands still."""

    def __init__(self, since: float, until: float) -> None:
        self._since, self._until = since, until
        self._turn = asyncio.Semaphore(1)

    async def query(self) -> None:
        """Wait for a turn, then take 100 ms; raises DeadlineExceeded after a second."""
        clock = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(1), self._turn:
                if self._since <= clock() < self._until:
                    await asyncio.sleep(self._until - clock())
                await asyncio.sleep(0.1)
        except TimeoutError:
            raise DeadlineExceeded("the database does not answer") from None


class _Users(Container):
    """One life of the service; `cached` says since when it knows whom."""

    def __init__(
        self,
        database: Database,
        checks: Callable[[Health, Database], None],
        cached: Mapping[int, float],
    ) -> None:
        health = Health(check_seconds=0.9)
        checks(health, database)
        super().__init__(health, start_seconds=12)
        self._database, self._cached = database, dict(cached)

    async def get_user(self, user_id: int) -> None:
        """Answer from the cache, or ask the database."""
        async with self.connection():
            now = asyncio.get_running_loop().time()
            if now - self._cached.get(user_id, -math.inf) >= _REMEMBERED_SECONDS:
                await self._database.query()
                self._cached[user_id] = now
            await asyncio.sleep(0.005)


async def hiccup(
    checks: Callable[[Health, Database], None],
    *,
    since: float = 60.0,
    seconds: float = 35.0,
    until: float = 300.0,
    rate: float = 20.0,
) -> tuple[Result, dict[str, list[Span]]]:
    """Let the database stand still for so long; what came of the calls, and the pods' states.

    `checks(health, database)` registers the checks of a pod. The probes have the usual figures,
    and a pod needs 12 s to start. The caches of the first pods are full.
    """
    database, rng = Database(since, since + seconds), Random(1)
    full = [{u: -rng.uniform(0, _REMEMBERED_SECONDS) for u in range(_USERS)} for _ in range(3)]

    def pod(cached: dict[int, float]) -> Pod:
        lives = iter([cached])
        return Pod(
            lambda: _Users(database, checks, next(lives, {})),
            startup=Probe(period_seconds=3, failure_threshold=10),
            liveness=Probe(),
            readiness=Probe(),
        )

    pods = {name: pod(cached) for name, cached in zip("abc", full, strict=True)}
    instances = {n: Instance(n, f"{n}:80", endpoint=_way_to(pod)) for n, pod in pods.items()}

    def ready() -> tuple[Instance, ...]:
        return tuple(instances[name] for name, pod in pods.items() if pod.ready)

    running = []
    for each in pods.values():
        running.append(asyncio.create_task(each.run()))
        await asyncio.sleep(3)
    await asyncio.sleep(20)
    began = asyncio.get_running_loop().time()
    front = balance(ready, round_robin())
    result = await load(
        front, rate=rate, seconds=until - began, rng=rng, request=lambda _: rng.randrange(_USERS)
    )
    for task in running:
        task.cancel()
    calls = [call._replace(started=call.started + began) for call in result.calls]
    spans = {name: [Span(*span) for span in each.spans(until)] for name, each in pods.items()}
    return Result(calls, until), spans


def _way_to(pod: Pod) -> Endpoint:
    async def endpoint(user_id: int) -> None:
        assert isinstance(pod.container, _Users)
        try:
            await pod.container.get_user(user_id)
        except ConnectionError as error:
            raise Unavailable(str(error)) from None

    return endpoint


async def live(pod: Pod, seconds: float, *, hang_at: float | None = None) -> list[Span]:
    """Look after a pod for so long, and let its container hang at an instant; its states.

    Their times count from that instant; while it is ready and hangs it is "ready, hangs".
    """

    def hang() -> None:
        assert pod.container is not None
        pod.container.hang()

    running = asyncio.create_task(pod.run())
    if hang_at is not None:
        asyncio.get_running_loop().call_at(hang_at, hang)
    await asyncio.sleep(seconds)
    running.cancel()
    spans = [Span(*span) for span in pod.spans(seconds)]
    return spans if hang_at is None else list(_since(hang_at, spans))


def _since(hang_at: float, spans: list[Span]) -> Iterator[Span]:
    """The states with times that count from then; the one it hung in is divided there."""
    for start, end, state in spans:
        if start < hang_at < end:
            yield Span(start - hang_at, 0, state)
            start, state = hang_at, f"{state}, hangs"
        yield Span(start - hang_at, end - hang_at, state)


def mostly_failing(result: Result) -> int:
    """In how many seconds more than half of the calls failed."""
    return sum(percent > 50 for _, percent in every(1, failed_percent, result))
