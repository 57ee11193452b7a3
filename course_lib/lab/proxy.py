"""A TCP proxy on the loopback that can be a bad line: cut, stalled, slow, or reset.

It stands before a server of any protocol and runs on the lab's loop. Bytes pass unread.
"""

import asyncio
import contextlib
import contextvars
import socket
import struct
from collections import deque
from collections.abc import Coroutine
from typing import Any, Self

from course_lib.lab import background

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, for 0 seconds; closing then sends RST


class Proxy:
    """A line to `target`: connect to `address` instead, and break it with the methods.

    `sent_bytes` counts what clients sent, `received_bytes` what they got back.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        if not host or "/" in host or not port.isdecimal():
            raise ValueError(f"proxy(address): host:port was expected, not {target!r}")
        self.target = target
        self.delay_seconds = 0.0
        self.stalled = False
        self.sent_bytes = self.received_bytes = 0
        self.ends: set[_End] = set()
        self._listener: asyncio.Server | None = None
        self._port = 0
        self._wait(self._listen())
        self.address = f"127.0.0.1:{self._port}"
        self.url = f"http://{self.address}"

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return sum(end.is_client for end in self.ends)

    @property
    def bytes(self) -> int:
        """What has travelled so far, in both directions."""
        return self.sent_bytes + self.received_bytes

    def cut(self) -> None:
        """Cut the line: open connections break, new ones are refused."""
        self._wait(self._cut())

    def stall(self) -> None:
        """Let nothing pass in either direction; connections stay open, new ones are accepted."""
        self.stalled = True

    def delay(self, seconds: float) -> None:
        """Let everything arrive `seconds` later, in each direction."""
        self.delay_seconds = seconds

    def reset(self, most: int | None = None) -> None:
        """Break the open connections, or so many of them, with a TCP reset; new ones work."""
        self._wait(self._reset(most))

    def restore(self) -> None:
        """Make the line whole again; what a stall held back arrives now."""
        self._wait(self._restore())

    def close(self) -> None:
        """Take the line away."""
        self.cut()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        background.submit(work, contextvars.Context()).result()

    async def _listen(self) -> None:
        if self._listener is None:
            loop = asyncio.get_running_loop()
            self._listener = await loop.create_server(
                lambda: _End(self, is_client=True), "127.0.0.1", self._port
            )
            self._port = self._listener.sockets[0].getsockname()[1]

    async def _cut(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        await self._reset()

    async def _reset(self, most: int | None = None) -> None:
        broken = set(self.ends)
        if most is not None:
            broken = set([end for end in self.ends if end.is_client][:most])
        for end in broken:
            end.reset()
        while self.ends & broken:
            await asyncio.sleep(0)

    async def _restore(self) -> None:
        self.stalled, self.delay_seconds = False, 0.0
        for end in list(self.ends):
            end.flush()
        await self._listen()


def proxy(address: str) -> Proxy:
    """Put a breakable line before the server at `address` ("host:port")."""
    return Proxy(address)


class _End(asyncio.Protocol):
    """One end of a proxied connection; what it reads it hands to the other end, in order."""

    def __init__(self, line: Proxy, *, is_client: bool, other: "_End | None" = None) -> None:
        self._line = line
        self.is_client = is_client
        self._other = other
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._transport: Any = None
        self._connecting: asyncio.Task[None] | None = None
        self._has_ended = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._line.ends.add(self)
        if self.is_client:
            self._connecting = asyncio.ensure_future(self._connect())
        elif self._other is not None:
            self._other._other = self
            self._other.flush()

    async def _connect(self) -> None:
        host, _, port = self._line.target.rpartition(":")
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(
                lambda: _End(self._line, is_client=False, other=self), host, int(port)
            )
        except OSError:
            self.reset()

    def data_received(self, data: bytes) -> None:
        if self.is_client:
            self._line.sent_bytes += len(data)
        else:
            self._line.received_bytes += len(data)
        self._later(data)

    def eof_received(self) -> bool:
        self._later(b"")
        return True

    def _later(self, data: bytes) -> None:
        loop, delay = asyncio.get_running_loop(), self._line.delay_seconds
        self._waiting.append((loop.time() + delay, data))
        if delay:
            loop.call_later(delay, self.flush)
        else:
            self.flush()

    def flush(self) -> None:
        """Hand over what is due, unless the line is stalled or the other end not there yet."""
        now = asyncio.get_running_loop().time() + 0.001
        healthy = self._line.delay_seconds == 0
        while self._waiting and not self._line.stalled and self._other is not None:
            if self._waiting[0][0] > now and not healthy:
                return
            self._hand_over(self._waiting.popleft()[1], self._other)

    def _hand_over(self, data: bytes, other: "_End") -> None:
        with contextlib.suppress(OSError, RuntimeError):
            other._transport.write(data) if data else other._transport.write_eof()
        self._has_ended = self._has_ended or not data
        if self._has_ended and other._has_ended:  # both have said their last word
            self._transport.close()
            other._transport.close()

    def pause_writing(self) -> None:
        if self._other is not None:
            self._other._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._other is not None:
            self._other._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._line.ends.discard(self)
        if self._connecting is not None:
            self._connecting.cancel()
        if self._other is not None:
            self._other._transport.abort() if exc else self._other._transport.close()

    def reset(self) -> None:
        """Break this end with a TCP reset."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()
