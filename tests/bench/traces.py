"""What a traced call costs, and how many spans a second the collector takes.

All of it only computes, so it is timed by the processor's clock, whoever else is busy. Over HTTP
that includes the sender, in the same process; its bodies of 512 spans are made beforehand.
"""

import asyncio
import time

import httpx
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from course_lib.endpoint import Endpoint
from course_lib.lab.launch import serve
from course_lib.middleware.tracing import tracing
from course_lib.stand_ins import OtlpCollector
from course_lib.telemetry.traces import Spans, always_off, ratio
from tests.bench.report import Row

SPANS_A_BODY = 512
PROTOBUF = {"content-type": "application/x-protobuf"}


def calls(rounds: int, count: int = 5_000) -> list[Row]:
    """A call through `tracing` beyond the bare endpoint, by how much of it is recorded."""

    async def answers(request: object) -> object:
        return request

    async def microseconds(endpoint: Endpoint) -> float:
        started = time.process_time()
        for _ in range(count):
            await endpoint(None)
        return 1e6 * (time.process_time() - started) / count

    def traced(share: float) -> Endpoint:
        sampler = ratio(share) if share else always_off()
        spans = Spans("bench", export=lambda span: None, sampler=sampler)
        return tracing(spans, operation="get_user")(answers)

    names = {
        "trace named, nothing recorded": (tracing()(answers), 5.0),
        "traced call, not sampled": (traced(0), 5.0),
        "traced call, one in ten sampled": (traced(0.1), 10.0),
        "traced call, sampled": (traced(1), None),
    }
    runs: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        bare = asyncio.run(microseconds(answers))
        for name, (endpoint, _) in names.items():
            runs[name].append(asyncio.run(microseconds(endpoint)) - bare)
    return [
        Row(name, runs[name], "us/call", target, at_least=False)
        for name, (_, target) in names.items()
    ]


def bodies(count: int) -> list[bytes]:
    """Bodies of spans in traces of four, with the attributes that a call gets."""
    made = []
    for _ in range(count):
        finished: list = []
        spans = Spans("bench", instance="bench-1", export=finished.append)
        while len(finished) < SPANS_A_BODY:
            parent = None
            for depth in range(4):
                span = spans.start(f"operation_{depth}", "server", parent)
                span.set("user.id", depth)
                span.set("http.route", "/users/{user_id}")
                span.end()
                parent = span.context
        made.append(encode_spans(finished).SerializeToString())
    return made


def collector(rounds: int, count: int = 40) -> list[Row]:
    """Spans a second, decoded and stored; and the same over real HTTP, sender included."""
    sent = bodies(count)
    stored, received = [], []
    for _ in range(rounds):
        direct = OtlpCollector()
        started = time.process_time()
        for body in sent:
            direct.ingest(body)
        stored.append(count * SPANS_A_BODY / (time.process_time() - started))
        over_http = OtlpCollector()
        with serve(over_http.app) as server, httpx.Client(trust_env=False) as client:
            started = time.process_time()
            for body in sent:
                client.post(f"{server.url}/v1/traces", content=body, headers=PROTOBUF)
            received.append(count * SPANS_A_BODY / (time.process_time() - started))
        assert over_http.kept_spans == direct.kept_spans == count * SPANS_A_BODY
    return [
        Row("collector: decoded and stored", stored, "spans/s", 20_000),
        Row("collector: over HTTP", received, "spans/s", 20_000),
    ]


def run(rounds: int) -> list[Row]:
    """The rows of both."""
    return [*calls(rounds), *collector(rounds)]
