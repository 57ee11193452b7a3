"""The user service over HTTP and over gRPC, each behind a proxy that counts and breaks.

For experiments on the wire itself; `three_ways` is for what the transports have in common.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import grpc

from course_lib.lab.launch import serve, serve_grpc
from course_lib.lab.proxy import Proxy, proxy
from course_lib.shop.endpoints import UserClient, UserEndpoints
from course_lib.shop.users_grpc import add_users, grpc_user_client
from course_lib.shop.users_http import http_user_client, user_routes
from course_lib.transport.http_server import http_app


class Wire(NamedTuple):
    """A client of the service, and the line it calls through."""

    client: UserClient
    line: Proxy

    @property
    def bytes(self) -> int:
        """What has travelled so far, in both directions."""
        return self.line.sent_bytes + self.line.received_bytes


@asynccontextmanager
async def two_wires(
    endpoints: UserEndpoints, channel_options: Sequence[tuple[str, Any]] = (), **hooks: Any
) -> AsyncIterator[dict[str, Wire]]:
    """Serve the endpoints over "HTTP" and "gRPC" as long as the block lasts.

    `channel_options` are those of the gRPC channel, `hooks` (`before`, `after`) the clients'.
    """
    app = http_app("users", user_routes(endpoints))
    with (
        serve(app) as http,
        serve_grpc(lambda server: add_users(server, endpoints)) as rpc,
        proxy(http.address) as http_line,
        proxy(rpc.address) as rpc_line,
    ):
        async with grpc.aio.insecure_channel(rpc_line.address, channel_options) as channel:
            yield {
                "HTTP": Wire(http_user_client(http_line.url, **hooks), http_line),
                "gRPC": Wire(grpc_user_client(channel, **hooks), rpc_line),
            }
