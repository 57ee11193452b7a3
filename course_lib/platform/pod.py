"""A pod with one container: probed, restarted with a growing delay, as a kubelet does it.

Works in virtual time. Source: kubernetes/pkg/kubelet,
prober and kuberuntime_manager.go. Leaves out images, volumes and being deleted.
"""

import asyncio
from collections.abc import Callable

from course_lib.platform.container import Container
from course_lib.telemetry.probes import Probe, Prober

_PATHS = {"startup": "/startupz", "readiness": "/readyz", "liveness": "/healthz"}


class RestartDelay:
    """How long a container that ended waits: not at all, then 10 s, doubling up to 300 s.

    One that ran for more than ten minutes begins anew.
    """

    def __init__(self, first_seconds: float = 10.0, longest_seconds: float = 300.0) -> None:
        self._first, self._longest = first_seconds, longest_seconds
        self._delay: float | None = None
        self._restarted_at = 0.0

    def after(self, ended_at: float) -> float:
        """Seconds to wait from the instant at which the container ended."""
        if self._delay is None or ended_at - self._restarted_at > 2 * self._longest:
            self._delay = None
            return 0.0
        return self._delay

    def restarted(self, at: float) -> None:
        """The container runs again; the next wait is longer."""
        self._delay = min(2 * self._delay, self._longest) if self._delay else self._first
        self._restarted_at = at


class Pod:
    """`make()` gives each life its container; `run()` looks after it until it is cancelled.

    `state` is "starting", "ready", "not ready", "terminating" or "back-off"; `events` are
    (seconds, text), as `kubectl describe` lists them.
    """

    def __init__(
        self,
        make: Callable[[], Container],
        *,
        liveness: Probe | None = None,
        readiness: Probe | None = None,
        startup: Probe | None = None,
        grace_seconds: float = 30.0,
    ) -> None:
        self._make, self._grace_seconds = make, grace_seconds
        self.container: Container | None = None
        self.restarts = 0
        self.state = "starting"
        self.events: list[tuple[float, str]] = []
        self._states: list[tuple[float, str]] = []
        self._unwell = asyncio.Event()
        given = {"startup": startup, "readiness": readiness, "liveness": liveness}
        self._probers = {k: self._prober(k, probe) for k, probe in given.items() if probe}

    @property
    def started(self) -> bool:
        """Whether the container runs and its startup probe, if there is one, has succeeded."""
        return self.container is not None and self._verdict("startup")

    @property
    def ready(self) -> bool:
        """Whether requests should be sent here."""
        return self.started and self._verdict("readiness")

    def spans(self, until: float) -> list[tuple[float, float, str]]:
        """The states from the beginning until then, for `plots.timeline`."""
        ends = [at for at, _ in self._states[1:]] + [until]
        spans = [(at, end, s) for (at, s), end in zip(self._states, ends, strict=True)]
        return [span for span in spans if span[0] < span[1]]

    async def run(self) -> None:
        """Start the container, probe it, and start it again whenever it ends."""
        delay = RestartDelay()
        async with asyncio.TaskGroup() as probing:
            for prober in self._probers.values():
                probing.create_task(prober.run())
            while True:
                await self._live()
                ended_at = _now()
                if wait := delay.after(ended_at):
                    self._become("back-off")
                    self._event(f"BackOff: restarting in {wait:g} s")
                    await asyncio.sleep(wait)
                self.restarts += 1
                delay.restarted(_now())

    async def _live(self) -> None:
        """One life of the container."""
        container = self.container = self._make()
        life = asyncio.create_task(container.run())
        unwell = asyncio.create_task(self._unwell.wait())
        await asyncio.sleep(0)  # let it begin
        try:
            for prober in self._probers.values():
                prober.container_started()
            self._event("Started")
            self._become("starting")
            self._look()
            self._ask_readiness()
            await asyncio.wait((life, unwell), return_when=asyncio.FIRST_COMPLETED)
            if not life.done():
                self._become("terminating")
                container.terminate()
                await asyncio.wait((life,), timeout=self._grace_seconds)
                if not life.done():
                    self._event(f"Killing: did not end within {self._grace_seconds:g} s")
        finally:
            container.crash()
            for task in (life, unwell):
                task.cancel()
            self._unwell.clear()
            self.container = None
            for prober in self._probers.values():
                prober.container_ended()
        self._event("Ended")

    def _prober(self, kind: str, probe: Probe) -> Prober:
        async def ask() -> int:
            assert self.container is not None
            return await self.container.get(probe.path or _PATHS[kind])

        def judged(result: str) -> None:
            if kind != "readiness" and result == "failure":
                self._event(f"Killing: {kind} probe failed, will be restarted")
                self._unwell.set()
            self._look()
            if kind == "startup":
                self._ask_readiness()

        def answered(problem: str | None) -> None:
            if problem is not None:
                self._event(f"Unhealthy: {kind} probe failed: {problem}")

        def gate() -> bool:
            return self.container is not None and self.started != (kind == "startup")

        return Prober(kind, probe, ask, gate=gate, on_result=judged, on_answer=answered)

    def _verdict(self, kind: str) -> bool:
        return kind not in self._probers or self._probers[kind].result == "success"

    def _look(self) -> None:
        """See what the verdicts make of the state."""
        if self._unwell.is_set():
            return
        if self.ready:
            self._become("ready")
        elif self.state == "ready":
            self._become("not ready")

    def _ask_readiness(self) -> None:
        """One that has just started need not wait for the next tick."""
        if self.started and "readiness" in self._probers:
            self._probers["readiness"].ask_now()

    def _become(self, state: str) -> None:
        if not self._states or state != self.state:
            self.state = state
            self._states.append((_now(), state))

    def _event(self, text: str) -> None:
        self.events.append((_now(), text))


def _now() -> float:
    return asyncio.get_running_loop().time()
