"""RED metrics: what a scrape of a service sees."""

import asyncio
import math

import pytest
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.responses import Response

from course_lib import context
from course_lib.lab.http_load import HttpLoad
from course_lib.lab.launch import serve
from course_lib.lab.load import load
from course_lib.telemetry.metrics import CollectorRegistry, Red, exposition, metrics_app, parse
from course_lib.telemetry.metrics_page import wants_openmetrics


def test_each_call_is_counted_by_outcome_and_timed_by_operation():
    registry = CollectorRegistry()
    red = Red(registry, "users", buckets=(0.1, 1))
    for outcome, seconds in [("ok", 0.05), ("ok", 0.5), ("NotFound", 2.0)]:
        red.observe("get_user", outcome, seconds)
    lines = set(exposition(registry).decode().splitlines())
    labels = 'operation="get_user"'
    assert lines >= {
        f'requests_total{{{labels},outcome="ok",service="users"}} 2.0',
        f'requests_total{{{labels},outcome="NotFound",service="users"}} 1.0',
        f'request_duration_seconds_bucket{{le="0.1",{labels},service="users"}} 1.0',
        f'request_duration_seconds_bucket{{le="1.0",{labels},service="users"}} 2.0',
        f'request_duration_seconds_bucket{{le="+Inf",{labels},service="users"}} 3.0',
        f'request_duration_seconds_sum{{{labels},service="users"}} 2.55',
    }


def test_a_cell_that_is_run_again_makes_a_new_registry_and_nothing_clashes():
    for _ in range(2):
        Red(CollectorRegistry(), "users").observe("get_user", "ok", 0.1)


def test_the_same_metrics_twice_in_one_registry_are_refused():
    registry = CollectorRegistry()
    Red(registry, "users")
    with pytest.raises(ValueError, match="Duplicated"):
        Red(registry, "orders")


async def test_the_metrics_page_answers_in_the_format_the_scraper_asks_for():
    registry = CollectorRegistry()
    Red(registry, "users").observe("get_user", "ok", 0.1)
    for accept, expected in [
        (b"*/*", b"text/plain"),
        (b"application/openmetrics-text; version=1.0.0", b"application/openmetrics-text"),
    ]:
        sent = []

        async def receive():
            return {"type": "http.request"}

        async def send(message, sent=sent):
            sent.append(message)

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/metrics",
            "query_string": b"",
            "headers": [(b"accept", accept)],
        }
        await metrics_app(registry)(scope, receive, send)
        assert sent[0]["status"] == 200
        assert dict(sent[0]["headers"])[b"content-type"].startswith(expected)
        assert b"requests_total{" in sent[1]["body"]


@pytest.mark.parametrize(
    ("accept_encoding", "zipped"),
    [(b"gzip", True), (b"br, GZIP;q=0.5", True), (b"identity, gzip;q=0", False), (b"", False)],
)
async def test_the_page_is_zipped_only_for_a_scraper_that_takes_it(accept_encoding, zipped):
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "headers": [(b"accept-encoding", accept_encoding)]}
    await metrics_app(CollectorRegistry())(scope, None, send)
    assert (dict(sent[0]["headers"]).get(b"content-encoding") == b"gzip") is zipped


HOSTILE = [
    *('a"b', "a\\", "line\nbreak", "\r", "\u2028", "}", "é漢😀", "\ud800", "", "x" * 5000),
    "# HELP",
]


def test_a_hostile_label_breaks_neither_the_page_nor_its_line():
    registry = CollectorRegistry()
    red = Red(registry, "users")
    for value in HOSTILE:
        red.observe("get_user", value, 0.1)
    for accept in ("text/plain", "application/openmetrics-text"):
        page = exposition(registry, accept).decode()
        readings = [r for r in parse(page.removesuffix("# EOF\n")) if r.name == "requests_total"]
        expected = {value if value != "\ud800" else r"\ud800" for value in HOSTILE}
        assert {reading.labels["outcome"] for reading in readings} == expected


def test_from_the_limit_on_new_label_sets_count_as_other():
    registry = CollectorRegistry()
    red = Red(registry, "users", most_label_sets=3)
    for n in range(1000):
        red.observe(f"user {n}", "ok", 0.1)
    readings = [r for r in parse(exposition(registry).decode()) if r.name == "requests_total"]
    assert {r.labels["operation"]: r.value for r in readings} == {
        "user 0": 1,
        "user 1": 1,
        "user 2": 1,
        "other": 997,
    }
    assert len(red._children) == 4


