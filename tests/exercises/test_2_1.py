"""Graders of the exercises to lesson 2.1, endpoint."""

import asyncio
import inspect
import json
import re
from dataclasses import dataclass

import pytest

from course_lib.errors import (
    CallError,
    Conflict,
    Internal,
    InvalidRequest,
    NotFound,
    RateLimited,
    Unavailable,
)
from course_lib.grading.checks import CheckFailed, ensure, expect, no_error, raises
from course_lib.shop.orders import Item, PlaceOrder
from course_lib.shop.users import CreateUser, GetUser

# endpoint_of


@dataclass(frozen=True)
class Backwards:
    """The fields of CreateUser in the other order."""

    age: int
    name: str


@dataclass(frozen=True, slots=True)
class Slotted:
    """A request without a `__dict__`."""

    user_id: int


@dataclass(frozen=True)
class GetOldUser(GetUser):
    """A request whose field stands in the class above."""


@dataclass(frozen=True)
class Page:
    """A request in which 0 and None are values."""

    limit: int = 0
    after: int | None = None


async def create_user(name, age):
    return f"{name}, {age}"


async def get_user(user_id):
    await asyncio.sleep(1)
    if user_id == 7:
        raise NotFound("no user 7")
    return f"user {user_id}"


async def call_endpoint(answer, method, request, call):
    """The answer of the learner's endpoint; what it raises by mistake becomes words."""
    try:
        return await answer.endpoint_of(method)(request)
    except (TypeError, AttributeError) as error:
        raise CheckFailed(
            "Go through dataclasses.fields(request), and read each with getattr.",
            call=call,
            got=f"{type(error).__name__}: {error}",
            expected="an answer",
        ) from error


@pytest.mark.task("endpoint_of")
async def test_calls_the_method_with_the_fields(answer):
    """The method gets the fields of the request, and its answer comes back."""
    call = 'endpoint_of(create_user)(CreateUser("Ada", 36))'
    got = await call_endpoint(answer, create_user, CreateUser("Ada", 36), call)
    expect(got, "Ada, 36", call, "Return what the method returned.")


@pytest.mark.task("endpoint_of")
async def test_goes_by_name(answer):
    """The order of the fields does not matter."""
    call = 'endpoint_of(create_user) of a request with age=36, name="Ada", in this order'
    got = await call_endpoint(answer, create_user, Backwards(36, "Ada"), call)
    expect(got, "Ada, 36", call, "Pass the fields by name, not by position.")


@pytest.mark.task("endpoint_of")
async def test_every_field_arrives(answer):
    """Every field of the request arrives, also 0 and None; what it has not, is left out."""

    async def list_users(limit=50, after=7, newest="first"):
        return limit, after, newest

    call = "(limit, after, newest) in list_users, after a request with limit=0 and after=None"
    got = await call_endpoint(answer, list_users, Page(), call)
    why = "The request says what is passed, not the method. 0 and None are values like others."
    expect(got, (0, None, "first"), call, why)


@pytest.mark.task("endpoint_of")
async def test_leaves_what_is_inside_as_it_is(answer):
    """A field that holds dataclasses arrives as it was."""

    async def place_order(user_id, items):
        return items

    items = (Item("tea", 2), Item("cup", 1))
    call = "the items that place_order got"
    got = await call_endpoint(answer, place_order, PlaceOrder(1, items), call)
    expect(got, items, call, "`asdict` turns what is inside into dictionaries as well.")
    same = [a is b for a, b in zip(got, items, strict=True)]
    expect(same, [True, True], "whether they are the same objects", "Copy nothing.")


@pytest.mark.task("endpoint_of")
async def test_takes_any_dataclass(answer):
    """A request with slots has no `__dict__`, and is a dataclass all the same."""
    call = "endpoint_of(get_user) of a dataclass with slots"
    got = await call_endpoint(answer, get_user, Slotted(1), call)
    expect(got, "user 1", call, "Not every object has a `__dict__`.")
    call = "endpoint_of(get_user) of a dataclass that inherits its field"
    got = await call_endpoint(answer, get_user, GetOldUser(1), call)
    expect(got, "user 1", call, "`dataclasses.fields` knows inherited fields, too.")


