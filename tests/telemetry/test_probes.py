"""The prober asks and judges as the kubelet does; expected instants stand in the tests as data."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import httpx
import pytest

from course_lib.lab.launch import serve
from course_lib.telemetry.probe_http import http_get
from course_lib.telemetry.probes import Probe, Prober


class Watched:
    """A container that answers from a script (the last answer repeats), and when it was asked."""

    def __init__(self, answers: Sequence[Any], probe: Probe, kind: str = "readiness", **more: Any):
        self.answers = list(answers)
        self.asked: list[float] = []
        self.results: list[tuple[float, str]] = []
        self.prober = Prober(kind, probe, self.ask, on_result=self.note, **more)
        self.prober.container_started()

    async def ask(self) -> int:
        self.asked.append(now())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            return 200
        return answer

    def note(self, result: str) -> None:
        self.results.append((now(), result))

    async def until(self, seconds: float) -> "Watched":
        running = asyncio.create_task(self.prober.run())
        await asyncio.sleep(seconds)
        running.cancel()
        return self


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize(
    ("kind", "result"),
    [("liveness", "success"), ("readiness", "failure"), ("startup", "unknown")],
)
async def test_before_the_first_answer_alive_not_ready_and_startup_unknown(kind, result):
    watched = await Watched([200], Probe(), kind).until(9.9)
    assert (watched.asked, watched.prober.result) == ([], result)


@pytest.mark.parametrize(
    ("status", "result"),
    [
        *((status, "success") for status in (200, 204, 301, 399)),
        *((status, "failure") for status in (199, 400, 404, 500, 503)),
    ],
)
async def test_a_status_from_200_to_399_is_success(status, result):
    watched = await Watched([status], Probe(failure_threshold=1)).until(15)
    assert watched.prober.result == result


async def test_it_asks_every_period_and_judges_at_the_threshold():
    watched = await Watched([200, 503, 503, 503, 503, 200], Probe()).until(65)
    assert watched.asked == [10, 20, 30, 40, 50, 60]
    assert watched.results == [(10, "success"), (40, "failure"), (50, "failure"), (60, "success")]


async def test_below_the_threshold_nothing_changes_and_a_success_begins_the_count_anew():
    watched = await Watched([200, 503, 503, 200, 503, 503, 200], Probe()).until(75)
    assert {result for _, result in watched.results} == {"success"}


async def test_ready_again_only_after_as_many_successes_as_asked_for():
    probe = Probe(success_threshold=3, failure_threshold=1)
    watched = await Watched([503, 200, 200, 503, 200, 200, 200], probe).until(75)
    assert watched.results == [(10, "failure"), (40, "failure"), (70, "success")]


@pytest.mark.parametrize("kind", ["liveness", "startup"])
def test_liveness_and_startup_allow_no_success_threshold_but_one(kind):
    async def ask() -> int:
        return 200

    with pytest.raises(ValueError, match=f"success_threshold: must be 1 for {kind}, got 2"):
        Prober(kind, Probe(success_threshold=2), ask)


@pytest.mark.parametrize(
    "bad",
    [
        *({"period_seconds": 0}, {"period_seconds": float("nan")}, {"timeout_seconds": -1}),
        *({"failure_threshold": 0}, {"success_threshold": 0}, {"initial_delay_seconds": -1}),
        *({name: float("nan")} for name in ("failure_threshold", "initial_delay_seconds")),
    ],
)
def test_a_probe_that_makes_no_sense_is_refused_by_name(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Probe(**bad)


async def test_an_answer_after_the_timeout_is_a_failure():
    problems: list[str | None] = []
    probe = Probe(failure_threshold=2)
    watched = await Watched([1.1, 0.9, 5.0, 5.0], probe, on_answer=problems.append).until(45)
    assert problems == ["no answer within 1 s", None, *["no answer within 1 s"] * 2]
    assert watched.results == [(20.9, "success"), (41, "failure")]


async def test_whatever_goes_wrong_while_asking_is_a_failure():
    errors = [ConnectionRefusedError("refused"), ValueError(), asyncio.CancelledError(), 200]
    problems: list[str | None] = []
    await Watched(errors, Probe(), on_answer=problems.append).until(45)
    assert problems == ["refused", "ValueError", "cancelled", None]


async def test_the_initial_delay_skips_ticks_and_moves_none():
    watched = await Watched([200], Probe(initial_delay_seconds=15)).until(45)
    assert watched.asked == [20, 30, 40]


async def test_a_slow_answer_swallows_ticks_and_one_comes_right_after_it():
    probe = Probe(period_seconds=1, timeout_seconds=10)
    watched = await Watched([200, 2.5, 200], probe).until(6.9)
    assert watched.asked == [1, 2, 4.5, 5, 6]


async def test_after_a_failed_liveness_nothing_is_asked_until_there_is_a_new_container():
    watched = Watched([503], Probe(), "liveness")
    asking = asyncio.create_task(watched.until(100))
    await asyncio.sleep(55)
    assert watched.asked == [10, 20, 30]
    watched.prober.container_started()
    assert watched.prober.result == "success"
    await asking
    assert watched.asked[3:] == [60, 70, 80]
    assert watched.results == [(30, "failure"), (80, "failure")]


@pytest.mark.parametrize("status", [200, 503])
async def test_after_a_verdict_of_startup_too(status):
    watched = Watched([status, 503], Probe(failure_threshold=1), "startup")
    asking = asyncio.create_task(watched.until(50))
    await asyncio.sleep(35)
    assert watched.asked == [10]
    assert watched.prober.result == ("success" if status == 200 else "failure")
    watched.prober.container_started()
    assert watched.prober.result == "unknown"
    await asking
    assert watched.asked == [10, 40]


async def test_answers_in_a_row_are_counted_across_containers():
    watched = Watched([503], Probe(), "liveness")
    asking = asyncio.create_task(watched.until(35))
    await asyncio.sleep(25)
    watched.prober.container_started()
    await asking
    assert watched.results == [(30, "failure")]


async def test_a_closed_gate_asks_nothing_and_changes_nothing():
    open_from = 30.0
    watched = await Watched([503], Probe(), "liveness", gate=lambda: now() >= open_from).until(45)
    assert watched.asked == [30, 40]


async def test_asking_now_does_not_wait_for_the_tick_and_begins_the_period_anew():
    watched = Watched([200], Probe())
    asking = asyncio.create_task(watched.until(30))
    await asyncio.sleep(3)
    watched.prober.ask_now()
    await asking
    assert watched.asked == [3, 13, 23]


async def test_an_answer_about_a_container_that_has_gone_does_not_count():
    watched = Watched([0.5], Probe(failure_threshold=1), "readiness")
    asking = asyncio.create_task(watched.until(11))
    await asyncio.sleep(10.2)
    watched.prober.container_started()
    await asking
    assert watched.results == []


def redirecting(where: Callable[[str], tuple[int, str]]) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        status, location = where(request.url.path)
        return httpx.Response(status, headers={"location": location} if location else {})

    return httpx.MockTransport(answer)


async def test_a_redirect_to_the_same_host_is_followed():
    way = redirecting(lambda path: (302, "/new") if path == "/healthz" else (503, ""))
    assert await http_get("http://users/healthz", way)() == 503


@pytest.mark.parametrize("headers", [{}, {"location": ""}])
async def test_a_redirect_to_nowhere_is_an_answer(headers):
    way = httpx.MockTransport(lambda _: httpx.Response(302, headers=headers))
    assert await http_get("http://users/healthz", way)() == 302


async def test_a_redirect_to_another_host_is_not_followed_and_is_a_success():
    way = redirecting(lambda path: (302, "http://elsewhere/login"))
    assert await http_get("http://users/healthz", way)() == 302


@pytest.mark.parametrize("redirects", [9, 10])
async def test_ten_redirects_are_one_too_many(redirects):
    def where(path: str) -> tuple[int, str]:
        step = int(path[1:])
        return (302, f"/{step + 1}") if step < redirects else (200, "")

    ask = http_get("http://users/0", redirecting(where))
    if redirects < 10:
        assert await ask() == 200
    else:
        with pytest.raises(ConnectionError, match="10 redirects"):
            await ask()


async def test_a_body_without_end_is_not_read_to_its_end():
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1000
            yield b"x" * 1000

    way = httpx.MockTransport(lambda request: httpx.Response(200, content=endless()))
    assert await http_get("http://users/healthz", way)() == 200
    assert read <= 20_000


async def test_a_body_that_is_not_what_its_headers_say_is_nobody_s_business():
    async def plain() -> AsyncIterator[bytes]:
        yield b"ok"

    headers = {"content-encoding": "gzip"}
    way = httpx.MockTransport(lambda _: httpx.Response(200, headers=headers, content=plain()))
    assert await http_get("http://users/healthz", way)() == 200


async def test_no_cookie_is_kept_nor_sent_to_where_a_redirect_leads():
    cookies = []

    def answer(request: httpx.Request) -> httpx.Response:
        cookies.append(request.headers.get("cookie"))
        headers = {"set-cookie": "session=1; Path=/", "location": "/new"}
        return httpx.Response(302 if request.url.path == "/healthz" else 200, headers=headers)

    ask = http_get("http://users/healthz", httpx.MockTransport(answer))
    assert [await ask(), await ask()] == [200, 200]
    assert cookies == [None] * 4


@pytest.mark.real_time
async def test_on_a_real_socket_the_prober_finds_a_server_that_has_paused():
    from course_lib.telemetry.health import Health

    with serve(Health()) as server:
        probe = Probe(period_seconds=0.03, timeout_seconds=0.5, failure_threshold=1)
        heard: asyncio.Queue[str] = asyncio.Queue()
        prober = Prober(
            "readiness", probe, http_get(f"{server.url}/readyz"), on_result=heard.put_nowait
        )
        prober.container_started()
        running = asyncio.create_task(prober.run())
        assert await heard.get() == "success"
        server.pause()
        while await heard.get() == "success":
            pass
        assert prober.result == "failure"
        running.cancel()
