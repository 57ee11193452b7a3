"""An embedded Consul agent: the HTTP API of a one-node datacentre, inside this process.

Leaves out: raft, gossip, ACLs, sessions and locks, Connect, DNS, prepared queries, persistence.
"""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from course_lib.stand_ins.consul_catalogue import Catalogue
from course_lib.stand_ins.consul_changes import Changes
from course_lib.stand_ins.consul_checks import CheckRunner
from course_lib.stand_ins.consul_http import answers, as_json
from course_lib.stand_ins.consul_kv import KeyValues
from course_lib.stand_ins.consul_kv_routes import kv_routes
from course_lib.stand_ins.consul_probe import Fetch, http_fetch
from course_lib.stand_ins.consul_records import Node
from course_lib.stand_ins.consul_routes import (
    catalogue_routes,
    check_routes,
    service_routes,
)
from course_lib.stand_ins.consul_state import State
from course_lib.stand_ins.consul_values import Refused


class ConsulAgent:
    """A service registry that any Consul client can talk to: `serve(ConsulAgent().app)`.

    Times in seconds. As in Consul, an HTTP check runs at most once a second, and a service that
    stays critical is removed after a minute at the earliest, by a reaper that comes every 30 s.
    `fetch` is how HTTP checks are made; `rng` spreads them and the ends of blocking queries.
    """

    def __init__(
        self,
        *,
        node: str = "agent-one",
        datacenter: str = "dc1",
        address: str = "127.0.0.1",
        fetch: Fetch | None = None,
        rng: random.Random | None = None,
        minimum_interval_seconds: float = 1.0,
        minimum_deregister_seconds: float = 60.0,
        reap_interval_seconds: float = 30.0,
    ) -> None:
        rng = rng or random.Random(8500)
        changes = Changes()
        catalogue = Catalogue(changes)
        runner = CheckRunner(
            catalogue,
            fetch or http_fetch(),
            rng,
            minimum_interval_seconds=minimum_interval_seconds,
            minimum_deregister_seconds=minimum_deregister_seconds,
            reap_interval_seconds=reap_interval_seconds,
        )
        catalogue.watcher = runner
        place = Node(node, address, datacenter)
        self._state = State(place, changes, catalogue, KeyValues(changes), runner)
        self._datacenters = {datacenter: self._state}
        self.app = Starlette(
            routes=[
                *service_routes(self._state),
                *check_routes(self._state),
                *catalogue_routes(self._state_of, rng),
                *kv_routes(self._state_of, rng),
                *self._own_routes(),
            ],
            exception_handlers={HTTPException: _in_consuls_words},
            lifespan=self._lifespan,
        )

    @property
    def watchers(self) -> int:
        """How many blocking queries are waiting."""
        return self._state.changes.watchers

    def join(self, other: "ConsulAgent") -> None:
        """Federate two datacentres: each then answers `?dc=` for the other (one event loop)."""
        together = {**self._datacenters, **other._datacenters}
        self._datacenters.update(together)
        other._datacenters.update(together)

    def close(self) -> None:
        """Stop every check; call it on the agent's event loop."""
        self._state.runner.stop_all()

    def _state_of(self, datacenter: str) -> State:
        if not datacenter:
            return self._state
        if datacenter not in self._datacenters:
            raise Refused(500, "No path to datacenter")
        return self._datacenters[datacenter]

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self._state.runner.start_all()
        try:
            yield
        finally:
            self.close()

    def _own_routes(self) -> list[BaseRoute]:
        node = self._state.node
        leader = f"{node.address}:8300"

        def constant(path: str, value: Any) -> Route:
            async def tell(_: Request) -> Response:
                return as_json(value)

            return Route(path, answers(tell), methods=["GET"])

        async def datacenters(_: Request) -> Response:
            return as_json(sorted(self._datacenters))

        member = {"Name": node.name, "Addr": node.address, "Port": 8301, "Status": 1}
        member["Tags"] = {"dc": node.datacenter, "role": "consul", "id": node.node_id}
        return [
            constant("/v1/agent/self", _about(node, member)),
            constant("/v1/agent/members", [member]),
            constant("/v1/status/leader", leader),
            constant("/v1/status/peers", [leader]),
            Route("/v1/catalog/datacenters", datacenters, methods=["GET"]),
        ]


def _about(node: Node, member: dict[str, Any]) -> dict[str, Any]:
    config = {
        "Datacenter": node.datacenter,
        "PrimaryDatacenter": node.datacenter,
        "NodeName": node.name,
        "NodeID": node.node_id,
        "Revision": "embedded",
        "Server": True,
        "Version": "1.20.0",
    }
    return {"Config": config, "Member": member, "Stats": {}, "Meta": {}}


async def _in_consuls_words(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    words = {
        404: "Invalid URL path: not a recognized HTTP API endpoint",
        405: f"method {request.method} not allowed",
    }.get(status, "internal error")
    headers = error.headers if isinstance(error, HTTPException) else None
    return Response(words, status, headers, "text/plain")
