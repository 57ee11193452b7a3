"""Keeps the checks going: TTLs that run out, HTTP probes, and the reaping of what stays critical.

All time comes from the running loop. A probe never waits for another one, so a target that hangs
delays nobody.
"""

import asyncio
import math
import random
from collections import defaultdict
from collections.abc import Callable

from course_lib.stand_ins.consul_catalogue import Catalogue
from course_lib.stand_ins.consul_probe import Fetch
from course_lib.stand_ins.consul_records import Check
from course_lib.stand_ins.consul_values import Refused

_LONGEST_TIMEOUT_SECONDS = 10.0


class CheckRunner:
    """Runs the checks of one catalogue and tells it what they found."""

    def __init__(
        self,
        catalogue: Catalogue,
        fetch: Fetch,
        rng: random.Random,
        *,
        minimum_interval_seconds: float,
        minimum_deregister_seconds: float,
        reap_interval_seconds: float,
    ) -> None:
        self._catalogue = catalogue
        self._fetch = fetch
        self._rng = rng
        self._minimum_interval = minimum_interval_seconds
        self._minimum_deregister = minimum_deregister_seconds
        self._reap_interval = reap_interval_seconds
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._reapers: dict[str, asyncio.TimerHandle] = {}
        self._probes: dict[str, asyncio.Task[None]] = {}
        self._streaks: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])

    def start(self, check: Check) -> None:
        """Begin: a TTL starts to run out, a probe starts at a random moment of its interval."""
        if check.kind == "ttl":
            self._later(check, check.definition.ttl_seconds, self._expire)
        elif check.kind == "http":
            self._later(check, self._rng.random() * self._interval(check), self._launch)
        self.follow(check)

    def stop(self, check: Check) -> None:
        """Forget the check: no timer, no probe, no reaping."""
        for handle in (
            self._timers.pop(check.check_id, None),
            self._probes.pop(check.check_id, None),
        ):
            if handle is not None:
                handle.cancel()
        self._streaks.pop(check.check_id, None)
        self._spare(check)

    def start_all(self) -> None:
        """Take up the checks again, when the agent starts anew on what it knew."""
        for check in self._catalogue.checks.values():
            self.start(check)

    def stop_all(self) -> None:
        for check in self._catalogue.checks.values():
            self.stop(check)

    def heartbeat(self, check_id: str, status: str, output: str) -> None:
        """A service speaks for itself: set the status of a TTL check and wind its clock again."""
        check = self._catalogue.check(check_id)
        if check.kind != "ttl":
            raise Refused(500, f'CheckID "{check_id}" does not have associated TTL')
        self._later(check, check.definition.ttl_seconds, self._expire)
        self._catalogue.report(check, status, output)

    def follow(self, check: Check) -> None:
        """Begin or end the countdown to `DeregisterCriticalServiceAfter`, as the status asks."""
        after = check.definition.deregister_after_seconds
        if check.status != "critical" or after <= 0 or not check.service_id:
            self._spare(check)
        elif check.check_id not in self._reapers:
            loop = asyncio.get_running_loop()
            due = loop.time() + max(after, self._minimum_deregister)
            round_number = math.floor(due / self._reap_interval) + 1
            self._reapers[check.check_id] = loop.call_at(
                round_number * self._reap_interval, self._reap, check
            )

    def _later(self, check: Check, seconds: float, action: Callable[[Check], None]) -> None:
        earlier = self._timers.pop(check.check_id, None)
        if earlier is not None:
            earlier.cancel()
        loop = asyncio.get_running_loop()
        self._timers[check.check_id] = loop.call_later(seconds, action, check)

    def _expire(self, check: Check) -> None:
        last = check.output
        follows = f" (last output before timeout follows): {last}" if last else ""
        self._catalogue.report(check, "critical", f"TTL expired{follows}")

    def _launch(self, check: Check) -> None:
        self._probes[check.check_id] = asyncio.ensure_future(self._probe(check))

    async def _probe(self, check: Check) -> None:
        definition = check.definition
        seconds = definition.timeout_seconds or min(_LONGEST_TIMEOUT_SECONDS, self._interval(check))
        place = f'{definition.method} "{definition.http}"'
        try:
            async with asyncio.timeout(seconds):
                status, output = await self._fetch(definition)
        except TimeoutError:
            status, output = "critical", f"{place}: context deadline exceeded"
        except Exception as error:
            status, output = "critical", f"{place}: {str(error) or type(error).__name__}"
        self._later(check, self._interval(check), self._launch)
        self._judge(check, status, output)

    def _judge(self, check: Check, status: str, output: str) -> None:
        """Change the status only after as many like results in a row as the check asks for."""
        streak = self._streaks[check.check_id]
        healthy = status != "critical"
        streak[healthy], streak[not healthy] = streak[healthy] + 1, 0
        definition = check.definition
        needed = (
            definition.successes_before_passing if healthy else definition.failures_before_critical
        )
        if streak[healthy] >= needed:
            self._catalogue.report(check, status, output)

    def _interval(self, check: Check) -> float:
        return max(check.definition.interval_seconds, self._minimum_interval)

    def _spare(self, check: Check) -> None:
        reaper = self._reapers.pop(check.check_id, None)
        if reaper is not None:
            reaper.cancel()

    def _reap(self, check: Check) -> None:
        self._catalogue.deregister(check.service_id)
