"""Graders of the exercises to lesson 0.0, start here: real servers, which are broken on purpose."""

import asyncio
import inspect
import itertools
import socket
import struct
import threading
from contextlib import closing, contextmanager, suppress
from time import perf_counter

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from course_lib.errors import CallError, DeadlineExceeded, Unavailable
from course_lib.grading.checks import CheckFailed, ensure, expect, no_error, raises
from course_lib.lab.launch import serve

SILENT_SECONDS = 1.0  # then a paused server speaks again, so that nobody waits for ever
SLOW_SECONDS, PATIENCE = 0.6, 1.0  # a slow server answers well within the patience of its caller


class Plain:
    """What the learner defines, whose functions must not be async."""

    def __init__(self, answer):
        self._answer = answer

    def __getattr__(self, name):
        function = getattr(self._answer, name)

        def called(*arguments):
            got = function(*arguments)
            if inspect.iscoroutine(got):
                got.close()
                raise CheckFailed(
                    "Write `def`, not `async def`: whoever calls this function awaits nothing.",
                    call=f"{name}({', '.join(map(repr, arguments))})",
                    got="a coroutine that nobody awaited",
                    expected="an answer",
                )
            return got

        return called


@pytest.fixture
def answer(answer):
    return Plain(answer)


app = FastAPI()
arrived = threading.Event()


@app.get("/hello/{name}")
async def hello(name: str):
    return {"hello": name}


visits = itertools.count(1)
counting = FastAPI()


@counting.get("/hello/{name}")
async def hello_again(name: str):
    return {"hello": f"{name}, visit {next(visits)}"}


@app.get("/no-orders")
async def no_orders():
    return []


@app.get("/busy")
async def busy():
    return JSONResponse({"code": 503}, 503)


slow = FastAPI()


@slow.get("/hello/{name}")
@app.get("/slow/hello/{name}")
async def slow_hello(name: str):
    arrived.set()
    await asyncio.sleep(SLOW_SECONDS)
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


class Rude:
    """A server of raw sockets that lets everybody down; `asked` counts connections."""

    def __init__(self, answer=None, silent_seconds=SILENT_SECONDS):
        self.answer, self.asked, self._last = answer, 0, None
        self._silent_seconds = silent_seconds
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        with socket.socket() as last:
            last.bind(("127.0.0.1", 0))
            self._last = last.getsockname()
            last.connect(self._listening.getsockname())
            self._thread.join()
        self._listening.close()

    def _serve(self):
        while True:
            connection, who = self._listening.accept()
            with closing(connection), suppress(OSError):
                if who == self._last:
                    return
                self.asked += 1
                connection.settimeout(self._silent_seconds)
                connection.recv(65536)
                self._let_down(connection)

    def _let_down(self, connection):
        if self.answer is None:
            connection.recv(1)  # says nothing until the client hangs up
        elif self.answer:
            connection.sendall(self.answer)
        else:  # close with a reset
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


