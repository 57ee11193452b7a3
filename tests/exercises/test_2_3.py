"""Graders of the exercises to lesson 2.3, transport."""

import asyncio
import gzip
import json
from inspect import iscoroutine, signature
from operator import methodcaller
from random import Random

import grpc
import httpx
import pytest

from course_lib.errors import (
    CallError,
    Conflict,
    DeadlineExceeded,
    Internal,
    NotFound,
    RateLimited,
    Unavailable,
)
from course_lib.grading.checks import ensure, expect, no_error
from course_lib.lab.launch import on_lab, serve, serve_grpc
from course_lib.shop.endpoints import user_endpoints
from course_lib.shop.users import with_demo_users
from course_lib.shop.users_grpc import add_users, grpc_user_client
from course_lib.shop.users_http import http_user_client
from course_lib.transport.http_client import close_connections

SMALL = b'{"code":200,"data":{"user_id":1,"name":"Ada"},"message":"ok"}'
LARGE = b"[" + b",".join([SMALL] * 100) + b"]"

# gzip_if_it_pays


def zipped(answer, body, accepts):
    """What the learner's function returns, its shape checked."""
    result = answer.gzip_if_it_pays(body, accepts)
    size = f"{len(body):,} bytes"
    call = f"gzip_if_it_pays({size}, {accepts!r})"
    pair = result if isinstance(result, tuple | list) else [result]
    ensure(
        len(pair) == 2 and isinstance(pair[0], dict) and isinstance(pair[1], bytes),
        "Return a pair: the headers, and the bytes to send.",
        call=call,
        got=f"({', '.join(type(each).__name__ for each in pair)})",
        expected="(dict, bytes)",
    )
    ensure(
        all(name == name.lower() for name in pair[0]),
        "Write the names of headers in lower case.",
        call=call,
        got=repr(list(pair[0])),
        expected="names such as 'vary'",
    )
    return *pair, call


@pytest.mark.task("gzip_if_it_pays")
def test_a_large_answer_is_compressed(answer):
    """A large answer is compressed, says so, and can be read again."""
    headers, sent, call = zipped(answer, LARGE, "gzip, deflate, br")
    why = "This client accepts gzip, and a hundred users compress well."
    expect(headers.get("content-encoding"), "gzip", f"{call}, content-encoding", why)
    try:
        same = gzip.decompress(sent) == LARGE
    except (OSError, EOFError):
        same = False
    ensure(same, "Send gzip.compress(body).", call=f"gzip.decompress of what {call} sends")


@pytest.mark.task("gzip_if_it_pays")
def test_a_small_answer_stays_as_it_is(answer):
    """An answer that gzip would not make smaller is sent as it is, be it short or long."""
    headers, sent, call = zipped(answer, SMALL, "gzip")
    why = "Gzip has a head and a tail of its own; a small answer becomes larger with them."
    expect(sent, SMALL, call, why)
    expect(headers.get("content-encoding"), None, f"{call}, content-encoding", why)
    for body in (Random(1).randbytes(2000), b"A" + b"a" * 22):  # the second stays as long
        headers, sent, call = zipped(answer, body, "gzip")
        ensure(
            len(sent) < len(body) or (sent == body and "content-encoding" not in headers),
            "Gzip makes nothing smaller here, so it does not pay: send the body as it is.",
            call=f"{call}, which gzip makes no smaller",
            got=f"{len(sent):,} bytes, content-encoding {headers.get('content-encoding')!r}",
            expected="the body as it is, and no content-encoding",
        )


@pytest.mark.task("gzip_if_it_pays")
def test_who_does_not_ask_gets_none(answer):
    """A client that does not name gzip gets the plain answer."""
    for accepts in ("", "deflate, br", "identity"):
        is_plain(answer, accepts, "This client has not said that it reads gzip.")
    why = "Another coding, with gzip in its name. Cut the header at commas; compare whole names."
    is_plain(answer, "pack200-gzip, br", why)


@pytest.mark.task("gzip_if_it_pays")
def test_a_short_answer_may_pay(answer):
    """A short answer is compressed too, if that makes it smaller."""
    headers, _, call = zipped(answer, b"na " * 20, "gzip")
    why = "These 60 bytes become fewer. Compress, and compare the two lengths; set no limit."
    expect(headers.get("content-encoding"), "gzip", f"{call}, content-encoding", why)


