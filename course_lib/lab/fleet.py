"""Several instances of one service, by name."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

from course_lib.lab.instances import FleetInstance, GrpcInstance, close_lines
from course_lib.lab.launched import stop_together

__all__ = ["Fleet", "FleetInstance", "GrpcInstance", "close_lines"]


class Fleet(Mapping[str, FleetInstance]):
    """Instances by name, in the order of their names; usable as a context manager.

    `make_app(name)` makes the ASGI application of an instance. A fleet of the same `name`
    replaces the one before it.
    """

    def __init__(
        self,
        make_app: Callable[[str], Any],
        names: Sequence[str] = ("a", "b", "c"),
        *,
        name: str = "fleet",
        lined: bool = False,
    ) -> None:
        self._instances = {
            n: FleetInstance(n, make_app(n), f"{name}-{n}", lined=lined) for n in names
        }

    @property
    def addresses(self) -> dict[str, str]:
        """The address of each instance, whatever its state."""
        return {name: instance.address for name, instance in self.items()}

    @property
    def served(self) -> dict[str, int]:
        """How many requests each instance has answered."""
        return {name: instance.served for name, instance in self.items()}

    @property
    def state(self) -> dict[str, str]:
        """What each instance is doing."""
        return {name: instance.state for name, instance in self.items()}

    def stop(self) -> None:
        """Stop every instance, all at the same time."""
        stop_together(instance.server for instance in self.values())
        for instance in self.values():
            if instance.line is not None:
                instance.line.close()

    def __getitem__(self, name: str) -> FleetInstance:
        return self._instances[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._instances)

    def __len__(self) -> int:
        return len(self._instances)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Fleet {', '.join(f'{name}: {state}' for name, state in self.state.items())}>"
