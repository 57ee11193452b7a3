"""Going away without a failed request: readiness down, wait until it is noticed, drain, stop.

Whoever balances learns of it by asking, so for a while requests still come; a service that stops
at once refuses them. Source: kubernetes.io, "Termination of Pods"; Kubernetes takes the endpoint
away by itself, but at the same time as it sends SIGTERM, not before.
"""

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from course_lib.telemetry.health import Health


async def shut_down(
    health: Health, stop: Callable[[], Awaitable[Any]], *, notice_seconds: float = 5.0
) -> None:
    """Be not ready, serve on for `notice_seconds`, then `stop()`, which lets requests finish.

    `notice_seconds` must be longer than the balancer's period times its failure threshold.
    """
    health.drain()
    await asyncio.sleep(notice_seconds)
    await stop()


def drain_on_sigterm(health: Health, *, notice_seconds: float = 5.0) -> None:
    """Do the same in a process of its own, when it gets SIGTERM; call it on the running loop.

    What SIGTERM did before (uvicorn: take no more connections, finish, end) happens
    `notice_seconds` later, or at once at the second SIGTERM. Must be called in the main thread.
    What `loop.add_signal_handler` set cannot be put off: it is taken away, with a RuntimeError.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("signals arrive in the main thread: call drain_on_sigterm there")
    loop = asyncio.get_running_loop()
    if loop.remove_signal_handler(signal.SIGTERM):  # the one way to ask whether there is one
        raise RuntimeError(
            "SIGTERM has a handler of the loop (add_signal_handler), which cannot be put off: "
            "let that handler start shut_down(health, stop) instead of drain_on_sigterm"
        )
    usual = signal.getsignal(signal.SIGTERM)

    def end(number: int) -> None:
        signal.signal(signal.SIGTERM, usual or signal.SIG_DFL)
        signal.raise_signal(number)

    def received(number: int, _frame: Any) -> None:
        if health.draining or loop.is_closed():
            end(number)
        else:
            health.drain()
            loop.call_soon_threadsafe(loop.call_later, notice_seconds, end, number)

    signal.signal(signal.SIGTERM, received)