def is_plain(answer, accepts, why):
    headers, sent, call = zipped(answer, LARGE, accepts)
    expect(headers.get("content-encoding"), None, f"{call}, content-encoding", why)
    ensure(sent == LARGE, why, call=call, got="other bytes", expected="the body as it is")


@pytest.mark.task("gzip_if_it_pays")
def test_q_0_means_no(answer):
    """`gzip;q=0` means no."""
    for accepts in ("gzip;q=0", "deflate, gzip; q=0", "gzip;q=0.0", "gzip;q=0.000"):
        why = "The word gzip is in the header, and what it says is: anything but that."
        is_plain(answer, accepts, why)


@pytest.mark.task("gzip_if_it_pays")
def test_other_ways_to_say_yes(answer):
    """Capitals, a lower preference, and a no to something else still mean yes."""
    for accepts, why in (
        ("GZIP", "The name of a coding may be written in any case."),
        ("Gzip", "The name of a coding may be written in any case."),
        ("deflate,gzip", "It may stand anywhere, with or without a space after the comma."),
        ("gzip;q=0.5", "Half a preference is still a yes. Only a q of 0 means no."),
        ("gzip;q=0.001", "A small preference is still a yes. Only a q of 0 means no."),
        ("br, gzip;q=0.5", "It would rather have br, which you have not; it can read gzip."),
        ("br;q=0, gzip", "The no is about br, not about gzip."),
    ):
        headers, _, call = zipped(answer, LARGE, accepts)
        expect(headers.get("content-encoding"), "gzip", f"{call}, content-encoding", why)


@pytest.mark.task("gzip_if_it_pays")
def test_caches_are_told(answer):
    """Every answer says that it depends on accept-encoding."""
    why = "Without it a cache may hand the bytes made for one client to one that cannot read them."
    for body, accepts in ((LARGE, "gzip"), (LARGE, ""), (SMALL, "gzip")):
        headers, _, call = zipped(answer, body, accepts)
        expect(headers.get("vary", "").lower(), "accept-encoding", f"{call}, vary", why)


# two_doors

OPERATIONS = {
    "get_user": (1,),
    "list_users": (),
    "create_user": ("Tim", 40),
    "update_user": (1, "Ada", 37),
}


def guard(calls, made):
    """A `wrap` that writes down for which operations it was asked, and each call it saw."""

    def wrap(operation):
        made.append(operation)

        def middleware(inner):
            async def endpoint(request):
                calls.append(operation)
                return await inner(request)

            return endpoint

        return middleware

    return wrap


async def through(answer, use):
    """Open the learner's doors, call `use(http client, gRPC client)`, and close them again."""
    calls, made = [], []
    service = with_demo_users()
    doors = answer.two_doors(service, guard(calls, made))
    ensure(
        isinstance(doors, tuple | list)
        and len(doors) == 2
        and takes(doors[0], "scope", "receive", "send")
        and takes(doors[1], "server"),
        "Return a pair: an application, and a function that takes a server.",
        call="two_doors(service, wrap)",
        got=repr(doors),
        expected="(application, function)",
    )
    app, add = doors
    with serve(app) as http, serve_grpc(add) as rpc:
        async with grpc.aio.insecure_channel(rpc.address) as channel:
            results = [
                await outcome(use(client))
                for client in (http_user_client(http.url), grpc_user_client(channel))
            ]
        await close_connections()
    return results, calls, made


def takes(door, *arguments):
    try:
        signature(door).bind(*arguments)
    except (TypeError, ValueError):
        return False
    return True


async def outcome(call):
    try:
        return await call
    except CallError as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.task("two_doors")
@pytest.mark.real_time
async def test_both_doors_answer(answer):
    """Ada is found through both doors."""
    results, _, _ = await through(answer, lambda client: client.get_user(1))
    names = [getattr(result, "name", result) for result in results]
    expect(names, ["Ada", "Ada"], "get_user(1) over HTTP and over gRPC")