@pytest.mark.task("endpoint_of")
def test_an_endpoint_is_async(answer):
    """What comes out is an async function itself."""
    endpoint = answer.endpoint_of(get_user)
    shapes = (endpoint, getattr(endpoint, "__call__", None))  # noqa: B004
    ensure(
        any(inspect.iscoroutinefunction(shape) for shape in shapes),
        "Write `async def endpoint(request)`, and `await` the method in it. What goes around "
        "endpoints, and FastAPI too, looks whether a function is async.",
        call="inspect.iscoroutinefunction(endpoint_of(get_user))",
        got="False",
        expected="True",
    )


@pytest.mark.task("endpoint_of")
async def test_errors_pass(answer):
    """What the method raises, the endpoint raises."""
    call = "endpoint_of(get_user) of user 7"
    with raises(NotFound, call=call, names="no user 7", why="Let errors pass."):
        await call_endpoint(answer, get_user, GetUser(7), call)

    async def broken(user_id):
        raise KeyError("a bug")

    call = "endpoint_of(broken), whose method raises KeyError"
    with raises(KeyError, call=call, names="a bug", why="Let errors pass, whatever they are."):
        await call_endpoint(answer, broken, GetUser(7), call)


# order_routes

OPERATIONS = ("list_orders", "place_order", "get_order", "set_address", "cancel_order")
REPEATED = ("GET", "PUT", "DELETE")
VERBS = "get|list|read|fetch|place|create|add|new|set|update|change|put|cancel|delete|remove"


def routes_of(answer):
    """The learner's routes, once they have the right form; capitals are one check's business."""
    routes = answer.order_routes()
    good = isinstance(routes, dict) and sorted(routes) == sorted(OPERATIONS)
    good = good and all(
        isinstance(pair, tuple | list)
        and len(pair) == 2
        and str(pair[0]).upper() in ("GET", "POST", "PUT", "PATCH", "DELETE")
        and re.fullmatch(r"/[^?#\s]*", str(pair[1]))
        for pair in routes.values()
    )
    ensure(
        good,
        "Return a dict with the five operations, each with a pair of method and path. "
        "A path begins with / and has no query.",
        call="order_routes()",
        got=repr(routes),
        expected="{'list_orders': ('GET', '/...'), ...}",
    )
    return {name: (method.upper(), path) for name, (method, path) in routes.items()}


class Orders:
    """What the order service would do behind these routes."""

    def __init__(self, routes):
        self.routes, self.addresses = routes, {1: "home"}

    def request(self, method, path):
        for name, route in self.routes.items():
            pattern = re.sub(r"\\\{\w+\\\}", r"[^/]+", re.escape(route[1]))
            if method == route[0] and re.fullmatch(pattern, path):
                self.do(name)
                return

    def do(self, name):
        if name == "place_order":
            self.addresses[len(self.addresses) + 1] = "home"
        elif name == "set_address":
            self.addresses[1] = "work"
        elif name == "cancel_order":
            self.addresses.pop(1, None)


def path_of_first(path):
    return re.sub(r"\{\w+\}", "1", path)


def on_a_bad_line(routes, name, lost):
    """What is left when the first request, or its answer, is lost and the client does its best."""
    orders = Orders(routes)
    method, path = routes[name]
    if lost == "answer":
        orders.request(method, path_of_first(path))
    if method in REPEATED:
        orders.request(method, path_of_first(path))
    return orders.addresses


@pytest.mark.task("order_routes")
def test_every_operation_has_a_route_of_its_own(answer):
    """Each operation has a method, in capitals, and a path; no two share both."""
    routes = routes_of(answer)
    ensure(
        all(pair[0] == pair[0].upper() for pair in answer.order_routes().values()),
        "HTTP distinguishes `get` from `GET`: write the methods in capitals.",
        call="order_routes()",
        got=repr(answer.order_routes()),
        expected="{'list_orders': ('GET', '/...'), ...}",
    )
    pairs = {(method, re.sub(r"\{\w+\}", "{}", path)) for method, path in routes.values()}
    ensure(
        len(pairs) == len(OPERATIONS),
        "When two operations have the same method and path, only one of them can be reached.",
        call="order_routes()",
        got=f"{len(pairs)} different routes",
        expected="five different routes",
    )


