"""Launch: real servers on the lab's loop, started, stopped, crashed, paused, replaced."""

import asyncio
import contextlib
import os
import signal
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from course_lib import context
from course_lib.lab import background, launch_http, launched
from course_lib.lab.launch import run_on_lab, running, serve
from course_lib.lab.launch_http import HttpServer
from tests.lab.apps import App, ask


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=5) as client:
        yield client


def test_a_server_is_ready_when_serve_returns_and_gone_after_the_block(app: App):
    with serve(app) as server:
        assert server.state == "up"
        assert server.address.startswith("127.0.0.1:")
        assert server.url == f"http://{server.address}"
        assert httpx.get(server.url).text == "ok"
        assert server in running()
    assert server.state == "stopped"
    assert server not in running()
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url)


def test_requests_are_counted_when_they_are_answered(app: App, client: httpx.Client):
    with serve(app) as server:
        assert server.served == 0
        for _ in range(5):
            client.get(server.url)
        assert server.served == 5


def test_serving_under_a_name_in_use_replaces_the_earlier_one():
    first = serve(App("first"), "users")
    with serve(App("second"), "users") as second:
        assert first.state == "stopped"
        assert httpx.get(second.url).text == "second"
        assert [server.name for server in running()] == ["users"]
        first.stop()  # an old handle cannot take the new server away
        assert httpx.get(second.url).text == "second"


def test_a_stop_lets_requests_in_flight_finish(app: App):
    server = serve(app)
    answer = ask(server.url + "/wait")
    assert app.arrived.acquire(timeout=5)
    stop = ask_to(server.stop)
    app.go()
    assert answer.result(5) == "ok"
    stop.join(5)
    assert server.state == "stopped"


def test_of_several_that_start_under_one_name_the_last_stays():
    starting, all_start = [], asyncio.Event()

    @asynccontextmanager
    async def lifespan(app: FastAPI):
        starting.append(app)
        if len(starting) == 4:
            all_start.set()
        await all_start.wait()
        yield

    servers: list[Any] = []
    threads = [
        ask_to(lambda: servers.append(serve(FastAPI(lifespan=lifespan), "users"))) for _ in range(4)
    ]
    for thread in threads:
        thread.join(5)
    with running()[0] as last:
        assert running() == [last]
        assert sorted(server.state for server in servers) == ["stopped"] * 3 + ["up"]
        for server in servers:
            with contextlib.closing(socket.socket()) as caller:
                answers = caller.connect_ex(("127.0.0.1", port_of(server))) == 0
                assert answers == (server is last)


def port_of(server: Any) -> int:
    return int(server.address.split(":")[1])


def test_an_interrupted_start_leaves_no_server():
    cancelled = threading.Event()

    @asynccontextmanager
    async def lifespan(_: FastAPI):
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        yield

    with pytest.raises(KeyboardInterrupt):
        serve(FastAPI(lifespan=lifespan), "users")
    assert cancelled.wait(5)
    assert running() == []


def test_an_interrupt_at_the_end_of_a_start_leaves_no_server_either(monkeypatch, app: App):
    started: list[Any] = []
    run_on_lab = background.run_on_lab

    def interrupted(coroutine: Any) -> None:
        run_on_lab(coroutine)
        raise KeyboardInterrupt

    class Remembered(HttpServer):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            started.append(self)

    monkeypatch.setattr(background, "run_on_lab", interrupted)
    with pytest.raises(KeyboardInterrupt):
        launched.start(Remembered(app, "users"), "users", 0)
    monkeypatch.undo()
    run_on_lab(asyncio.sleep(0))
    assert started[0].closed and running() == []


