"""What the catalogue holds, and how it looks in answers: Consul's JSON, field by field."""

import uuid
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from course_lib.stand_ins.consul_definitions import CheckDefinition, ServiceDefinition


@dataclass(frozen=True)
class Node:
    """The machine the agent runs on, as far as the catalogue is concerned."""

    name: str
    address: str
    datacenter: str

    @cached_property
    def node_id(self) -> str:
        """The same name gives the same id on every run."""
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.name}.{self.datacenter}"))

    @property
    def addresses(self) -> dict[str, str]:
        return dict.fromkeys(("lan", "lan_ipv4", "wan", "wan_ipv4"), self.address)

    def view(self) -> dict[str, Any]:
        """As it stands in `/v1/catalog/nodes` and in every health answer."""
        return {
            "ID": self.node_id,
            "Node": self.name,
            "Address": self.address,
            "Datacenter": self.datacenter,
            "TaggedAddresses": self.addresses,
            "Meta": {"consul-network-segment": ""},
            "CreateIndex": 1,
            "ModifyIndex": 1,
        }


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


def service_view(service: Service) -> dict[str, Any]:
    """A service as it stands in `/v1/health/service` and `/v1/catalog/node`."""
    definition = service.definition
    return {
        "ID": definition.service_id,
        "Service": definition.name,
        "Tags": list(definition.tags),
        "Address": definition.address,
        "TaggedAddresses": definition.tagged_addresses,
        "Meta": definition.meta,
        "Port": definition.port,
        "Weights": {"Passing": definition.weight_passing, "Warning": definition.weight_warning},
        "EnableTagOverride": definition.enable_tag_override,
        "Proxy": {"Mode": "", "MeshGateway": {}, "Expose": {}},
        "Connect": {},
        "CreateIndex": service.create_index,
        "ModifyIndex": service.modify_index,
    }


def agent_service_view(node: Node, service: Service) -> dict[str, Any]:
    """A service as it stands in `/v1/agent/services`."""
    view = service_view(service)
    del view["Proxy"], view["Connect"]
    return {**view, "Datacenter": node.datacenter}


def catalogue_view(node: Node, service: Service) -> dict[str, Any]:
    """A service as it stands in `/v1/catalog/service`: flat, with the node's fields in front."""
    view, place = service_view(service), node.view()
    return {
        "ID": place["ID"],
        "Node": place["Node"],
        "Address": place["Address"],
        "Datacenter": place["Datacenter"],
        "TaggedAddresses": place["TaggedAddresses"],
        "NodeMeta": place["Meta"],
        "ServiceKind": "",
        "ServiceID": view["ID"],
        "ServiceName": view["Service"],
        "ServiceTags": view["Tags"],
        "ServiceAddress": view["Address"],
        "ServiceTaggedAddresses": view["TaggedAddresses"],
        "ServiceWeights": view["Weights"],
        "ServiceMeta": view["Meta"],
        "ServicePort": view["Port"],
        "ServiceEnableTagOverride": view["EnableTagOverride"],
        "ServiceProxy": view["Proxy"],
        "ServiceConnect": view["Connect"],
        "CreateIndex": view["CreateIndex"],
        "ModifyIndex": view["ModifyIndex"],
    }


def check_view(node: Node, check: Check) -> dict[str, Any]:
    """A check as it stands in every answer that has checks."""
    interval = check.definition.interval_seconds
    return {
        "Node": node.name,
        "CheckID": check.check_id,
        "Name": check.name,
        "Status": check.status,
        "Notes": check.definition.notes,
        "Output": check.output,
        "ServiceID": check.service_id,
        "ServiceName": check.service_name,
        "ServiceTags": list(check.service_tags),
        "Type": check.kind,
        "Interval": f"{interval:g}s" if interval else "",
        "Timeout": f"{check.definition.timeout_seconds:g}s" if interval else "",
        "ExposedPort": 0,
        "Definition": {},
        "CreateIndex": check.create_index,
        "ModifyIndex": check.modify_index,
    }
