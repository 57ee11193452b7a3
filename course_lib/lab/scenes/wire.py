"""A wire to an application in memory that can be cut, for clients of httpx in virtual time."""

import asyncio
from typing import Any

import httpx


class Wire(httpx.AsyncBaseTransport):
    """Carries requests to the ASGI application `app`, which may be replaced, until it is cut."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self._cut = asyncio.Event()

    def cut(self) -> None:
        """Break the requests that are waiting, and refuse new ones."""
        self._cut.set()

    def restore(self) -> None:
        """Let requests pass again."""
        self._cut.clear()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass the request on; raises ConnectError or ReadError when the wire is cut."""
        if self._cut.is_set():
            raise httpx.ConnectError("the wire is cut")
        way = httpx.ASGITransport(app=self.app)
        answer = asyncio.ensure_future(way.handle_async_request(request))
        cut = asyncio.ensure_future(self._cut.wait())
        try:
            await asyncio.wait((answer, cut), return_when=asyncio.FIRST_COMPLETED)
            if self._cut.is_set():
                raise httpx.ReadError("the wire was cut")
            return answer.result()
        finally:
            answer.cancel()
            cut.cancel()