def ask_to(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_stop_waits_no_longer_than_the_drain_limit(app: App):
    server = serve(app)
    answer = ask(server.url + "/wait")
    assert app.arrived.acquire(timeout=5)
    began = time.monotonic()
    server.stop(drain_seconds=0.05)
    assert time.monotonic() - began < 1
    assert isinstance(answer.exception(5), httpx.RemoteProtocolError)
    assert app.cancelled.wait(5)


def test_a_stop_waits_until_a_slow_reader_has_the_whole_answer():
    server = serve(App("x" * LARGE))
    with request(server) as reader:
        got = len(reader.recv(1))
        stop = ask_to(lambda: server.stop(drain_seconds=30))
        run_on_lab(asyncio.sleep(0.01))
        got += len(rest(reader))
    assert got > LARGE
    stop.join(5)


LARGE = 32_000_000
"""Bytes, more than the system's buffers hold."""


def request(server: Any, method: str = "GET", length: int = 0) -> socket.socket:
    """A connection on which a request has been sent, without its body."""
    connection = socket.create_connection(("127.0.0.1", port_of(server)), timeout=5)
    connection.sendall(b"%s / HTTP/1.1\r\nHost: x\r\n" % method.encode())
    connection.sendall(b"Connection: close\r\nContent-Length: %d\r\n\r\n" % length)
    return connection


def rest(connection: socket.socket) -> bytearray:
    """What arrives until the connection ends or is silent."""
    got = bytearray()
    with contextlib.suppress(TimeoutError):
        while data := connection.recv(1_000_000):
            got += data
    return got


def test_a_stop_ends_a_watcher_at_once(app: App):
    server = serve(app)
    answer = ask(server.url + "/watch")
    assert app.arrived.acquire(timeout=5)
    began = time.monotonic()
    server.stop(drain_seconds=30)
    assert time.monotonic() - began < 5
    assert isinstance(answer.exception(5), httpx.RemoteProtocolError)


def test_a_stop_does_not_wait_for_idle_connections(app: App, client: httpx.Client):
    took = []
    for _ in range(9):
        server = serve(app)
        client.get(server.url)
        began = time.monotonic()
        server.stop(drain_seconds=30)
        took.append(time.monotonic() - began)
    assert statistics.median(took) < 0.05


def test_a_kill_breaks_connections_and_cancels_handlers(app: App):
    server = serve(app)
    answer = ask(server.url + "/wait")
    assert app.arrived.acquire(timeout=5)
    server.kill()
    assert isinstance(answer.exception(5), httpx.RemoteProtocolError)
    assert app.cancelled.wait(5)
    assert server.state == "killed"
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url)


def test_a_kill_also_breaks_connections_that_are_just_arriving(app: App):
    for _ in range(40):
        server = serve(app)
        arriving = [socket.socket() for _ in range(8)]
        for connection in arriving:
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", port_of(server)))
        kill = ask_to(server.kill)
        kill.join(5)
        assert not kill.is_alive()
        for connection in arriving:
            with connection, contextlib.suppress(ConnectionError):
                connection.settimeout(5)
                connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert connection.recv(1) == b""


def test_a_paused_server_accepts_and_says_nothing_until_it_resumes(app: App):
    with serve(app) as server:
        server.pause()
        assert server.state == "paused"
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(server.url, timeout=0.1)
        answer = ask(server.url)
        assert not answer.done()
        server.resume()
        assert answer.result(5) == "ok"
        assert server.state == "up"


def test_a_pause_holds_the_answer_to_a_request_in_flight(app: App, client: httpx.Client):
    with serve(app) as server:
        answer = ask(server.url + "/wait")
        assert app.arrived.acquire(timeout=5)
        server.pause()
        app.go()
        run_on_lab(asyncio.sleep(0.01))
        assert not answer.done()
        server.resume()
        assert answer.result(5) == "ok"


def test_a_paused_server_sends_no_more_however_much_its_client_reads():
    sent = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while sent < LARGE:
                await send({"type": "http.response.body", "body": b"x" * 50_000, "more_body": True})
                sent += 50_000
            await send({"type": "http.response.body", "body": b""})

    with serve(app) as server, request(server) as reader:
        before = settled(lambda: sent)
        server.pause()
        reader.settimeout(0.1)
        got = len(rest(reader))
        assert sent == before < LARGE
        server.resume()
        reader.settimeout(5)
        assert got + len(rest(reader)) > LARGE


def settled(number: Callable[[], int]) -> int:
    """The number, when it changes no more."""
    before = -1
    while before != (before := number()):
        run_on_lab(asyncio.sleep(0.01))
    return before


def test_a_paused_server_reads_no_more_however_much_its_client_sends():
    received, arrived, go = 0, threading.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal received
        if scope["type"] == "http":
            arrived.set()
            await go.wait()
            while received < LARGE:
                received += len((await receive())["body"])
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    async def let_it_go() -> None:
        go.set()

    with serve(app) as server, request(server, "POST", LARGE) as sender:
        assert arrived.wait(5)
        server.pause()
        run_on_lab(let_it_go())
        sent = 0
        sender.settimeout(0.1)
        with pytest.raises(TimeoutError):
            while sent < LARGE:
                sent += sender.send(b"x" * min(50_000, LARGE - sent))
        assert received == 0
        server.resume()
        sender.settimeout(5)
        sender.sendall(b"x" * (LARGE - sent))
        assert b" 204 " in rest(sender)


