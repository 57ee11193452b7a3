"""RED metrics: what a scrape of a service sees."""

import pytest

from course_lib.telemetry.metrics import CollectorRegistry, Red, exposition, metrics_app


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
        assert dict(sent[0]["headers"])[b"Content-Type"].startswith(expected)
        assert b"requests_total{" in sent[1]["body"]