@pytest.mark.task("order_routes")
def test_one_order_is_named_in_the_path(answer):
    """Operations on one order have its number in the path, the others do not."""
    routes = routes_of(answer)
    named = [name for name in OPERATIONS if "{order_id}" in routes[name][1]]
    expect(
        named,
        ["get_order", "set_address", "cancel_order"],
        "the operations with {order_id} in their path",
        "The path names the thing. Before an order is placed it has no number.",
    )


@pytest.mark.task("order_routes")
def test_a_crawler_does_no_harm(answer):
    """A GET to every path changes nothing."""
    routes = routes_of(answer)
    orders = Orders(routes)
    for _, path in routes.values():
        orders.request("GET", path_of_first(path))
    expect(
        orders.addresses,
        {1: "home"},
        "the orders and their addresses after a GET to every path",
        "Crawlers, link previews and caches send GET as they like. It must only read.",
    )


@pytest.mark.task("order_routes")
def test_reading_is_a_get(answer):
    """What only reads is a GET."""
    routes = routes_of(answer)
    methods = [routes[name][0] for name in ("list_orders", "get_order")]
    expect(
        methods,
        ["GET", "GET"],
        "the methods of list_orders and get_order",
        "Only a GET may be cached, followed as a link, and repeated without a thought.",
    )


@pytest.mark.task("order_routes")
def test_a_lost_request_is_repeated(answer):
    """When the request to set an address or to cancel is lost, the client may repeat it."""
    for name, left in (("set_address", {1: "work"}), ("cancel_order", {})):
        expect(
            on_a_bad_line(routes_of(answer), name, "request"),
            left,
            f"the orders after {name}, whose first request was lost",
            "Doing it twice leaves what doing it once leaves, so choose a method that the client "
            "may repeat: PUT or DELETE. It repeats neither POST nor PATCH, since a PATCH may "
            "say `one more`.",
        )


@pytest.mark.task("order_routes")
def test_no_order_is_placed_twice(answer):
    """When the answer to placing an order is lost, there is one new order all the same."""
    expect(
        len(on_a_bad_line(routes_of(answer), "place_order", "answer")) - 1,
        1,
        "the number of new orders after place_order, whose answer was lost",
        "The service picks the number, so each repeat is one more order. Choose the method that "
        "the client does not repeat.",
    )


@pytest.mark.task("order_routes")
def test_paths_name_things(answer):
    """A path names a thing; what is done to it is the method's to say."""
    verbs = [
        word
        for _, path in routes_of(answer).values()
        for word in re.findall(r"[A-Za-z][a-z]*", re.sub(r"\{\w+\}", "", path))
        if re.fullmatch(VERBS, word.lower())
    ]
    expect(verbs, [], "the verbs in your paths", "The method is the verb, the path the noun.")
    ensure(
        routes_of(answer)["set_address"][0] != "DELETE",
        "DELETE says that the thing is gone afterwards; PUT says that it is as it was sent.",
        call="the method of set_address",
        got="'DELETE'",
        expected="the method that puts something in its place",
    )


# new_user_from


def refused(answer, body, begins, why=""):
    """Fail unless this body raises InvalidRequest with a message that begins so."""
    call = f"new_user_from({body!r})"
    with raises(InvalidRequest, call=call, why=why) as refusal:
        answer.new_user_from(body)
    ensure(
        str(refusal.error).startswith(begins),
        "The message begins with the field, or with `body`, and a colon.",
        call=call,
        got=f"the message {str(refusal.error)!r}",
        expected=f"a message that begins with {begins!r}",
    )


def body_of(**given):
    return json.dumps(given).encode()


