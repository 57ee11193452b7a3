"""A page in memory and the memory of its scraper."""

import asyncio

from course_lib.lab.load import load
from course_lib.lab.pages import Page, remembered
from course_lib.telemetry.metrics import Counter


async def test_a_restart_sets_the_page_back_and_the_memory_keeps_both():
    page = Page(lambda registry: Counter("calls", "Calls", registry=registry))

    async def call(request: object) -> None:
        page.metrics.inc()
        await asyncio.sleep(0.8)

    async def restart() -> None:
        await asyncio.sleep(32.1)
        page.restart()

    memory = await remembered(page, load(call, requests=60), restart(), seconds=60)
    samples = memory.samples("calls_total")
    assert [at for at, _ in samples] == [0, 15, 30, 45, 60]
    assert [value for _, value in samples] == [0, 19, 38, 16, 19]
