"""What runs in a pod, in memory and in virtual time: it starts, answers, hangs, crashes, ends.

Leaves out images, volumes, and limits of memory and CPU.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any


class Container:
    """One life of a service: it needs `start_seconds` before it listens with its ASGI `app`.

    Asked to end (SIGTERM) it runs `on_term` and ends; one that hangs does not hear of it.
    """

    def __init__(
        self,
        app: Any,
        *,
        start_seconds: float = 0.0,
        on_term: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._app, self._on_term = app, on_term
        self._start_seconds = start_seconds
        self._started_at = math.inf
        self._hung = asyncio.Event()
        self._open: set[asyncio.Timeout] = set()
        self._ended = asyncio.Event()
        self._ending: asyncio.Task[None] | None = None

    @property
    def listening(self) -> bool:
        """Whether a connection would be accepted; a process that hangs still does that."""
        waited = asyncio.get_running_loop().time() - self._started_at
        return waited >= self._start_seconds and not self._ended.is_set()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        """What every request lives in: raises ConnectionRefusedError, or ConnectionResetError."""
        if not self.listening:
            raise ConnectionRefusedError("connection refused")
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._open.add(scope)
                if self._hung.is_set():
                    await asyncio.Event().wait()
                yield
        except TimeoutError:
            if not scope.expired():
                raise
            raise ConnectionResetError("connection reset by peer") from None
        finally:
            self._open.discard(scope)

    async def get(self, path: str) -> int:
        """GET a page and return the HTTP status."""
        async with self.connection():
            return await _status(self._app, path)

    def hang(self) -> None:
        """Answer nothing more: a deadlock, or an event loop that is blocked."""
        self._hung.set()

    def crash(self) -> None:
        """End at once; so does SIGKILL."""
        if self._ending is not None:
            self._ending.cancel()
        self._finish()

    async def run(self) -> None:
        """Live until it has ended; raises what its handler of the end raised."""
        self._started_at = asyncio.get_running_loop().time()
        await self._ended.wait()
        if self._ending is not None and self._ending.done() and not self._ending.cancelled():
            self._ending.result()

    def terminate(self) -> None:
        """Ask it to end, as SIGTERM does."""
        if not self._hung.is_set() and self._ending is None:
            self._ending = asyncio.create_task(self._end())

    async def _end(self) -> None:
        try:
            if self._on_term is not None:
                await self._on_term()
        finally:
            self._finish()

    def _finish(self) -> None:
        """End, and with it every request that is in flight."""
        self._ended.set()
        while self._open:
            self._open.pop().reschedule(0)


async def _status(app: Any, path: str) -> int:
    """GET a page of an ASGI application in memory."""
    status = 0

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)

    page = {"path": path, "raw_path": path.encode(), "root_path": "", "query_string": b""}
    wire = {"http_version": "1.1", "scheme": "http", "server": ("pod", 80), "client": None}
    scope = {"type": "http", "method": "GET", "headers": [], **page, **wire}
    await app(scope, receive, send)
    return status
