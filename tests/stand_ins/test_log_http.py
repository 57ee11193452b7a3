"""Loki's API over HTTP: the documented schemas, and words for everything else."""

import asyncio
import gzip
import json
from typing import Any

import httpx
import pytest

from course_lib.stand_ins import LogStore, log_http

FIRST_NS = 1_735_689_600 * 10**9  # where virtual time begins
PUSH, RANGE = "/loki/api/v1/push", "/loki/api/v1/query_range"


def streams(*values: list[Any], **labels: str) -> dict[str, Any]:
    return {"streams": [{"stream": labels or {"service": "users"}, "values": list(values)}]}


def client(store: LogStore) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(store.app), base_url="http://loki")


async def pushed(store: LogStore, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    async with client(store) as asking:
        return await asking.post(PUSH, content=content, headers=headers)


async def asked(store: LogStore, path: str = RANGE, **params: Any) -> httpx.Response:
    async with client(store) as asking:
        return await asking.get(path, params=params)


async def three_events(**more: Any) -> LogStore:
    store = LogStore(**more)
    values = [[str(FIRST_NS + n), f"line {n}"] for n in (1, 2, 3)]
    assert (await pushed(store, streams(*values))).status_code == 204
    await asyncio.sleep(10)
    return store


def lines(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [line for stream in answer.json()["data"]["result"] for _, line in stream["values"]]


async def test_a_push_is_answered_204_and_comes_back_in_lokis_schema():
    store = LogStore()
    body = streams(["1735689600000000001", "first"], ["1735689600000000003", "third"])
    body["streams"] += streams(["1735689600000000002", "second"], service="orders")["streams"]
    answer = await pushed(store, body)
    assert (answer.status_code, answer.content) == (204, b"")
    answer = await asked(store, query='{service=~".+"}', start=FIRST_NS, end=FIRST_NS + 9)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "status": "success",
        "data": {
            "resultType": "streams",
            "result": [
                {
                    "stream": {"service": "users"},
                    "values": [
                        ["1735689600000000003", "third"],
                        ["1735689600000000001", "first"],
                    ],
                },
                {"stream": {"service": "orders"}, "values": [["1735689600000000002", "second"]]},
            ],
            "stats": {},
        },
    }


async def test_direction_limit_and_range_are_kept_to_the_nanosecond():
    store = await three_events()
    query = '{service="users"}'
    assert lines(await asked(store, query=query)) == ["line 3", "line 2", "line 1"]
    forward = {"query": query, "direction": "forward"}
    assert lines(await asked(store, **forward, limit=2)) == ["line 1", "line 2"]
    assert lines(await asked(store, **forward, start=FIRST_NS + 2)) == ["line 2", "line 3"]
    assert lines(await asked(store, **forward, start=0, end=FIRST_NS + 3)) == ["line 1", "line 2"]
    assert lines(await asked(store, **forward, since="10s")) == ["line 1", "line 2", "line 3"]
    assert lines(await asked(store, **forward, since="9s")) == []
    assert lines(await asked(store, **forward, interval="0.000000002")) == ["line 1", "line 3"]
    assert lines(await asked(store, query=query + ' != "2" |~ "line [12]"')) == ["line 1"]
    assert lines(await asked(store, query=query, step="15", start="2025-01-01T00:00:00Z"))


async def test_labels_and_their_values():
    store = await three_events()
    await pushed(store, streams([str(FIRST_NS), "x"], service="orders", level="error"))
    names = await asked(store, "/loki/api/v1/labels")
    assert names.json() == {"status": "success", "data": ["level", "service"]}
    values = await asked(store, "/loki/api/v1/label/service/values")
    assert values.json() == {"status": "success", "data": ["orders", "users"]}
    chosen = await asked(store, "/loki/api/v1/label/service/values", query='{level="error"}')
    assert chosen.json()["data"] == ["orders"]
    assert (await asked(store, "/loki/api/v1/label/nothing/values")).json()["data"] == []
    before = await asked(store, "/loki/api/v1/labels", start=0, end=FIRST_NS)
    assert before.json()["data"] == []


async def test_structured_metadata_joins_the_labels_and_is_a_field():
    store = LogStore()
    await pushed(store, streams([str(FIRST_NS), "x", {"trace_id": "abc"}], [str(FIRST_NS), "y"]))
    await asyncio.sleep(1)
    answer = (await asked(store, query='{service="users"}')).json()["data"]["result"]
    assert {"service": "users", "trace_id": "abc"} in [stream["stream"] for stream in answer]
    assert [found.line for found in store.search(trace_id="abc")] == ["x"]


async def test_structured_metadata_hides_no_label_and_its_order_says_nothing():
    store = LogStore()
    more = [{"service": "evil"}, {"a": "1", "b": "2"}, {"b": "2", "a": "1"}]
    await pushed(store, streams(*[[str(FIRST_NS + n), f"{n}", m] for n, m in enumerate(more)]))
    await asyncio.sleep(1)
    answer = (await asked(store, query='{service="users"}')).json()["data"]["result"]
    assert [stream["stream"] for stream in answer] == [
        {"service": "users", "a": "1", "b": "2"},
        {"service": "users", "service_extracted": "evil"},
    ]
    assert [len(stream["values"]) for stream in answer] == [2, 1]


VALUE = [str(FIRST_NS), "a line"]
BAD_BODIES: list[tuple[Any, str]] = [
    (b"", "body"),
    (b"{", "body"),
    (b'{"streams": [{"stream": {"a": "\\ud800"}, "values": []}]}', "body"),
    (b"\xff", "body"),
    (b"[" * 5000, "body"),
    ([], "body"),
    ({}, "streams"),
    ({"streams": {}}, "streams"),
    ({"streams": [7]}, "streams[0]"),
    ({"streams": [{"values": [VALUE]}]}, "streams[0].stream"),
    ({"streams": [{"stream": {}, "values": [VALUE]}]}, "streams[0].stream"),
    ({"streams": [{"stream": {"a": ""}, "values": [VALUE]}]}, "streams[0].stream"),
    ({"streams": [{"stream": {"a": 7}, "values": [VALUE]}]}, "streams[0].stream.a"),
    ({"streams": [{"stream": {"a-b": "x"}, "values": [VALUE]}]}, "streams[0].stream"),
    ({"streams": [{"stream": {"a\n": "x"}, "values": [VALUE]}]}, "streams[0].stream"),
    ({"streams": [{"stream": {"a": "x" * 3000}, "values": [VALUE]}]}, "streams[0].stream.a"),
    (
        {"streams": [{"stream": {f"a{n}": "x" for n in range(16)}, "values": []}]},
        "streams[0].stream",
    ),
    ({"streams": [{"stream": {"a": "b"}}]}, "streams[0].values"),
    (streams("x"), "streams[0].values[0]"),  # type: ignore[arg-type]
    (streams(VALUE, [VALUE[0]]), "streams[0].values[1]"),
    (streams([FIRST_NS, "x"]), "streams[0].values[0][0]"),
    (streams(["", "x"]), "streams[0].values[0][0]"),
    (streams(["-1", "x"]), "streams[0].values[0][0]"),
    (streams(["1.5", "x"]), "streams[0].values[0][0]"),
    (streams(["9" * 19, "x"]), "streams[0].values[0][0]"),
    (streams([VALUE[0], {"a": 1}]), "streams[0].values[0][1]"),
    (streams([VALUE[0], "x" * 300_000]), "streams[0].values[0][1]"),
    (streams([*VALUE, "x"]), "streams[0].values[0][2]"),
    (streams([*VALUE, {"a": 1}]), "streams[0].values[0][2].a"),
    (streams([*VALUE, {}, {}]), "streams[0].values[0]"),
]


@pytest.mark.parametrize(("body", "place"), BAD_BODIES)
async def test_a_malformed_push_names_the_field_and_stores_nothing(body, place):
    store = await three_events()
    if isinstance(body, dict) and isinstance(body.get("streams"), list):
        body = {"streams": [*streams(VALUE)["streams"], *body["streams"]]}
        place = place.replace("streams[0]", "streams[1]")
    answer = await pushed(store, body)
    assert answer.status_code == 400
    assert answer.text.startswith(f"{place}: ")
    assert answer.headers["content-type"].startswith("text/plain")
    assert len(store) == 3


async def test_bodies_are_bounded_also_when_they_are_zipped():
    store = await three_events(most_body_bytes=1000)
    small, large = json.dumps(streams(VALUE)).encode(), json.dumps(streams(VALUE * 500)).encode()
    assert (await pushed(store, large)).status_code == 413
    assert (
        await pushed(store, gzip.compress(b" " * 10**7), content_encoding="gzip")
    ).status_code == 413
    assert (await pushed(store, gzip.compress(small), content_encoding="gzip")).status_code == 204
    whole = gzip.compress(small)
    for broken in (small, whole[:-5], b"", whole + whole, whole + b"\0" * 2000):
        answer = await pushed(store, broken, content_encoding="gzip")
        assert (answer.status_code, answer.text[:14]) == (400, "body: not gzip")
    assert (await pushed(store, small, content_encoding="br")).status_code == 400
    assert (await pushed(store, small, content_type="application/x-protobuf")).status_code == 400
    assert len(store) == 4


async def test_a_full_store_says_so_and_keeps_what_it_has():
    store = await three_events(most_events=4)
    answer = await pushed(store, streams(VALUE, VALUE))
    assert (answer.status_code, "full" in answer.text) == (429, True)
    assert (await pushed(store, streams(VALUE))).status_code == 204
    assert len(lines(await asked(store, query='{service="users"}'))) == 4


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({}, "query: missing"),
        ({"query": '{a="b"} | json'}, "parse error at line 1, col 9: expected one of |= != |~ !~"),
        ({"query": "rate({a='b'}[1m])"}, "parse error at line 1, col 1"),
        ({"query": '{a="b"}', "limit": "0"}, "limit: "),
        ({"query": '{a="b"}', "limit": "x"}, "limit: "),
        ({"query": '{a="b"}', "limit": "5001"}, "max entries limit per query exceeded"),
        ({"query": '{a="b"}', "limit": "9" * 5000}, "max entries limit per query exceeded"),
        ({"query": '{a="b"}', "direction": "up"}, "direction: "),
        ({"query": '{a="b"}', "start": "x"}, "start: "),
        ({"query": '{a="b"}', "end": "x"}, "end: "),
        ({"query": '{a="b"}', "start": "9999-12-31T23:59:59-01:00"}, "start: "),
        ({"query": '{a="b"}', "start": "0001-01-01T00:00:00+01:00"}, "start: "),
        ({"query": '{a="b"}', "end": "-9223372036854775807"}, "end timestamp must not be before"),
        ({"query": '{a="b"}', "since": "x"}, "since: "),
        ({"query": '{a="b"}', "step": "0"}, "step: "),
        ({"query": '{a="b"}', "interval": "-1"}, "interval: "),
        ({"query": '{a="b"}', "start": "2", "end": "1"}, "end timestamp must not be before"),
    ],
)
async def test_a_bad_query_gets_400_with_the_reason(params, reason):
    answer = await asked(LogStore(), **params)
    assert (answer.status_code, answer.text[: len(reason)]) == (400, reason)


