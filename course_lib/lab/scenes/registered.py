"""A fleet that registers itself with a Consul agent; `watching` is the client's side.

It lives on the lab's loop, so heartbeats go on while a cell runs, and end with the server they
belong to. A kill ends an instance and its heartbeats without a word; a stop deregisters first.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from course_lib.discovery.consul_http import consul_client
from course_lib.discovery.consul_registrar_http import ConsulRegistrar
from course_lib.errors import CallError
from course_lib.lab.fleet import Fleet
from course_lib.lab.instances import FleetInstance
from course_lib.lab.launched import Server, start, stop_together
from course_lib.lab.scenes.diary import Diary
from course_lib.lab.scenes.watching import Noted, Seen, Watch

__all__ = ["Diary", "Noted", "RegisteredFleet", "Seen", "Watch"]

_FIRST_TRY_SECONDS, _TRY_AGAIN_SECONDS = 1.0, 0.5


class Registration(Server):
    """One instance's place in the registry; `options` are those of `ConsulRegistrar`.

    `stop()` deregisters, `kill()` ends the heartbeats without a word. While the registry cannot be
    asked it tries again.
    """

    def __init__(self, consul: str, service: str, address: str, **options: Any) -> None:
        super().__init__(f"registration of {address}")
        self._consul, self._service, self._of, self._options = consul, service, address, options

    async def _start(self, port: int) -> None:
        self._client = consul_client(self._consul)
        self._registrar = ConsulRegistrar(self._client, self._service, self._of, **self._options)
        self._trying = asyncio.create_task(self._register())
        await asyncio.wait([self._trying], timeout=_FIRST_TRY_SECONDS)

    async def _register(self) -> None:
        """A registry that is away will come back, and then it should hear of this instance."""
        while True:
            try:
                return await self._registrar.register()
            except CallError:
                await asyncio.sleep(_TRY_AGAIN_SECONDS)

    async def _stop(self, drain_seconds: float) -> None:
        self._trying.cancel()
        with contextlib.suppress(CallError):  # nobody there to be told
            await self._registrar.deregister()
        await self._kill()

    async def _kill(self) -> None:
        self._trying.cancel()
        self._registrar.crash()
        await self._client.aclose()


class RegisteredInstance(FleetInstance):
    """One instance of a fleet that keeps itself registered while it lives."""

    def __init__(
        self, name: str, app: Any, server_name: str, diary: Diary, register: Callable[..., Any]
    ) -> None:
        super().__init__(name, app, server_name, lined=True)
        self._diary, self._register = diary, register
        self._begin()
        self._diary.note(self.name, "up")

    @property
    def acts(self) -> Mapping[str, Callable[[], None]]:
        """What a control panel offers for it besides the usual."""
        return {"stop": self.stop, **super().acts}

    def kill(self) -> None:
        """Crash, and the heartbeats with it; the registry is not told."""
        self._registration.kill()
        super().kill()
        self._diary.note(self.name, "killed")

    def stop(self) -> None:
        """Deregister, then let the requests in flight finish, and end."""
        self._registration.stop()
        super().stop()
        self._diary.note(self.name, "stopped")

    def partition(self) -> None:
        """Let nothing pass between it and its clients; its heartbeats go on."""
        super().partition()
        self._diary.note(self.name, "cut")

    def revive(self) -> None:
        """Mend the line; start again at the same address and register, if it is down."""
        was_down = self.state == "down"
        super().revive()
        if was_down:
            self._begin()
        self._diary.note(self.name, "up")

    def _begin(self) -> None:
        self._registration = start(self._register(self), f"registration-{self._server_name}", 0)


class RegisteredFleet(Fleet):
    """A fleet whose instances register themselves as `service` with the agent at `consul`.

    `options` are those of `ConsulRegistrar`. What becomes of the instances is noted in `diary`.
    """

    def __init__(
        self,
        make_app: Callable[[str], Any],
        consul: str,
        service: str,
        names: Sequence[str] = ("a", "b", "c"),
        *,
        diary: Diary | None = None,
        **options: Any,
    ) -> None:
        def register(each: FleetInstance) -> Registration:
            return Registration(consul, service, each.address, id=each.name, **options)

        self.diary = diary or Diary()
        self._instances: dict[str, Any] = {
            n: RegisteredInstance(n, make_app(n), f"{service}-{n}", self.diary, register)
            for n in names
        }

    def stop(self) -> None:
        """Deregister all instances, then stop them, all at the same time."""
        stop_together(instance._registration for instance in self._instances.values())
        super().stop()
