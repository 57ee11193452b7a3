"""The real Prometheus on the shop: what it reads, and that every rule and every panel has data."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

import course_lib
from course_lib import errors
from course_lib.endpoint import Middleware, chain
from course_lib.lab.faults import Faults
from course_lib.lab.http_load import HttpLoad
from course_lib.lab.launch import serve
from course_lib.lab.scraper import Scraper
from course_lib.lab.servers.prometheus import HOW_TO_INSTALL, Prometheus, installed, promtool
from course_lib.middleware.instrumenting import instrumenting
from course_lib.middleware.tracing import tracing
from course_lib.shop.catalogue import with_demo_products
from course_lib.shop.catalogue_endpoints import catalogue_endpoints
from course_lib.shop.catalogue_http import catalogue_routes
from course_lib.shop.users import with_demo_users
from course_lib.shop.users_http import users_app
from course_lib.telemetry.metrics import CollectorRegistry, Red, metrics_app, parse, rate
from course_lib.telemetry.series import increase
from course_lib.transport.http_server import http_app

FILES = Path(course_lib.__file__).parents[1] / "notebooks" / "files"
RULES, DASHBOARD = FILES / "shop-rules.yml", json.loads((FILES / "shop-dashboard.json").read_text())
HOSTILE = ['a"b', "a\\", "line\nbreak", "\r", "\x00", "\u2028", "}", "é漢😀", "\ud800", "# x", "\t"]

needs_prometheus = pytest.mark.skipif(
    not installed() and not os.environ.get("CI"), reason=HOW_TO_INSTALL
)


def measured(service: str, registry: CollectorRegistry, faults: Faults) -> FastAPI:
    red = Red(registry, service)

    def wrap(operation: str) -> Middleware:
        return chain(tracing(), instrumenting(red.observe, operation=operation), faults)

    if service == "users":
        app = users_app(with_demo_users(), wrap)
    else:
        app = http_app(service, catalogue_routes(catalogue_endpoints(with_demo_products(), wrap)))
    app.add_route("/metrics", metrics_app(registry))
    return app


@asynccontextmanager
async def traffic(*urls: str) -> AsyncIterator[None]:
    async def call(url: str) -> None:
        async with HttpLoad(url, raise_errors=False) as client:
            while True:
                await client("/users/1" if "users" in url or url == urls[0] else "/products")
                await client("/users/999")
                await asyncio.sleep(0.02)

    calls = [asyncio.create_task(call(url)) for url in urls]
    try:
        yield
    finally:
        for task in calls:
            task.cancel()
        await asyncio.wait(calls)


@needs_prometheus
@pytest.mark.real_time
async def test_every_rule_and_every_panel_has_data_when_prometheus_scrapes_the_shop():
    faults = Faults(Random(1), error=0.5)
    users, catalogue = CollectorRegistry(), CollectorRegistry()
    hostile = Red(CollectorRegistry(), "hostile")
    for value in HOSTILE:
        hostile.observe("op", value, 0.1)
    with (
        serve(measured("users", users, faults), "users") as one,
        serve(measured("catalogue", catalogue, faults), "catalogue") as two,
        serve(metrics_app(hostile.registry), "hostile") as three,
        Prometheus(
            {"shop": [one.address, two.address], "hostile": [three.address]},
            interval_seconds=0.5,
            rules=[RULES],
        ) as prometheus,
    ):
        async with traffic(one.url, two.url):
            await prometheus.wait_for("operation:failures:ratio5m > 0", seconds=60)
            await prometheus.wait_for("count(operation:request_duration_seconds:p99_5m) > 1")
        empty = [query for query in queries() if not prometheus.query(query)]
        assert not empty, "these give nothing:\n" + "\n".join(empty)
        expected = {value if value != "\ud800" else r"\ud800" for value in HOSTILE}
        found = prometheus.query('requests_total{job="hostile"}')
        assert {value.labels["outcome"] for value in found} == expected
        exemplars = prometheus.api(
            "query_exemplars",
            query="request_duration_seconds_bucket",
            start=time.time() - 60,
            end=time.time(),
        )
        ids = [each["labels"]["trace_id"] for series in exemplars for each in series["exemplars"]]
        assert ids and all(re.fullmatch("[0-9a-f]{32}", trace_id) for trace_id in ids)
        await same_as_ours(prometheus)
        await same_pages(prometheus, one.url)


async def same_as_ours(prometheus: Prometheus) -> None:
    """Our functions on Prometheus's own samples give Prometheus's own numbers."""
    counted = 'requests_total{job="shop"}'
    await prometheus.wait_for(f"min(count_over_time({counted}[7s])) > 2")
    now = time.time()  # once a later page is stored, every query finds the same samples until now
    await prometheus.wait_for(f"min(timestamp({counted})) > {now}")
    for name, ours in [("rate", rate), ("increase", increase)]:
        theirs = {
            frozenset(value.labels.items()): value.value
            for value in prometheus.query(f'{name}(requests_total{{job="shop"}}[7s])', at=now)
        }
        mine = {}
        for labels, samples in prometheus.samples('requests_total{job="shop"}[7s]', at=now):
            unnamed = {key: text for key, text in labels.items() if key != "__name__"}
            if (value := ours(samples, now - 7, now)) is not None:
                mine[frozenset(unnamed.items())] = value
        assert mine and mine == pytest.approx(theirs, rel=1e-9)
    name = "request_duration_seconds"
    memory = prometheus.memory(f'{name}_bucket{{job="shop"}}[7s]', at=now)
    (theirs_99,) = prometheus.query(
        f'histogram_quantile(0.99, sum by (le) (rate({name}_bucket{{job="shop"}}[7s])))', at=now
    )
    assert memory.quantile(0.99, name, now - 7, now) == pytest.approx(theirs_99.value, rel=1e-9)


async def same_pages(prometheus: Prometheus, url: str) -> None:
    """Our scraper reads from the page what Prometheus and prometheus_client read from it."""
    scraper = Scraper({url.removeprefix("http://"): url}, job="shop")
    assert await scraper.scrape(url.removeprefix("http://"))
    (series, *_) = scraper.memory.select("requests_total", outcome="ok")
    await prometheus.wait_for(f"{series!r} == {series.samples[0][1]}", seconds=60)
    async with HttpLoad(url) as client:
        page = (await client("/metrics")).body.decode()
    families = text_string_to_metric_families(page)
    assert [(s.name, s.labels, s.value) for f in families for s in f.samples] == list(parse(page))


def queries() -> Iterator[str]:
    """Every expression of the rules (alerts without their threshold) and of the dashboard."""
    for line in promtool("check", "rules", RULES).splitlines():
        assert "FAILED" not in line
    yield from re.findall(r"record: (\S+)", RULES.read_text())
    for expression in alerts():
        yield re.sub(r" (==|>) [\d.]+$", "", expression)
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield target["expr"].replace("$service", ".*").replace("$__rate_interval", "1m")


def alerts() -> list[str]:
    found = re.findall(r"alert: .*\n +expr: (.+)", RULES.read_text())
    assert len(found) == 4
    return found


@needs_prometheus
def test_the_rules_pass_their_own_tests_in_promtool():
    assert "SUCCESS" in promtool("test", "rules", FILES / "shop-rules-test.yml")
    assert "SUCCESS" in promtool("check", "config", FILES / "prometheus.yml")
    with pytest.raises(RuntimeError, match="does not exist"):
        promtool("test", "rules", FILES / "none.yml")


def test_rules_and_dashboard_count_every_failure_and_no_answer():
    failures = {
        kind.__name__
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.Failure) and not kind.__subclasses__()
    }
    for text in (RULES.read_text(), json.dumps(DASHBOARD)):
        for named in re.findall(r'outcome=~\\?"([^"\\]+)', text):
            assert set(named.split("|")) == failures


def test_the_dashboards_panels_have_their_own_ids_and_places():
    places: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        covered = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not covered & places and at["x"] + at["w"] <= 24
        places |= covered
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@needs_prometheus
def test_it_says_why_it_cannot_start_and_leaves_nothing(tmp_path: Path):
    rules = tmp_path / "rules.yml"
    rules.write_text("groups: [{name: a, rules: [{record: b, expr: 'rate('}]}]")
    with pytest.raises(RuntimeError, match=r"did not start: [\s\S]*parse error"):
        Prometheus({}, rules=[rules])
    with Prometheus({}) as prometheus, pytest.raises(ValueError, match="parse error"):
        folder = prometheus.folder
        prometheus.query("rate(")
    assert not folder.exists()


@needs_prometheus
def test_a_new_one_replaces_the_one_before():
    with Prometheus({}) as first, Prometheus({}) as second:
        assert repr(first) == "<Prometheus: down>" and repr(second) == "<Prometheus: up>"
        assert second.query("vector(1)")[0].value == 1 == second.query("1")[0].value


@needs_prometheus
def test_an_answer_of_another_kind_is_named():
    with Prometheus({}) as prometheus:
        with pytest.raises(ValueError, match=r"up\[1m\] gives a matrix, not a vector or scalar"):
            prometheus.query("up[1m]")
        with pytest.raises(ValueError, match='"text" gives a string'):
            prometheus.query('"text"')
        with pytest.raises(ValueError, match=r"vector\(1\) gives a vector, not a matrix"):
            prometheus.samples("vector(1)")
        assert prometheus.samples("up[1m]") == []


@needs_prometheus
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux only")
def test_it_dies_with_a_parent_that_is_killed():
    code = (
        "from course_lib.lab.servers.prometheus import Prometheus\n"
        "prometheus = Prometheus({})\n"
        "print(prometheus.pid, prometheus.folder, flush=True)\n"
        "input()\n"
    )
    parent: Any = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with parent:
        pid, folder = parent.stdout.readline().split()
        parent.send_signal(signal.SIGKILL)
    give_up_at = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < give_up_at:
        if "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
            break
        time.sleep(0.02)
    else:
        assert not Path(f"/proc/{pid}").exists()
    subprocess.run(["rm", "-r", folder], check=True)
