"""Pages of metrics in memory, and what a scraper remembers of them: for virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from course_lib.lab.scraper import Scraper
from course_lib.lab.series_memory import SeriesMemory
from course_lib.telemetry.metrics import CollectorRegistry, exposition

T = TypeVar("T")


class Page(Generic[T]):
    """A `/metrics` page that a scraper can take as its target.

    `make(registry)` makes the metrics, which are `.metrics`; `restart()` makes them anew.
    """

    def __init__(self, make: Callable[[CollectorRegistry], T]) -> None:
        self._make = make
        self.restart()

    def restart(self) -> None:
        """Forget everything, as a process that begins again."""
        self.registry = CollectorRegistry()
        self.metrics = self._make(self.registry)

    async def __call__(self) -> bytes:
        return exposition(self.registry)


async def remembered(
    page: Page[Any], *traffic: Awaitable[Any], seconds: float, interval_seconds: float = 15.0
) -> SeriesMemory:
    """What a scraper knows of the page after so many seconds of this traffic."""
    scraper = Scraper({"a": page}, interval_seconds=interval_seconds)
    scraping = asyncio.create_task(scraper.run())
    await asyncio.gather(*traffic, asyncio.sleep(seconds))
    await asyncio.sleep(0)  # the scrape that is due now
    scraping.cancel()
    await asyncio.wait([scraping])
    return scraper.memory