async def test_an_instant_query_of_lines_is_refused_as_loki_refuses_it():
    answer = await asked(LogStore(), "/loki/api/v1/query", query='{a="b"}')
    assert answer.status_code == 400
    assert "not supported as an instant query" in answer.text
    assert "col 1" in (await asked(LogStore(), "/loki/api/v1/query", query="vector(1)")).text


async def test_labels_refuse_what_they_do_not_know():
    for path in ("labels", "label/service/values"):
        answer = await asked(LogStore(), f"/loki/api/v1/{path}", query='{a="b"} |= "x"')
        assert (answer.status_code, answer.text[:6]) == (400, "query:")
    assert (await asked(LogStore(), "/loki/api/v1/label/a-b/values")).status_code == 400


async def test_another_path_or_method_is_no_server_error():
    assert (await asked(LogStore(), "/loki/api/v1/tail")).status_code == 404
    assert (await asked(LogStore(), PUSH)).status_code == 405


async def test_a_query_that_takes_too_long_is_given_up_and_others_run_meanwhile(monkeypatch):
    store = await three_events(query_seconds=1)
    values = [[str(FIRST_NS), "x" * 1000] for _ in range(2000)]
    await pushed(store, streams(*values))
    sleep = asyncio.sleep
    monkeypatch.setattr(log_http.asyncio, "sleep", lambda _: sleep(0.5))  # a slice takes that long
    slow = asyncio.create_task(asked(store, query='{service="users"} |= "nothing"'))
    await sleep(0.1)
    assert (await asked(store, "/loki/api/v1/labels")).status_code == 200
    answer = await slow
    assert (answer.status_code, "longer than 1 s" in answer.text) == (504, True)


