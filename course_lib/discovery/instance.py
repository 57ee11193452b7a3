"""One running copy of a service: where it is, how much it can take, how busy it is.

`in_flight` may be assigned by anybody; whoever watches the instance is told of it.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any
from weakref import ref

from course_lib.endpoint import Endpoint


class Instance:
    """One running copy of a service; `weight` is its share of the load, `zone` where it stands."""

    __slots__ = ("_in_flight", "_tell", "_watchers", "address", "endpoint", "id", "weight", "zone")

    def __init__(
        self,
        id: str,
        address: str,
        weight: int = 1,
        endpoint: Endpoint | None = None,
        *,
        zone: str = "",
    ) -> None:
        if not isinstance(weight, int) or weight < 1:
            raise ValueError(f"weight of {id!r}: expected a whole number from 1, got {weight!r}")
        self.id = id
        self.address = address
        self.weight = weight
        self.endpoint = endpoint
        self.zone = zone
        self._in_flight = 0
        self._watchers: dict[ref[Any], Callable[[], object]] = {}
        self._tell: tuple[Callable[[], object], ...] = ()

    def _set_in_flight(self, count: int) -> None:
        self._in_flight = count
        for notify in self._tell:
            notify()

    in_flight = property(attrgetter("_in_flight"), _set_in_flight)
    """Requests sent to this instance that have not come back; may be assigned."""

    def begin(self) -> None:
        """Count one request more in flight."""
        self._in_flight += 1
        for notify in self._tell:
            notify()

    def end(self) -> None:
        """Count one request less in flight."""
        self._in_flight -= 1
        for notify in self._tell:
            notify()

    def watch(self, owner: object, notify: Callable[[], object]) -> None:
        """Call `notify()` at every change of `in_flight`, for as long as `owner` lives."""
        self._watchers[ref(owner, self._forget)] = notify
        self._tell = tuple(self._watchers.values())

    def _forget(self, owner: ref[Any]) -> None:
        del self._watchers[owner]
        self._tell = tuple(self._watchers.values())

    def __repr__(self) -> str:
        return f"Instance({self.id!r}, {self.address!r}, weight={self.weight})"