@pytest.mark.task("two_doors")
@pytest.mark.real_time
async def test_both_doors_say_no_alike(answer):
    """A user who does not exist is NotFound through both doors."""
    results, _, _ = await through(answer, lambda client: client.get_user(7))
    expect(results, ["NotFound: no user 7"] * 2, "get_user(7) over HTTP and over gRPC")


@pytest.mark.task("two_doors")
@pytest.mark.real_time
async def test_what_comes_in_by_one_door_is_seen_by_the_other(answer):
    """Both doors lead to the same users."""
    results, _, _ = await through(answer, lambda client: client.create_user("Tim", 40))
    ids = [getattr(result, "user_id", result) for result in results]
    expect(ids, [6, 7], "create_user('Tim', 40) over HTTP, then over gRPC: the ids")


@pytest.mark.task("two_doors")
@pytest.mark.real_time
async def test_both_doors_are_guarded(answer):
    """Every call meets the middleware of its operation, once, whichever door it takes."""
    _, calls, _ = await through(answer, one_of_each)
    expect(
        calls,
        [*OPERATIONS, *OPERATIONS],
        "what the middleware saw of a call of each operation over HTTP, then of each over gRPC",
        "A door without the middleware is a door without authentication and limit."
        if len(calls) < 2 * len(OPERATIONS)
        else "Hand `wrap` on as it is: it is called with each operation's name, and its "
        "middleware stands around that operation once.",
    )


async def one_of_each(client):
    for name, arguments in OPERATIONS.items():
        await getattr(client, name)(*arguments)


@pytest.mark.task("two_doors")
@pytest.mark.real_time
async def test_the_doors_share_one_guard(answer):
    """`wrap` makes one middleware for an operation, and both doors use it."""
    _, _, made = await through(answer, lambda client: client.get_user(1))
    ensure(
        len(made) == len(set(made)),
        "Each call of wrap makes a new limit, so two of them let twice as much through. Make the "
        "endpoints once and give them to both doors.",
        call="how often wrap('get_user') was called",
        got=str(made.count("get_user")),
        expected="1",
    )


# is_failure


def over_http(status):
    request = httpx.Request("GET", "http://users/users/7")
    response = httpx.Response(status, request=request)
    return httpx.HTTPStatusError(str(status), request=request, response=response)


def over_grpc(name):
    nothing = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(grpc.StatusCode[name], nothing, nothing, details="no")


def verdicts(answer, expected, why, *, http=(), rpc=()):
    for status in http:
        expect(answer.is_failure(over_http(status)), expected, f"is_failure(HTTP {status})", why)
    for name in rpc:
        expect(answer.is_failure(over_grpc(name)), expected, f"is_failure(gRPC {name})", why)


@pytest.mark.task("is_failure")
def test_answers_over_http(answer):
    """Over HTTP, not found, conflict, invalid, forbidden and not implemented are answers."""
    why = "The service did its work. Such answers must never open a breaker."
    verdicts(answer, False, why, http=(400, 401, 403, 404, 405, 409, 410, 422))
    why = "It begins with a 5, and yet it is an answer: no such method. The table knows it."
    verdicts(answer, False, why, http=(501,))


@pytest.mark.task("is_failure")
def test_answers_over_grpc(answer):
    """Over gRPC the same are answers."""
    names = "INVALID_ARGUMENT", "UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND"
    more = "ALREADY_EXISTS", "FAILED_PRECONDITION", "UNIMPLEMENTED", "ABORTED", "OUT_OF_RANGE"
    why = "The service did its work. The same event gets the same verdict as over HTTP."
    verdicts(answer, False, why, rpc=(*names, *more))


@pytest.mark.task("is_failure")
def test_failures_over_http(answer):
    """Over HTTP, 500, 502, 503 and 504 are failures, and so is what is seldom seen."""
    verdicts(answer, True, "The service could not do its work.", http=(500, 502, 503, 504))
    why = "The table has an answer to every status; a list of your own has not."
    verdicts(answer, True, why, http=(507, 520))


@pytest.mark.task("is_failure")
def test_failures_over_grpc(answer):
    """Over gRPC, whatever is no answer is a failure, from unavailable to cancelled."""
    names = "UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN", "CANCELLED", "DATA_LOSS"
    why = "The caller got no answer. The table has all the names; a list of your own has not."
    verdicts(answer, True, why, rpc=names)