def test_a_paused_server_can_be_killed_and_stopped(app: App):
    for end in ("kill", "stop"):
        server = serve(app)
        server.pause()
        answer = ask(server.url)
        getattr(server, end)()
        assert isinstance(answer.exception(5), httpx.TransportError)


def test_ending_twice_does_no_harm(app: App):
    server = serve(app)
    server.stop()
    server.stop()
    server.kill()
    server.resume()
    assert server.state == "stopped"


def test_services_never_print(capfd: pytest.CaptureFixture[str], app: App):
    with serve(app) as server:
        assert httpx.get(server.url + "/fail").status_code == 500
        with socket.create_connection(server.address.split(":")) as raw:
            raw.sendall(b"this is not http\r\n\r\n")
            assert b"400" in raw.recv(100)
    assert capfd.readouterr() == ("", "")


def test_the_lifespan_of_an_application_is_lived():
    events = []

    @asynccontextmanager
    async def lifespan(_: FastAPI):
        events.append("started")
        yield
        events.append("ended")

    with serve(FastAPI(lifespan=lifespan)):
        assert events == ["started"]
    assert events == ["started", "ended"]


def test_an_application_that_does_not_start_is_reported_in_words():
    @asynccontextmanager
    async def lifespan(_: FastAPI):
        raise ValueError("no database")
        yield

    with pytest.raises(RuntimeError, match=r"did not start.*no database"):
        serve(FastAPI(lifespan=lifespan))


def test_an_application_that_never_starts_is_given_up(monkeypatch: pytest.MonkeyPatch):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(launch_http, "START_SECONDS", 0.05)
    with pytest.raises(RuntimeError, match="did not start in"):
        serve(app)


def test_a_port_that_is_taken_is_reported_in_words(app: App):
    with serve(app) as server:
        port = int(server.address.split(":")[1])
        with pytest.raises(RuntimeError, match=f"port {port} is taken"):
            serve(app, port=port)


def test_a_server_inherits_nothing_from_the_cell_that_started_it():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            seen.append(context.caller.get())
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    seen: list[str | None] = []
    token = context.caller.set("the cell")
    with serve(app) as server:
        httpx.get(server.url)
    context.caller.reset(token)
    assert seen == [None]


def test_small_answers_do_not_wait_for_acknowledgements(app: App, client: httpx.Client):
    with serve(app) as server:
        client.get(server.url)
        took = []
        for _ in range(15):
            began = time.monotonic()
            client.get(server.url)
            took.append(time.monotonic() - began)
    assert statistics.median(took) < 0.02  # without TCP_NODELAY 0.044


def test_a_server_is_ready_in_30_ms(app: App):
    took = []
    for _ in range(9):
        began = time.monotonic()
        server = serve(app)
        took.append(time.monotonic() - began)
        server.stop()
    assert statistics.median(took) < 0.03


@pytest.mark.real_time
async def test_it_can_be_used_from_a_coroutine_on_another_loop(app: App):
    with serve(app) as server:
        async with httpx.AsyncClient() as client:
            assert (await client.get(server.url)).text == "ok"
            await client.aclose()


@pytest.mark.parametrize("app", [None, "module:app", 5])
def test_what_is_no_application_is_refused_in_words(app: Any):
    with pytest.raises(TypeError, match="an ASGI application was expected"):
        serve(app)


@pytest.mark.parametrize("what", ["stop", "kill", "pause"])
def test_a_handler_that_ends_its_own_server_is_told_so_and_the_server_stays_up(what: str):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            with pytest.raises(RuntimeError, match="in a handler, use"):
                getattr(server, what)()
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    with serve(app) as server:
        assert httpx.get(server.url).status_code == 204
        assert server.state == "up"


def test_serving_from_the_lab_loop_itself_is_an_error_not_a_hang(app: App):
    async def on_the_lab() -> None:
        serve(app)

    with pytest.raises(RuntimeError, match="hang"):
        run_on_lab(on_the_lab())
