"""An HTTP/1.1 client that is quick enough to measure the service and not itself.

Keep-alive connections on bare asyncio, httptools as the parser. Leaves out TLS, redirects,
cookies, proxies and retries; `transport.http_client` is the client for everything else.
"""

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

import httptools

from course_lib.context import remaining_seconds
from course_lib.errors import DeadlineExceeded, Unavailable
from course_lib.lab.load import Result, load
from course_lib.transport.codes import error_from, retry_after_seconds


@dataclass(frozen=True)
class HttpRequest:
    """What to send; `body` is sent as JSON unless the headers say otherwise."""

    path: str
    method: str = "GET"
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class HttpResponse:
    """What came back; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


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
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
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

    async def _take(self) -> "_Connection":
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

    async def _connect(self) -> "_Connection":
        self._opening += 1
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: _Connection(self), self._host, self._port
            )
        except OSError as error:
            self._next_turn()
            raise Unavailable(f"{self._host}:{self._port} refused: {error.strerror}") from None
        finally:
            self._opening -= 1
        return connection

    def _give_back(self, connection: "_Connection") -> None:
        if connection in self._open and not connection.transport.is_closing():
            self._idle.append(connection)
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


async def http_load(
    url: str,
    path: str = "/",
    *,
    connections: int = 16,
    headers: Mapping[str, str] | None = None,
    **options: Any,
) -> Result:
    """Load one path of a service; `options` are those of `load`. Closes what it opened."""
    async with HttpLoad(url, connections=connections, headers=headers) as client:
        return await load(client, request=path, **options)


def fast_http(url: str, **options: Any) -> HttpLoad:
    """The quick client as an endpoint; `options` are those of `HttpLoad`."""
    return HttpLoad(url, **options)


def _error(response: HttpResponse) -> Exception:
    headers = response.headers
    try:
        message = str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        message = f"HTTP {response.status}"
    return error_from(
        headers.get("x-error"),
        message,
        http_status=response.status,
        retry_after_seconds=retry_after_seconds(headers.get("retry-after")),
    )


class _Connection(asyncio.Protocol):
    """One connection, one exchange at a time."""

    transport: Any

    def __init__(self, client: HttpLoad) -> None:
        self._client = client
        self._answer: asyncio.Future[HttpResponse] | None = None
        self._parser: Any = None

    def exchange(self, wire: bytes) -> asyncio.Future[HttpResponse]:
        """Send a request; the future is done when the whole response is there."""
        self._answer = self._loop.create_future()
        if self.transport.is_closing():
            self._fail()
        else:
            self.transport.write(wire)
        return self._answer

    def connection_made(self, transport: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self.transport = transport
        self._parser = httptools.HttpResponseParser(self)
        self._client._open.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._parser = None
        self._client._open.discard(self)
        if self in self._client._idle:
            self._client._idle.remove(self)
        self._client._next_turn()
        self._fail()

    def _fail(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Unavailable("the connection broke"))

    def on_message_begin(self) -> None:
        self._headers: dict[str, str] = {}
        self._body = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body = self._body + body if self._body else body

    def on_message_complete(self) -> None:
        if not self._parser.should_keep_alive():
            self.transport.close()
        if self._answer is not None and not self._answer.done():
            status = self._parser.get_status_code()
            self._answer.set_result(HttpResponse(status, self._headers, self._body))
