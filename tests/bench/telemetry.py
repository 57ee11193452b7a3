"""What it costs to be observed: JSON logs, metrics, and traces of which one in ten is sampled.

In this process as processor time beyond the bare endpoint, and as a share of what FastAPI alone
takes for a request, which is as slow as the machine is at the time. Over HTTP beside the usual
packages; before anything is timed, a call of each must have left a log line, metrics and a span.
"""

import asyncio
import json
import os
import time
from collections.abc import MutableMapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import uvloop
from prometheus_client import CollectorRegistry

from course_lib.context import authorization
from course_lib.endpoint import Endpoint, Middleware, chain
from course_lib.middleware.authentication import basic
from course_lib.middleware.bulkhead import bulkhead
from course_lib.middleware.instrumenting import instrumenting
from course_lib.middleware.logging import logging
from course_lib.middleware.rate_limit import TokenBucket, erroring
from course_lib.middleware.timeout import deadline
from course_lib.middleware.tracing import tracing
from course_lib.shop.endpoints import user_endpoints
from course_lib.shop.users import GetUser, with_demo_users
from course_lib.telemetry.logs import json_logger
from course_lib.telemetry.metrics import Red
from course_lib.telemetry.traces import Reporter, Spans, ratio, to_collector
from tests.bench.apps import plain
from tests.bench.http_peers import HEADERS, Peer, measure, sample_names, serving
from tests.bench.report import Row

SHARE = 0.1
CREDENTIALS = {"authorization": HEADERS["authorization"]}
EVERY_SECOND = {"OTEL_BSP_SCHEDULE_DELAY": "1000"}  # as often as the course's reporter


def chains(log_file: BinaryIO, reporter: Reporter) -> dict[str, Middleware]:
    """The chains to compare: what observes a call one by one, and all that the course has."""
    spans = Spans("users", instance="a", export=reporter, sampler=ratio(SHARE))
    log, red = json_logger("users", "a", log_file), Red(CollectorRegistry(), "users")
    parts = {
        "traces": tracing(spans, operation="get_user"),
        "metrics": instrumenting(red.observe, operation="get_user"),
        "logs": logging(log, operation="get_user"),
    }
    observing = chain(*parts.values())
    guarding = chain(
        deadline(5.0),
        basic({"ada": "lovelace"}),
        erroring(TokenBucket(1_000_000, burst=1_000_000)),
        bulkhead(1000),
    )
    return {**parts, "logs, metrics, traces": observing, "full chain": chain(observing, guarding)}


def in_process(rounds: int, collector_url: str, calls: int = 5_000) -> list[Row]:
    """Microseconds a call beyond the bare endpoint, on the loop that services run on.

    A row with "and its spans sent" adds the processor time of the thread that reports them. The
    share's target: 20 us of the 68 that FastAPI took on the machine the first target was set for
    (94 a request over HTTP, 26 of them without FastAPI).
    """
    reporter = to_collector(collector_url)
    bare, fastapi = user_endpoints(with_demo_users()).get_user, fastapi_alone()

    async def once(endpoint: Endpoint) -> tuple[float, float]:
        authorization.set(CREDENTIALS["authorization"])
        on_this_thread, in_all = time.thread_time(), time.process_time()
        for _ in range(calls):
            await endpoint(GetUser(1))
            await asyncio.sleep(0)  # a turn of the loop for each call, as in a server
        on_this_thread = time.thread_time() - on_this_thread
        reporter.flush()
        in_all = time.process_time() - in_all
        return 1e6 * on_this_thread / calls, 1e6 * in_all / calls

    with open(os.devnull, "ab", buffering=0) as log_file:
        wraps = chains(log_file, reporter)
        runs: dict[str, list[float]] = {}
        for _ in range(rounds):
            alone, _ = uvloop.run(once(fastapi))
            runs.setdefault("FastAPI", []).append(alone)
            for name, wrap in wraps.items():
                pairs = zip(uvloop.run(once(wrap(bare))), uvloop.run(once(bare)), strict=True)
                call, in_all = (observed - alone for observed, alone in pairs)
                runs.setdefault(name, []).append(call)
                if "traces" in name or name == "full chain":
                    runs.setdefault(f"{name}, and its spans sent", []).append(in_all)
    reporter.close()
    assert not reporter.dropped + reporter.failed
    whole = runs.pop("FastAPI")
    shares = [100 * call / of for call, of in zip(runs["full chain"], whole, strict=True)]
    targets = {"full chain": 20.0}
    return [
        Row("FastAPI alone, in this process", whole, "us/call"),
        Row("full chain, of what FastAPI alone takes", shares, "%", 29.0, at_least=False),
        *(
            Row(f"beyond the bare endpoint: {name}", each, "us/call", targets.get(name), False)
            for name, each in runs.items()
        ),
    ]


