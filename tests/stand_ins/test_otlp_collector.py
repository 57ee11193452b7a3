"""The collector: what it takes, what it refuses, what it answers, and that it stays small."""

import asyncio
import gzip
import json
import random
import threading
import time

import httpx
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from course_lib.context import TraceContext
from course_lib.lab.launch import serve
from course_lib.stand_ins import OtlpCollector, TailSampling
from course_lib.stand_ins.otlp_bodies import LARGEST_BODY_BYTES, Refused
from course_lib.stand_ins.otlp_store import Query
from course_lib.telemetry.traces import Spans, in_process

TRACE, SPAN, PARENT = "83a9efd15c1c98a977e0711cc93ee28b", "e127af99e3b3e074", "909541b92cf05311"
PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}


def body(**changes) -> bytes:
    """One span in OTLP's JSON, as other people's exporters write it."""
    span = {
        "traceId": TRACE,
        "spanId": SPAN,
        "parentSpanId": PARENT,
        "name": "okey-dokey-0",
        "kind": 2,
        "startTimeUnixNano": "1706678909209712000",
        "endTimeUnixNano": "1706678909209835000",
        "attributes": [
            {"key": "net.peer.ip", "value": {"stringValue": "1.2.3.4"}},
            {"key": "tries", "value": {"intValue": "3"}},
        ],
        "status": {},
        **changes,
    }
    service = {"key": "service.name", "value": {"stringValue": "telemetrygen"}}
    scope = {"scope": {"name": "telemetrygen"}, "spans": [span]}
    resource = {"resource": {"attributes": [service]}, "scopeSpans": [scope]}
    return json.dumps({"resourceSpans": [resource]}).encode()


def proto(count: int = 1) -> bytes:
    """So many spans of one trace, in protobuf, from the real SDK."""
    finished: list = []
    spans, parent = Spans("users", export=finished.append), TraceContext("ab" * 16, "cd" * 8)
    for _ in range(count):
        spans.start("get", "server", parent).end()
    return encode_spans(finished).SerializeToString()


@pytest.fixture
def collector():
    collector = OtlpCollector()
    with serve(collector.app) as server, httpx.Client(base_url=server.url, trust_env=False) as http:
        collector.http = http  # type: ignore[attr-defined]
        yield collector


