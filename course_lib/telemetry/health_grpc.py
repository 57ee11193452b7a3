"""The gRPC health protocol (grpc.health.v1), answered by the checks of a `Health`.

A `Check` runs them; a `Watch` runs them every `every_seconds` as long as somebody watches, and
hears of a drain as late as that. Source: github.com/grpc/grpc, doc/health-checking.md.
"""

import asyncio
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from course_lib.telemetry.health import PAGES, Health

_STATUS = health_pb2.HealthCheckResponse


class GrpcHealth(health.aio.HealthServicer):
    """Says SERVING or NOT_SERVING for "" and each of `services`, by readiness.

    The names liveness, readiness and startup ask for that kind, which is how one port serves the
    three gRPC probes of a pod. Use: `serve_grpc([add, GrpcHealth(health, "shop.Users").add])`.
    """

    def __init__(self, said: Health, *services: str, every_seconds: float = 1.0) -> None:
        super().__init__()
        self._said, self._every_seconds = said, every_seconds
        self._kinds = {kind: kind for kind in PAGES.values()}
        self._kinds |= dict.fromkeys(("", *services), "readiness")

    def add(self, server: grpc.aio.Server) -> None:
        """Register the health service on a server."""
        health_pb2_grpc.add_HealthServicer_to_server(self, server)

    async def Check(self, request: Any, context: Any) -> Any:
        """Run the checks and answer; an unknown service is NOT_FOUND."""
        await self._look(request.service)
        return await super().Check(request, context)

    async def Watch(self, request: Any, context: Any) -> None:
        """Send the status now and whenever it changes."""
        await self._look(request.service)
        looking = asyncio.create_task(self._look_again(request.service))
        try:
            await super().Watch(request, context)
        finally:
            looking.cancel()

    async def enter_graceful_shutdown(self) -> None:
        """Be NOT_SERVING for good, also to who has not asked yet."""
        for service in self._kinds:
            await self.set(service, _STATUS.NOT_SERVING)
        await super().enter_graceful_shutdown()

    async def _look_again(self, service: str) -> None:
        while True:
            await asyncio.sleep(self._every_seconds)
            await self._look(service)

    async def _look(self, service: str) -> None:
        kind = self._kinds.get(service)
        if kind is not None:
            report = await self._said.report(kind)
            await self.set(service, _STATUS.SERVING if report.ok else _STATUS.NOT_SERVING)
