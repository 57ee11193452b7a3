"""A small scraper: it reads each target's page at an interval and remembers what it saw.

Each target has a beat of its own, so none can hold up another. A target is a base URL, or an
async function that returns the page (in virtual time). Follows Prometheus in `up`, in `job` and
`instance`, in the instant of a sample (when the scrape began) and in staleness. Leaves out:
finding targets, timestamps in the page, OpenMetrics.
"""

import asyncio
import math
import ssl
from collections.abc import Awaitable, Callable, Mapping

import httpx

from course_lib.lab.series_memory import Key, SeriesMemory
from course_lib.telemetry.metrics import parse

Target = str | Callable[[], Awaitable[bytes]]

_PLAIN_HTTP = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # made once; httpx would make it every time
_LONGEST_LINE = 16_000
_HEADERS = {"accept": "text/plain;version=0.0.4", "accept-encoding": "identity"}


class Scraper:
    """Scrapes `targets` (by instance) while `run()` runs; `memory` holds what it saw.

    `problems` says for each instance why its last scrape failed. A scrape ends after
    `timeout_seconds`, `most_bytes` or `most_lines`.
    """

    def __init__(
        self,
        targets: Mapping[str, Target],
        *,
        job: str = "shop",
        interval_seconds: float = 15.0,
        timeout_seconds: float = 10.0,
        memory: SeriesMemory | None = None,
        clock: Callable[[], float] | None = None,
        most_bytes: int = 1_000_000,
        most_lines: int = 20_000,
    ) -> None:
        self.targets, self.job = dict(targets), job
        self.interval_seconds = interval_seconds
        self.timeout_seconds = min(timeout_seconds, interval_seconds)
        self.memory = SeriesMemory() if memory is None else memory
        self.problems: dict[str, str] = {}
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._most_bytes, self._most_lines = most_bytes, most_lines
        self._seen: dict[str, set[Key]] = {instance: set() for instance in targets}

    async def run(self) -> None:
        """Scrape every target at every beat of its own, until cancelled."""
        async with asyncio.TaskGroup() as beats:
            for instance in self.targets:
                beats.create_task(self._beat(instance))

    async def _beat(self, instance: str) -> None:
        clock = asyncio.get_running_loop().time
        began, beat = clock(), 0
        while True:
            await self.scrape(instance)
            beat = max(beat + 1, math.ceil((clock() - began) / self.interval_seconds))
            await asyncio.sleep(began + beat * self.interval_seconds - clock())

    async def scrape(self, instance: str) -> bool:
        """Scrape one target now; False, and the reason in `problems`, when it failed."""
        loop, at = asyncio.get_running_loop(), self._clock()
        began, page = loop.time(), dict[Key, float]()
        try:
            async with asyncio.timeout(self.timeout_seconds):
                page = await self._read(instance)
        except TimeoutError:
            self.problems[instance] = f"no page within {self.timeout_seconds:g} s"
        except Exception as error:  # whatever a target does, the others are scraped
            self.problems[instance] = str(error)[:200] or type(error).__name__
        else:
            self.problems.pop(instance, None)
        up = instance not in self.problems
        for key, value in page.items():
            self.memory.add(key[0], dict(key[1]), at, value)
        for key in self._seen[instance] - page.keys():
            self.memory.end(key, at)
        self._seen[instance] = set(page)
        about = {"job": self.job, "instance": instance}
        self.memory.add("up", about, at, float(up))
        self.memory.add("scrape_duration_seconds", about, at, loop.time() - began)
        self.memory.add("scrape_samples_scraped", about, at, float(len(page)))
        self.memory.forget(at)
        return up

    async def _read(self, instance: str) -> dict[Key, float]:
        target = self.targets[instance]
        body = await (self._get(target) if isinstance(target, str) else target())
        self._check_size(body)
        self._check_lines(body)
        found: dict[Key, float] = {}
        for line, (name, labels, value) in enumerate(parse(body.decode()), start=1):
            if line % 200 == 0:
                await asyncio.sleep(0)  # reading is work: let others have their turn
            labelled = {**_renamed(labels), "job": self.job, "instance": instance}
            found.setdefault((name, tuple(sorted(labelled.items()))), value)
        return found

    async def _get(self, url: str) -> bytes:
        body = bytearray()
        async with httpx.AsyncClient(verify=_PLAIN_HTTP, timeout=None, trust_env=False) as client:
            page = f"{url.rstrip('/')}/metrics"
            async with client.stream("GET", page, headers=_HEADERS) as answer:
                if answer.status_code != 200:
                    raise ValueError(f"the page answers HTTP {answer.status_code}")
                async for chunk in answer.aiter_raw():
                    body += chunk
                    self._check_size(body)
        return bytes(body)

    def _check_size(self, body: bytes | bytearray) -> None:
        if len(body) > self._most_bytes:
            raise ValueError(f"the page is longer than {self._most_bytes} bytes")

    def _check_lines(self, body: bytes) -> None:
        """What takes the parser long would hold up everybody."""
        lines = body.split(b"\n")
        if len(lines) > self._most_lines:
            raise ValueError(f"the page has more than {self._most_lines} lines")
        if max(map(len, lines)) > _LONGEST_LINE:
            raise ValueError(f"a line is longer than {_LONGEST_LINE} bytes")


def _renamed(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels that say something, with `job` and `instance` under names that are free."""
    kept = {label: text for label, text in labels.items() if text}
    for label in kept.keys() & {"job", "instance"}:
        text, name = kept.pop(label), f"exported_{label}"
        while name in kept:
            name = f"exported_{name}"
        kept[name] = text
    return kept