def post(collector, content: bytes, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return collector.http.post("/v1/traces", content=content, headers=named)


def test_protobuf_and_json_are_taken_and_answered_in_kind(collector):
    answer = post(collector, proto(), content_type="application/x-protobuf")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-protobuf")
    assert ExportTraceServiceResponse.FromString(answer.content) == ExportTraceServiceResponse()
    answer = post(collector, body(), content_type="application/json; charset=utf-8")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == {}
    assert collector.kept_spans == 2


def test_a_json_span_and_a_protobuf_span_mean_the_same(collector):
    post(collector, body(), **JSON)
    (span,) = collector.spans()
    assert (span.trace_id, span.span_id, span.parent_id) == (TRACE, SPAN, PARENT)
    assert (span.kind, span.name, span.service) == ("server", "okey-dokey-0", "telemetrygen")
    assert span.attributes == {"net.peer.ip": "1.2.3.4", "tries": 3}
    assert span.seconds == pytest.approx(0.000123)


def test_in_json_null_means_that_a_field_is_not_there_and_unknown_fields_mean_nothing():
    collector = OtlpCollector()
    collector.ingest(body(parentSpanId=None, links=[{"traceId": None}]), "application/json")
    unknown = {"traceId": 42, "spans": [{"spanId": "none"}]}
    sent = {**json.loads(body(spanId="ab" * 8, vendor=unknown)), "vendor": unknown}
    collector.ingest(json.dumps(sent).encode(), "application/json")
    assert [span.parent_id for span in collector.spans()] == ["", PARENT]


def test_a_batch_that_is_sent_again_shows_once(collector):
    for _ in range(2):
        assert post(collector, body(), **JSON).status_code == 200
    assert len(collector.http.get(f"/api/traces/{TRACE}").json()["data"][0]["spans"]) == 1


def test_gzip_is_unpacked(collector):
    for content, headers in ((proto(), PROTOBUF), (body(), JSON)):
        answer = post(collector, gzip.compress(content), content_encoding="gzip", **headers)
        assert answer.status_code == 200
    assert collector.kept_spans == 2


BAD = {
    "no content type": (proto(), {}, 415),
    "another content type": (proto(), {"content-type": "text/plain"}, 415),
    "another encoding": (proto(), {**PROTOBUF, "content-encoding": "br"}, 415),
    "not protobuf": (b"\xff\xff\xff", PROTOBUF, 400),
    "protobuf that ends early": (proto()[:-3], PROTOBUF, 400),
    "not gzip": (proto(), {**PROTOBUF, "content-encoding": "gzip"}, 400),
    "gzip that ends early": (
        gzip.compress(proto())[:-9],
        {**PROTOBUF, "content-encoding": "gzip"},
        400,
    ),
    "a bomb": (
        gzip.compress(bytes(LARGEST_BODY_BYTES + 1)),
        {**PROTOBUF, "content-encoding": "gzip"},
        413,
    ),
    "too large": (bytes(LARGEST_BODY_BYTES + 1), PROTOBUF, 413),
    "not JSON": (b"{", JSON, 400),
    "JSON that is no object": (b"[]", JSON, 400),
    "JSON of another shape": (b'{"resourceSpans": 7}', JSON, 400),
    "JSON with an id that is none": (body(traceId="xyz"), JSON, 400),
    "JSON with a number for an id": (body(spanId=7), JSON, 400),
    "JSON with a time that is none": (body(startTimeUnixNano="noon"), JSON, 400),
    "JSON nested without end": (
        b'{"resourceSpans":[{"resource":{"attributes":[{"key":"a","value":'
        + b'{"arrayValue":{"values":[' * 300
        + b"]}}" * 300
        + b"}]}}]}",
        JSON,
        400,
    ),
}


@pytest.mark.parametrize(("content", "headers", "status"), BAD.values(), ids=BAD)
def test_a_malformed_body_gets_4xx_and_loses_nothing(collector, content, headers, status):
    post(collector, body(), **JSON)
    answer = collector.http.post("/v1/traces", content=content, headers=headers)
    assert answer.status_code == status
    if answer.headers["content-type"] == "application/json":
        assert answer.json()["message"]
    else:
        assert Status.FromString(answer.content).message
    assert collector.kept_spans == 1 and collector.refused_bodies == 1


def test_any_bytes_are_answered_and_nothing_is_lost(collector):
    rng, good = random.Random(1), proto(5)
    post(collector, body(), **JSON)
    for _ in range(200):
        broken = bytearray(good)
        for _ in range(rng.randrange(1, 6)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        status = post(collector, bytes(broken), **PROTOBUF).status_code
        assert status in (200, 400)
    assert collector.trace(TRACE) is not None
    assert collector.http.get("/api/traces", params={"service": "telemetrygen"}).json()["data"]


@pytest.mark.parametrize("wrong", [{"traceId": "0" * 32}, {"spanId": "ab"}, {"traceId": ""}])
def test_a_span_without_proper_ids_is_refused_and_said_so(collector, wrong):
    answer = post(collector, body(**wrong), **JSON)
    assert answer.status_code == 200
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "1"
    assert (collector.kept_spans, collector.refused_spans) == (0, 1)


def test_a_trace_looks_as_jaeger_shows_it(collector):
    post(collector, body(), **JSON)
    answer = collector.http.get(f"/api/traces/{TRACE}")
    assert answer.headers["content-type"] == "application/json"
    reference = {"refType": "CHILD_OF", "traceID": TRACE, "spanID": PARENT}
    expected = {
        "traceID": TRACE,
        "spans": [
            {
                "traceID": TRACE,
                "spanID": SPAN,
                "operationName": "okey-dokey-0",
                "references": [reference],
                "startTime": 1706678909209712,
                "duration": 123,
                "tags": [
                    {"key": "otel.scope.name", "type": "string", "value": "telemetrygen"},
                    {"key": "net.peer.ip", "type": "string", "value": "1.2.3.4"},
                    {"key": "tries", "type": "int64", "value": 3},
                    {"key": "span.kind", "type": "string", "value": "server"},
                ],
                "logs": [],
                "processID": "p1",
                "warnings": None,
            }
        ],
        "processes": {"p1": {"serviceName": "telemetrygen", "tags": []}},
        "warnings": None,
    }
    whole = {"data": [expected], "total": 0, "limit": 0, "offset": 0, "errors": None}
    assert answer.json() == whole


def test_every_kind_of_value_has_its_type(collector):
    values = {
        "text": {"stringValue": 'a "quoted" \n line </script>'},
        "yes": {"boolValue": True},
        "large": {"intValue": str(2**60)},
        "share": {"doubleValue": 0.5},
        "bytes": {"bytesValue": "AAE="},
        "list": {"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "b"}]}},
        "nothing": {},
    }
    attributes = [{"key": key, "value": value} for key, value in values.items()]
    failed = {"code": 2, "message": "no database"}
    event = {"name": "retry", "timeUnixNano": "1706678909209800000", "attributes": attributes[:1]}
    link = {"traceId": "ab" * 16, "spanId": "cd" * 8}
    sent = body(attributes=attributes, status=failed, events=[event], links=[link], kind=99)
    assert post(collector, sent, **JSON).status_code == 200
    (view,) = collector.http.get(f"/api/traces/{TRACE}").json()["data"][0]["spans"]
    tags = {tag["key"]: (tag["type"], tag["value"]) for tag in view["tags"]}
    assert tags == {
        "otel.scope.name": ("string", "telemetrygen"),
        "text": ("string", 'a "quoted" \n line </script>'),
        "yes": ("bool", True),
        "large": ("int64", str(2**60)),
        "share": ("float64", 0.5),
        "bytes": ("binary", "AAE="),
        "list": ("string", '[1,"b"]'),
        "nothing": ("string", "null"),
        "otel.status_code": ("string", "ERROR"),
        "error": ("bool", True),
        "otel.status_description": ("string", "no database"),
    }
    assert view["logs"][0]["timestamp"] == 1706678909209800
    assert view["logs"][0]["fields"][0] == {"key": "event", "type": "string", "value": "retry"}
    assert view["references"][1]["refType"] == "FOLLOWS_FROM"


def test_services_and_operations_are_listed(collector):
    post(collector, body(), **JSON)
    post(collector, proto(2), **PROTOBUF)
    get = collector.http.get
    assert get("/api/services").json()["data"] == ["telemetrygen", "users"]
    assert get("/api/services/users/operations").json()["data"] == ["get"]
    assert get("/api/services/nobody/operations").json()["data"] == []
    found = get("/api/operations", params={"service": "users", "spanKind": "server"}).json()
    assert found["data"] == [{"name": "get", "spanKind": "server"}]


START = 1706678909209712

ASKED = [
    ({"service": "telemetrygen"}, 1),
    ({"service": "nobody"}, 0),
    ({"service": "telemetrygen", "operation": "okey-dokey-0"}, 1),
    ({"service": "telemetrygen", "operation": "other"}, 0),
    ({"service": "telemetrygen", "tags": '{"net.peer.ip":"1.2.3.4","tries":"3"}'}, 1),
    ({"service": "telemetrygen", "tags": '{"net.peer.ip":"1.2.3.5"}'}, 0),
    ({"service": "telemetrygen", "tags": '{"error":"true"}'}, 0),
    ({"service": "telemetrygen", "tag": "span.kind:server"}, 1),
    ({"service": "telemetrygen", "minDuration": "123us", "maxDuration": "1ms"}, 1),
    ({"service": "telemetrygen", "minDuration": "124us"}, 0),
    ({"service": "telemetrygen", "maxDuration": "122us"}, 0),
    ({"service": "telemetrygen", "start": str(START), "end": str(START)}, 1),
    ({"service": "telemetrygen", "start": str(START + 1)}, 0),
    ({"service": "telemetrygen", "end": str(START - 1)}, 0),
    ({"service": "telemetrygen", "limit": "0"}, 0),
    ({"traceID": TRACE}, 1),
    ({"traceID": "ab" * 16}, 0),
]


async def test_whatever_is_shown_as_a_tag_is_found_by_it():
    collector = OtlpCollector()
    event = {"timeUnixNano": "1", "name": "exception", "attributes": []}
    failed = {"code": 2, "message": "no such user"}
    collector.ingest(body(status=failed, events=[event], traceState="rojo=1"), "application/json")
    for name, value in [
        ("otel.status_code", "ERROR"),
        ("otel.status_description", "no such user"),
        ("otel.scope.name", "telemetrygen"),
        ("w3c.tracestate", "rojo=1"),
        ("span.kind", "server"),
        ("event", "exception"),
    ]:
        assert len(collector.traces(tags={name: value})) == 1, name
        assert collector.traces(tags={name: "other"}) == []


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"boolValue": True}, "true"),
        ({"doubleValue": 2}, "2"),
        ({"doubleValue": 0.5}, "0.5"),
        ({"bytesValue": "/wA="}, "/wA="),
        ({"arrayValue": {"values": [{"stringValue": "cup"}, {"intValue": "1"}]}}, '["cup",1]'),
    ],
)
def test_a_value_is_found_by_the_text_that_jaeger_shows(value, shown):
    collector = OtlpCollector()
    collector.ingest(body(attributes=[{"key": "it", "value": value}]), "application/json")
    assert len(collector.traces(tags={"it": shown})) == 1


