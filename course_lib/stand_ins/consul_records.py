"""What the catalogue holds: a check with its state, a service with its checks."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from course_lib.stand_ins.consul_definitions import CheckDefinition, ServiceDefinition


@dataclass
class Check:
    """A check and what it last said; without a service id it is a check of the node."""

    definition: CheckDefinition
    check_id: str
    name: str
    kind: str
    status: str
    service_id: str = ""
    service_name: str = ""
    service_tags: tuple[str, ...] = ()
    output: str = ""
    create_index: int = 0
    modify_index: int = 0


@dataclass
class Service:
    """A registered instance and its checks by id."""

    definition: ServiceDefinition
    create_index: int
    modify_index: int
    checks: dict[str, Check] = field(default_factory=dict)
    encoded: tuple[int, Any] | None = None
    """What the health route keeps of it: the node's revision, and the answer ready to be sent."""


class Watcher(Protocol):
    """Whoever runs the checks."""

    def start(self, check: Check) -> None: ...
    def stop(self, check: Check) -> None: ...
    def follow(self, check: Check) -> None: ...
