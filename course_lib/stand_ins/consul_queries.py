"""The questions one may ask and wait for: catalogue and health, as a table of routes.

Each names the topics whose change ends a blocking query, how the answer is made, and an example
record against which a filter is compiled.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.datastructures import QueryParams

from course_lib.stand_ins.consul_definitions import CheckDefinition, ServiceDefinition
from course_lib.stand_ins.consul_filter import Predicate
from course_lib.stand_ins.consul_records import (
    Check,
    Node,
    Service,
    catalogue_view,
    check_view,
    service_view,
)
from course_lib.stand_ins.consul_state import State
from course_lib.stand_ins.consul_values import Refused, boolean


@dataclass(frozen=True)
class Question:
    """What was asked: the last part of the path, the parameters, and the compiled filter."""

    subject: str
    params: QueryParams
    filter: Predicate | None = None

    def keep(self, view: Any) -> bool:
        """True when there is no filter, or the filter lets the record pass."""
        return self.filter is None or self.filter(view)

    def flag(self, name: str) -> bool:
        """A boolean parameter; `?passing` alone means yes."""
        if name not in self.params:
            return False
        try:
            return boolean(self.params[name] or "true")
        except ValueError:
            raise Refused(400, f"Invalid value for ?{name}") from None

    def tagged(self, service: Service) -> bool:
        """True when the service has every tag asked for, in whatever case."""
        tags = {tag.lower() for tag in service.definition.tags}
        return all(tag.lower() in tags for tag in self.params.getlist("tag") if tag)


Answer = Callable[[State, Question], Any]


@dataclass(frozen=True)
class Query:
    """One GET route; `missing` is what an empty subject is answered with (status 400)."""

    path: str
    topics: tuple[str, ...]
    answer: Answer
    example: Any
    missing: str = ""

    def topics_of(self, subject: str) -> tuple[str, ...]:
        """The topics with the subject in place of the star."""
        return tuple(topic.replace("*", subject) for topic in self.topics)


def _entry(
    state: State, service: Service, node: dict[str, Any], checks: list[Any]
) -> dict[str, Any]:
    own = [check_view(state.node, check) for check in service.checks.values()]
    return {"Node": node, "Service": service_view(service), "Checks": [*checks, *own]}


def _encoded(state: State, service: Service, node: Any, checks: list[Any]) -> orjson.Fragment:
    """The same, encoded once for as long as nothing in it changes: instances may be many."""
    revision = state.catalogue.node_revision
    if service.encoded is None or service.encoded[0] != revision:
        entry = orjson.dumps(_entry(state, service, node, checks))
        service.encoded = (revision, orjson.Fragment(entry))
    return service.encoded[1]


def health_service(state: State, question: Question) -> list[Any]:
    """The instances of a service with node and checks; `?passing` leaves only the healthy ones."""
    passing, node = question.flag("passing"), state.node.view()
    shared = state.node_checks()
    if passing and any(check.status != "passing" for check in shared):
        return []
    checks = [check_view(state.node, check) for check in shared]
    services = [
        service
        for service in state.named(question.subject)
        if question.tagged(service)
        and not (passing and any(check.status != "passing" for check in service.checks.values()))
    ]
    if question.filter is None:
        return [_encoded(state, service, node, checks) for service in services]
    entries = [_entry(state, service, node, checks) for service in services]
    return [entry for entry in entries if question.keep(entry)]


def _check_views(state: State, question: Question, checks: list[Check]) -> list[Any]:
    views = [check_view(state.node, check) for check in checks]
    return [view for view in views if question.keep(view)]


def health_checks(state: State, question: Question) -> list[Any]:
    """The checks of a service."""
    own = [check for check in state.checks() if check.service_name == question.subject]
    return _check_views(state, question, own)


def health_state(state: State, question: Question) -> list[Any]:
    """The checks in a state: any, passing, warning or critical."""
    wanted = question.subject
    found = [check for check in state.checks() if wanted in ("any", check.status)]
    return _check_views(state, question, found)


def health_node(state: State, question: Question) -> list[Any]:
    """The checks of the node and of everything on it."""
    known = question.subject == state.node.name
    return _check_views(state, question, state.checks() if known else [])


def catalogue_services(state: State, question: Question) -> dict[str, list[str]]:
    """The names of all services, each with the tags its instances have."""
    names: dict[str, dict[str, None]] = {}
    for service in state.services():
        if question.filter is None or question.keep(catalogue_view(state.node, service)):
            names.setdefault(service.definition.name, {}).update(
                dict.fromkeys(service.definition.tags)
            )
    return {name: list(tags) for name, tags in names.items()}


def catalogue_service(state: State, question: Question) -> list[Any]:
    """The instances of a service, whatever their health."""
    services = [service for service in state.named(question.subject) if question.tagged(service)]
    views = [catalogue_view(state.node, service) for service in services]
    return [view for view in views if question.keep(view)]


def catalogue_nodes(state: State, question: Question) -> list[Any]:
    """The nodes of the datacentre: this one."""
    return [view for view in [state.node.view()] if question.keep(view)]


def catalogue_node(state: State, question: Question) -> dict[str, Any] | None:
    """A node with everything on it."""
    if question.subject != state.node.name:
        return None
    views = [service_view(service) for service in state.services()]
    kept = {view["ID"]: view for view in views if question.keep(view)}
    return {"Node": state.node.view(), "Services": kept}


_NODE = Node("node", "127.0.0.1", "dc1")
_SERVICE = Service(ServiceDefinition("id", "name"), 1, 1)
_CHECK = Check(CheckDefinition(), "id", "name", "ttl", "passing")
CHECK_EXAMPLE = check_view(_NODE, _CHECK)
SERVICE_EXAMPLE = service_view(_SERVICE)
_ENTRY = {"Node": _NODE.view(), "Service": SERVICE_EXAMPLE, "Checks": [CHECK_EXAMPLE]}
_PLACE = catalogue_view(_NODE, _SERVICE)
_OF_NAME, _OF_SERVICE = ("catalogue:*",), ("service:*", "node")

QUERIES = (
    Query("/v1/health/service/", _OF_SERVICE, health_service, _ENTRY, "Missing service name"),
    Query("/v1/health/checks/", _OF_SERVICE, health_checks, CHECK_EXAMPLE, "Missing service name"),
    Query("/v1/health/state/", ("checks",), health_state, CHECK_EXAMPLE, "Missing check state"),
    Query("/v1/health/node/", ("checks",), health_node, CHECK_EXAMPLE, "Missing node name"),
    Query("/v1/catalog/services", ("services",), catalogue_services, _PLACE),
    Query("/v1/catalog/service/", _OF_NAME, catalogue_service, _PLACE, "Missing service name"),
    Query("/v1/catalog/nodes", ("nodes",), catalogue_nodes, _NODE.view()),
    Query("/v1/catalog/node/", ("services",), catalogue_node, SERVICE_EXAMPLE, "Missing node name"),
)