@pytest.mark.parametrize(("params", "count"), ASKED)
def test_a_search_finds_what_it_says(collector, params, count):
    post(collector, body(), **JSON)
    answer = collector.http.get("/api/traces", params=params)
    assert answer.status_code == 200
    assert [trace["traceID"] for trace in answer.json()["data"]] == [TRACE] * count


@pytest.mark.parametrize(
    "path",
    [
        "/api/traces",
        "/api/traces?service=a&minDuration=long",
        "/api/traces?service=a&minDuration=2s&maxDuration=1s",
        "/api/traces?service=a&tags={",
        "/api/traces?service=a&tags=[]",
        '/api/traces?service=a&tags={"a":1}',
        "/api/traces?service=a&tag=a",
        "/api/traces?service=a&start=noon",
        "/api/traces?service=a&limit=-1",
        "/api/traces?traceID=xyz",
        "/api/traces/xyz",
        "/api/traces/" + "a" * 33,
        "/api/operations",
    ],
)
def test_a_malformed_question_gets_400_with_the_reason(collector, path):
    answer = collector.http.get(path)
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["code"] == 400 and error["msg"]


def test_a_trace_that_is_not_there_gets_404(collector):
    answer = collector.http.get("/api/traces/1")
    assert answer.status_code == 404
    assert answer.json()["errors"] == [{"code": 404, "msg": "trace not found"}]


