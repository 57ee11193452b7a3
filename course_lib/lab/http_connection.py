"""One keep-alive HTTP/1.1 connection of the quick client: a request out, a response in."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httptools

from course_lib.errors import Unavailable


@dataclass(slots=True)
class HttpResponse:
    """What came back; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Connection(asyncio.Protocol):
    """One connection, one exchange at a time."""

    transport: Any

    def __init__(
        self, on_made: Callable[["Connection"], None], on_lost: Callable[["Connection"], None]
    ) -> None:
        self._on_made, self._on_lost = on_made, on_lost
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
        self._on_made(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._parser = None
        self._on_lost(self)
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