def fastapi_alone() -> Endpoint:
    """A plain FastAPI handler that is called without a server."""
    app = plain(None)
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": "/users/1",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")],
    }

    async def receive() -> dict[str, object]:
        return {"type": "http.request"}

    async def send(message: MutableMapping[str, Any]) -> None:
        assert message.get("status", 200) == 200, message

    async def endpoint(request: Any) -> None:
        await app(dict(scope), receive, send)

    return endpoint


def check(observed: Peer, usual: Peer, collector: Peer) -> None:
    """A call leaves the same line and the same metrics with both, and a server span with each."""
    peers = observed, usual
    traces = {peer.name: f"{number:032x}" for number, peer in enumerate(peers, start=1)}
    answers, lines = [], []
    for peer in peers:
        before = len(peer.log_path.read_bytes().splitlines())
        parent = f"00-{traces[peer.name]}-b7ad6b7169203331-01"
        answers.append(peer.get("/users/1", {**CREDENTIALS, "traceparent": parent}))
        assert len(peer.log_path.read_bytes().splitlines()) == before + 1, peer.name
        lines.append(peer.last_log_line())
        assert lines[-1].pop("trace_id") == traces[peer.name], lines
    assert answers[0] == answers[1] and answers[0][0] == 200, answers
    assert lines[0].keys() == lines[1].keys(), lines
    steady = lines[0].keys() - {"timestamp", "seconds", "span_id"}
    assert all(lines[0][key] == lines[1][key] for key in steady), lines
    samples = [sample_names(peer) for peer in peers]
    assert samples[0] == samples[1] and samples[0], samples[0] ^ samples[1]
    for peer, line in zip(peers, lines, strict=True):
        assert line["span_id"] in server_spans(collector, traces[peer.name]), peer.name


def server_spans(collector: Peer, trace_id: str, wait_seconds: float = 10.0) -> set[str]:
    """The ids of a trace's server spans, once the collector has them."""
    give_up_at = time.monotonic() + wait_seconds
    while time.monotonic() < give_up_at:
        status, body = collector.get(f"/api/traces/{trace_id}")
        if status == 200:
            server = {"key": "span.kind", "type": "string", "value": "server"}
            spans = json.loads(body)["data"][0]["spans"]
            return {span["spanID"] for span in spans if server in span["tags"]}
        time.sleep(0.05)
    raise AssertionError(f"no span of trace {trace_id} has arrived")


def run(folder: Path, rounds: int, seconds: float, only_check: bool = False) -> list[Row]:
    """The rows of both."""
    with ExitStack() as stack:
        collector = stack.enter_context(serving("collector", folder, cpu=1))
        url = {"COLLECTOR_URL": f"http://127.0.0.1:{collector.port}"}
        names = ("observed", "observed_usual")
        peers = [
            stack.enter_context(serving(name, folder, **url, **EVERY_SECOND)) for name in names
        ]
        check(*peers, collector)
        if only_check:
            return []
        rows = in_process(rounds, url["COLLECTOR_URL"])
        rows += measure(peers, rounds, seconds, {"observed_usual": 5.0}, CREDENTIALS)
        lost = json.loads(peers[0].get("/spans")[1])
        assert not any(lost.values()), lost
        return rows