def one_trace(export, *, service: str = "a", error: Exception | None = None) -> str:
    """Two spans of a new trace; the id of the trace."""
    spans = Spans(service, export=export)
    outer = spans.start("outer")
    spans.start("inner", "client", outer.context).end("x", error)
    outer.end("x", error)
    return outer.context.trace_id


async def test_the_newest_trace_comes_first_and_the_limit_cuts_the_old():
    collector = OtlpCollector()
    sent = []
    for _ in range(3):
        sent.append(one_trace(in_process(collector)))
        await asyncio.sleep(1)
    assert [trace.trace_id for trace in collector.find(Query("a"), limit=2)] == sent[:0:-1]


async def test_the_oldest_traces_make_room():
    collector = OtlpCollector(max_spans=10)
    kept = [one_trace(in_process(collector)) for _ in range(8)]
    assert collector.kept_spans == 10 and collector.evicted_spans == 6
    assert [collector.trace(key) is not None for key in kept] == [False] * 3 + [True] * 5


async def test_one_endless_trace_does_not_fill_the_memory():
    collector = OtlpCollector(max_spans=10)
    spans, parent = Spans("a", export=in_process(collector)), TraceContext("ab" * 16, "cd" * 8)
    for _ in range(25):
        spans.start("again", "internal", parent).end()
    assert (collector.kept_spans, collector.evicted_spans) == (10, 15)