HALF_AN_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{"
RESET = b""


@contextmanager
def overrun():
    """The address of a server whose queue is full: not even a connection comes about."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = []
        for _ in range(20):
            waiting.append(socket.socket())
            waiting[-1].settimeout(0.02)
            try:
                waiting[-1].connect(full.getsockname())
            except OSError:
                break
        try:
            yield f"http://127.0.0.1:{full.getsockname()[1]}"
        finally:
            for each in waiting:
                each.close()


@contextmanager
def nobody():
    """The address of a port that is taken, at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def gives_up_in_time(started, call, seconds):
    waited = perf_counter() - started
    ensure(
        waited < SILENT_SECONDS,
        "Pass `seconds` on to httpx as the timeout.",
        call=call,
        got=f"an end after {waited:.1f} s",
        expected=f"an end after {seconds} s",
    )


def asked_once(function, name, *arguments):
    """Fail if a silent server is asked a second time."""
    shown = ", ".join(["url", *map(repr, arguments), "0.1"])
    with Rude() as server, suppress(httpx.TimeoutException, CallError):
        function(server.url, *arguments, 0.1)
    why = "Giving up means: not to ask again. The caller would wait for twice as long."
    expect(server.asked, 1, f"calls of {name}({shown}) that came to a silent server", why)


# greeting


@pytest.mark.task("greeting")
def test_returns_the_name(answer):
    """It returns what stands under "hello" in the answer."""
    with serve(app) as server:
        got = answer.greeting(server.url, "Ada", 2)
        expect(got, "Ada", 'greeting(url, "Ada", 2)', "Take what is under `hello` in the JSON.")
    with serve(counting) as server:
        for visit in ("first", "second"):
            number = next(visits)
            got = answer.greeting(server.url, "Ada", 2)
            call = f'the {visit} greeting(url, "Ada", 2) of a service that counts its visitors'
            why = "Ask anew at each call, and return what the service says."
            expect(got, f"Ada, visit {number + 1}", call, why)


@pytest.mark.task("greeting")
def test_gives_up_on_a_silent_server(answer):
    """A server that says nothing is given up after `seconds`."""
    call, started = 'greeting(url, "Ada", 0.3), and the server is paused', perf_counter()
    with silent() as server:
        try:
            got = repr(answer.greeting(server.url, "Ada", 0.3))
        except httpx.TimeoutException:
            gives_up_in_time(started, call, 0.3)
            asked_once(answer.greeting, "greeting", "Ada")
            return
        except (CallError, TimeoutError) as error:
            raise CheckFailed(
                "Catch nothing here: the caller waits for the exception that httpx raises.",
                call=call,
                got=repr(error),
                expected="TimeoutException raised",
            ) from error
        late = perf_counter() - started >= SILENT_SECONDS
    if late:
        why = "Without `timeout=seconds` the call goes on waiting."
        got = f"{got}, when the server spoke again"
    else:
        why = "Catch nothing here: let the TimeoutException through to the caller."
    raise CheckFailed(why, call=call, got=got, expected="TimeoutException raised after 0.3 s")


@pytest.mark.task("greeting")
def test_waits_for_a_slow_server(answer):
    """A server that is slow, but not too slow, is waited for."""
    call = f'greeting(url, "Ada", {PATIENCE}), and the answer takes {SLOW_SECONDS} s'
    try:
        with serve(slow) as server:
            got = answer.greeting(server.url, "Ada", PATIENCE)
    except httpx.TimeoutException as error:
        got = f"{type(error).__name__}: it was given up"
    expect(got, "Ada", call, "The caller says how long to wait: the timeout is `seconds`.")


# ask


@pytest.mark.task("ask")
def test_returns_the_answer(answer):
    """It returns the JSON of the answer, whatever it is."""
    with serve(app) as server:
        for path, expected in (("/hello/Ada", {"hello": "Ada"}), ("/no-orders", [])):
            call, why = f'ask(url + "{path}", 2)', "Return the JSON of the answer."
            with no_error(CallError, call=call, expected=repr(expected), why=why):
                got = answer.ask(f"{server.url}{path}", 2)
            expect(got, expected, call, why)


@pytest.mark.task("ask")
def test_an_error_in_words_is_an_answer(answer):
    """A 404 or a 503 has come all the way: it is an answer, and its JSON is returned."""
    why = "The service was there and has spoken. `raise_for_status` would make an error of it."
    with serve(app) as server:
        for status, path, expected in (
            (404, "/nothing", {"detail": "Not Found"}),
            (503, "/busy", {"code": 503}),
        ):
            call = f'ask(url + "{path}", 2), and the service answers {status}'
            with no_error(CallError, httpx.HTTPError, call=call, expected=repr(expected), why=why):
                got = answer.ask(f"{server.url}{path}", 2)
            expect(got, expected, call, why)


@pytest.mark.task("ask")
def test_nobody_there_is_unavailable(answer):
    """Nobody listens at the address: Unavailable."""
    call = "ask(url, 2), and nobody listens at the address"
    why = "The call could not be made: that is `Unavailable`."
    with nobody() as url, raises(Unavailable, call=call, why=why):
        answer.ask(url, 2)


@pytest.mark.task("ask")
def test_a_broken_connection_is_unavailable(answer):
    """The server is killed while it works on the call, or breaks it off: Unavailable."""
    call = "ask(url, 2), and the server is killed during the call"
    why = "A connection can break in more than one way. `httpx.TransportError` covers all of them."
    with killed_during_the_call() as server, raises(Unavailable, call=call, why=why):
        answer.ask(f"{server.url}/slow/hello/Ada", 2)
    for how, what in ((RESET, "resets the connection"), (HALF_AN_ANSWER, "stops half-way")):
        call = f"ask(url, 2), and the server {what}"
        with Rude(how) as server, raises(Unavailable, call=call, why=why):
            answer.ask(server.url, 2)
        expect(server.asked, 1, f"calls that came to the server in {call}", "Ask once.")


@pytest.mark.task("ask")
def test_silence_is_a_missed_deadline(answer):
    """The server says nothing: DeadlineExceeded, after `seconds`."""
    call, started = "ask(url, 0.3), and the server is paused", perf_counter()
    why = "A timeout is a TransportError too, and the first `except` that fits is taken."
    with silent() as server, raises(DeadlineExceeded, call=call, why=why):
        answer.ask(f"{server.url}/hello/Ada", 0.3)
        gives_up_in_time(started, call, 0.3)  # if there was an answer, it came late
    gives_up_in_time(started, call, 0.3)
    asked_once(answer.ask, "ask")
    call = "ask(url, 0.1), and the server does not even accept the connection"
    why = "There is more than one kind of timeout. `httpx.TimeoutException` covers all of them."
    with overrun() as url, raises(DeadlineExceeded, call=call, why=why):
        answer.ask(url, 0.1)


@pytest.mark.task("ask")
def test_a_slow_answer_is_waited_for(answer):
    """A server that is slow, but not too slow, is waited for."""
    call = f"ask(url, {PATIENCE}), and the answer takes {SLOW_SECONDS} s"
    why = "The caller says how long to wait: the timeout is `seconds`."
    errors = CallError, httpx.TimeoutException
    with serve(slow) as server, no_error(*errors, call=call, expected="an answer", why=why):
        answer.ask(f"{server.url}/hello/Ada", PATIENCE)


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
        urls = [first, f"{second.url}/hello/Ada"]
        with no_error(*NOT_ANSWERED, call=call, expected="200", why=why):
            got = answer.ask_in_turn(urls, 2)
        expect(got, 200, call, why)
        why = "The list is the caller's, who will need it again. Go through it with `for`."
        expect(len(urls), 2, f"the length of the list after {call}", why)


@pytest.mark.task("ask_in_turn")
def test_the_third_stands_in_for_two(answer):
    """There may be more than two addresses."""
    call = "ask_in_turn([first, second, third], 2), and nobody is at the first two"
    why = "Go through all the addresses in a loop."
    with nobody() as first, nobody() as second, serve(app) as third:
        urls = [first, second, f"{third.url}/hello/Ada"]
        with no_error(*NOT_ANSWERED, ValueError, call=call, expected="200", why=why):
            got = answer.ask_in_turn(urls, 2)
    expect(got, 200, call, why)


@pytest.mark.task("ask_in_turn")
def test_each_has_seconds_for_itself(answer):
    """Each address has `seconds` for itself: a second that is slow is waited for."""
    call = f"ask_in_turn([first, second], {PATIENCE}), the first is silent, the second answers "
    call += f"after {SLOW_SECONDS} s"
    why = "The timeout of each call is `seconds`, no more and no less; what the first one used up "
    why += "is not taken from the second."
    arrived.clear()
    with Rude(silent_seconds=3 * PATIENCE) as first, serve(slow) as second:
        urls = [first.url, f"{second.url}/hello/Ada"]
        try:
            with no_error(Unavailable, call=call, expected="200", why=why):
                got = answer.ask_in_turn(urls, PATIENCE)
        except httpx.TransportError as error:
            if not arrived.is_set():  # that a silent one counts as gone is another check's
                return
            raise CheckFailed(why, call=call, got=repr(error), expected="200") from error
    expect(got, 200, call, why)


@pytest.mark.task("ask_in_turn")
def test_the_second_stands_in_for_a_silent_one(answer):
    """When the first one says nothing for `seconds`, or breaks off, the second is asked."""
    call = "ask_in_turn([first, second], 0.4), and the first is paused"
    why = "A server that hangs is as good as gone. A ReadTimeout is no ConnectError, and "
    why += "`httpx.TransportError` is both."
    with silent() as first, serve(app) as second:
        with no_error(*NOT_ANSWERED, call=call, expected="200", why=why):
            got = answer.ask_in_turn([f"{each.url}/hello/Ada" for each in (first, second)], 0.4)
        expect(got, 200, call, why)
        why = "Pass `seconds` on to httpx, so that the second is asked in time."
        expect(second.served, 1, f"calls that came to the second in {call}", why)
        first.resume()
        call = "ask_in_turn([first], 2), and the first, which was silent before, is back"
        why = "Keep nothing from one call to the next: ask every address again."
        with no_error(*NOT_ANSWERED, call=call, expected="200", why=why):
            answer.ask_in_turn([f"{first.url}/hello/Ada"], 2)
    why = "A connection can break in more than one way. `httpx.TransportError` covers all of them."
    for how, what in ((RESET, "resets the connection"), (HALF_AN_ANSWER, "stops half-way")):
        call = f"ask_in_turn([first, second], 2), and the first {what}"
        with Rude(how) as first, serve(app) as second:
            urls = [first.url, f"{second.url}/hello/Ada"]
            with no_error(*NOT_ANSWERED, call=call, expected="200", why=why):
                got = answer.ask_in_turn(urls, 2)
        expect(got, 200, call, why)
        asked = f"calls that came to the first in {call}"
        expect(first.asked, 1, asked, "Ask each address once, and go on to the next.")


@pytest.mark.task("ask_in_turn")
def test_an_answer_is_an_answer(answer):
    """Who answers 404 or 503 has answered, and nobody else is asked."""
    why = "The first one has answered: return its code, whatever it says."
    with two() as (first, second):
        for path, code in (("/nothing", 404), ("/busy", 503)):
            call = f"ask_in_turn([first, second], 2), and the first answers {code}"
            with no_error(*NOT_ANSWERED, call=call, expected=str(code), why=why):
                got = answer.ask_in_turn([f"{first.url}{path}", f"{second.url}/hello/Ada"], 2)
            expect(got, code, call, why)


@pytest.mark.task("ask_in_turn")
def test_nobody_is_unavailable(answer):
    """When nobody answers, it raises Unavailable."""
    call = "ask_in_turn([first, second], 2), and nobody is at either address"
    why = "After the loop nobody has answered: raise `Unavailable` there."
    with nobody() as first, nobody() as second, raises(Unavailable, call=call, why=why):
        answer.ask_in_turn([first, second], 2)
    call, started = "ask_in_turn([first], 0.1), and the first is silent", perf_counter()
    with Rude() as first, raises(Unavailable, call=call, why=why):
        try:
            answer.ask_in_turn([first.url], 0.1)
        except httpx.TransportError:
            raise Unavailable from None  # another check says so
    gives_up_in_time(started, call, 0.1)
    with raises(Unavailable, call="ask_in_turn([], 2)", why=why):
        answer.ask_in_turn([], 2)
