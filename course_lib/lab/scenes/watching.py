"""What a client knows of a service that registers itself, and how a control panel shows it."""

from collections.abc import Sequence
from typing import Any

import httpx

from course_lib.discovery import Endpointer, Event, Instance
from course_lib.discovery.consul_http import ConsulInstancer, consul_client
from course_lib.discovery.endpointer import Factory
from course_lib.lab.instances import FleetInstance, Shown
from course_lib.lab.launched import Server, start
from course_lib.lab.scenes.diary import Diary


class Watch(Server):
    """What a client knows of a service: call it for the instances it would choose from.

    `factory` connects an instance, `options` are those of `ConsulInstancer`. Who comes and goes
    is noted in `diary`, in a row such as "a, for the client".
    """

    def __init__(
        self,
        consul: str,
        service: str,
        factory: Factory,
        diary: Diary | None = None,
        **options: Any,
    ) -> None:
        super().__init__(f"watch of {service}")
        self._consul, self._service, self._options = consul, service, options
        self._factory, self._diary = factory, diary or Diary()
        self._known: set[str] = set()
        start(self, f"watch of {service}", 0)

    def __call__(self) -> Sequence[Instance]:
        """The instances the client knows; the same tuple until they change."""
        return self._endpointer()

    async def _start(self, port: int) -> None:
        self._client: httpx.AsyncClient = consul_client(self._consul)
        self._instancer = ConsulInstancer(self._client, self._service, **self._options)
        self._endpointer = Endpointer(self._instancer, self._factory)
        self._instancer.register(self._note)
        await self._endpointer.heard()

    async def _stop(self, drain_seconds: float) -> None:
        await self._kill()

    async def _kill(self) -> None:
        self._instancer.stop()
        await self._client.aclose()

    def _note(self, event: Event) -> None:
        if event.error is None:
            there = {each.id for each in event.instances}
            self._known |= there
            for name in self._known:
                self._diary.note(f"{name}, for the client", "listed" if name in there else "gone")


class Seen(Shown):
    """An instance as a control panel shows it: its state, and whether the client lists it."""

    def __init__(self, instance: FleetInstance, watch: Watch) -> None:
        super().__init__(instance)
        self._watch = watch

    @property
    def state(self) -> str:
        """Such as "down, listed"."""
        listed = any(each.id == self._instance.name for each in self._watch())
        return f"{self._instance.state}, {'listed' if listed else 'gone'}"


class Noted(Shown):
    """An instance as a control panel shows it, whose crashes and returns are noted in `diary`."""

    def __init__(self, instance: FleetInstance, diary: Diary) -> None:
        super().__init__(instance)
        self._diary = diary
        diary.note(instance.name, "up")

    def kill(self) -> None:
        """Crash."""
        self._instance.kill()
        self._diary.note(self._instance.name, "killed")

    def revive(self) -> None:
        """Undo whatever was done to it."""
        super().revive()
        self._diary.note(self._instance.name, "up")
