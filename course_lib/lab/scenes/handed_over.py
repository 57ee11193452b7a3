"""Requests that hand work over within a process, and the traces that come of it.

Request and work have a span each: where the trace goes along, they are one trace.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from course_lib import context
from course_lib.middleware.tracing import tracing
from course_lib.stand_ins import OtlpCollector
from course_lib.telemetry.traces import Spans, in_process

Work = Callable[[], None]
HandOver = Callable[[Work], Awaitable[None]]


async def traces_of_ten(hand_over: HandOver, queue: asyncio.Queue[Any]) -> int:
    """How many traces ten requests make that each hand a mail over, once the queue is done."""
    collector = OtlpCollector()
    spans = Spans("shop", export=in_process(collector))

    def send_mail() -> None:
        spans.start("send mail", "internal", context.trace.get()).end("ok")

    checkout = tracing(spans, operation="checkout")(hand_over)
    for _ in range(10):
        await checkout(send_mail)
    await queue.join()
    return len(collector.traces())