@pytest.mark.task("new_user_from")
def test_reads_a_good_body(answer):
    """A good body gives the request, at both ends of what is allowed."""
    for name, age in (("Ada", 36), ("A", 0), ("A" * 100, 150), ("ä" * 100, 1), (" Ada ", 2)):
        shown = name if len(name) < 10 else f"{name[0]} a hundred times"
        call = f"new_user_from of the name {shown!r} and the age {age}"
        why = "Count characters, not bytes, and take the name as it is."
        with no_error(InvalidRequest, call=call, expected="a CreateUser", why=why):
            got = answer.new_user_from(body_of(name=name, age=age))
        expect(got, CreateUser(name, age), call, why)


@pytest.mark.task("new_user_from")
def test_an_age_is_an_integer(answer):
    """Text, fractions and null are no age."""
    for age in ("36", 36.0, None, [36]):
        why = "Take JSON as it is, convert nothing."
        refused(answer, body_of(name="Ada", age=age), "age:", why)


@pytest.mark.task("new_user_from")
def test_true_is_no_age(answer):
    """`true` is not the age of one year."""
    why = "In Python, True is an int: isinstance(True, int). Look at type(age)."
    refused(answer, b'{"name": "Ada", "age": true}', "age:", why)


@pytest.mark.task("new_user_from")
def test_a_name_is_a_short_string(answer):
    """Numbers, empty text and novels are no name."""
    for name in (7, "", "A" * 101, None, ["Ada"]):
        refused(answer, body_of(name=name, age=36), "name:", "A name has 1 to 100 characters.")


@pytest.mark.task("new_user_from")
def test_an_age_is_between_0_and_150(answer):
    """Nobody is -1 or 151."""
    for age in (-1, 151):
        refused(answer, body_of(name="Ada", age=age), "age:", "An age is from 0 to 150.")


@pytest.mark.task("new_user_from")
def test_names_what_is_missing(answer):
    """A field that is missing is named."""
    for given, missing in (({"name": "Ada"}, "age:"), ({"age": 36}, "name:")):
        refused(answer, body_of(**given), missing, "A missing field raises KeyError by itself.")


@pytest.mark.task("new_user_from")
def test_names_what_nobody_knows(answer):
    """A field that nobody knows is refused by its name."""
    why = "Otherwise a typing mistake in a field is accepted in silence."
    refused(answer, body_of(name="Ada", age=36, admin=True), "admin:", why)


@pytest.mark.task("new_user_from")
def test_names_what_is_given_twice(answer):
    """A field that is given twice is refused by its name."""
    why = "json.loads keeps the last of the two in silence, unless you give it object_pairs_hook."
    for age in (b"7", b"36"):
        refused(answer, b'{"name": "Ada", "age": 36, "age": %s}' % age, "age:", why)


@pytest.mark.task("new_user_from")
def test_refuses_what_is_no_object(answer):
    """What is no JSON object is refused as a whole."""
    for body in (b"", b"{", b"[]", b"null", b'"Ada"', b'[["name", "Ada"], ["age", 36]]'):
        refused(answer, body, "body:", "Not all JSON is an object, and not all bytes are JSON.")


@pytest.mark.task("new_user_from")
def test_refuses_what_is_no_text(answer):
    """Bytes that are not UTF-8 are refused in the same way."""
    why = "json.loads raises UnicodeDecodeError here. It is a ValueError, as JSONDecodeError is."
    refused(answer, b'{"name": "\xff", "age": 36}', "body:", why)


# answer_of

PAGE = b"<html><h1>502 Bad Gateway</h1></html>"


def envelope(code, data=None, message=""):
    return json.dumps({"code": code, "data": data, "message": message}).encode()


def raised_by(answer, status, body, error, why, names=""):
    """Fail unless answer_of raises this error."""
    with raises(error, call=f"answer_of({status}, {body!r})", names=names, why=why):
        answer.answer_of(status, body)


