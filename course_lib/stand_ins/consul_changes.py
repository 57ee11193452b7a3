"""The index that every answer carries, and those who wait for it to move.

A topic ("service:users", "kv") remembers the index of its last change. A blocking query waits for
its topics only, but is answered with the index of everything: it never decreases, and a watcher
that hands it back misses nothing.
"""

import asyncio
from collections import defaultdict


class Changes:
    """A counter that only grows, with a memory of what changed when."""

    def __init__(self) -> None:
        self.index = 1
        self.revision = 0
        self._touched: dict[str, int] = {}
        self._waiting: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)

    def touch(self, *topics: str) -> int:
        """Record a change of these topics, wake who waits for them, return the new index."""
        self.index += 1
        self.revision += 1
        for topic in topics:
            self._touched[topic] = self.index
            for waiter in self._waiting.pop(topic, ()):
                if not waiter.done():
                    waiter.set_result(None)
        return self.index

    def touch_quietly(self) -> None:
        """Record a change nobody is woken for: the output of a check whose status stays."""
        self.revision += 1

    @property
    def watchers(self) -> int:
        """How many queries are waiting."""
        return len(set().union(*self._waiting.values()))

    def latest(self, topics: tuple[str, ...]) -> int:
        """The index at which one of these topics last changed."""
        return max(self._touched.get(topic, 1) for topic in topics)

    async def wait(self, topics: tuple[str, ...], after: int, seconds: float) -> None:
        """Return when one of the topics has changed after that index, or when the time is up."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while self.latest(topics) <= after:
            waiter = loop.create_future()
            for topic in topics:
                self._waiting[topic].add(waiter)
            try:
                async with asyncio.timeout_at(until):
                    await waiter
            except TimeoutError:
                return
            finally:
                self._forget(topics, waiter)

    def _forget(self, topics: tuple[str, ...], waiter: asyncio.Future[None]) -> None:
        for topic in topics:
            waiters = self._waiting.get(topic)
            if waiters is not None:
                waiters.discard(waiter)
                if not waiters:
                    del self._waiting[topic]
