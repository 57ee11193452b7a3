"""The rules of other people's circuit breakers, re-implemented to compare them with ours.

Labelled re-implementations, not the originals: the rules and defaults of gobreaker (Go) and of
Hystrix 1.5 (Java), on the clock of the event loop. `breaker(GobreakerRules("shop"))` wraps an
endpoint as `CircuitBreaker` does, whose own rules are resilience4j's, but for its generations.
"""

from collections import deque

from course_lib.middleware.breaker import CircuitBreaker


class GobreakerRules(CircuitBreaker):
    """Opens after `consecutive_failures` in a row; one failed probe opens it, all good close it."""

    def __init__(
        self,
        name: str,
        *,
        consecutive_failures: int = 6,
        max_requests: int = 1,
        open_seconds: float = 60.0,
    ) -> None:
        super().__init__(name, open_seconds=open_seconds, half_open_permits=max_requests)
        self.consecutive_failures = consecutive_failures
        self._in_a_row = 0

    def record(self, generation: int, started: float, now: float, failed: bool | None) -> None:
        """Take a result; a cancelled call is a failure here."""
        if generation != self._generation:
            return
        bad = failed is not False
        if bad != (self._in_a_row < 0):
            self._in_a_row = 0
        self._in_a_row += -1 if bad else 1
        if self._state == "half_open":
            if bad:
                self._turn("open", now)
            elif self._in_a_row >= self.half_open_permits:
                self._turn("closed", now)
        elif -self._in_a_row >= self.consecutive_failures:
            self._turn("open", now)

    def _turn(self, new: str, now: float) -> None:
        self._in_a_row = 0
        super()._turn(new, now)


class HystrixRules(CircuitBreaker):
    """Looks at the last ten seconds every half second; a single probe decides.

    It knows no generations: any success while half open closes it, be it of an older call.
    """

    TICK_SECONDS = 0.5
    WINDOW_TICKS = 20

    def __init__(
        self,
        name: str,
        *,
        request_volume: int = 20,
        error_rate: float = 0.5,
        sleep_seconds: float = 5.0,
    ) -> None:
        super().__init__(name, open_seconds=sleep_seconds, half_open_permits=1)
        self.request_volume = request_volume
        self.error_rate = error_rate
        self._counted: deque[tuple[int, bool]] = deque()
        self._looked_at = 0

    def admit(self, now: float) -> int:
        """Let a call through, or raise CircuitOpen."""
        self._look(now)
        return super().admit(now)

    def record(self, generation: int, started: float, now: float, failed: bool | None) -> None:
        """Take a result; a cancelled probe counts against the other side."""
        self._look(now)
        if failed is not None:
            self._counted.append((int(now / self.TICK_SECONDS), failed))
        if self._state == "half_open":
            self._turn("closed" if failed is False else "open", now)

    def _look(self, now: float) -> None:
        """Catch up with every half second that has ended since the last look."""
        tick = int(now / self.TICK_SECONDS)
        for ended in range(max(self._looked_at, tick - self.WINDOW_TICKS) + 1, tick + 1):
            while self._counted and self._counted[0][0] < ended - self.WINDOW_TICKS:
                self._counted.popleft()
            count, failed = len(self._counted), sum(bad for _, bad in self._counted)
            enough = self._state == "closed" and count >= self.request_volume
            if enough and failed / count >= self.error_rate:
                self._turn("open", ended * self.TICK_SECONDS)
        self._looked_at = tick

    def _turn(self, new: str, now: float) -> None:
        if new == "closed":
            self._counted.clear()
        super()._turn(new, now)
