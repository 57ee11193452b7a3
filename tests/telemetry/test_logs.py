"""Logs: one JSON object a line, whatever is put in, and never a secret."""

import codecs
import dataclasses
import io
import json
import tempfile
import time
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.context import TraceContext, trace
from course_lib.telemetry.logs import json_logger


def logged(event: str = "call", /, **fields: Any) -> dict[str, Any]:
    lines: list[str] = []
    json_logger("users", "a", lines)(event, **fields)
    (line,) = lines
    assert len(line.splitlines()) == 1
    return json.loads(line)


async def test_a_line_says_what_when_who_and_where_in_the_trace():
    trace.set(TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"))
    assert logged("user created", user_id=7) == {
        "service": "users",
        "instance": "a",
        "user_id": 7,
        "event": "user created",
        "level": "info",
        "timestamp": "2025-01-01T00:00:00.000000Z",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "span_id": "b7ad6b7169203331",
    }


def test_outside_a_trace_the_ids_are_null():
    assert (logged()["trace_id"], logged()["span_id"]) == (None, None)


def test_the_level_is_written_and_what_is_below_the_threshold_is_not():
    lines: list[str] = []
    log = json_logger("users", "a", lines, at_least="warning")
    for level in ("debug", "info", "warning", "error", "critical"):
        log("x", level=level)
    assert [json.loads(line)["level"] for line in lines] == ["warning", "error", "critical"]


def test_bound_fields_are_on_every_line_of_the_logger_they_were_bound_to():
    lines: list[str] = []
    log = json_logger("users", "a", lines)
    log.bind(user_id=7)("login")
    log("logout")
    assert [json.loads(line).get("user_id") for line in lines] == [7, None]


@pytest.mark.parametrize("stream", [io.BytesIO(), io.StringIO()])
def test_a_stream_of_bytes_or_of_text_gets_one_line_an_event(stream):
    log = json_logger("users", "a", stream)
    log("first")
    log("zweitens: größer")
    lines = stream.getvalue().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["first", "zweitens: größer"]


def test_a_text_stream_may_be_of_any_make(tmp_path: Path):
    with (
        tempfile.NamedTemporaryFile("w+", encoding="utf-8") as temporary,
        codecs.open(str(tmp_path / "log"), "w+", "utf-8") as encoded,
    ):
        for stream in (temporary, encoded):
            json_logger("users", "a", stream)("größer")
            stream.seek(0)
            assert json.loads(stream.read())["event"] == "größer"


SECRET_NAMES = [
    *("password", "new_password", "passwd", "api_key", "apiKey", "X-Api-Key", "PRIVATE_KEY"),
    *("Authorization", "access_token", "client_secret", "Set-Cookie", "credentials", "pwd"),
    *("session_id", "sessionId"),
]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_field_whose_name_sounds_secret_is_redacted_at_any_depth(name):
    @dataclasses.dataclass
    class Login:
        user: str
        extra: dict[str, str]

    login = Login("ada", {name: "hunter2"})
    line = logged(**{name: "hunter2"}, nested={"list": [{name: ["hunter2"]}]}, login=login)
    assert "hunter2" not in json.dumps(line)
    assert line[name] == "[redacted]"
    assert line["login"] == {"user": "ada", "extra": {name: "[redacted]"}}


@pytest.mark.parametrize(
    "text",
    [
        "sent Authorization: Bearer hunter2.hunter2",
        "basic aHVudGVyMg==",
        "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJodW50ZXIyIn0.hunter2",
        "https://shop/?user=ada&password=hunter2&x=1",
        "Login(user='ada', api_key='hunter2')",
        '{"user": "ada", "password": "hunter2"}',
        r"{\"password\":\"hunter2\"}",
        "{'db_password': 'hunter2'}",
        "postgres://shop:hunter2@db/orders",
        "postgres://shop:p@hunter2@db/orders",
        "https://hunter2_a_token_for_git_01@host/shop.git",
        "password: hunter2",
        "X-Api-Key: hunter2",
        "next=%2Flogin%3Fpassword%3Dhunter2",
        "passphrase='correct horse hunter2'",
        "password = hunter2",
        "Cookie: theme=dark; sid=hunter2",
        "Authorization: Token hunter2",
        r'{"password":"ab\"hunter2"}',
        r"{\"password\":\"ab\\\"hunter2\"}",
        '{"password": "cut off, hunter2',
        '{"pin_token": {"hunter2": 1}}',
        "{'password': b'hunter2'}",
        "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_credentials_inside_a_text_are_redacted(text):
    for line in (logged(text), logged(error=text), logged(error=ValueError(text), x=[text])):
        for secret in ("hunter2", "aHVudGVyMg", "eyJhbGci"):
            assert secret not in json.dumps(line)


def test_a_redacted_text_stays_readable_around_the_secret():
    text = """{'password': b'ab\\'c', "token": 4711, "user": "ada"} key -----BEGIN PRIVATE KEY-----
        MIIE\n-----END PRIVATE KEY----- in /etc; Set-Cookie: a=b; c=d\nExpect: no"""
    assert logged(text)["event"] == (
        """{'password': '[redacted]', "token": [redacted], "user": "ada"} key [redacted]"""
        " in /etc; Set-Cookie: [redacted]\nExpect: no"
    )


@pytest.mark.parametrize(
    "part", ["token", "cookie:", "password=b'", "-----BEGIN ", "key \\", "eyJaaaa-"]
)
def test_a_hostile_text_is_looked_at_once_from_end_to_end(part):
    def seconds(times: int) -> float:
        text, took = part * times, []
        for _ in range(3):
            started = time.thread_time()
            logged(text)
            took.append(time.thread_time() - started)
        return min(took)

    assert seconds(16_000) < 10 * seconds(4_000)  # four times; looked at again and again: 16


def test_a_named_tuple_is_written_with_its_names():
    class Login(NamedTuple):
        user: str
        password: str

    assert logged(login=Login("ada", "hunter2"))["login"] == {
        "user": "ada",
        "password": "[redacted]",
    }


def test_a_pair_of_name_and_value_is_redacted_like_a_field():
    assert logged(headers=[("cookie", "a=1"), ["accept", "*/*"]])["headers"] == [
        ["cookie", "[redacted]"],
        ["accept", "*/*"],
    ]
    assert "hunter2" not in str(logged(headers=[(b"cookie", b"a=hunter2"), (b"x-key", b"1")]))


def test_what_is_bound_is_looked_at_like_what_is_said():
    lines: list[str] = []
    json_logger("users", "a", lines).bind(token="hunter2", url="x://u:hunter2@h")("call")
    line = json.loads(lines[0])
    assert (line["token"], line["url"]) == ("[redacted]", "x://u:[redacted]@h")


def test_what_is_bound_stays_as_it_was():
    lines: list[str] = []
    state: dict[str, Any] = {"tries": [1]}
    log = json_logger("users", "a", lines).bind(state=state)
    state["password"] = "hunter2"
    state["tries"].append(2)
    log("call")
    assert json.loads(lines[0])["state"] == {"tries": [1]}


def test_a_stream_that_takes_nothing_fails_no_call_and_is_counted():
    class Full:
        def write(self, _: bytes) -> None:
            raise OSError(28, "No space left on device")

    log = json_logger("users", "a", Full())
    log("first")
    log.bind(user_id=7)("second")
    assert log.lost == 2


def test_text_that_only_looks_a_little_like_a_secret_stays_readable():
    line = logged("no key; the scheme is Basic", operation="keys", count=3)
    assert line["event"] == "no key; the scheme is Basic"
    assert line["operation"] == "keys"
    assert line["count"] == 3


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")


circle: list[Any] = []
circle.append(circle)


@pytest.mark.parametrize(
    "value",
    [
        *(object(), Unprintable(), {Unprintable(): Unprintable()}, circle, int, lambda: None),
        *(2**80, float("nan"), 1 + 2j, b"\xff", "\ud800", {1: 2, None: 3}, {"a", "b"}),
        KeyError("x"),
    ],
)
def test_a_value_json_does_not_know_is_written_somehow_and_nothing_is_raised(value):
    line = logged(value=value, nested={"deep": [value]})
    assert {"value", "nested", "event", "timestamp"} <= set(line)


def test_a_value_json_does_not_know_changes_none_beside_it():
    line = logged(user="\ud800bob ä", n=2**64, request={"path": "/", "seconds": 0.25})
    assert (line["user"], line["n"]) == ("\\ud800bob ä", "18446744073709551616")
    assert line["request"] == {"path": "/", "seconds": 0.25}
    assert line["trace_id"] is None


def test_beside_a_value_json_does_not_know_secrets_are_redacted_too():
    class Token:
        def __str__(self) -> str:
            return "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJodW50ZXIyIn0.hunter2"

    lines: list[str] = []
    json_logger("users", "a", lines).bind(n=2**64)("call", said=Token())
    assert json.loads(lines[0])["said"] == "[redacted]"


def test_a_dict_that_grows_while_it_is_logged_is_logged_all_the_same():
    class Grows:
        def __str__(self) -> str:
            counts[f"key{len(counts)}"] = 0
            return "grown"

    counts: dict[Any, Any] = {Grows(): Grows(), "key": 1}
    assert logged(counts=counts)["counts"] == {"grown": "grown", "key": 1}


def test_fields_nobody_can_look_at_cost_the_fields_and_not_the_event():
    class Hostile:
        @property
        def __class__(self) -> Any:
            raise RuntimeError

    lines: list[str] = []
    log = json_logger("users", "a", lines)
    log("call", level="error", value=Hostile())
    line = json.loads(lines[0])
    assert (line["event"], line["level"], line["service"]) == ("call", "error", "users")
    assert log.lost == 1


def test_a_field_may_be_called_event():
    assert logged("call", event="click")["event_"] == "click"


@given(st.text(), st.dictionaries(st.text(), st.text() | st.integers() | st.floats()))
def test_whatever_the_text_one_event_is_one_line_of_json(text, fields):
    line = logged("call", text=text, fields=fields)
    assert line["event"] == "call"


def test_what_holds_itself_is_written_once():
    lines: list[str] = []
    itself: list[object] = ["pass"]
    itself += [itself, itself, itself]  # in full, down to any depth, it would never end
    json_logger("users", "a", lines)("odd", value=itself, twice=["pass", lines, lines])
    line = json.loads(lines[0])
    assert line["value"] == ["pass", *["[too deep]"] * 3]
    assert line["twice"] == ["pass", [], []]


def test_a_bound_field_is_written_as_one_that_is_not_bound():
    class State(Enum):
        OPEN = "open"

    fields = {"state": State.OPEN, "at": datetime(2025, 1, 1, tzinfo=UTC), "of": (1, 2)}
    lines: list[str] = []
    log = json_logger("users", "a", lines)
    log.bind(**fields)("call")
    log("call", **fields)
    bound, given = ({name: json.loads(line)[name] for name in fields} for line in lines)
    assert bound == given


def test_a_text_that_is_json_is_json_without_its_secret():
    event = logged("request", body='{"user":"bob","password":"hunter2"}')
    assert json.loads(event["body"]) == {"user": "bob", "password": "[redacted]"}
