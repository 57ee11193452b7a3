"""What nonsense gets: a 4xx in the envelope that names the field, and a service unharmed."""

import asyncio
from typing import Any

import pytest

from course_lib.errors import Internal
from course_lib.shop.endpoints import user_endpoints
from course_lib.shop.users import GetUser, User, with_demo_users
from course_lib.shop.users_http import user_routes
from course_lib.transport.hooks import Outcome
from course_lib.transport.http_server import Route, http_app
from tests.transport.asgi import call


def users_app(**hooks: Any) -> Any:
    return http_app("users", user_routes(user_endpoints(with_demo_users()), **hooks))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "body: must be JSON"),
        (b"{", "body: must be JSON"),
        (b'{"name": "\xff\xfe", "age": 1}', "body: must be JSON"),
        (b'{"name": "\\ud800", "age": 1}', "body: must be JSON"),
        (b'{"name": "Ada", "age": NaN}', "body: must be JSON"),
        (b'{"name": "Ada", "age": Infinity}', "body: must be JSON"),
        (b"[" * 100_000, "body: must be JSON"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, "unknown field"),
        (b"[]", "body: must be a JSON object"),
        (b"null", "body: must be a JSON object"),
        (b'"Ada"', "body: must be a JSON object"),
        (b"{}", "age: is required"),
        (b'{"age": 36}', "name: is required"),
        (b'{"name": "Ada", "age": "36"}', 'age: must be an integer, got "36"'),
        (b'{"name": "Ada", "age": 36.5}', "age: must be an integer, got 36.5"),
        (b'{"name": "Ada", "age": true}', "age: must be an integer, got true"),
        (b'{"name": "Ada", "age": null}', "age: must be an integer, got null"),
        (b'{"name": "Ada", "age": 1e400}', "body: must be JSON: number is infinity"),
        (b'{"name": "Ada", "age": 9223372036854775808}', "age: must be an integer of at most 64"),
        (b'{"name": "Ada", "age": %s}' % (b"9" * 5000), "body: must be JSON: number is infinity"),
        (b'{"name": 7, "age": 36}', "name: must be a string, got 7"),
        (b'{"name": ["Ada"], "age": 36}', 'name: must be a string, got ["Ada"]'),
        (b'{"name": "Ada", "age": 36, "admin": true}', "admin: unknown field"),
        (b'{"name": "Ada", "age": 36, "age": 37}', "age: given twice"),
        (b'{"name": "Ada", "age": 151}', "age: must be between 0 and 150"),
        (b'{"name": "", "age": 36}', "name: must be 1 to 100"),
    ],
)
async def test_a_bad_body_gets_400_and_the_name_of_the_field(body: bytes, message: str):
    app = users_app()
    answer = await call(app, "POST", "/users", body)
    assert answer.status == 400
    assert message in answer.envelope["message"]
    assert answer.envelope["code"] == 400 and answer.envelope["data"] is None
    assert len(answer.body) < 300
    assert (await call(app, "GET", "/users/6")).status == 404


@pytest.mark.parametrize(
    ("path", "query", "message"),
    [
        ("/users/x", b"", 'user_id: must be an integer, got "x"'),
        ("/users/1.0", b"", "user_id: must be an integer"),
        ("/users/ 1", b"", "user_id: must be an integer"),
        ("/users/1_0", b"", "user_id: must be an integer"),
        ("/users/\uff11", b"", "user_id: must be an integer"),
        ("/users/1\n", b"", "user_id: must be an integer"),
        ("/users/" + "9" * 19, b"", "user_id: must be an integer of at most 64 bits"),
        ("/users/" + "9" * 10_000, b"", "user_id: must be an integer of at most 64 bits"),
        ("/users/1", b"verbose=1", "verbose: unknown field; none may be given here"),
        ("/users/1", b"user_id=2", "user_id: unknown field"),
        ("/users", b"limit=", "limit: must be an integer"),
        ("/users", b"limit=nan", "limit: must be an integer"),
        ("/users", b"limit=1&limit=2", "limit: given twice"),
        ("/users", b"limit=%ff", "query: must be UTF-8"),
        ("/users", b"\xff=1", "query: must be UTF-8"),
        ("/users", b"limit=0", "limit: must be between 1 and 1000"),
    ],
)
async def test_a_bad_path_or_query_gets_400_and_the_name_of_the_field(
    path: str, query: bytes, message: str
):
    answer = await call(users_app(), "GET", path, query=query)
    assert (answer.status, answer.headers[b"x-error"]) == (400, b"InvalidRequest")
    assert message in answer.envelope["message"]


async def test_a_body_that_says_it_is_too_large_is_not_read():
    headers = [(b"content-length", b"1000001")]
    answer = await call(users_app(), "POST", "/users", b"x", headers=headers)
    assert (answer.status, answer.chunks_read) == (413, 0)
    assert answer.envelope["message"] == "body: must be at most 1000000 bytes"


