"""The real Prometheus as a child process: it scrapes what it is told, and is asked by PromQL.

It listens on a free port of 127.0.0.1. Its first sample takes five seconds, whatever the interval.
promtool comes with it.
"""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from course_lib.lab.series_memory import SeriesMemory
from course_lib.lab.servers.child import ServerProcess

HOW_TO_INSTALL = (
    "Prometheus is not installed: `apt-get install prometheus`, `brew install prometheus`"
)

_LISTENING = re.compile(r'msg="Listening on".* address="?(127\.0\.0\.1:\d+)')
_READY = "Server is ready to receive web requests"


class Value(NamedTuple):
    """One series of an answer."""

    labels: Mapping[str, str]
    value: float


def installed() -> bool:
    """Whether both programs, prometheus and promtool, are here."""
    return bool(shutil.which("prometheus") and shutil.which("promtool"))


def promtool(*arguments: str | Path) -> str:
    """Run promtool and return what it says; raises RuntimeError, saying it, when it objects."""
    if not installed():
        raise RuntimeError(HOW_TO_INSTALL)
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True)
    lines = (line.strip() for line in (done.stdout + done.stderr).splitlines())
    said = "\n".join(line for line in lines if line)
    if done.returncode:
        raise RuntimeError(said)
    return said


class Prometheus(ServerProcess):
    """Scrapes `targets` (addresses, by job) every `interval_seconds`; a new one replaces it.

    `rules` are files of recording and alerting rules. Raises RuntimeError when it cannot start.
    """

    _latest: "Prometheus | None" = None

    def __init__(
        self,
        targets: Mapping[str, Sequence[str]],
        *,
        interval_seconds: float = 1.0,
        rules: Sequence[Path] = (),
    ) -> None:
        if not installed():
            raise RuntimeError(HOW_TO_INSTALL)
        if Prometheus._latest is not None:
            Prometheus._latest.stop()
        super().__init__("Prometheus")
        Prometheus._latest, self.url = self, ""
        self._client = httpx.Client(timeout=10, trust_env=False)
        interval = f"{round(interval_seconds * 1000)}ms"
        configuration = {
            "global": {
                "scrape_interval": interval,
                "scrape_timeout": interval,
                "evaluation_interval": interval,
            },
            "rule_files": [str(Path(path).resolve()) for path in rules],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": list(addresses)}]}
                for job, addresses in targets.items()
            ],
        }
        file = self.folder / "prometheus.yml"
        file.write_text(json.dumps(configuration))  # every JSON text is a YAML text
        command: list[str | Path] = [
            "prometheus",
            f"--config.file={file}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            "--web.listen-address=127.0.0.1:0",
            "--enable-feature=exemplar-storage",
        ]
        self._start(command, self._is_ready)

    def _is_ready(self) -> bool:
        said = self.log
        if _READY in said and (found := _LISTENING.search(said)):
            self.url = f"http://{found[1]}"
        return bool(self.url)

    def _last_words(self) -> str:
        errors = "\n".join(line for line in self.log.splitlines() if "level=error" in line)
        return errors or super()._last_words()

    def query(self, expression: str, *, at: float | None = None) -> list[Value]:
        """What a PromQL expression gives now, or `at` seconds since 1970, series by series.

        Raises ValueError when it is not valid (in Prometheus's own words) or gives a range.
        """
        result = self._ask(expression, at, "vector", "scalar")
        if isinstance(result[0] if result else {}, dict):
            return [Value(_labels(series), float(series["value"][1])) for series in result]
        return [Value({}, float(result[1]))]  # a scalar

    def samples(
        self, selector: str, *, at: float | None = None
    ) -> list[tuple[Mapping[str, str], list[tuple[float, float]]]]:
        """The raw samples a range selector such as `up[1m]` finds: labels and (seconds, value)."""
        return [
            (_labels(series), [(float(at), float(value)) for at, value in series["values"]])
            for series in self._ask(selector, at, "matrix")
        ]

    def memory(self, *selectors: str, at: float | None = None) -> SeriesMemory:
        """The raw samples that range selectors find, in a memory of ours, to compute by hand."""
        memory = SeriesMemory()
        for selector in selectors:
            for labels, samples in self.samples(selector, at=at):
                unnamed = {name: text for name, text in labels.items() if name != "__name__"}
                for seconds, value in samples:
                    memory.add(labels["__name__"], unnamed, seconds, value)
        return memory

    def api(self, path: str, **parameters: Any) -> Any:
        """The `data` of `/api/v1/PATH`; raises ValueError with Prometheus's own words."""
        answer = self._client.get(f"{self.url}/api/v1/{path}", params=parameters).json()
        if answer["status"] != "success":
            raise ValueError(answer["error"])
        return answer["data"]

    async def wait_for(self, expression: str, *, seconds: float = 20.0) -> list[Value]:
        """Ask until the expression gives something; raises TimeoutError after so many seconds."""
        async with asyncio.timeout(seconds):
            while not (found := self.query(expression)):
                await asyncio.sleep(0.1)
        return found

    def _ask(self, expression: str, at: float | None, *kinds: str) -> Any:
        instant = {} if at is None else {"time": at}
        answer = self.api("query", query=expression, **instant)
        if answer["resultType"] not in kinds:
            expected = " or ".join(kinds)
            raise ValueError(f"{expression} gives a {answer['resultType']}, not a {expected}")
        return answer["result"]

    def stop(self) -> None:
        """End it and remove its folder; a second time does nothing."""
        self._client.close()
        super().stop()


def _labels(series: Any) -> dict[str, str]:
    return dict(series["metric"])
