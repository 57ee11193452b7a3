"""The user service over several transports at once, to compare them and to break them.

`three_ways` serves it over HTTP, gRPC and memory; `two_wires` over HTTP and gRPC, each behind a
line that counts and breaks. A way is an instance as in a fleet, so a control panel takes it, and
its `client` has the service's own interface.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc

from course_lib.endpoint import Endpoint
from course_lib.errors import Unavailable
from course_lib.lab.instances import FleetInstance, GrpcInstance
from course_lib.shop.endpoints import UserClient, UserEndpoints, Wrap, bare, user_endpoints
from course_lib.shop.users import UserService
from course_lib.shop.users_grpc import add_users, grpc_user_client
from course_lib.shop.users_http import http_user_client, user_routes
from course_lib.transport.http_server import http_app
from course_lib.transport.memory import memory_client, memory_server

_RECONNECT = [("grpc.max_reconnect_backoff_ms", 5000)]


def three_ways(
    service: UserService,
    wrap: Wrap = bare,
    *,
    client: Mapping[str, Any] | None = None,
    name: str = "users",
    **hooks: Any,
) -> "dict[str, FleetInstance | InMemory]":
    """The user service over "HTTP", "gRPC" and "memory", with the same middleware and hooks.

    `hooks` (`before`, `after`, `finalizers`) are the server's, those in `client` the client's.
    Call it on the loop that will make the calls; the same `name` replaces the ways before.
    """
    endpoints, theirs = user_endpoints(service, wrap), client or {}
    http, rpc = _both(endpoints, name, hooks)
    http.client = http_user_client(http.url, **theirs)
    rpc.client = grpc_user_client(grpc.aio.insecure_channel(rpc.address, _RECONNECT), **theirs)
    return {"HTTP": http, "gRPC": rpc, "memory": InMemory(endpoints, hooks, theirs)}


@asynccontextmanager
async def two_wires(
    endpoints: UserEndpoints, channel_options: Sequence[tuple[str, Any]] = (), **hooks: Any
) -> AsyncIterator[dict[str, FleetInstance]]:
    """Serve the endpoints over "HTTP" and "gRPC" as long as the block lasts; each has a `line`.

    `channel_options` are those of the gRPC channel, `hooks` (`before`, `after`) the clients'.
    """
    http, rpc = _both(endpoints, "wires", {}, lined=True)
    with http, rpc:
        async with grpc.aio.insecure_channel(rpc.address, channel_options) as channel:
            http.client = http_user_client(http.url, **hooks)
            rpc.client = grpc_user_client(channel, **hooks)
            yield {"HTTP": http, "gRPC": rpc}


def _both(
    endpoints: UserEndpoints, name: str, hooks: Mapping[str, Any], *, lined: bool = False
) -> tuple[FleetInstance, FleetInstance]:
    def add(server: grpc.aio.Server) -> None:
        add_users(server, endpoints, **hooks)

    app = http_app("users", user_routes(endpoints, **hooks))
    http = FleetInstance("HTTP", app, f"{name}-http", lined=lined)
    return http, GrpcInstance("gRPC", add, f"{name}-grpc", lined=lined)


class InMemory:
    """The service without a wire; it can only play dead or slow, where the others are."""

    name = "memory"

    def __init__(
        self, endpoints: UserEndpoints, hooks: Mapping[str, Any], theirs: Mapping[str, Any]
    ) -> None:
        def pair(endpoint: Endpoint, operation: str) -> Endpoint:
            server = memory_server(self._served(endpoint), name=operation, **hooks)
            return self._reached(memory_client(server, **theirs))

        pairs = {operation: pair(each, operation) for operation, each in vars(endpoints).items()}
        self.client = UserClient(UserEndpoints(**pairs))
        self.served = 0
        self._alive, self._delay_seconds = True, 0.0

    @property
    def state(self) -> str:
        """What it is doing."""
        return "down" if not self._alive else "slow" if self._delay_seconds else "up"

    def kill(self) -> None:
        """Be dead for the next calls; there is no connection that could break."""
        self._alive = False

    def revive(self) -> None:
        """Be there again, healthy; nothing happens to one that is not down."""
        if not self._alive:
            self._alive, self._delay_seconds = True, 0.0

    def slow_down(self, seconds: float) -> None:
        """Let every call take `seconds` longer."""
        self._delay_seconds = seconds

    def recover(self) -> None:
        """Be as fast as before."""
        self.slow_down(0.0)

    def _served(self, inner: Endpoint) -> Endpoint:
        """The server's side, where calls that end are counted, not those that are cancelled."""

        async def endpoint(request: Any) -> Any:
            await asyncio.sleep(self._delay_seconds)
            try:
                response = await inner(request)
            except Exception:
                self.served += 1
                raise
            self.served += 1
            return response

        return endpoint

    def _reached(self, inner: Endpoint) -> Endpoint:
        """The caller's side."""

        async def endpoint(request: Any) -> Any:
            if not self._alive:
                raise Unavailable("memory: nobody is there")
            return await inner(request)

        return endpoint

    def __repr__(self) -> str:
        return f"<{self.name}: {self.state}>"