async def test_a_length_of_five_thousand_digits_is_too_large_and_not_a_bug():
    headers = [(b"content-length", b"9" * 5000)]
    assert (await call(users_app(), "POST", "/users", b"x", headers=headers)).status == 413


async def test_a_body_that_grows_too_large_is_read_no_further():
    answer = await call(users_app(), "POST", "/users", *[b"x" * 400_000] * 1000)
    assert (answer.status, answer.chunks_read) == (413, 3)


async def test_a_caller_who_never_ends_a_body_that_is_too_large_is_waited_for_two_seconds():
    answer = await call(users_app(), "POST", "/users", b"x" * 1_000_001, unfinished=True)
    assert answer.status == 413
    assert asyncio.get_running_loop().time() == 2.0


async def test_a_body_of_exactly_the_limit_is_read():
    routes = user_routes(user_endpoints(with_demo_users()))
    body = b'{"name": "Ada", "age": 36}'
    assert (
        await call(http_app("users", routes, max_body_bytes=len(body)), "POST", "/users", body)
    ).status == 201


async def test_an_unknown_path_gets_404_in_the_envelope():
    for path in ("/", "/nothing", "/users/", "/users/1/friends"):
        answer = await call(users_app(), "GET", path)
        assert answer.envelope == {"code": 404, "data": None, "message": f"no such path: {path}"}


async def test_a_wrong_method_gets_405_and_is_told_the_right_ones():
    answer = await call(users_app(), "DELETE", "/users/1")
    assert (answer.status, answer.headers[b"allow"]) == (405, b"GET, PUT")
    assert answer.envelope["code"] == 405


@pytest.mark.parametrize("value", [b"abc", b"-1", b"nan", b"inf", b"1e308", b"", b"\xff", b"1_0"])
async def test_a_timeout_that_is_no_time_gets_400_and_the_name_of_the_header(value: bytes):
    answer = await call(users_app(), "GET", "/users/1", headers=[(b"x-timeout-seconds", value)])
    assert answer.status == 400
    assert answer.envelope["message"].startswith("x-timeout-seconds: must be a number of seconds")


async def test_a_deadline_that_has_passed_gets_504_and_the_endpoint_is_not_called():
    answer = await call(users_app(), "GET", "/users/1", headers=[(b"x-timeout-seconds", b"0")])
    assert (answer.status, answer.headers[b"x-error"]) == (504, b"DeadlineExceeded")


@pytest.mark.parametrize("header", [b"", b"nonsense", b"00-" + b"0" * 32, b"\xff" * 100_000])
async def test_nonsense_in_other_headers_is_ignored(header: bytes):
    headers = [(b"traceparent", header), (b"tracestate", header), (b"authorization", header)]
    answer = await call(users_app(), "GET", "/users/1", headers=headers)
    assert answer.status == 200


async def test_a_bug_gets_500_without_its_details_and_the_finalizer_sees_them():
    async def endpoint(request: Any) -> User:
        raise KeyError("secret")

    seen: list[Outcome] = []
    route = Route("GET", "/u/{user_id}", endpoint, GetUser, User, finalizers=(seen.append,))
    answer = await call(http_app("users", [route]), "GET", "/u/1")
    assert answer.envelope == {"code": 500, "data": None, "message": "internal error"}
    assert isinstance(seen[0].error, Internal)
    assert isinstance(seen[0].error.__cause__, KeyError)


async def test_an_answer_that_cannot_be_encoded_is_a_bug_too():
    async def endpoint(request: Any) -> Any:
        return object()

    app = http_app("users", [Route("GET", "/u/{user_id}", endpoint, GetUser, User)])
    assert (await call(app, "GET", "/u/1")).status == 500


async def test_the_finalizer_also_runs_when_decoding_fails():
    seen: list[Outcome] = []
    app = users_app(finalizers=(seen.append,))
    await call(app, "GET", "/users/x")
    await call(app, "POST", "/users", b"{")
    assert [(outcome.method, outcome.route, outcome.code) for outcome in seen] == [
        ("GET", "/users/{user_id}", "400"),
        ("POST", "/users", "400"),
    ]
    assert all(outcome.size_bytes > 0 for outcome in seen)


async def test_the_documentation_needs_no_network():
    app = users_app()
    page = (await call(app, "GET", "/docs")).body.decode()
    assert "/users/{user_id}" in page and "http" not in page.replace("<!doctype html>", "")
    document = (await call(app, "GET", "/openapi.json")).envelope
    assert set(document["paths"]["/users/{user_id}"]) == {"get", "put"}
    assert document["paths"]["/users"]["post"]["requestBody"]["required"]
    answer = document["paths"]["/users/{user_id}"]["get"]["responses"]["200"]
    assert "Envelope_User_" in str(answer)