@pytest.mark.task("is_failure")
def test_refused_for_load_is_a_failure_on_both(answer):
    """Too many requests, and a request that timed out, are failures on both wires."""
    why = "It begins with a 4, and yet the service did not do the work. The table knows it."
    verdicts(answer, True, why, http=(429, 408), rpc=("RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"))


@pytest.mark.task("is_failure")
def test_nobody_answered(answer):
    """A connection that is refused, or breaks, and an answer that does not come, are failures."""
    for error in (
        httpx.ConnectError("refused"),
        httpx.ReadError("broken"),
        httpx.ReadTimeout("too slow"),
        httpx.RemoteProtocolError("left without an answer"),
    ):
        why = "Nobody answered. Every kind of httpx.TransportError is a failure."
        expect(answer.is_failure(error), True, f"is_failure({error!r})", why)


# events


async def read(answer, *chunks):
    async def arriving():
        for chunk in chunks:
            yield chunk

    found = answer.events(arriving())
    if iscoroutine(found):
        await found  # without a yield it is no generator; a task not begun says so here
    ensure(
        hasattr(found, "__aiter__"),
        "Write `async def` and `yield` each event.",
        call="events(chunks)",
        got=type(found).__name__,
        expected="an async generator",
    )
    return [event async for event in found]


def shown(*chunks):
    return f"events({', '.join(map(repr, chunks))})"


@pytest.mark.task("events")
async def test_an_event_in_a_chunk_of_its_own(answer):
    """One event in each chunk."""
    chunks = b"data: a\n\n", b"data: b\n\n"
    expect(await read(answer, *chunks), ["a", "b"], shown(*chunks))


@pytest.mark.task("events")
async def test_two_events_in_one_chunk(answer):
    """Two events in one chunk are two events."""
    chunk = b"data: a\n\ndata: b\n\n"
    expect(await read(answer, chunk), ["a", "b"], shown(chunk), "Do not count chunks.")


@pytest.mark.task("events")
async def test_an_event_that_is_cut(answer):
    """An event that arrives byte by byte is one event."""
    chunks = [bytes([byte]) for byte in b'data: {"name":"Ada"}\n\n']
    why = "Keep what is left after the last line break until the next chunk comes."
    expect(await read(answer, *chunks), ['{"name":"Ada"}'], "one event, cut into bytes", why)
    chunks = b"data: a\n", b"", b"\n"
    expect(await read(answer, *chunks), ["a"], shown(*chunks), "An empty chunk ends nothing.")


@pytest.mark.task("events")
async def test_a_letter_that_is_cut(answer):
    """A letter of two bytes may be cut in the middle."""
    whole = "data: Zoë\n\n".encode()
    cut = whole.index("ë".encode()) + 1
    call = shown(whole[:cut], whole[cut:])
    why = "Half a letter cannot be decoded. Put lines together as bytes, and decode those."
    with no_error(UnicodeDecodeError, call=call, expected="['Zoë']", why=why):
        got = await read(answer, whole[:cut], whole[cut:])
    expect(got, ["Zoë"], call, why)


@pytest.mark.task("events")
async def test_several_lines_of_data(answer):
    """Several lines of data make one event."""
    chunk = b"data: a\ndata:  b\n\n"
    why = "Join them with a line break, when the empty line comes. One space after the colon goes."
    expect(await read(answer, chunk), ["a\n b"], shown(chunk), why)
    chunk = b"data: a\nid: 7\n:\n \ndata: b\n\n"
    why = "A line that is skipped does not end the event; only an empty line does."
    expect(await read(answer, chunk), ["a\nb"], shown(chunk), why)


@pytest.mark.task("events")
async def test_data_is_taken_as_it_is(answer):
    """Of a line of data nothing goes but `data:` and one space, if there is one."""
    for line, data in (
        ("data:a", "a"),
        ("data: a ", "a "),
        ("data: data: a", "data: a"),
        ("data: a: b", "a: b"),
    ):
        chunk = f"{line}\n\n".encode()
        why = "Take off the five letters in front, then one space if it is there. Leave the rest."
        expect(await read(answer, chunk), [data], shown(chunk), why)


