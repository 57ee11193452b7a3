"""A dashboard for a control panel, drawn from what a log store knows, and from the shippers."""

import time
from collections import deque
from collections.abc import Mapping

from course_lib.lab.plots import Picture, dashboard
from course_lib.stand_ins.log_store import LogStore
from course_lib.telemetry.shipping_http import Shipper

WINDOW_SECONDS = 60  # an outage of half a minute, and the hole it leaves, stay in sight
_MOST_FRAMES = 10 * WINDOW_SECONDS  # a panel has five a second


class LogView:
    """Calls a second by instance, as logged, above the lines that wait and that were dropped.

    It starts the shippers with its first frame and closes them when the panel ends. What the
    store does not know yet is not drawn.
    """

    def __init__(self, store: LogStore, shippers: Mapping[str, Shipper]) -> None:
        self._store, self._shippers = store, shippers
        self._began: float | None = None
        self._waiting: deque[tuple[float, float]] = deque(maxlen=_MOST_FRAMES)
        self._dropped: deque[tuple[float, float]] = deque(maxlen=_MOST_FRAMES)

    async def frame(self) -> None:
        """Look at the shippers; the first time, start them."""
        if self._began is None:
            self._began = float(int(time.time()))
            for shipper in self._shippers.values():
                await shipper.__aenter__()
        at = time.time() - self._began
        self._waiting.append((at, sum(each.waiting for each in self._shippers.values())))
        self._dropped.append((at, sum(each.dropped for each in self._shippers.values())))

    def draw(self) -> Picture:
        """Two charts over the last minute."""
        lines = {"waiting": list(self._waiting), "dropped": list(self._dropped)}
        charts = {"calls/s in the log": self._logged(), "lines": lines}
        return dashboard(charts, title="What the log store knows", window_seconds=WINDOW_SECONDS)

    def _logged(self) -> dict[str, list[tuple[float, float]]]:
        """The seconds that are over; a second without a line counts as nothing.

        An instance with a shipper has its curve even when no line of it is in sight.
        """
        if self._began is None:
            return {}
        end = int(time.time())
        start = max(int(self._began), end - WINDOW_SECONDS - 1)
        told = self._store.over_time(step=1, by="instance", event="call", start=start, end=end)
        counts = {name: dict(told.get(name, ())) for name in sorted({*self._shippers, *told})}
        return {
            name: [(at - self._began, by_second.get(at, 0)) for at in range(start, end)]
            for name, by_second in counts.items()
        }

    async def stop(self) -> None:
        """Close the shippers; what waits is sent, or dropped and counted."""
        for shipper in self._shippers.values():
            await shipper.close(within_seconds=1.0)
