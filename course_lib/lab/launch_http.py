"""An ASGI application on uvicorn, on the lab's loop, with a stop, a crash and a pause of its own.

What uvicorn has to tell goes to the logger `uvicorn.error`. Leaves out TLS and WebSockets; what
an application has sent before a pause may still arrive.
"""

import asyncio
import contextlib
import contextvars
import logging
from functools import partial
from typing import Any

import uvicorn
from uvicorn.lifespan.on import LifespanOn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from course_lib.lab.launched import DRAIN_SECONDS, Server

START_SECONDS = 10.0

logging.getLogger("uvicorn").addHandler(logging.NullHandler())


class HttpServer(Server):
    """An ASGI application on uvicorn, driven without uvicorn's main loop and its 100 ms ticks."""

    def __init__(self, app: Any, name: str) -> None:
        super().__init__(name)
        self.held = False
        self.uncounted = 0
        self.closed = False
        self._config = uvicorn.Config(
            app,
            host="127.0.0.1",
            http=partial(_Connection, self),  # type: ignore[arg-type]
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,
        )
        self._server = uvicorn.Server(self._config)
        self._server.servers = []  # until the application has started
        self._state: Any = self._server.server_state

    @property
    def served(self) -> int:
        """How many requests have been answered, but for those whose scope says "uncounted"."""
        return self._state.total_requests - self.uncounted

    async def _start(self, port: int) -> None:
        self._config.port = port
        self._config.load()
        self._server.lifespan = self._lifespan = _Lifespan(self._config)
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._server.startup()  # binds with IPPROTO_TCP, so TCP_NODELAY is on
        except TimeoutError:
            await _cancel(self._lifespan.task)
            raise RuntimeError(f"the application did not start in {START_SECONDS:g} s") from None
        except SystemExit:
            reason = self._lifespan.reason or f"port {port} is taken"
            raise RuntimeError(f"the application did not start: {reason}") from None
        self.address = "{}:{}".format(*self._server.servers[0].sockets[0].getsockname())

    async def _stop(self, drain_seconds: float) -> None:
        self._close_listeners()
        await asyncio.sleep(0.001)  # let requests that have arrived be read
        wanted = set()  # nobody waits for other tasks: their client has gone
        for connection in list(self._state.connections):
            if connection.cycle and connection.cycle.scope["state"].get("watching"):
                connection.cut()
            elif connection.task:
                wanted.add(connection.task)
            wanted.add(connection.lost)
            connection.shutdown()
        if wanted:
            await asyncio.wait(wanted, timeout=drain_seconds)
        await self._cut_connections()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._lifespan.shutdown(), drain_seconds or DRAIN_SECONDS)
        await _cancel(self._lifespan.task)

    async def _kill(self) -> None:
        self._close_listeners()
        await self._cut_connections()
        await _cancel(self._lifespan.task)

    async def _hold(self, paused: bool) -> None:
        self.held = paused
        for connection in self._state.connections:
            connection.flow.hold(paused)

    def _close_listeners(self) -> None:
        for listener in self._server.servers:
            listener.close()

    async def _cut_connections(self) -> None:
        self.closed = True
        tasks = set(self._state.tasks)
        for connection in list(self._state.connections):
            connection.cut()
        await _cancel(*tasks)
        while self._state.connections:
            await asyncio.sleep(0)


async def _cancel(*tasks: asyncio.Task[Any] | None) -> None:
    alive = [task for task in tasks if task is not None and not task.done()]
    for task in alive:
        task.cancel()
    if alive:
        await asyncio.wait(alive, timeout=DRAIN_SECONDS)


class _Connection(HttpToolsProtocol):
    """uvicorn's connection, which can be cut and held; `lost` is done when it has ended."""

    task: asyncio.Task[None] | None = None

    def __init__(self, server: HttpServer, **options: Any) -> None:
        super().__init__(**options)
        self._lab_server = server
        self.lost = self.loop.create_future()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.flow = flow = _Flow(transport)
        if self._lab_server.closed:  # the loop had accepted it before the listener closed
            self.cut()
        elif self._lab_server.held:
            flow.hold(True)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.lost.set_result(None)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        # A context of its own: a request must not inherit what the last one left behind.
        self.task = self.loop.create_task(cycle.run_asgi(app), context=contextvars.Context())
        self.tasks.add(self.task)
        self.task.add_done_callback(self.tasks.discard)

    def on_response_complete(self) -> None:
        if self.cycle.scope["state"].get("uncounted"):
            self._lab_server.uncounted += 1
        super().on_response_complete()

    def cut(self) -> None:
        """Break the connection, and cancel the request on it."""
        if self.cycle:
            self.cycle.disconnected = True  # otherwise uvicorn answers 500
        self.transport.abort()
        if self.task:
            self.task.cancel()


class _Flow(FlowControl):
    """uvicorn's flow control, which can be held: what would go on meanwhile goes on afterwards."""

    held = False

    def hold(self, held: bool) -> None:
        """Stop or continue reading requests and sending answers."""
        self.held = held
        if held:
            self._may_read, self._may_write = not self.read_paused, not self.write_paused
            self.pause_reading()
            self.pause_writing()
        else:
            if self._may_write:
                self.resume_writing()
            if self._may_read:
                self.resume_reading()

    def resume_reading(self) -> None:
        if self.held:
            self._may_read = True
        else:
            super().resume_reading()

    def resume_writing(self) -> None:
        if self.held and not self._transport.is_closing():
            self._may_write = True
        else:
            super().resume_writing()


class _Lifespan(LifespanOn):
    """uvicorn's lifespan, which remembers its task and why the application did not start."""

    task: asyncio.Task[Any] | None = None
    reason = ""

    async def main(self) -> None:
        self.task = asyncio.current_task()
        await super().main()

    async def send(self, message: Any) -> None:
        self.reason = message.get("message", "").strip().rpartition("\n")[2]
        await super().send(message)
