"""One running copy of a service: where it is, how much it can take, how busy it is.

`in_flight` may be assigned by anybody; whoever watches the instance is told of it.
"""

from typing import Any
from weakref import ref

from course_lib.endpoint import Endpoint


class Instance:
    """One running copy of a service; `weight` is its share of the load, `zone` where it stands."""

    __slots__ = ("_in_flight", "_watchers", "address", "endpoint", "id", "weight", "zone")

    def __init__(
        self,
        id: str,
        address: str,
        weight: int = 1,
        endpoint: Endpoint | None = None,
        *,
        zone: str = "",
    ) -> None:
        if weight < 1:
            raise ValueError(f"weight of {id!r}: expected 1 or more, got {weight}")
        self.id = id
        self.address = address
        self.weight = weight
        self.endpoint = endpoint
        self.zone = zone
        self._in_flight = 0
        self._watchers: dict[ref[Any], set[Instance]] = {}

    @property
    def in_flight(self) -> int:
        """Requests sent to this instance that have not come back."""
        return self._in_flight

    @in_flight.setter
    def in_flight(self, count: int) -> None:
        self._in_flight = count
        for changed in self._watchers.values():
            changed.add(self)

    def watch(self, owner: object, changed: "set[Instance]") -> None:
        """Add this instance to `changed` at every change of `in_flight`, while `owner` lives."""
        self._watchers[ref(owner, self._watchers.pop)] = changed

    def __repr__(self) -> str:
        return f"Instance({self.id!r}, {self.address!r}, weight={self.weight})"