@pytest.mark.task("answer_of")
def test_a_good_answer_is_its_data(answer):
    """A good answer gives its data, also when there is not much of it."""
    for data in ({"name": "Ada"}, [], 0, None, False):
        body = envelope(200, data, "ok")
        call = f"answer_of(200, {body!r})"
        why = "Return `data`, whatever it is."
        with no_error(CallError, call=call, expected=repr(data), why=why):
            expect(answer.answer_of(200, body), data, call, why)


@pytest.mark.task("answer_of")
def test_every_2xx_is_good(answer):
    """201 is a good answer as well."""
    for status in (201, 202):
        call = f"answer_of({status}, code {status} and data 7)"
        with no_error(CallError, call=call, expected="7", why="Any 2xx is good."):
            expect(answer.answer_of(status, envelope(status, 7, "ok")), 7, call)
    for status, code in ((200, 201), (202, 200)):
        call = f"answer_of({status}, code {code} and data 7)"
        with no_error(CallError, call=call, expected="7", why="Any two 2xx are good."):
            expect(answer.answer_of(status, envelope(code, 7, "ok")), 7, call)
    body = b'{"code": 200, "data": 7, "message": "ok", "trace_id": "4bf9"}'
    call, why = f"answer_of(200, {body!r})", "What you do not know, you skip."
    with no_error(CallError, call=call, expected="7", why=why):
        expect(answer.answer_of(200, body), 7, call)


@pytest.mark.task("answer_of")
def test_a_failed_answer_is_its_error(answer):
    """An answer that says it failed raises the error of its status, with its message."""
    why = "error_from(None, message, http_status=status) makes the error; raise it."
    failures = {404: NotFound, 400: InvalidRequest, 503: Unavailable, 429: RateLimited}
    for status, error in failures.items():
        raised_by(answer, status, envelope(status, None, "no user 7"), error, why, "no user 7")


@pytest.mark.task("answer_of")
def test_an_error_in_a_200_is_an_error(answer):
    """A failure that came with status 200 is a failure."""
    why = "The status says 200 and the envelope does not. Look at both."
    for code, error in ((503, Unavailable), (404, NotFound)):
        raised_by(answer, 200, envelope(code, None, "sorry"), error, why, "sorry")
    why = "Good is from 200 to 299. `error_from` makes an `Internal` of what it does not know."
    for code in (300, 0):
        raised_by(answer, 200, envelope(code, 7, "sorry"), Internal, why)


@pytest.mark.task("answer_of")
def test_a_failed_status_counts_whatever_the_envelope_says(answer):
    """A status of 503 is a failure, even with code 200 in the envelope."""
    why = "A proxy on the way may have set the status. It is the one to believe when it says no."
    raised_by(answer, 503, envelope(200, 7, "ok"), Unavailable, why)
    why = "Good is from 200 to 299. `error_from` makes an `Internal` of what it does not know."
    raised_by(answer, 300, envelope(200, 7, "elsewhere"), Internal, why)


@pytest.mark.task("answer_of")
def test_a_page_of_html_is_no_crash(answer):
    """What is no envelope, such as a page of HTML, becomes the error of its status."""
    why = "It is not JSON, and the status says enough. Do not let json.loads decide."
    for status in (502, 503):
        raised_by(answer, status, PAGE, Unavailable, why)
    why = "json.loads raises UnicodeDecodeError here. It is a ValueError, as JSONDecodeError is."
    raised_by(answer, 502, b"caf\xe9", Unavailable, why)
    why = "JSON that is no envelope has no `message` to take. The status says enough."
    for body in (b'{"detail": "Not Found"}', b"[]"):
        raised_by(answer, 404, body, NotFound, why)


@pytest.mark.task("answer_of")
def test_a_2xx_without_an_envelope_is_internal(answer):
    """A 2xx without an envelope raises Internal."""
    why = "JSON that is no object, or lacks one of the three names, is no envelope either."
    for body in (b"hello", b"", b"[]", b"null", b'{"name": "Ada"}', b'{"code": 200}'):
        raised_by(answer, 200, body, Internal, why)
    raised_by(answer, 200, b'{"name": "Zo\xeb"}', Internal, "What is not UTF-8 is no JSON.")


