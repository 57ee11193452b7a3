"""An endpointer turns what an instancer knows into instances that can be called.

The rules are Go-kit's: an instance that stays keeps its endpoint, one that leaves is closed,
one that cannot be connected is skipped, and while the registry is silent the last known set
goes on being used.
"""

import asyncio
import contextlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from course_lib.discovery.instance import Instance
from course_lib.discovery.instancer import Event, Instancer
from course_lib.endpoint import Endpoint
from course_lib.errors import NoInstances

Close = Callable[[], Any]
Factory = Callable[[Instance], Endpoint | tuple[Endpoint, Close]]
Discover = Callable[[], Sequence[Instance]]


def _say_nothing(instance: Instance, error: Exception) -> None:
    """Tell nobody."""


class Endpointer:
    """Callable: returns the instances that can be called now, the same tuple until they change.

    `factory` connects an instance and may return a function (or coroutine function) that closes
    it. Without `invalidate_on_error_seconds` the last known set is kept however long the
    registry fails; with it, the set is dropped so many seconds after the first error.
    """

    def __init__(
        self,
        instancer: Instancer,
        factory: Factory,
        *,
        invalidate_on_error_seconds: float | None = None,
        on_skipped: Callable[[Instance, Exception], None] = _say_nothing,
    ) -> None:
        self._instancer = instancer
        self._factory = factory
        self._invalidate_on_error_seconds = invalidate_on_error_seconds
        self._on_skipped = on_skipped
        self._connected: dict[tuple[str, str], tuple[Instance, Close | None]] = {}
        self._instances: tuple[Instance, ...] = ()
        self._error: Exception | None = None
        self._failing_since = 0.0
        self._heard = asyncio.Event()
        self._closing: set[asyncio.Future[Any]] = set()
        instancer.register(self._receive)

    def __call__(self) -> Sequence[Instance]:
        """Return what is there; raises NoInstances when the last known set is too old."""
        if self._error is not None and self._invalidate_on_error_seconds is not None:
            silent = asyncio.get_running_loop().time() - self._failing_since
            if silent >= self._invalidate_on_error_seconds:
                self._update(())
                raise NoInstances(
                    f"discovery has failed for {silent:.1f} s: {self._error!r}"
                ) from self._error
        return self._instances

    async def heard(self) -> None:
        """Wait until the instancer has said something, be it that the registry cannot be asked."""
        await self._heard.wait()

    def stop(self) -> None:
        """Listen no longer and close every endpoint."""
        self._instancer.deregister(self._receive)
        self._update(())

    def _receive(self, event: Event) -> None:
        if event.error is None:
            self._error = None
            self._update(event.instances)
        else:
            if self._error is None:
                self._failing_since = asyncio.get_running_loop().time()
            self._error = event.error
        self._heard.set()

    def _update(self, found: Sequence[Instance]) -> None:
        before, after, changed = self._connected, {}, False
        for each in found:
            key = (each.id, each.address)
            entry = before.get(key) or self._connect(each)
            if entry is None:
                continue
            after[key], known = entry, entry[0]
            changed |= key not in before or (known.weight, known.zone) != (each.weight, each.zone)
            known.weight, known.zone = each.weight, each.zone
        gone = [close for key, (_, close) in before.items() if key not in after]
        self._connected = after
        if changed or gone:
            self._instances = tuple(instance for instance, _ in after.values())
        for close in gone:
            self._close(close)

    def _connect(self, each: Instance) -> tuple[Instance, Close | None] | None:
        try:
            made = self._factory(each)
        except Exception as error:
            self._on_skipped(each, error)
            return None
        endpoint, close = made if isinstance(made, tuple) else (made, None)
        return Instance(each.id, each.address, each.weight, endpoint, zone=each.zone), close

    def _close(self, close: Close | None) -> None:
        # Whoever is gone may well fail to say goodbye; that must not stop the others.
        with contextlib.suppress(Exception):
            result = close() if close is not None else None
            if inspect.isawaitable(result):
                closing = asyncio.ensure_future(result)
                self._closing.add(closing)
                closing.add_done_callback(self._closed)

    def _closed(self, closing: asyncio.Future[Any]) -> None:
        self._closing.discard(closing)
        if not closing.cancelled():
            closing.exception()


def in_zone(discover: Discover, zone: str) -> Discover:
    """Return only the instances that stand in `zone`."""
    known: Sequence[Instance] | None = None
    near: tuple[Instance, ...] = ()

    def nearby() -> Sequence[Instance]:
        nonlocal known, near
        if (instances := discover()) is not known:
            known, near = instances, tuple(each for each in instances if each.zone == zone)
        return near

    return nearby


def only(discover: Discover, usable: Callable[[Instance], bool]) -> Discover:
    """Leave out the instances that are not `usable` just now; when none is, return all.

    Least connections needs it beside breakers: who refuses at once looks idle and draws every
    request.
    """
    before: Sequence[Instance] = ()

    def filtered() -> Sequence[Instance]:
        nonlocal before
        instances = discover()
        now = tuple(each for each in instances if usable(each))
        if len(now) in (0, len(instances)):
            return instances
        before = before if now == before else now
        return before

    return filtered


def prefer(*choices: Discover) -> Discover:
    """Return the first set that is not empty: the near datacentre before the far one."""

    def first() -> Sequence[Instance]:
        for discover in choices:
            with contextlib.suppress(NoInstances):
                if instances := discover():
                    return instances
        return ()

    return first
