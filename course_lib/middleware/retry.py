"""A retry asks again, later, and only when that does no harm.

The need: one attempt in a hundred meets an instance that just went away. The danger: when the
service itself is in trouble, everybody asking three times is what keeps it there. So: few
attempts, spread by full jitter, within the deadline, and out of a budget that runs dry.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from course_lib import context
from course_lib.endpoint import Endpoint, Middleware
from course_lib.errors import (
    Answer,
    CircuitOpen,
    ComeBackLater,
    DeadlineExceeded,
    Internal,
    NoInstances,
    Unavailable,
)


class RetryBudget:
    """Tokens that allow retries (gRPC proposal A6): a failure costs one, a success pays back.

    There is no retry at or below half of `max_tokens`. One budget may serve many endpoints.
    """

    def __init__(self, max_tokens: float = 10.0, token_ratio: float = 0.1) -> None:
        self.max_tokens = max_tokens
        self.token_ratio = token_ratio
        self.tokens = max_tokens

    @property
    def allows(self) -> bool:
        """Whether a retry may be made just now."""
        return self.tokens > self.max_tokens / 2

    def spend(self) -> None:
        """Take one token, down to none."""
        self.tokens = max(0.0, self.tokens - 1)

    def pay_back(self) -> None:
        """Give back what a success is worth, up to `max_tokens`."""
        self.tokens = min(self.max_tokens, self.tokens + self.token_ratio)


def refused(error: Exception) -> bool:
    """Whether nobody is likely to have worked on the request: it was refused, or got nowhere.

    A connection may break after the work was done, as everywhere where Unavailable is retried.
    """
    return isinstance(error, ComeBackLater | NoInstances | Unavailable)


def idempotent(error: Exception) -> bool:
    """For operations that may be done twice: also when an attempt took too long or broke down."""
    return refused(error) or isinstance(error, DeadlineExceeded | Internal)


def full_jitter(
    n: int, rng: random.Random, base_seconds: float = 0.1, cap_seconds: float = 10.0
) -> float:
    """Seconds to wait after failure `n`, from 0: uniform(0, min(cap, base * 2**n)).

    Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    return rng.uniform(0.0, min(cap_seconds, base_seconds * 2.0 ** min(n, 100)))


def retry(
    attempts: int,
    *,
    budget: RetryBudget | None,
    rng: random.Random,
    base_seconds: float = 0.1,
    cap_seconds: float = 10.0,
    is_safe: Callable[[Exception], bool] = refused,
) -> Middleware:
    """Make up to `attempts` attempts in all, as long as `is_safe` says so and `budget` allows.

    A server that says when to come back is believed, and the jitter comes on top. The last
    error is raised; its notes list the attempts. `budget` None sets no limit: see what happens.
    """
    if attempts < 1:
        raise ValueError(f"attempts: expected 1 or more in all, got {attempts}")

    def wrap(inner: Endpoint) -> Endpoint:
        async def endpoint(request: Any) -> Any:
            clock = asyncio.get_running_loop().time
            began, story = clock(), []
            for n in range(attempts):
                try:
                    response = await inner(request)
                except Answer:
                    _pay_back(budget)
                    raise
                except Exception as error:
                    story.append(f"attempt {n + 1} at {clock() - began:.3f} s: {error!r}")
                    if budget is not None:
                        budget.spend()
                    wait = full_jitter(n, rng, base_seconds, cap_seconds)
                    wait += _pushback(error)
                    if why := _why_not(error, n + 1, clock() + wait):
                        for line in (*story, f"gave up: {why}"):
                            error.add_note(line)
                        raise
                else:
                    _pay_back(budget)
                    return response
                await asyncio.sleep(wait)

        return endpoint

    def _why_not(error: Exception, made: int, again_at: float) -> str | None:
        if not is_safe(error):
            return f"{type(error).__name__} is not safe to retry"
        if made >= attempts:
            return f"{attempts} attempts were made"
        if budget is not None and not budget.allows:
            return f"the retry budget is down to {budget.tokens:.1f} of {budget.max_tokens:g}"
        instant = context.deadline.get()
        if instant is not None and again_at >= instant:
            return "the deadline comes before the next attempt"
        return None

    return wrap


def _pushback(error: Exception) -> float:
    if isinstance(error, CircuitOpen) and not error.remote:
        return 0.0  # our own breaker judges one instance, and the next attempt may meet another
    return getattr(error, "retry_after_seconds", None) or 0.0


def _pay_back(budget: RetryBudget | None) -> None:
    if budget is not None:
        budget.pay_back()