@pytest.mark.task("events")
async def test_empty_data_is_data(answer):
    """A line `data:` with nothing behind it is data, an empty string."""
    why = "An empty string is false. Ask whether there was a line of data, not what is in it."
    expect(await read(answer, b"data:\n\n"), [""], shown(b"data:\n\n"), why)


@pytest.mark.task("events")
async def test_two_streams_at_once(answer):
    """Two streams that are read at the same time do not mix."""

    async def chunks(letter):
        yield b"data: "
        await asyncio.sleep(1)
        yield letter + b"\n\n"

    async def all_of(letter):
        return [event async for event in answer.events(chunks(letter))]

    expect(
        await asyncio.gather(all_of(b"a"), all_of(b"b")),
        [["a"], ["b"]],
        r"two streams at once, b'data: ', b'a\n\n' and b'data: ', b'b\n\n'",
        "Keep what is left of a chunk in a variable of the function: each stream has its own.",
    )


@pytest.mark.task("events")
async def test_everything_else_is_skipped(answer):
    """Comments, other fields and events without data are skipped."""
    chunk = b": still here\n\nevent: user\nid: 7\ndata: a\n\n\n\nretry: 10\n\n"
    expect(await read(answer, chunk), ["a"], shown(chunk), "Only `data:` counts.")
    chunk = b"database: 1\n data: 2\nDATA: 3\ndata: 4\n\n"
    why = "Only a line that begins with `data:`, in exactly these letters, is data."
    expect(await read(answer, chunk), ["4"], shown(chunk), why)


@pytest.mark.task("events")
async def test_what_is_not_complete_never_happened(answer):
    """An event without its empty line is dropped."""
    why = "The line broke in the middle of an event. Half an event is worse than none."
    for half in (b"data: half of", b"data: half of\n"):
        chunks = b"data: a\n\n", half
        expect(await read(answer, *chunks), ["a"], shown(*chunks), why)


@pytest.mark.task("events")
async def test_only_a_line_feed_ends_a_line(answer):
    """A letter that looks like the end of a line is text."""
    chunk = "data: a\u2028b\n\n".encode()
    why = "`str.splitlines` splits at letters such as U+2028 as well. Split at `\\n`."
    expect(await read(answer, chunk), ["a\u2028b"], shown(chunk), why)
    chunk = b"data: a\rb\n\n"
    why = "`splitlines` splits at `\\r` as well. Split at `\\n`."
    expect(await read(answer, chunk), ["a\rb"], shown(chunk), why)


@pytest.mark.task("events")
async def test_an_event_is_yielded_at_once(answer):
    """An event is yielded as soon as its empty line has come."""

    async def chunks():
        yield b"data: a\n\nda"
        await asyncio.sleep(60)

    found = answer.events(chunks())
    try:
        async with asyncio.timeout(1):
            first = await anext(found)
    except TimeoutError:
        first = "nothing yet"
    finally:
        await found.aclose()
    why = "The stream may never end. Yield an event where its empty line is found."
    expect(first, "a", r"a second after b'data: a\n\nda', while the stream goes on", why)


# retry_reads


class Troubled:
    """A user service that fails so many times, and counts its calls."""

    def __init__(self, failures, error):
        self.calls, self.failures, self.error = 0, failures, error
        self.users = with_demo_users()

    async def _meet(self, result):
        self.calls += 1
        if self.calls <= self.failures:
            result.close()
            raise self.error("no")
        return await result

    async def get_user(self, user_id):
        return await self._meet(self.users.get_user(user_id))

    async def list_users(self, limit=50, after=0):
        return await self._meet(self.users.list_users(limit, after))

    async def create_user(self, name, age):
        return await self._meet(self.users.create_user(name, age))

    async def update_user(self, user_id, name, age):
        return await self._meet(self.users.update_user(user_id, name, age))


async def attempts(answer, use, failures, error=Unavailable):
    """How often the service was asked, and what the caller got, in words."""
    channel_options = given(answer)
    service = Troubled(failures, error)

    async def ask(address):
        async with grpc.aio.insecure_channel(address, channel_options) as channel:
            return await outcome(use(grpc_user_client(channel)))

    with serve_grpc(lambda server: add_users(server, user_endpoints(service))) as server:
        got = await on_lab(ask(server.address))
    _, unread, fields = str(got).partition("errors validating service config: ")
    ensure(
        not unread,
        "gRPC could not read the text. It names each field, and what is wrong with it.",
        call="a channel with options()",
        got=fields,
        expected="a service config that gRPC can read",
    )
    times = f"{service.calls} times" if service.calls > 1 else "once"
    return f"asked {times}, {got}"


