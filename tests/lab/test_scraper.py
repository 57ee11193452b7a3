"""The scraper: what it remembers, and that no target can disturb it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from course_lib.lab.launch import serve
from course_lib.lab.proxy import proxy
from course_lib.lab.scraper import Scraper
from course_lib.lab.series_memory import SeriesMemory
from course_lib.telemetry.metrics import CollectorRegistry, Counter, Red, exposition, metrics_app


def counting() -> tuple[Counter, Callable[[], Awaitable[bytes]]]:
    registry = CollectorRegistry()
    counter = Counter("requests", "Calls", registry=registry)

    async def page() -> bytes:
        return exposition(registry)

    return counter, page


def saying(text: str) -> Callable[[], Awaitable[bytes]]:
    async def page() -> bytes:
        return text.encode()

    return page


async def hang() -> bytes:
    await asyncio.Event().wait()
    return b""


async def refuse() -> bytes:
    raise ConnectionRefusedError("nobody listens")


async def drip() -> bytes:
    while True:
        await asyncio.sleep(0.1)


async def not_utf8() -> bytes:
    return b'a{b="\xff"} 1\n'


async def scraped(scraper: Scraper, seconds: float) -> None:
    task = asyncio.create_task(scraper.run())
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.wait([task])


async def test_every_interval_gives_one_sample_at_the_instant_the_scrape_began():
    counter, page = counting()
    scraper = Scraper({"a": page}, interval_seconds=0.1)
    scraping = asyncio.create_task(scraped(scraper, 100.05))
    for _ in range(1000):
        counter.inc()
        await asyncio.sleep(0.1)
    await scraping
    samples = scraper.memory.samples("requests_total")
    assert [at for at, _ in samples] == pytest.approx([n / 10 for n in range(1001)])
    assert scraper.memory.sum_rate("requests_total", 40, 100) == pytest.approx(10)
    assert scraper.memory.samples("up", instance="a", job="shop")[0] == (0.0, 1.0)


async def test_bad_targets_are_reported_and_disturb_no_other():
    _, page = counting()
    bad: dict[str, Any] = {
        "hangs": hang,
        "drips": drip,
        "refuses": refuse,
        "babbles": saying("# x\n" * 300_000),
        "talks": saying("x_total 1\n" * 25_000),
        "rambles": saying('x{y="' + '\\"' * 400_000 + '"} 1\n'),
        "malformed": saying("<html>sorry</html>"),
        "half": saying("a_total 1\nb_total"),
        "latin": not_utf8,
        "counts": saying("a_total 1" + "0" * 400),
    }
    scraper = Scraper({**bad, "good": page}, interval_seconds=15, timeout_seconds=10)
    await scraped(scraper, 74)
    up = {name: scraper.memory.samples("up", instance=name) for name in (*bad, "good")}
    assert up["good"] == [(15.0 * n, 1.0) for n in range(5)]
    assert all(up[name] == [(15.0 * n, 0.0) for n in range(5)] for name in bad)
    assert scraper.problems.keys() == bad.keys()
    assert scraper.problems["hangs"] == scraper.problems["drips"] == "no page within 10 s"
    assert scraper.problems["refuses"] == "nobody listens"
    assert scraper.problems["babbles"] == "the page is longer than 1000000 bytes"
    assert scraper.problems["talks"] == "the page has more than 20000 lines"
    assert scraper.problems["rambles"] == "a line is longer than 16000 bytes"
    assert "<html>sorry</html>" in scraper.problems["malformed"]
    assert not scraper.memory.select("a_total"), "half a page is no page"


async def test_a_series_goes_stale_when_its_target_is_down_and_comes_back():
    counter, page = counting()
    up = True

    async def sometimes() -> bytes:
        return await (page() if up else refuse())

    scraper = Scraper({"a": sometimes}, interval_seconds=10)
    await scraper.scrape("a")
    await asyncio.sleep(10)
    up = False
    await scraper.scrape("a")
    (series,) = scraper.memory.select("requests_total")
    assert series.at(9.0) == 0.0 and series.at(10.0) is None
    await asyncio.sleep(10)
    up = True
    counter.inc(3)
    await scraper.scrape("a")
    assert series.at(20.0) == 3.0
    assert list(series.samples) == [(0.0, 0.0), (10.0, None), (20.0, 3.0)]
    assert series.at(320.0) == 3.0 and series.at(321.0) is None, "older than five minutes"


async def test_the_targets_own_job_and_instance_are_kept_under_other_names():
    scraper = Scraper({"a": saying('x{job="mine",instance="i",empty="",z="1"} 1\n')}, job="shop")
    await scraper.scrape("a")
    (series,) = scraper.memory.select("x")
    assert series.labels == {
        "job": "shop",
        "instance": "a",
        "exported_job": "mine",
        "exported_instance": "i",
        "z": "1",
    }
    assert repr(scraper.memory.select("up")[0]) == 'up{instance="a", job="shop"}'


async def test_no_label_is_lost_to_one_that_is_renamed():
    page = 'x{job="a",exported_job="b"} 1\nx{job="c",exported_job="b"} 2\n'
    scraper = Scraper({"i": saying(page)})
    await scraper.scrape("i")
    assert [series.labels for series in scraper.memory.select("x")] == [
        {"job": "shop", "instance": "i", "exported_job": "b", "exported_exported_job": own}
        for own in "ac"
    ]


async def test_memory_is_bounded_in_time_in_samples_and_in_series():
    memory = SeriesMemory(keep_seconds=100, most_series=3, most_samples=50)
    for second in range(1000):
        memory.add("a", {}, second, 1.0)
        memory.add("b", {}, second * 10, 1.0)
    assert len(memory.samples("a")) == 50 and len(memory.samples("b")) == 11
    for n in range(10):
        memory.add("c", {"n": str(n)}, 9990, 1.0)
    assert len(memory) == 3 and memory.refused == 9
    memory.forget(9990)
    assert len(memory) == 2
    with pytest.raises(LookupError, match="0 series fit a"):
        memory.samples("a")


async def test_a_quantile_is_taken_from_the_added_buckets_of_all_instances():
    registries = [CollectorRegistry(), CollectorRegistry()]
    reds = [Red(registry, "users", buckets=(0.1, 0.2, 0.4)) for registry in registries]
    pages = {"a": saying_later(registries[0]), "b": saying_later(registries[1])}
    for red in reds:
        red.observe("get_user", "ok", 0.05)
    scraper = Scraper(pages, interval_seconds=10)
    scraping = asyncio.create_task(scraped(scraper, 60))
    for _ in range(590):
        reds[0].observe("get_user", "ok", 0.05)
        reds[1].observe("get_user", "ok", 0.3)
        await asyncio.sleep(0.1)
    await scraping
    name = "request_duration_seconds"
    assert scraper.memory.quantile(0.5, name, 0, 50) == pytest.approx(0.1)
    assert scraper.memory.quantile(0.75, name, 0, 50) == pytest.approx(0.3)
    assert scraper.memory.quantile(0.5, name, 0, 50, instance="a") == pytest.approx(0.05)


async def test_a_bucket_whose_bound_is_no_number_disturbs_no_quantile():
    page = b'h_bucket{le="high"} %d\nh_bucket %d\nh_bucket{le="1"} %d\nh_bucket{le="+Inf"} %d\n'
    memory, seen = SeriesMemory(), iter((0, 4))

    async def target() -> bytes:
        return page % ((next(seen),) * 4)

    scraper = Scraper({"a": target}, memory=memory)
    for _ in range(2):
        assert await scraper.scrape("a")
        await asyncio.sleep(15)
    assert memory.quantile(0.5, "h", 0, 15) == 0.5


def saying_later(registry: CollectorRegistry) -> Callable[[], Awaitable[bytes]]:
    async def page() -> bytes:
        return exposition(registry)

    return page


@pytest.mark.real_time
async def test_real_targets_are_scraped_and_dead_or_silent_ones_reported():
    registry = CollectorRegistry()
    Red(registry, "users").observe("get_user", "ok", 0.1)
    with (
        serve(metrics_app(registry), "a") as good,
        serve(endless, "b") as babbler,
        proxy(good.address) as line,
    ):
        line.stall()
        targets = {"good": good.url, "babbles": babbler.url, "silent": f"http://{line.address}"}
        scraper = Scraper({**targets, "dead": "http://127.0.0.1:9"}, timeout_seconds=0.5)
        found = await asyncio.gather(*(scraper.scrape(name) for name in scraper.targets))
    assert dict(zip(scraper.targets, found, strict=True)) == {
        "good": True,
        "babbles": False,
        "silent": False,
        "dead": False,
    }
    assert scraper.problems["babbles"] == "the page is longer than 1000000 bytes"
    assert scraper.problems["silent"] == "no page within 0.5 s"
    assert scraper.memory.select("requests_total", outcome="ok")[0].samples[0][1] == 1.0


async def endless(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": b"x 1\n" * 5000, "more_body": True})
        await asyncio.sleep(0)
