"""A gRPC server that is always about to leave: it takes a call and says it has not begun it.

It speaks just enough HTTP/2 for that (RFC 9113: SETTINGS, then GOAWAY with 0 as the last stream).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_GREETING_BYTES, _FRAME_HEAD_BYTES = 24, 9
_HEADERS = 1
_SETTINGS = bytes(3) + b"\x04" + bytes(5)
_GOAWAY = b"\x00\x00\x08\x07" + bytes(13)


class GoingAway:
    """Where the server is, and how many calls it was `asked`."""

    def __init__(self) -> None:
        self.address = ""
        self.asked = 0

    async def _leave(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readexactly(_GREETING_BYTES)
            writer.write(_SETTINGS)
            while (frame := await reader.readexactly(_FRAME_HEAD_BYTES))[3] != _HEADERS:
                await reader.readexactly(int.from_bytes(frame[:3], "big"))
            self.asked += 1
            writer.write(_GOAWAY)
        writer.close()


@asynccontextmanager
async def going_away() -> AsyncIterator[GoingAway]:
    """Run the server on the running loop as long as the block lasts."""
    leaving = GoingAway()
    async with await asyncio.start_server(leaving._leave, "127.0.0.1") as server:
        leaving.address = "{}:{}".format(*server.sockets[0].getsockname())
        yield leaving
