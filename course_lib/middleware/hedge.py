"""A hedge sends the request once more when the answer is late, and takes whichever comes first.

It shortens the tail and costs load, so `after_seconds` belongs near the 95th percentile (Dean
and Barroso, "The Tail at Scale", 2013). Only for operations that may be done twice.
"""

import asyncio
from typing import Any, Protocol

from course_lib.endpoint import Endpoint, Middleware
from course_lib.errors import Answer


class Budget(Protocol):
    """What limits the extra load; `retry.RetryBudget` is one."""

    @property
    def allows(self) -> bool: ...
    def spend(self) -> None: ...
    def pay_back(self) -> None: ...


def hedge(after_seconds: float, *, attempts: int = 2, budget: Budget | None = None) -> Middleware:
    """Send up to `attempts` in all, one more each `after_seconds` or as soon as one fails.

    The first value or answer wins and the others are cancelled; raises the last failure when
    all have failed. Each extra attempt spends from `budget`, each call that succeeds pays back.
    """
    if attempts < 1:
        raise ValueError(f"attempts: expected 1 or more in all, got {attempts}")

    def may_send(sent: int) -> bool:
        return sent < attempts and (sent == 0 or budget is None or budget.allows)

    def wrap(inner: Endpoint) -> Endpoint:
        async def attempt(request: Any) -> Any:
            return await inner(request)

        async def endpoint(request: Any) -> Any:
            running: list[asyncio.Task[Any]] = []
            sent, failure = 0, None
            try:
                while may_send(sent) or running:
                    if may_send(sent):
                        if sent and budget is not None:
                            budget.spend()
                        running.append(asyncio.create_task(attempt(request)))
                        sent += 1
                    patience = after_seconds if may_send(sent) else None
                    await asyncio.wait(
                        running, timeout=patience, return_when=asyncio.FIRST_COMPLETED
                    )
                    for task in [task for task in running if task.done()]:
                        running.remove(task)
                        failure = task.exception()
                        if failure is None or isinstance(failure, Answer):
                            if budget is not None:
                                budget.pay_back()
                            return task.result()
                assert failure is not None
                raise failure
            finally:
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)

        return endpoint

    return wrap
