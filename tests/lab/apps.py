"""A tiny ASGI application for the lab's tests: paths decide what happens."""

import asyncio
import threading
from concurrent.futures import Future
from typing import Any

import httpx


class App:
    """`/wait` answers when `go()` is called, `/watch` waits for news, `/fail` fails."""

    def __init__(self, text: str = "ok") -> None:
        self.text = text
        self.arrived = threading.Semaphore(0)
        self.cancelled = threading.Event()
        self._go: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def go(self) -> None:
        assert self._loop is not None and self._go is not None
        self._loop.call_soon_threadsafe(self._go.set)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        if scope["path"] == "/fail":
            raise ValueError("a bug")
        if scope["path"] in ("/wait", "/watch"):
            await self._hold(scope)
        body = self.text.encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _hold(self, scope: Any) -> None:
        scope["state"]["watching"] = scope["path"] == "/watch"
        self._loop, self._go = asyncio.get_running_loop(), asyncio.Event()
        self.arrived.release()
        try:
            await self._go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


def ask(url: str, **options: Any) -> "Future[str]":
    """Ask from a thread; the future holds the text or the exception."""
    answer: Future[str] = Future()

    def work() -> None:
        try:
            answer.set_result(httpx.get(url, timeout=5, **options).text)
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=work).start()
    return answer