# create_once


@dataclass(frozen=True)
class Order:
    """What is ordered, and the key that the client made up."""

    key: str | None
    sku: str = "tea"


class Shop:
    """Places an order in two seconds; the first `failing` calls raise `error`."""

    def __init__(self, failing=0, error=None):
        self.calls, self.failing = 0, failing
        self.error = error or Unavailable("the database does not answer")

    async def __call__(self, request):
        self.calls += 1
        number = self.calls
        await asyncio.sleep(2)
        if number <= self.failing:
            asyncio.current_task().add_done_callback(ask_for_its_error)
            raise self.error
        return f"order {number} of {request.sku}"


def ask_for_its_error(task):
    """Somebody has to, or the run is said to have lost it."""
    return task.cancelled() or task.exception()


@pytest.mark.task("create_once")
async def test_the_same_key_is_one_order(answer):
    """A repeat with the same key gets the answer of the first."""
    shop = Shop()
    endpoint = answer.create_once(shop)
    call, expected = "three requests with the key k1, one after the other", ["order 1 of tea"] * 3
    why = "They are equal, though not the same object: compare with `!=`."
    with no_error(Conflict, call=call, expected=repr(expected), why=why):
        got = [await endpoint(Order("k1")) for _ in range(3)]
    expect(got, expected, call)
    expect(shop.calls, 1, "how often `inner` was called")
    calls = []

    async def returns_nothing(request):
        calls.append(request)

    endpoint = answer.create_once(returns_nothing)
    for _ in range(2):
        await endpoint(Order("k1"))
    if calls:
        why = "None is an answer like any other. Ask whether the key is there, not what it holds."
    else:
        why = "It got the answer of another `inner`. Make the dictionary inside `create_once`."
    expect(len(calls), 1, "how often an `inner` that returns None was called", why)


@pytest.mark.task("create_once")
async def test_another_key_is_another_order(answer):
    """Requests with different keys have nothing to do with each other."""
    endpoint = answer.create_once(Shop())
    got = [await endpoint(Order(key)) for key in ("k1", "k2", "k1")]
    expected = ["order 1 of tea", "order 2 of tea", "order 1 of tea"]
    expect(got, expected, "requests with the keys k1, k2 and k1", "Remember all keys.")


@pytest.mark.task("create_once")
async def test_without_a_key_all_go_through(answer):
    """Without a key, every request goes through."""
    endpoint = answer.create_once(Shop())
    got = [await endpoint(Order(None)) for _ in range(2)]
    expect(got, ["order 1 of tea", "order 2 of tea"], "two requests whose key is None")


@pytest.mark.task("create_once")
async def test_an_empty_key_is_a_key(answer):
    """An empty string is a key like any other."""
    endpoint = answer.create_once(Shop())
    got = [await endpoint(Order("")) for _ in range(2)]
    why = "Only None is no key. `not request.key` holds for an empty string, too."
    expect(got, ["order 1 of tea"] * 2, 'two requests with the key ""', why)


@pytest.mark.task("create_once")
async def test_two_at_the_same_time_are_one_order(answer):
    """A repeat that arrives while the first is running waits for it."""
    shop = Shop()
    endpoint = answer.create_once(shop)
    call, expected = "two equal requests with the key k1 at the same time", ["order 1 of tea"] * 2
    why = "Remember that a call has begun, not only what it came to: keep its task."
    with no_error(Conflict, call=call, expected=repr(expected), why=why):
        got = await asyncio.gather(endpoint(Order("k1")), endpoint(Order("k1")))
    expect(got, expected, call, why)


@pytest.mark.task("create_once")
async def test_a_failure_is_forgotten(answer):
    """After an error, a repeat with the same key tries again, also when nobody waited for it."""
    endpoint = answer.create_once(Shop(failing=1))
    with raises(Unavailable, call="the first request with the key k1", why="Let errors pass."):
        await endpoint(Order("k1"))
    call = "the second request with the key k1, after the first failed"
    why = "Nothing was created, so there is nothing to remember. Forget the key."
    with no_error(Unavailable, call=call, expected="'order 2 of tea'", why=why):
        got = await endpoint(Order("k1"))
    expect(got, "order 2 of tea", call, why)
    await every_error_is_forgotten(answer)
    await a_failure_nobody_saw_is_forgotten(answer)


