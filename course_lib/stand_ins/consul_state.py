"""Everything one agent knows, in one place: what the routes read and change."""

from collections.abc import Callable
from dataclasses import dataclass, field

from course_lib.stand_ins.consul_catalogue import Catalogue
from course_lib.stand_ins.consul_changes import Changes
from course_lib.stand_ins.consul_checks import CheckRunner
from course_lib.stand_ins.consul_definitions import CheckDefinition, ServiceDefinition
from course_lib.stand_ins.consul_kv import KeyValues
from course_lib.stand_ins.consul_records import Check, Node, Service


def _consul_itself() -> Service:
    return Service(ServiceDefinition("consul", "consul", port=8300), 1, 1)


def _serf_health() -> Check:
    return Check(
        CheckDefinition(),
        check_id="serfHealth",
        name="Serf Health Status",
        kind="",
        status="passing",
        output="Agent alive and reachable",
        create_index=1,
        modify_index=1,
    )


@dataclass
class State:
    """One datacentre with one node: catalogue, keys, the index, and who runs the checks.

    As on a real server, the agent is in its own catalogue: as the service `consul`, and with
    `serfHealth` among the checks of the node.
    """

    node: Node
    changes: Changes
    catalogue: Catalogue
    kv: KeyValues
    runner: CheckRunner
    consul: Service = field(default_factory=_consul_itself)
    serf: Check = field(default_factory=_serf_health)

    def services(self) -> list[Service]:
        """Every instance, this agent first."""
        known = self.catalogue.services
        return [self.consul, *(known[service_id] for service_id in sorted(known))]

    def named(self, name: str) -> list[Service]:
        """The instances of one service, sorted by id."""
        own = [self.consul] if name == "consul" else []
        return own + self.catalogue.named(name)

    def node_checks(self) -> list[Check]:
        """The checks that count for every service of the node."""
        return [self.serf, *self.catalogue.node_checks()]

    def checks(self) -> list[Check]:
        """Every check, sorted by id."""
        known = self.catalogue.checks
        return [self.serf, *(known[check_id] for check_id in sorted(known))]


StateOf = Callable[[str], State]
"""The state of a datacentre; the empty name means the agent's own. `Refused` (500) when unknown."""
