"""Graders of the exercises to lesson 0.0, start here: real servers, which are broken on purpose."""

import asyncio
import socket
import threading
from contextlib import contextmanager
from time import perf_counter

import httpx
import pytest
from fastapi import FastAPI

from course_lib.errors import CallError, DeadlineExceeded, Unavailable
from course_lib.grading.checks import ensure, expect, no_error, raises
from course_lib.lab.launch import serve

SILENT_SECONDS = 1.0  # then a paused server speaks again, so that nobody waits for ever

app = FastAPI()
arrived = threading.Event()


@app.get("/hello/{name}")
async def hello(name: str):
    return {"hello": name}


@app.get("/slow/hello/{name}")
async def slow_hello(name: str):
    arrived.set()
    await asyncio.sleep(0.6)
    return {"hello": name}


@contextmanager
def silent():
    """A server that accepts connections and says nothing for a while."""
    with serve(app) as server:
        server.pause()
        speaking = threading.Timer(SILENT_SECONDS, server.resume)
        speaking.start()
        try:
            yield server
        finally:
            speaking.cancel()
            speaking.join()


@contextmanager
def killed_during_the_call():
    """A server that is killed while it works on the slow call."""
    arrived.clear()
    with serve(app) as server:
        ending = threading.Thread(target=lambda: arrived.wait() and server.kill())
        ending.start()
        try:
            yield server
        finally:
            arrived.set()
            ending.join()


