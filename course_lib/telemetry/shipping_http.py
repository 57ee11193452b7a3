"""Ships log lines to a store that speaks Loki's push API, and never makes a request wait for it.

A `Shipper` is the `stream` of `json_logger`. A line goes into a bounded buffer; a task sends
batches. When the store is slow, down, refuses or hangs, the buffer fills, what comes then is
dropped, and the drops are counted and told to the store when it is back. The oldest lines are kept:
the beginning of trouble tells most. A batch that is refused for one of its lines is dropped as a
whole: a store may have kept the others. Leaves out: a buffer on disk, exactly-once delivery,
certificates of one's own (give a `transport` that knows them).
"""

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Mapping
from typing import Self

import httpx

from course_lib import context

_LEVELS = (b"debug", b"info", b"warning", b"error", b"critical")
_TRY_AGAIN = (408, 429)
_TOO_LARGE = 413
_BATCH_BYTES = 1_000_000
_NS = 1_000_000_000

Line = tuple[int, bytes]


class Shipper:
    """`async with Shipper(url, {"service": "users", "instance": "a"}) as stream`.

    `sent`, `dropped`, `waiting` count lines; `failed` counts pushes that went wrong, `last_error`
    says how. `write` may be called from any thread. Pushes go out every `every_seconds`, in
    batches of at most `batch_lines` and a megabyte; one takes at most `timeout_seconds`, and after
    a failure the next waits up to `longest_wait_seconds`. Times are the running loop's.
    """

    def __init__(
        self,
        url: str,
        labels: Mapping[str, str],
        *,
        most_lines: int = 10_000,
        batch_lines: int = 500,
        most_line_bytes: int = 64_000,
        every_seconds: float = 0.25,
        timeout_seconds: float = 5.0,
        longest_wait_seconds: float = 10.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.sent = self.dropped = self.failed = 0
        self.last_error = ""
        self._url = url.rstrip("/") + "/loki/api/v1/push"
        self._labels, self._transport = dict(labels), transport
        self._most_lines, self._most_line_bytes = most_lines, most_line_bytes
        self._batch_lines, self._every_seconds = batch_lines, every_seconds
        self._timeout_seconds, self._longest_wait_seconds = timeout_seconds, longest_wait_seconds
        self._lines: deque[Line] = deque()
        self._told = 0
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Lines in the buffer."""
        return len(self._lines)

    def write(self, line: bytes) -> None:
        """Take a line, or drop and count it; never blocks, never raises."""
        full = len(self._lines) >= self._most_lines
        if self._closed or full or len(line) > self._most_line_bytes:
            self.dropped += 1
        else:
            self._lines.append((_now_ns(), line))

    async def __aenter__(self) -> Self:
        while self._closed and self._task is not None:  # a close is under way
            await asyncio.wait([self._task])
            await asyncio.sleep(0)
        self._closed = False
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="log shipper")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, *, within_seconds: float = 2.0) -> None:
        """Send what is waiting, as far as that goes within so many seconds; drop the rest."""
        self._closed = True
        if self._task is None:
            return
        try:
            async with asyncio.timeout(within_seconds):
                await asyncio.shield(self._task)
        except TimeoutError:
            pass
        finally:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
            self.dropped += len(self._lines)
            self._lines.clear()

    async def _run(self) -> None:
        wait_seconds = self._every_seconds
        limits = httpx.Limits(max_connections=1)
        verify = httpx.URL(self._url).scheme == "https"  # to read the authorities takes time
        async with httpx.AsyncClient(
            transport=self._transport, timeout=None, limits=limits, trust_env=False, verify=verify
        ) as client:
            while not (self._closed and not self._lines):
                if len(self._lines) < self._batch_lines or self.last_error:
                    await self._pause(wait_seconds)
                if await self._send(client):
                    wait_seconds = self._every_seconds
                else:
                    wait_seconds = min(2 * wait_seconds, self._longest_wait_seconds)
            await self._send(client)  # what was dropped since

    async def _pause(self, seconds: float) -> None:
        """Sleep; when the shipper is being closed meanwhile, no longer than it must."""
        clock = asyncio.get_running_loop().time
        until = clock() + seconds
        if self.last_error or not self._closed:
            await asyncio.sleep(min(self._every_seconds, seconds))
        while clock() < until and not self._closed:
            await asyncio.sleep(min(self._every_seconds, until - clock()))

    async def _send(self, client: httpx.AsyncClient) -> bool:
        """Push the oldest lines; they leave the buffer when they arrived, or never will."""
        most_lines = self._batch_lines
        while True:
            batch, dropped = self._oldest(most_lines), self.dropped
            if not batch and (dropped == self._told or self.last_error):
                return True
            status = await self._try(client, batch, dropped)
            if status != _TOO_LARGE or not batch:
                break
            if len(batch) == 1:
                self.dropped += self._leave(1)
            most_lines = max(1, len(batch) // 2)
        if status < 300:
            self.last_error = ""
            self._told = dropped
            self.sent += self._leave(len(batch))
            return True
        if 400 <= status < 500 and status not in _TRY_AGAIN:  # it would be refused for ever
            self.dropped += self._leave(len(batch))
        return False

    def _oldest(self, most_lines: int) -> list[Line]:
        """As many lines as fit into one batch; one that is larger goes alone."""
        lines = list(itertools.islice(self._lines, most_lines))
        sizes = itertools.accumulate(len(line) for _, line in lines)
        return lines[: max(1, sum(size <= _BATCH_BYTES for size in sizes))]

    async def _try(self, client: httpx.AsyncClient, batch: list[Line], dropped: int) -> int:
        """Push once; the status, 503 when there is none."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                status, reason = await self._push(client, self._body(batch, dropped))
        except Exception as error:  # whatever it is, no request may hear of it
            status, reason = 503, f"{type(error).__name__} {error}".strip()
        if status >= 300:
            self.failed += 1
            self.last_error = reason
        return status

    async def _push(self, client: httpx.AsyncClient, body: bytes) -> tuple[int, str]:
        """The status, and the first words of the answer, which may have no end."""
        headers, words = {"content-type": "application/json"}, ""
        async with client.stream("POST", self._url, content=body, headers=headers) as answer:
            async for text in answer.aiter_text():
                words += text
                if len(words) >= 200:
                    break
        return answer.status_code, f"{answer.status_code} {words[:200].strip()}"

    def _leave(self, count: int) -> int:
        for _ in range(count):
            self._lines.popleft()
        return count

    def _body(self, batch: list[Line], dropped: int) -> bytes:
        streams: dict[str, list[list[str]]] = {}
        for at_ns, line in batch:
            text = line.rstrip(b"\n").decode("utf-8", "replace")
            streams.setdefault(_level(line), []).append([str(at_ns), text])
        if dropped > self._told:
            lost = {"event": "log lines dropped", "level": "warning", "count": dropped - self._told}
            text = json.dumps(self._labels | lost)
            at_ns = batch[-1][0] if batch else _now_ns()
            streams.setdefault("warning", []).append([str(at_ns), text])
        return json.dumps(
            {
                "streams": [
                    {"stream": self._labels | {"level": level}, "values": values}
                    for level, values in streams.items()
                ]
            }
        ).encode()


def _now_ns() -> int:
    return round(context.wall_clock.get()() * _NS)


def _level(line: bytes) -> str:
    """The level `json_logger` wrote: after the fields, so the last one that looks like it."""
    word = line.rpartition(b'"level":"')[2].partition(b'"')[0]
    return word.decode() if word in _LEVELS else "unknown"
