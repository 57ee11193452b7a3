"""A RED dashboard for a control panel, drawn from what a scraper of ours remembers."""

import asyncio
from collections import deque
from collections.abc import Mapping

from course_lib.lab.plots import Picture, dashboard
from course_lib.lab.scraper import Scraper, Target
from course_lib.lab.series_memory import SeriesMemory

Chart = dict[str, deque[tuple[float, float]]]


class RedView:
    """Rate by instance, failures and durations over `window_seconds`; a view of a control panel.

    It looks only through scrapes of `targets`, every `interval_seconds`; `failures` are the
    outcomes that count as such.
    """

    def __init__(
        self,
        targets: Mapping[str, Target],
        *,
        interval_seconds: float = 0.5,
        window_seconds: float = 3.0,
        failures: tuple[str, ...] = ("Internal", "Unavailable", "DeadlineExceeded", "Overloaded"),
        title: str = "RED: rate, errors, duration",
    ) -> None:
        memory = SeriesMemory(keep_seconds=2 * window_seconds)  # so that asking stays quick
        self.scraper = Scraper(targets, interval_seconds=interval_seconds, memory=memory)
        self._window, self._failures, self._title = window_seconds, failures, title
        self._scraping: asyncio.Task[None] | None = None
        self._began = 0.0
        self._rate: Chart = {name: deque(maxlen=300) for name in targets}
        self._failed: Chart = {"failed": deque(maxlen=300)}
        self._duration: Chart = {"p50": deque(maxlen=300), "p99": deque(maxlen=300)}

    async def frame(self) -> None:
        """Ask the memory once more; the first time, begin to scrape."""
        now = asyncio.get_running_loop().time()
        if self._scraping is None:
            self._scraping = asyncio.create_task(self.scraper.run())
            self._began = now
        memory, at, start = self.scraper.memory, now - self._began, now - self._window
        for name, line in self._rate.items():
            line.append((at, memory.sum_rate("requests_total", start, now, instance=name)))
        calls = memory.sum_rate("requests_total", start, now)
        failed = sum(
            memory.sum_rate("requests_total", start, now, outcome=outcome)
            for outcome in self._failures
        )
        self._failed["failed"].append((at, 100 * failed / calls if calls else 0.0))
        for name, line in self._duration.items():
            q = float(name.replace("p", "0."))
            seconds = memory.quantile(q, "request_duration_seconds", start, now)
            if seconds == seconds:  # NaN without calls: the line has a gap
                line.append((at, 1000 * seconds))

    def draw(self) -> Picture:
        """Three charts over the last thirty seconds."""
        charts = {
            "rate (calls/s)": self._rate,
            "errors (%)": self._failed,
            "duration (ms)": self._duration,
        }
        listed = {label: {n: list(line) for n, line in c.items()} for label, c in charts.items()}
        return dashboard(listed, title=self._title)

    async def stop(self) -> None:
        """Scrape no more."""
        if self._scraping is not None:
            self._scraping.cancel()
            await asyncio.wait([self._scraping])
            self._scraping = None