@contextmanager
def nobody():
    """The address of a port that is taken, at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def gives_up_in_time(started, call):
    waited = perf_counter() - started
    ensure(
        waited < SILENT_SECONDS,
        "Pass `seconds` on to httpx as the timeout.",
        call=call,
        got=f"an end after {waited:.1f} s",
        expected="an end after 0.1 s",
    )


# greeting


@pytest.mark.task("greeting")
def test_returns_the_name(answer):
    """It returns what stands under "hello" in the answer."""
    with serve(app) as server:
        got = answer.greeting(server.url, "Ada", 2)
    expect(got, "Ada", 'greeting(url, "Ada", 2)', "The answer is JSON; take what is under `hello`.")


@pytest.mark.task("greeting")
def test_gives_up_on_a_silent_server(answer):
    """A server that says nothing is given up after `seconds`."""
    call, started = 'greeting(url, "Ada", 0.1), and the server is paused', perf_counter()
    with silent() as server:
        try:
            got = repr(answer.greeting(server.url, "Ada", 0.1))
        except httpx.TimeoutException:
            gives_up_in_time(started, call)
            return
    why = "Without a timeout of your own the call goes on waiting."
    got = f"{got}, when the server spoke again"
    ensure(False, why, call=call, got=got, expected="TimeoutException raised after 0.1 s")


@pytest.mark.task("greeting")
def test_waits_for_a_slow_server(answer):
    """A server that is slow, but not too slow, is waited for."""
    call = 'greeting(url, "Ada", 3), and the answer takes 0.6 s'
    try:
        with serve(app) as server:
            got = answer.greeting(f"{server.url}/slow", "Ada", 3)
    except httpx.TimeoutException as error:
        got = f"{type(error).__name__}: it was given up"
    expect(got, "Ada", call, "The caller says how long to wait: the timeout is `seconds`.")


# ask


@pytest.mark.task("ask")
def test_returns_the_answer(answer):
    """It returns the JSON of the answer."""
    with serve(app) as server:
        got = answer.ask(f"{server.url}/hello/Ada", 2)
    expect(got, {"hello": "Ada"}, 'ask(url + "/hello/Ada", 2)', "Return the JSON of the answer.")


@pytest.mark.task("ask")
def test_nobody_there_is_unavailable(answer):
    """Nobody listens at the address: Unavailable."""
    call = "ask(url, 2), and nobody listens at the address"
    why = "The call could not be made: that is `Unavailable`."
    with nobody() as url, raises(Unavailable, call=call, why=why):
        answer.ask(url, 2)


@pytest.mark.task("ask")
def test_a_broken_connection_is_unavailable(answer):
    """The server is killed while it works on the call: Unavailable."""
    call = "ask(url, 2), and the server is killed during the call"
    why = "A connection can break in more than one way. `httpx.TransportError` covers all of them."
    with killed_during_the_call() as server, raises(Unavailable, call=call, why=why):
        answer.ask(f"{server.url}/slow/hello/Ada", 2)


@pytest.mark.task("ask")
def test_silence_is_a_missed_deadline(answer):
    """The server says nothing: DeadlineExceeded, after `seconds`."""
    call, started = "ask(url, 0.1), and the server is paused", perf_counter()
    why = "A timeout is a TransportError too, and the first `except` that fits is taken."
    with silent() as server, raises(DeadlineExceeded, call=call, why=why):
        answer.ask(f"{server.url}/hello/Ada", 0.1)
    gives_up_in_time(started, call)


@pytest.mark.task("ask")
def test_the_message_names_the_url(answer):
    """Whoever reads the error learns which address was asked."""
    with nobody() as url:
        names_the_url(answer, url, 2, "str(error), and nobody listens at the address")
    with silent() as server:
        names_the_url(answer, server.url, 0.1, "str(error), and the server is paused")


def names_the_url(answer, url, seconds, call):
    why = "In a log with a hundred addresses, an error without one helps nobody."
    try:
        answer.ask(url, seconds)
        said = "no error"
    except (CallError, httpx.HTTPError) as error:
        said = str(error)
    ensure(url in said, why, call=call, got=repr(said), expected=f"a message with {url}")


# ask_in_turn

NOT_ANSWERED = httpx.HTTPError, Unavailable


@contextmanager
def two():
    with serve(app) as first, serve(app) as second:
        yield first, second


@pytest.mark.task("ask_in_turn")
def test_the_first_is_enough(answer):
    """When the first one answers, the second is not asked."""
    call = "ask_in_turn([first, second], 2), and both are up"
    with two() as (first, second):
        got = answer.ask_in_turn([f"{each.url}/hello/Ada" for each in (first, second)], 2)
        expect(got, 200, call, "Return the status code of the answer.")
        why = "Leave with `return` as soon as somebody has answered."
        expect(second.served, 0, f"calls that came to the second in {call}", why)


@pytest.mark.task("ask_in_turn")
def test_the_second_stands_in_for_a_dead_one(answer):
    """When nobody listens at the first address, the second is asked."""
    call = "ask_in_turn([first, second], 2), and nobody is at the first address"
    why = "Catch what httpx raises and go on with the next address."
    with nobody() as first, serve(app) as second:
        with no_error(*NOT_ANSWERED, call=call, expected="200", why=why):
            got = answer.ask_in_turn([first, f"{second.url}/hello/Ada"], 2)
        expect(got, 200, call, why)


@pytest.mark.task("ask_in_turn")
def test_the_second_stands_in_for_a_silent_one(answer):
    """When the first one says nothing, the second is asked after `seconds`."""
    call = "ask_in_turn([first, second], 0.1), and the first is paused"
    why = "A server that hangs is as good as gone. A ReadTimeout is no ConnectError, and "
    why += "`httpx.TransportError` is both."
    with silent() as first, serve(app) as second:
        with no_error(*NOT_ANSWERED, call=call, expected="200", why=why):
            got = answer.ask_in_turn([f"{each.url}/hello/Ada" for each in (first, second)], 0.1)
        expect(got, 200, call, why)
        why = "Pass `seconds` on to httpx, so that the second is asked in time."
        expect(second.served, 1, f"calls that came to the second in {call}", why)


@pytest.mark.task("ask_in_turn")
def test_an_answer_is_an_answer(answer):
    """Who answers 404 has answered, and nobody else is asked."""
    call = "ask_in_turn([first, second], 2), and the first answers 404"
    why = "Nothing is broken: the service says that there is no such thing. Return its code."
    with two() as (first, second):
        with no_error(*NOT_ANSWERED, call=call, expected="404", why=why):
            got = answer.ask_in_turn([f"{first.url}/nothing", f"{second.url}/hello/Ada"], 2)
        expect(got, 404, call, why)


@pytest.mark.task("ask_in_turn")
def test_nobody_is_unavailable(answer):
    """When nobody answers, it raises Unavailable."""
    call = "ask_in_turn([first, second], 2), and nobody is at either address"
    why = "After the loop nobody has answered: raise `Unavailable` there."
    with nobody() as first, nobody() as second, raises(Unavailable, call=call, why=why):
        answer.ask_in_turn([first, second], 2)