HOSTILE = ["two\nlines", 'a "quote"', "\u2028", "a\x00b", "%27; drop table events", "{}", "`"]


@pytest.mark.parametrize("value", HOSTILE)
async def test_values_from_outside_come_back_as_they_were(value):
    store = LogStore()
    await pushed(store, streams([str(FIRST_NS), value], service="users", user=value))
    await asyncio.sleep(1)
    quoted = json.dumps(value)
    for query in (f"{{user={quoted}}}", f'{{service="users"}} |= {quoted}'):
        (stream,) = (await asked(store, query=query)).json()["data"]["result"]
        assert stream == {
            "stream": {"service": "users", "user": value},
            "values": [[str(FIRST_NS), value]],
        }
    values = await asked(store, "/loki/api/v1/label/user/values")
    assert values.json()["data"] == [value]


def test_the_store_speaks_http_on_a_socket_too():
    from course_lib.lab.launch import run_on_lab, serve

    store = LogStore()
    store.ingest(['{"service":"users","event":"hello"}'])

    async def ask(url: str) -> Any:
        async with httpx.AsyncClient(base_url=url) as asking:
            return (await asking.get(RANGE, params={"query": '{service="users"}'})).json()

    with serve(store.app) as server:
        answer = run_on_lab(ask(server.url))
    assert answer["data"]["result"][0]["values"][0][1].endswith('"hello"}')
