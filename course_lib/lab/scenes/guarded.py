"""The instances of a fleet as a client with circuit breakers sees them, for a control panel."""

from collections.abc import Mapping

from course_lib.lab.instances import FleetInstance, Shown
from course_lib.middleware.breaker import CircuitBreaker


class Guarded(Shown):
    """An instance and the breaker before it; its state names both, such as "up, open"."""

    def __init__(self, instance: FleetInstance, circuit: CircuitBreaker) -> None:
        super().__init__(instance)
        self._circuit = circuit

    @property
    def state(self) -> str:
        """What the instance does, then what its breaker says."""
        return f"{self._instance.state}, breaker {self._circuit.state.replace('_', ' ')}"

    @property
    def strip(self) -> str:
        """What the panel draws as a strip: the state of the breaker."""
        return self._circuit.state


def guarded(
    fleet: Mapping[str, FleetInstance], circuits: Mapping[str, CircuitBreaker]
) -> dict[str, Guarded]:
    """Each instance of the fleet with the breaker of the same name."""
    return {name: Guarded(instance, circuits[name]) for name, instance in fleet.items()}
