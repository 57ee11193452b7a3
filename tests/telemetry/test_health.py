"""Health: three kinds of checks, three pages, and no check that can hang or break a page."""

import asyncio
import json
import sys
import threading
from typing import Any

import httpx
import pytest

from course_lib.errors import Unavailable
from course_lib.lab.launch import serve
from course_lib.telemetry.health import Health


async def page(app: Any, path: str, method: str = "GET") -> httpx.Response:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://users"
    ) as client:
        return await client.request(method, path)


async def checks(health: Health, path: str) -> Any:
    return (await page(health, path)).json()["checks"]


async def fine() -> None:
    pass


async def fails() -> None:
    raise Unavailable("the database refuses")


async def cancels() -> None:
    raise asyncio.CancelledError


async def hangs() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/startupz"])
async def test_without_checks_every_page_says_ok(path):
    response = await page(Health(), path)
    assert response.status_code == 200
    assert response.json() == {"status": "ok", "checks": {}}
    assert response.headers["cache-control"] == "no-store"


async def test_a_failing_check_fails_the_page_of_its_kind_and_no_other():
    health = Health()
    health.readiness("database", fails)
    health.readiness("cache", fine)
    health.liveness("loop", fine)
    health.startup("warm", lambda: False)
    assert [(await page(health, p)).status_code for p in ("/healthz", "/readyz", "/startupz")] == [
        *(200, 503, 503)
    ]
    assert await checks(health, "/readyz") == {
        "database": "Unavailable: the database refuses",
        "cache": "ok",
    }
    assert await checks(health, "/startupz") == {"warm": "failed"}


@pytest.mark.parametrize(
    ("check", "outcome"),
    [
        (lambda: None, "ok"),
        (lambda: True, "ok"),
        (lambda: False, "failed"),
        (lambda: fine(), "ok"),
        (lambda: fails(), "Unavailable: the database refuses"),
        (lambda: 1 / 0, "ZeroDivisionError"),
        (sys.exit, "SystemExit"),
        (cancels, "cancelled"),
        (hangs, "no answer within 0.5 s"),
    ],
)
async def test_a_check_may_be_plain_or_async_and_may_do_anything(check, outcome):
    health = Health()
    health.readiness("it", check)
    assert await checks(health, "/readyz") == {"it": outcome}


async def test_the_text_of_a_foreign_error_stays_inside():
    health = Health()
    health.readiness("database", lambda: int("postgres://shop:secret@db"))
    assert "secret" not in (await page(health, "/readyz")).text


async def test_checks_run_together_and_a_hanging_one_costs_its_limit_once():
    health = Health(check_seconds=2)
    for name in "abc":
        health.readiness(name, hangs)
    began = asyncio.get_running_loop().time()
    assert (await page(health, "/readyz")).status_code == 503
    assert asyncio.get_running_loop().time() - began == 2


async def test_however_many_ask_a_check_runs_once_at_a_time():
    running = most = 0

    async def slow() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.3)
        running -= 1

    health = Health()
    health.readiness("slow", slow)
    reports = await asyncio.gather(*(health.report("readiness") for _ in range(20)))
    assert most == 1
    assert all(report.ok for report in reports)


async def test_a_check_that_hangs_once_is_asked_afresh_the_next_time():
    answers = iter([hangs, fine])
    health = Health()
    health.readiness("database", lambda: next(answers)())
    assert not (await health.report("readiness")).ok
    assert (await health.report("readiness")).ok


async def test_a_check_that_ignores_being_cancelled_is_not_started_again_while_it_runs():
    started, end = 0, asyncio.Event()

    async def stubborn() -> None:
        nonlocal started
        started += 1
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                continue

    health = Health()
    health.liveness("stubborn", stubborn)
    for _ in range(3):
        assert not (await health.report("liveness")).ok
    assert started == 1
    end.set()


async def test_a_page_whose_reader_has_gone_leaves_no_check_behind():
    health = Health()
    health.readiness("database", hangs)
    asking = asyncio.create_task(health.report("readiness"))
    await asyncio.sleep(0.1)
    asking.cancel()
    await asyncio.sleep(1)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_draining_is_not_ready_for_good_and_still_alive():
    health = Health()
    health.readiness("database", fine)
    health.drain()
    response = await page(health, "/readyz")
    assert response.status_code == 503
    assert response.json()["checks"] == {"database": "ok", "drain": "draining"}
    assert (await page(health, "/healthz")).status_code == 200


async def test_a_name_used_again_replaces_its_check():
    health = Health()
    health.readiness("database", fails)
    health.readiness("database", fine)
    assert (await health.report("readiness")).ok


async def test_head_has_no_body_and_other_methods_are_refused():
    head = await page(Health(), "/healthz", "HEAD")
    assert (head.status_code, head.content) == (200, b"")
    post = await page(Health(), "/healthz", "POST")
    assert (post.status_code, post.headers["allow"]) == (405, "GET, HEAD")


async def test_other_pages_are_not_found_alone_and_belong_to_the_application_around_which_it_is():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    assert (await page(Health(), "/users/7")).status_code == 404
    assert (await page(Health().around(app), "/users/7")).text == "/users/7"
    assert (await page(Health().around(app), "/readyz")).json()["status"] == "ok"


@pytest.mark.real_time
async def test_on_a_real_server_a_plain_check_that_blocks_holds_up_nobody():
    go = threading.Event()
    health = Health(check_seconds=0.05)
    health.readiness("blocks", go.wait)
    with serve(health) as server:
        async with httpx.AsyncClient(base_url=server.url) as client:
            first, alive, again = await asyncio.gather(
                client.get("/readyz"), client.get("/healthz"), client.get("/readyz")
            )
            assert [first.status_code, alive.status_code, again.status_code] == [503, 200, 503]
            threads = [t for t in threading.enumerate() if t.name == "health check"]
            assert len(threads) == 1
            go.set()
            threads[0].join()
            assert (await client.get("/readyz")).status_code == 200


@pytest.mark.real_time
async def test_a_plain_check_that_raises_stop_iteration_has_failed_at_once():
    health = Health()
    health.readiness("first", lambda: next(iter(())))
    assert (await health.report("readiness")).checks == {"first": "RuntimeError"}


@pytest.mark.real_time
async def test_a_body_is_json_that_names_each_check():
    health = Health()
    health.startup('a "name"\n', fine)
    with serve(health) as server:
        async with httpx.AsyncClient(base_url=server.url) as client:
            assert json.loads((await client.get("/startupz")).content) == {
                "status": "ok",
                "checks": {'a "name"\n': "ok"},
            }
