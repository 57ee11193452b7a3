"""An instancer learns which instances a service has and tells whoever has registered a sink.

As in Go-kit an event holds the whole set, not the difference. `LocalInstancer` is told by hand;
`consul_http` asks a registry.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from course_lib.discovery.instance import Instance


@dataclass(frozen=True, slots=True)
class Event:
    """All instances there are, sorted and without duplicates; or why nobody can say."""

    instances: tuple[Instance, ...] = ()
    error: Exception | None = None


Sink = Callable[[Event], None]


class Instancer(Protocol):
    """Tells its sinks what is known: once at registration, and at every change."""

    def register(self, sink: Sink) -> None: ...
    def deregister(self, sink: Sink) -> None: ...
    def stop(self) -> None: ...


def sorted_set(instances: Iterable[Instance]) -> tuple[Instance, ...]:
    """Sort by id and address, and keep the first of those that have both in common."""
    seen: dict[tuple[str, str], Instance] = {}
    for instance in instances:
        seen.setdefault((instance.id, instance.address), instance)
    return tuple(seen[key] for key in sorted(seen))


class LocalInstancer:
    """An instancer that knows what it is told: a fixed list, a test, a lesson."""

    def __init__(self, instances: Iterable[Instance] = ()) -> None:
        self._sinks: list[Sink] = []
        self._event = Event(sorted_set(instances))

    def put(self, instances: Iterable[Instance]) -> None:
        """Replace the set; the sinks are told if it differs from what they were told last."""
        event = Event(sorted_set(instances))
        if self._event.error is not None or _facts(event) != _facts(self._event):
            self._tell(event)

    def fail(self, error: Exception) -> None:
        """Behave as a registry that cannot be asked."""
        self._tell(Event(error=error))

    def register(self, sink: Sink) -> None:
        """Tell `sink` what is known now, and everything that comes."""
        self._sinks.append(sink)
        sink(self._event)

    def deregister(self, sink: Sink) -> None:
        """Tell `sink` nothing more."""
        if sink in self._sinks:
            self._sinks.remove(sink)

    def stop(self) -> None:
        """Tell nobody anything more."""
        self._sinks.clear()

    def _tell(self, event: Event) -> None:
        self._event = event
        for sink in list(self._sinks):
            sink(event)


def _facts(event: Event) -> list[tuple[str, str, int, str]]:
    return [(each.id, each.address, each.weight, each.zone) for each in event.instances]
