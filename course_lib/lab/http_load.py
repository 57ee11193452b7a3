"""An HTTP/1.1 client that is quick enough to measure the service and not itself.

Keep-alive connections on bare asyncio, httptools as the parser. Leaves out TLS, redirects,
cookies, proxies and retries; `transport.http_client` is the client for everything else.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from course_lib.context import remaining_seconds
from course_lib.errors import DeadlineExceeded, Unavailable
from course_lib.lab.http_connection import Connection, HttpResponse
from course_lib.transport.codes import remote_error


@dataclass(frozen=True)
class HttpRequest:
    """What to send; `body` is sent as JSON unless the headers say otherwise. No HEAD."""

    path: str
    method: str = "GET"
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.method == "HEAD":
            raise ValueError("HttpRequest(method): HEAD would wait for a body that never comes")


class HttpLoad:
    """An endpoint over at most `connections` connections to a base URL; a path means GET.

    A status of 400 and above is raised as the error it stands for; a refused or broken
    connection as `Unavailable`. When all connections are busy a request waits for its turn.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int = 16,
        headers: Mapping[str, str] | None = None,
        raise_errors: bool = True,
    ) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._prefix = parts.path.rstrip("/")
        self._headers = {"host": parts.netloc, **(headers or {})}
        self._raise_errors = raise_errors
        self._limit = connections
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._opening = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._heads: dict[HttpRequest | str, bytes] = {}

    async def __call__(self, request: HttpRequest | str) -> HttpResponse:
        """Send one request and return its response."""
        limit = remaining_seconds()
        if limit is None:
            response = await self._send(self._encode(request))
        else:
            try:
                async with asyncio.timeout(limit):
                    response = await self._send(self._encode(request))
            except TimeoutError:
                raise DeadlineExceeded(f"no answer from {self._host}:{self._port}") from None
        if response.status >= 400 and self._raise_errors:
            raise _error(response)
        return response

    async def _send(self, wire: bytes) -> HttpResponse:
        connection = await self._take()
        try:
            return await connection.exchange(wire)
        except asyncio.CancelledError:
            connection.transport.abort()
            raise
        finally:
            self._give_back(connection)

    async def _take(self) -> Connection:
        while True:
            if self._idle:
                return self._idle.pop()
            if len(self._open) + self._opening < self._limit:
                return await self._connect()
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._queue.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._next_turn()  # the turn was given to us just now; hand it on
                raise

    async def _connect(self) -> Connection:
        self._opening += 1
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(self._open.add, self._lost), self._host, self._port
            )
        except OSError as error:
            self._next_turn()
            raise Unavailable(f"{self._host}:{self._port} refused: {error.strerror}") from None
        finally:
            self._opening -= 1
        return connection

    def _give_back(self, connection: Connection) -> None:
        if connection in self._open and not connection.transport.is_closing():
            self._idle.append(connection)
        self._next_turn()

    def _lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._next_turn()

    def _next_turn(self) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def _encode(self, request: HttpRequest | str) -> bytes:
        if isinstance(request, str):
            head = self._heads.get(request)
            if head is None:
                head = self._heads[request] = self._wire(HttpRequest(request))
            return head
        return self._wire(request)

    def _wire(self, request: HttpRequest) -> bytes:
        headers = {**self._headers, **request.headers}
        if request.body:
            headers.setdefault("content-type", "application/json")
            headers["content-length"] = str(len(request.body))
        lines = [f"{request.method} {self._prefix}{request.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + request.body

    async def aclose(self) -> None:
        """Close every connection."""
        for connection in list(self._open):
            connection.transport.abort()
        while self._open:
            await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _error(response: HttpResponse) -> Exception:
    try:
        message = str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        message = f"HTTP {response.status}"
    return remote_error(response.headers, message, response.status)