def given(answer):
    """The learner's options, when they are such that gRPC would read them."""
    found = answer.options()
    names = dict(found) if isinstance(found, list) else {}
    text = names.get("grpc.service_config")
    try:
        config = json.loads(text)
    except (TypeError, ValueError):
        config = None
    ensure(
        isinstance(config, dict) and "methodConfig" in config,
        "gRPC ignores what it cannot read, without a word.",
        call="options()",
        got=repr(found)[:200],
        expected="[('grpc.service_config', '{\"methodConfig\": [...]}')], the second a JSON text",
    )
    return found


@pytest.mark.task("retry_reads")
@pytest.mark.real_time
async def test_a_read_gets_over_two_failures(answer):
    """GetUser is answered at the third attempt."""
    said = await attempts(answer, named_first, failures=2)
    why = "Does `name` say service and method in full, and is `retryPolicy` beside it?"
    expect(said, "asked 3 times, Ada", "get_user(1), UNAVAILABLE twice", why)


async def named_first(users):
    return (await users.get_user(1)).name


async def counted(users):
    return f"{len(await users.list_users())} users"


@pytest.mark.task("retry_reads")
@pytest.mark.real_time
async def test_lists_are_reads_too(answer):
    """ListUsers is answered at the second attempt."""
    said = await attempts(answer, counted, failures=1)
    why = "ListUsers is a read as well."
    expect(said, "asked 2 times, 5 users", "list_users(), UNAVAILABLE once", why)


@pytest.mark.task("retry_reads")
@pytest.mark.real_time
async def test_three_attempts_and_no_more(answer):
    """After three attempts the caller is told."""
    said = await attempts(answer, named_first, failures=9)
    why = "maxAttempts counts the first one too."
    expect(said, "asked 3 times, Unavailable: no", "get_user(1), always UNAVAILABLE", why)


@pytest.mark.task("retry_reads")
@pytest.mark.real_time
async def test_writes_are_tried_once(answer):
    """CreateUser and UpdateUser are tried once."""
    why = "The service may have done it before it failed. Name the methods that may be repeated."
    for method, arguments in (("create_user", ("Alan", 41)), ("update_user", (1, "Ada", 37))):
        use = methodcaller(method, *arguments)
        said = await attempts(answer, use, failures=9)
        expect(said, "asked once, Unavailable: no", f"{method}{arguments}, UNAVAILABLE", why)


@pytest.mark.task("retry_reads")
@pytest.mark.real_time
async def test_only_unavailable_is_repeated(answer):
    """Any other error of GetUser is passed on at once."""
    why = "UNAVAILABLE is the one status that says: somebody else, or a little later."
    for error in (NotFound, Conflict, Internal, RateLimited, DeadlineExceeded):
        said = await attempts(answer, named_first, 9, error)
        name = error.__name__
        expect(said, f"asked once, {name}: no", f"get_user(1), always {name}", why)
    for policy in policies(answer):
        codes = policy.get("retryableStatusCodes")
        expect(codes, ["UNAVAILABLE"], "retryableStatusCodes of a policy", why)


def policies(answer):
    config = json.loads(dict(given(answer))["grpc.service_config"])
    return [each["retryPolicy"] for each in config["methodConfig"] if "retryPolicy" in each]


@pytest.mark.task("retry_reads")
def test_waits_between_attempts(answer):
    """It waits 0.01 s, then twice as long each time, and never more than 0.05 s."""
    for policy in policies(answer):
        first, most = [
            float(str(policy.get(key, "nan")).rstrip("s"))
            for key in ("initialBackoff", "maxBackoff")
        ]
        expect(
            (first, most, policy.get("backoffMultiplier")),
            (0.01, 0.05, 2),
            "initialBackoff, maxBackoff and backoffMultiplier, in seconds",
            "Who comes back at once meets the same outage; who waits too long is not waited for.",
        )