async def test_long_texts_are_cut():
    collector = OtlpCollector()
    span = Spans("a", export=in_process(collector)).start("x" * 10_000)
    span.set("note", "y" * 10_000)
    span.end()
    (kept,) = collector.spans()
    assert len(kept.name) == len(kept.attributes["note"]) == 4096


async def test_refused_bodies_raise_when_they_come_directly():
    with pytest.raises(Refused):
        OtlpCollector().ingest(b"\xff")


async def test_a_trace_whose_spans_point_at_each_other_is_walked_all_the_same():
    collector = OtlpCollector()
    collector.ingest(body(spanId="aa" * 8, parentSpanId="bb" * 8), "application/json")
    collector.ingest(body(spanId="bb" * 8, parentSpanId="aa" * 8), "application/json")
    (found,) = collector.traces()
    assert [depth for depth, _ in found.walk()] == [0, 0] and not found.whole


async def test_a_trace_of_many_thousand_lost_children_is_walked_in_no_time():
    collector = OtlpCollector()
    for _ in range(20):
        collector.ingest(proto(1000))
    (found,) = collector.traces()
    started = time.process_time()
    assert len(found.walk()) == len(found.roots) == 20_000
    assert time.process_time() - started < 2


async def test_tail_sampling_keeps_the_traces_that_turned_out_to_matter():

    rule = TailSampling(lambda trace: trace.failed, wait_seconds=10)
    collector = OtlpCollector(tail=rule)
    export = in_process(collector)
    good, bad = one_trace(export), one_trace(export, error=OSError("x"))
    await asyncio.sleep(9.9)
    assert (collector.kept_spans, collector.waiting_spans) == (0, 4)
    await asyncio.sleep(0.2)
    assert (collector.kept_spans, collector.waiting_spans) == (2, 0)
    assert collector.trace(good) is None and collector.trace(bad) is not None


async def test_a_late_span_follows_the_decision_on_its_trace():

    collector = OtlpCollector(tail=TailSampling(lambda trace: trace.failed, wait_seconds=1))
    spans = Spans("a", export=in_process(collector))
    kept, let_go = spans.start("kept"), spans.start("let go")
    for outer, error in ((kept, OSError("x")), (let_go, None)):
        spans.start("inner", "client", outer.context).end("x", error)
    await asyncio.sleep(5)
    assert collector.kept_spans == 1
    kept.end()
    let_go.end()
    assert {span.name for span in collector.spans()} == {"kept", "inner"}


async def test_a_rule_that_raises_costs_the_trace_it_was_asked_about_and_no_other():
    def failed(trace):
        return trace.spans[0].events[0].attributes["exception.message"] == "x"

    collector = OtlpCollector(tail=TailSampling(failed, wait_seconds=1))
    export = in_process(collector)
    for error in (OSError("x"), None, OSError("x")):
        one_trace(export, error=error)
    await asyncio.sleep(2)
    assert (collector.kept_spans, collector.waiting_spans) == (4, 0)
    assert collector.keep_errors == 1


async def test_under_pressure_the_tail_sampler_decides_early():
    rule = TailSampling(lambda trace: True, wait_seconds=3600, max_waiting_spans=10)
    collector = OtlpCollector(tail=rule)
    for _ in range(20):
        one_trace(in_process(collector))
    assert collector.waiting_spans <= 10 and collector.kept_spans == 30


def test_reading_while_others_write_is_safe():
    collector = OtlpCollector(max_spans=500)
    content = proto(50)
    threads = [
        threading.Thread(target=lambda: [collector.ingest(content) for _ in range(40)])
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for _ in range(40):
        collector.traces()
    for thread in threads:
        thread.join()
    assert collector.received_spans == 4000 and collector.kept_spans == 500
