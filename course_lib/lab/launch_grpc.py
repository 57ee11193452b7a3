"""A gRPC server in the lab: health and reflection are added, and it can be held and killed.

A health service that an adder brings takes the place of the usual one, which always serves.
Apart from `launch` so that gRPC is imported only where it is used. Calls are held and counted by
an interceptor, because grpc.aio hides its connections. Leaves out handlers that are no coroutines
and no asynchronous generators.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from course_lib.lab.launched import Server

SILENT_SECONDS = 0.25
"""A stream that has sent nothing for so long is not waited for when its server stops."""


class GrpcServer(Server):
    """A gRPC server with what the adders put on it; every call takes `delay_seconds` longer."""

    def __init__(self, adders: Sequence[Callable[[Any], None]], name: str) -> None:
        super().__init__(name)
        self._adders = adders
        self._served = 0
        self.delay_seconds = 0.0

    @property
    def served(self) -> int:
        """How many calls have been answered."""
        return self._served

    async def _start(self, port: int) -> None:
        self._may_run = asyncio.Event()
        self._may_run.set()
        self._streams: dict[asyncio.Task[Any] | None, float] = {}
        self._stopping = False
        # SO_REUSEPORT would let a second server take a share of the calls instead of failing.
        self._server: Any = grpc.aio.server(
            interceptors=[_Hold(self)], options=[("grpc.so_reuseport", 0)]
        )
        names = _service_names(self._server)
        for add in self._adders:
            add(self._server)
        if health.SERVICE_NAME not in names:
            status = health.aio.HealthServicer()
            for service in ("", *names, health.SERVICE_NAME):
                await status.set(service, health_pb2.HealthCheckResponse.SERVING)
            health_pb2_grpc.add_HealthServicer_to_server(status, self._server)
        reflection.enable_server_reflection((*names, reflection.SERVICE_NAME), self._server)
        try:
            bound = self._server.add_insecure_port(f"127.0.0.1:{port}")
        except RuntimeError:
            raise RuntimeError(f"the gRPC server did not start: port {port} is taken") from None
        await self._server.start()
        self.address = f"127.0.0.1:{bound}"

    async def _stop(self, drain_seconds: float) -> None:
        """Streams that send go on to their end; those that are silent only wait for news."""
        self._stopping = True
        clock = asyncio.get_running_loop().time
        ending = asyncio.ensure_future(self._server.stop(drain_seconds))
        while not ending.done():
            for task, sent_at in self._streams.items():
                if task is not None and clock() - sent_at > SILENT_SECONDS:
                    task.cancel()
            await asyncio.wait([ending], timeout=SILENT_SECONDS / 5)
        await ending

    async def _kill(self) -> None:
        await self._server.stop(None)

    async def _hold(self, paused: bool) -> None:
        if paused:
            self._may_run.clear()
        else:
            self._may_run.set()

    def hold_and_count(self, handler: Any) -> Any:
        """The handler, which waits while the server is paused and is counted when it ends."""
        if handler.response_streaming:
            kind = "stream_stream" if handler.request_streaming else "unary_stream"
            return handler._replace(**{kind: self._around_stream(getattr(handler, kind))})
        kind = "stream_unary" if handler.request_streaming else "unary_unary"
        return handler._replace(**{kind: self._around(getattr(handler, kind))})

    async def _arrive(self) -> None:
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        await self._may_run.wait()

    def _around(self, inner: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def held(request: Any, call: Any) -> Any:
            await self._arrive()
            try:
                return await inner(request, call)
            finally:
                if not _cancelled():
                    await self._may_run.wait()
                self._served += 1

        return held

    def _around_stream(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        async def written(request: Any, call: Any) -> None:
            async with self._ended_by_a_stop(call):
                await self._around(inner)(request, _Heard(call, self._heard_of_stream))

        async def yielded(request: Any, call: Any) -> Any:
            async with self._ended_by_a_stop(call):
                await self._arrive()
                try:
                    async for response in inner(request, call):
                        await self._may_run.wait()
                        yield response
                        self._heard_of_stream()
                finally:
                    self._served += 1

        return yielded if inspect.isasyncgenfunction(inner) else written

    def _heard_of_stream(self) -> None:
        self._streams[asyncio.current_task()] = asyncio.get_running_loop().time()

    @asynccontextmanager
    async def _ended_by_a_stop(self, call: Any) -> AsyncIterator[None]:
        self._heard_of_stream()
        try:
            yield
        except asyncio.CancelledError:
            if not self._stopping:
                raise
            await call.abort(grpc.StatusCode.UNAVAILABLE, "the server stops")
        finally:
            self._streams.pop(asyncio.current_task(), None)


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class _Heard:
    """What a handler writes to, and somebody who hears of it."""

    def __init__(self, call: Any, heard: Callable[[], None]) -> None:
        self._call, self._heard = call, heard

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    async def write(self, message: Any) -> None:
        await self._call.write(message)
        self._heard()


class _Hold(grpc.aio.ServerInterceptor):
    def __init__(self, server: GrpcServer) -> None:
        self._server = server
        self._held: dict[str, Any] = {}

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        method = handler_call_details.method
        held = self._held.get(method)
        if held is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            held = self._held[method] = self._server.hold_and_count(handler)
        return held


def _service_names(server: Any) -> list[str]:
    """A list that fills with the names of the services which are added to the server."""
    names: list[str] = []
    add = server.add_generic_rpc_handlers

    def add_and_note(handlers: Sequence[Any]) -> None:
        names.extend(handler.service_name() for handler in handlers)
        add(handlers)

    server.add_generic_rpc_handlers = add_and_note
    return names
