"""Instances that say whether they are ready and know how to leave, and a balancer that asks them.

`Polling` runs on the lab's loop, so that it goes on while a cell runs. Its probe is that of a
quick balancer: ten times a second, and two failures are enough.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from random import Random
from typing import Any

from course_lib.balancing import balance, round_robin
from course_lib.discovery import Instance
from course_lib.lab.fleet import Fleet, FleetInstance
from course_lib.lab.http_load import HttpLoad
from course_lib.lab.launched import Server, start
from course_lib.lab.load import Result, load
from course_lib.lab.scenes.polled import Discover, polled
from course_lib.telemetry.health import PAGES, Health
from course_lib.telemetry.probe_http import http_get
from course_lib.telemetry.probes import Probe
from course_lib.telemetry.shutdown import shut_down

POLL = Probe(period_seconds=0.1, timeout_seconds=1.0, failure_threshold=2)


class ReadyInstance(FleetInstance):
    """One instance with health pages; each life has a `health` of its own."""

    def __init__(self, name: str, app: Any, server_name: str, notice_seconds: float) -> None:
        self.health, self._behind, self._database_away = Health(), app, False
        self._notice_seconds = notice_seconds
        super().__init__(name, self._front, server_name)
        self._begin()

    async def _front(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] in PAGES:
            scope.setdefault("state", {})["uncounted"] = True
        await self.health.around(self._behind)(scope, receive, send)

    def _begin(self) -> None:
        self._database_away = False
        self.health = Health()
        self.health.readiness("database", lambda: not self._database_away)

    @property
    def state(self) -> str:
        """Such as "up", or "draining" when it still serves and wants nothing new."""
        state = super().state
        if state == "up" and self.health.draining:
            return "draining"
        return "not ready" if state == "up" and self._database_away else state

    @property
    def strip(self) -> str:
        """The same, for a strip under the panel's lines."""
        return self.state

    @property
    def acts(self) -> Mapping[str, Callable[[], None]]:
        """What a control panel offers for it besides the usual."""
        return {
            "stop": self.stop,
            "leave": self.leave,
            "pause": self.pause,
            "not ready": self.lose_database,
        }

    def lose_database(self) -> None:
        """Fail the readiness check until it is revived."""
        self._database_away = True

    def leave(self) -> None:
        """Go away in order, and return before it is done."""
        self.health.drain()
        stopping = threading.Timer(self._notice_seconds, self.server.stop)  # no later life
        stopping.daemon = True
        stopping.start()

    async def stopped(self) -> None:
        """Stop, on any loop: requests in flight finish."""
        await asyncio.to_thread(self.stop)

    async def killed(self) -> None:
        """Crash, on any loop."""
        await asyncio.to_thread(self.kill)

    async def left(self) -> None:
        """Go away in order: not ready, wait, drain, stop."""
        stop = partial(asyncio.to_thread, self.server.stop)
        await shut_down(self.health, stop, notice_seconds=self._notice_seconds)

    def recover(self) -> None:
        """Be as fast as before, and have the database back."""
        super().recover()
        self._database_away = False

    def revive(self) -> None:
        """Have the database back, and start a new life if it is down."""
        self._database_away = False
        if self.state == "down":
            self._begin()
        super().revive()


class ReadyFleet(Fleet):
    """A fleet of `ReadyInstance`s."""

    def __init__(
        self,
        make_app: Callable[[str], Any],
        names: Sequence[str] = ("a", "b", "c"),
        *,
        name: str = "fleet",
        notice_seconds: float = 0.6,
    ) -> None:
        self._instances: dict[str, Any] = {
            n: ReadyInstance(n, make_app(n), f"{name}-{n}", notice_seconds) for n in names
        }

    def clients(self) -> tuple[Instance, ...]:
        """What a balancer chooses from: an endpoint over HTTP for each."""
        return tuple(
            Instance(name, each.address, endpoint=HttpLoad(each.url, connections=64))
            for name, each in self.items()
        )


class Polling(Server):
    """Asks every instance for /readyz; call it for those that are ready."""

    def __init__(self, instances: Sequence[Instance], probe: Probe = POLL) -> None:
        super().__init__("polling")
        self._instances, self._probe = instances, probe
        self._known: Discover = tuple
        self._stack = AsyncExitStack()
        start(self, "polling", 0)

    def __call__(self) -> Sequence[Instance]:
        """The instances that said they are ready; the same tuple until one is asked again."""
        return self._known()

    async def _start(self, port: int) -> None:
        asking = polled(self._instances, _readiness, self._probe)
        self._known = await self._stack.enter_async_context(asking)

    async def _stop(self, drain_seconds: float) -> None:
        await self._stack.aclose()

    async def _kill(self) -> None:
        await self._stack.aclose()


def _readiness(instance: Instance) -> Any:
    return http_get(f"http://{instance.address}/readyz")


async def work(scope: Any, receive: Any, send: Any) -> None:
    """The smallest ASGI application: 20 ms, then done."""
    if scope["type"] != "http":
        raise NotImplementedError
    await asyncio.sleep(0.020)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})


async def load_while(
    leaving: Callable[[ReadyInstance], Awaitable[None]],
    *,
    rate: float = 300.0,
    seconds: float = 1.0,
) -> Result:
    """Load three that `work` behind a polling balancer; after 0.2 s `leaving(a)` is awaited."""
    fleet = ReadyFleet(lambda name: work, name="leaving")
    clients = fleet.clients()
    with fleet, Polling(clients) as ready:
        front = balance(ready, round_robin())
        loading = load(front, rate=rate, seconds=seconds, rng=Random(4), request="/")
        loaded = asyncio.create_task(loading)
        await asyncio.sleep(0.2)
        await leaving(fleet["a"])  # type: ignore[arg-type]
        result = await loaded
        for client in clients:
            await client.endpoint.aclose()  # type: ignore[union-attr]
    return result