async def every_error_is_forgotten(answer):
    for error in (NotFound("no tea today"), KeyError("a bug")):
        endpoint = answer.create_once(Shop(failing=1, error=error))
        name = type(error).__name__
        with raises(type(error), call=f"a request with the key k1, and `inner` raises {name}"):
            await endpoint(Order("k1"))
        call = f"a request for a cup with the key k1, after the tea failed with {name}"
        why = "Forget the key and the request, whatever the error is: `except BaseException`."
        with no_error(type(error), Conflict, call=call, expected="'order 2 of cup'", why=why):
            got = await endpoint(Order("k1", "cup"))
        expect(got, "order 2 of cup", call, why)


async def a_failure_nobody_saw_is_forgotten(answer):
    endpoint = answer.create_once(Shop(failing=1))
    only = asyncio.create_task(endpoint(Order("k1")))
    await asyncio.sleep(1)
    begun = asyncio.all_tasks() - {asyncio.current_task()}
    only.cancel()
    for task in begun:
        task.add_done_callback(ask_for_its_error)
    await asyncio.sleep(2)
    call = "a request with the key k1, after the only caller gave up and then the order failed"
    why = "Nobody waited any more, so no caller can forget the key. Let the task itself forget it."
    try:
        with no_error(Unavailable, call=call, expected="'order 2 of tea'", why=why):
            got = await endpoint(Order("k1"))
    except asyncio.CancelledError:
        return  # what has begun did not go on, which another check says
    expect(got, "order 2 of tea", call, why)


@pytest.mark.task("create_once")
async def test_another_request_with_the_same_key_is_a_conflict(answer):
    """A different request with a key that is taken raises Conflict."""
    endpoint = answer.create_once(Shop())
    await endpoint(Order("k1", "tea"))
    call, why = "a request for a cup with the key of the tea", "Compare it with the first request."
    with raises(Conflict, call=call, why=why):
        await endpoint(Order("k1", "cup"))
    endpoint = answer.create_once(Shop())
    tea = asyncio.create_task(endpoint(Order("k1", "tea")))
    await asyncio.sleep(1)
    with raises(Conflict, call=f"{call}, which is still running", why=why):
        await endpoint(Order("k1", "cup"))
    await asyncio.wait([tea])


@pytest.mark.task("create_once")
async def test_what_has_begun_goes_on(answer):
    """When the first caller gives up after a second, a repeat gets the order that was begun."""
    shop = Shop()
    endpoint = answer.create_once(shop)
    first = asyncio.create_task(endpoint(Order("k1")))
    await asyncio.sleep(1)
    first.cancel()
    await asyncio.wait([first], timeout=0.5)
    ensure(
        first.cancelled(),
        "Who is cancelled ends at once; only the order goes on. Let CancelledError pass.",
        call="the first caller, half a second after it was cancelled",
        got="a caller that goes on",
        expected="CancelledError raised",
    )
    call = "a request with the key k1, after the first caller gave up"
    why = "Cancelling a caller cancels the task it awaits. Run the order in a task of its own, and "
    why += "shield it: `await asyncio.shield(task)`."
    with no_error(asyncio.CancelledError, call=call, expected="'order 1 of tea'", why=why):
        got = await endpoint(Order("k1"))
    expect(got, "order 1 of tea", call, why)
    first, second = (asyncio.create_task(endpoint(Order("k2"))) for _ in range(2))
    await asyncio.sleep(1)
    second.cancel()
    await asyncio.wait([first, second])
    call = "the first of two requests with the key k2, after the second caller gave up"
    with no_error(asyncio.CancelledError, call=call, expected="'order 2 of tea'", why=why):
        got = await first
    expect(got, "order 2 of tea", call, why)
