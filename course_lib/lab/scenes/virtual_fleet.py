"""A fleet in memory that registers with an agent in memory, for experiments in virtual time.

Agent, registrars and checks are the same that run on sockets; only the wire and the service
behind it are not there. A call takes 10 ms.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Self

from course_lib.discovery import Instance
from course_lib.discovery.consul_http import consul_client
from course_lib.discovery.consul_registrar_http import ConsulRegistrar
from course_lib.endpoint import Endpoint
from course_lib.errors import Unavailable
from course_lib.lab.scenes.wire import Wire
from course_lib.stand_ins import ConsulAgent

_CALL_SECONDS = 0.01


class VirtualFleet:
    """Instances of `users` by name; `consul` is a client of their agent, `wire` leads to it.

    With `ttl_seconds` they send heartbeats, with `probe_seconds` the agent asks them so often.
    """

    def __init__(
        self,
        names: Iterable[str] = (),
        *,
        ttl_seconds: float | None = None,
        probe_seconds: float = 10.0,
        datacenter: str = "dc1",
    ) -> None:
        self.broken: set[str] = set()
        self.agent = ConsulAgent(fetch=self._probe, datacenter=datacenter)
        self.wire = Wire(self.agent.app)
        self.consul = consul_client("agent", transport=self.wire)
        self._registrars: dict[str, ConsulRegistrar] = {}
        for name in names:
            check: dict[str, Any] = {
                "check_url": f"http://{name}",
                "interval_seconds": probe_seconds,
            }
            if ttl_seconds is not None:
                check = {"ttl_seconds": ttl_seconds}
            self._registrars[name] = ConsulRegistrar(
                self.consul, "users", f"{name}:80", id=name, **check
            )

    async def start(self) -> Self:
        """Register every instance."""
        for registrar in self._registrars.values():
            await registrar.register()
        return self

    def connect(self, instance: Instance) -> Endpoint:
        """A factory for an endpointer: the endpoint answers with the name of the instance."""

        async def endpoint(request: Any) -> str:
            await asyncio.sleep(_CALL_SECONDS)
            if instance.id in self.broken:
                raise Unavailable(f"{instance.id} does not answer")
            return instance.id

        return endpoint

    async def crash(self, name: str) -> None:
        """It answers nothing more, and its heartbeats end."""
        self._registrars[name].crash()
        self.broken.add(name)

    async def stop(self, name: str) -> None:
        """It takes itself back, finishes what it has begun, then ends."""
        await self._registrars[name].deregister()
        await asyncio.sleep(_CALL_SECONDS)
        self.broken.add(name)

    async def spoil(self, name: str) -> None:
        """Every call to it fails, and its heartbeats go on."""
        self.broken.add(name)

    async def revive(self, name: str) -> None:
        """It is well again, and registers."""
        self.broken.discard(name)
        await self._registrars[name].register()

    def forget(self) -> None:
        """A new agent that knows nothing takes the place of the old one."""
        self.agent = ConsulAgent(fetch=self._probe)
        self.wire.app = self.agent.app

    async def cut_off(self, seconds: float, *, forget: bool = False) -> None:
        """For so long nobody reaches the agent; with `forget` it comes back knowing nothing."""
        self.wire.cut()
        await asyncio.sleep(seconds)
        if forget:
            self.forget()
        self.wire.restore()

    async def _probe(self, check: Any) -> tuple[str, str]:
        name = check.http.removeprefix("http://")
        return ("critical" if name in self.broken else "passing"), ""
