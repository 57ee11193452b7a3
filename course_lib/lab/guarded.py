"""The instances of a fleet as a client with circuit breakers sees them, for a control panel."""

from collections.abc import Mapping
from typing import Any

from course_lib.lab.instances import FleetInstance
from course_lib.middleware.breaker import CircuitBreaker


class Guarded:
    """An instance and the breaker before it; its state names both, such as "up, open"."""

    def __init__(self, instance: FleetInstance, circuit: CircuitBreaker) -> None:
        self._instance, self._circuit = instance, circuit

    @property
    def state(self) -> str:
        """What the instance does, then what its breaker says."""
        return f"{self._instance.state}, breaker {self._circuit.state.replace('_', ' ')}"

    @property
    def strip(self) -> str:
        """What the panel draws as a strip: the state of the breaker."""
        return self._circuit.state

    def revive(self) -> None:
        """Undo whatever was done to the instance; the breaker finds out by itself."""
        self._instance.recover()
        self._instance.revive()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._instance, name)


def guarded(
    fleet: Mapping[str, FleetInstance], circuits: Mapping[str, CircuitBreaker]
) -> dict[str, Guarded]:
    """Each instance of the fleet with the breaker of the same name."""
    return {name: Guarded(instance, circuits[name]) for name, instance in fleet.items()}
