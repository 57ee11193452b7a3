"""One service behind three transports, side by side: HTTP, gRPC, and memory.

Each way is an instance that can be killed, slowed down and revived, so a control panel takes all
three. HTTP and gRPC are real servers on loopback; memory can only play dead.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from course_lib.endpoint import Endpoint, Middleware, chain
from course_lib.errors import Unavailable
from course_lib.lab.launch import Server, serve, serve_grpc
from course_lib.shop.endpoints import UserClient, UserEndpoints, Wrap, bare, user_endpoints
from course_lib.shop.users import UserService
from course_lib.shop.users_grpc import add_users, grpc_user_client
from course_lib.shop.users_http import http_user_client, user_routes
from course_lib.transport.http_server import http_app
from course_lib.transport.memory import memory_client, memory_server

_RECONNECT = [("grpc.max_reconnect_backoff_ms", 5000)]


class Way:
    """One transport before the service: `name`, and `client`, which has the service's interface.

    `state` is "up", "slow" or "down"; `served` counts the calls that were answered.
    """

    def __init__(self, name: str, start: Callable[["Way"], Server | None]) -> None:
        self.name = name
        self.client: Any = None
        self.served = 0
        self._alive = True
        self._delay_seconds = 0.0
        self._start = start
        self.server = start(self)

    @property
    def state(self) -> str:
        """What it is doing."""
        if not self._alive:
            return "down"
        return "slow" if self._delay_seconds else "up"

    def kill(self) -> None:
        """Crash: a server's connections break; in memory only the next calls notice."""
        self._alive = False
        if self.server is not None:
            self.server.kill()

    def revive(self) -> None:
        """Start again at the same address, healthy; nothing happens to one that is not down."""
        if not self._alive:
            self._alive, self._delay_seconds = True, 0.0
            self.server = self._start(self)

    def slow_down(self, seconds: float) -> None:
        """Let the service's own work take `seconds` longer."""
        self._delay_seconds = seconds

    def recover(self) -> None:
        """Be as fast as before."""
        self._delay_seconds = 0.0

    @property
    def port(self) -> int:
        """Where it listened before, or 0: take a free port."""
        server = getattr(self, "server", None)
        return int(server.address.rpartition(":")[2]) if server else 0

    def counted(self, inner: Endpoint) -> Endpoint:
        """Outermost at the service: counts the calls that end, not those that are cancelled."""

        async def endpoint(request: Any) -> Any:
            try:
                response = await inner(request)
            except Exception:
                self.served += 1
                raise
            self.served += 1
            return response

        return endpoint

    def slowed(self, inner: Endpoint) -> Endpoint:
        """Innermost: the service's own work takes longer when it is told to."""

        async def endpoint(request: Any) -> Any:
            if self._delay_seconds:
                await asyncio.sleep(self._delay_seconds)
            return await inner(request)

        return endpoint

    def reach(self, inner: Endpoint) -> Endpoint:
        """The caller's side in memory, where no connection breaks when the service is dead."""

        async def endpoint(request: Any) -> Any:
            if not self._alive:
                raise Unavailable("memory: nobody is there")
            return await inner(request)

        return endpoint

    def __repr__(self) -> str:
        return f"<{self.name}: {self.state}>"


def three_ways(
    service: UserService,
    wrap: Wrap = bare,
    *,
    client: dict[str, Any] | None = None,
    name: str = "users",
    **hooks: Any,
) -> dict[str, Way]:
    """The user service over "HTTP", "gRPC" and "memory", with the same middleware and hooks.

    `hooks` (`before`, `after`, `finalizers`) are the server's, those in `client` the client's.
    Call it on the loop that will make the calls; the same `name` replaces the ways before.
    """
    theirs = client or {}

    def endpoints(way: Way) -> UserEndpoints:
        def around(operation: str) -> Middleware:
            return chain(way.counted, wrap(operation), way.slowed)

        return user_endpoints(service, around)

    def http(way: Way) -> Server:
        app = http_app("users", user_routes(endpoints(way), **hooks))
        server = serve(app, f"{name}-http", port=way.port)
        way.client = http_user_client(server.url, **theirs)
        return server

    def over_grpc(way: Way) -> Server:
        def add(server: grpc.aio.Server) -> None:
            add_users(server, endpoints(way), **hooks)

        server = serve_grpc(add, f"{name}-grpc", port=way.port)
        if way.client is None:
            channel = grpc.aio.insecure_channel(server.address, options=_RECONNECT)
            way.client = grpc_user_client(channel, **theirs)
        return server

    def memory(way: Way) -> None:
        def pair(endpoint: Endpoint, operation: str) -> Endpoint:
            served = memory_server(endpoint, name=operation, **hooks)
            return way.reach(memory_client(served, **theirs))

        inner = vars(endpoints(way))
        pairs = {operation: pair(endpoint, operation) for operation, endpoint in inner.items()}
        way.client = UserClient(UserEndpoints(**pairs))

    ways = (Way("HTTP", http), Way("gRPC", over_grpc), Way("memory", memory))
    return {way.name: way for way in ways}