async def test_only_a_sampled_call_leaves_its_trace_id_beside_the_bucket():
    registry = CollectorRegistry()
    red = Red(registry, "users", buckets=(0.1, 1))
    for seconds, trace_id, sampled in [(0.05, "a" * 32, True), (0.5, "b" * 32, False)]:
        context.trace.set(context.TraceContext(trace_id, "c" * 16, sampled))
        red.observe("get_user", "ok", seconds)
    page = exposition(registry, "application/openmetrics-text; version=1.0.0").decode()
    (line,) = [line for line in page.splitlines() if " # {" in line]
    assert 'le="0.1"' in line and f'# {{trace_id="{"a" * 32}"}} 0.05' in line
    assert "trace_id" not in exposition(registry).decode()


async def test_prometheus_clients_own_parsers_read_both_formats():
    registry = CollectorRegistry()
    context.trace.set(context.new_trace())
    Red(registry, "users").observe("get_user", "ok", 0.1)
    text = list(text_string_to_metric_families(exposition(registry).decode()))
    open_metrics = exposition(registry, "application/openmetrics-text").decode()
    families = list(openmetrics_parser.text_string_to_metric_families(open_metrics))
    names = {"requests", "request_duration_seconds"}
    assert {family.name for family in text} == {family.name for family in families} == names
    exemplars = [s.exemplar for family in families for s in family.samples if s.exemplar]
    assert [set(exemplar.labels) for exemplar in exemplars] == [{"trace_id"}]


def test_the_counters_of_others_keep_their_names():
    page = "# HELP node_forks Forks\n# TYPE node_forks counter\nnode_forks 7\n"
    assert list(parse(page)) == [("node_forks", {}, 7)]


@pytest.mark.parametrize(
    "page", ["hello world", "<html>", "a", 'a{b="c"', "a{b=c} 1", "1a 2", "{} 1", "a\x00 1", "a{="]
)
def test_a_page_in_another_format_is_refused(page):
    with pytest.raises(ValueError):
        list(parse(page))


@pytest.mark.parametrize("digits", ["1e400", "-1e400 5", "1" + "0" * 400, "9" * 5000])
def test_a_number_no_float_can_hold_is_refused_and_a_written_infinity_is_not(digits):
    with pytest.raises(ValueError):
        list(parse(f'inf{{le="+Inf"}} {digits}\n'))
    written = [reading.value for reading in parse("a +Inf\nb{} -inf 5\nc{}INFINITY\r\nd 1\n")]
    assert written == [math.inf, -math.inf, math.inf, 1]
    assert all(isinstance(value, float) for value in written)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("text/html,application/xml;q=0.9,*/*;q=0.8", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;version=0.0.1", False),
        ("application/openmetrics-text; version=1.0.0; q=0.2, text/plain;q=0.5", False),
        ("application/openmetrics-text;version=1.0.0;q=0", False),
        ("application/openmetrics-text;version=1.0.0;q=x", False),
        ("application/openmetrics-text;version=2", False),
        ('application/openmetrics-text; version="1.0.0"', True),
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
            "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",  # Prometheus 2.42
            True,
        ),
        ("\xff;;=,;version", False),
    ],
)
def test_the_format_is_the_one_the_accept_header_prefers(accept, expected):
    assert wants_openmetrics(accept) is expected


@pytest.mark.real_time
async def test_scrapers_that_never_read_their_page_slow_no_request():
    registry = CollectorRegistry()
    red = Red(registry, "users", most_label_sets=200)

    async def answer(request):
        red.observe("get_user", "ok", 0.1)
        return Response(b"ok")

    for n in range(200):
        red.observe(f"operation {n}", "ok", 0.1)
    app = Starlette()
    app.add_route("/", answer)
    app.add_route("/metrics", metrics_app(registry))
    with serve(app, "users") as server:
        host, port = server.address.split(":")
        scrapers = [await asyncio.open_connection(host, int(port)) for _ in range(5)]
        for _, writer in scrapers:
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        async with HttpLoad(server.url) as call:
            result = await load(call, request="/", requests=200, at_once=4)
        for _, writer in scrapers:
            writer.transport.abort()
        assert result.outcomes == {"ok": 200}
        assert result.p50 < 0.1
