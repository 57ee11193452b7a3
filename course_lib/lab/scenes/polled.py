"""A balancer's own health checks: of a fixed list of instances, those that said they are ready.

It is what HAProxy and cloud balancers do, with the same prober as a kubelet. Works in real and
in virtual time.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from course_lib.discovery import Instance
from course_lib.telemetry.probes import Ask, Probe, Prober

Discover = Callable[[], Sequence[Instance]]


@asynccontextmanager
async def polled(
    instances: Sequence[Instance], ask: Callable[[Instance], Ask], probe: Probe
) -> AsyncIterator[Discover]:
    """Ask each instance at once and then every period; yields what `balance` discovers by.

    `ask(instance)` makes the function that asks one, such as
    `lambda each: http_get(f"http://{each.address}/readyz")`.
    """
    ready: tuple[Instance, ...] = ()
    asked = {each.id: asyncio.Event() for each in instances}

    def look(_: str) -> None:
        nonlocal ready
        ready = tuple(i for i in instances if probers[i.id].result == "success")

    probers = {
        each.id: Prober(
            "readiness",
            probe,
            ask(each),
            on_result=look,
            on_answer=lambda _, each=each: asked[each.id].set(),  # type: ignore[misc]
        )
        for each in instances
    }
    tasks = [asyncio.create_task(prober.run()) for prober in probers.values()]
    try:
        for prober in probers.values():
            prober.container_started()
            prober.ask_now()
        for event in asked.values():
            await event.wait()
        yield lambda: ready
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
