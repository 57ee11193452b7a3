"""How health is asked for: one probe of one container, by the rules of Kubernetes' kubelet.

Source: kubernetes/pkg/kubelet/prober, worker.go and prober_manager.go. Leaves out exec and TCP
probes, and what is done about a result (see `platform.pod`).
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Ask = Callable[[], Awaitable[int]]
"""Ask the container once; returns the HTTP status. Whatever it raises counts as a failure."""

INITIAL = {"liveness": "success", "readiness": "failure", "startup": "unknown"}
"""What holds before the first verdict: alive, not ready, nobody knows whether it has started."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """How often to ask, how long to wait, and how many answers in a row make a verdict.

    The names are Kubernetes' own (periodSeconds and so on), and so are the defaults; Kubernetes
    knows whole seconds only. `path` is the page; "" means the usual one of its kind.
    """

    period_seconds: float = 10.0
    timeout_seconds: float = 1.0
    success_threshold: int = 1
    failure_threshold: int = 3
    initial_delay_seconds: float = 0.0
    path: str = ""

    def __post_init__(self) -> None:
        for name in ("period_seconds", "timeout_seconds"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: must be more than 0, got {getattr(self, name)}")
        for name in ("success_threshold", "failure_threshold"):
            if not getattr(self, name) >= 1:
                raise ValueError(f"{name}: must be 1 or more, got {getattr(self, name)}")
        if not self.initial_delay_seconds >= 0:
            raise ValueError(
                f"initial_delay_seconds: must be 0 or more, got {self.initial_delay_seconds}"
            )


class Prober:
    """Asks a container again and again and holds a verdict: `result` of "success" or "failure".

    `kind` is "liveness", "readiness" or "startup". `gate()` says whether to ask at all: the other
    two wait for startup. After a verdict of startup, or of liveness that it has failed, nothing is
    asked until there is a new container. `on_result(result)` hears every verdict,
    `on_answer(problem)` every answer: None, or what was wrong with it.
    """

    def __init__(
        self,
        kind: str,
        probe: Probe,
        ask: Ask,
        *,
        gate: Callable[[], bool] = lambda: True,
        on_result: Callable[[str], None] = lambda result: None,
        on_answer: Callable[[str | None], None] = lambda problem: None,
    ) -> None:
        if kind not in INITIAL:
            raise ValueError(f"kind: must be one of {', '.join(INITIAL)}, got {kind!r}")
        if kind != "readiness" and probe.success_threshold != 1:
            raise ValueError(
                f"success_threshold: must be 1 for {kind}, got {probe.success_threshold}"
            )
        self.kind, self.probe, self.result = kind, probe, INITIAL[kind]
        self._ask, self._gate, self._on_result, self._on_answer = ask, gate, on_result, on_answer
        self._last: bool | None = None
        self._run_length = 0
        self._on_hold = True
        self._started_at = 0.0
        self._now = asyncio.Event()

    def container_started(self) -> None:
        """A new container: the verdict is the initial one again, and probing goes on.

        So does the count of answers in a row, in the kubelet too.
        """
        self.result = INITIAL[self.kind]
        self._on_hold = False
        self._started_at = asyncio.get_running_loop().time()

    def container_ended(self) -> None:
        """Nothing to ask until the next container; the verdict is failure."""
        self.result, self._on_hold = "failure", True

    def ask_now(self) -> None:
        """Do not wait for the next tick (the kubelet does so for readiness when a pod changes)."""
        self._now.set()

    def record(self, succeeded: bool) -> None:
        """Count one answer; below the threshold nothing changes."""
        self._run_length = self._run_length + 1 if succeeded == self._last else 1
        self._last = succeeded
        probe = self.probe
        if self._run_length < (probe.success_threshold if succeeded else probe.failure_threshold):
            return
        if self.kind == "startup" or (self.kind == "liveness" and not succeeded):
            # It has started, or it will be restarted: there is nothing more to ask this container.
            self._on_hold, self._run_length = True, 0
        self.result = "success" if succeeded else "failure"
        self._on_result(self.result)

    async def run(self) -> None:
        """Ask every `period_seconds`, for ever.

        The first tick is one period after the beginning: when the kubelet's worker first looks,
        there is no container yet. A tick missed while an answer is awaited comes right after it.
        """
        clock, period = asyncio.get_running_loop().time, self.probe.period_seconds
        due = clock() + period
        while True:
            if await self._told_to(due - clock()):
                due = clock() + period
            else:
                due += period
            if not self._on_hold and self._waited_enough(clock()) and self._gate():
                started_at = self._started_at
                problem = await self._problem()
                if self._started_at == started_at and not self._on_hold:
                    self._on_answer(problem)
                    self.record(problem is None)
            while due + period <= clock():
                due += period

    async def _told_to(self, seconds: float) -> bool:
        """Wait so long at most; True when somebody wants an answer now."""
        try:
            async with asyncio.timeout(max(seconds, 0)):
                await self._now.wait()
        except TimeoutError:
            return False
        finally:
            self._now.clear()
        return True

    def _waited_enough(self, now: float) -> bool:
        return now - self._started_at >= self.probe.initial_delay_seconds

    async def _problem(self) -> str | None:
        try:
            async with asyncio.timeout(self.probe.timeout_seconds):
                status = await self._ask()
        except TimeoutError:
            return f"no answer within {self.probe.timeout_seconds:g} s"
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return "cancelled"
        except Exception as error:
            return str(error) or type(error).__name__
        return None if 200 <= status < 400 else f"HTTP {status}"
