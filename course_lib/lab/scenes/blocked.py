"""A service whose event loop can be blocked, with its runtime metrics, and a page beside the loop.

A block is a wait without `await`: what a forgotten synchronous driver does.
"""

import asyncio
import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from course_lib.lab.http_load import HttpLoad
from course_lib.lab.launch import serve
from course_lib.lab.load import load
from course_lib.telemetry.health import Health
from course_lib.telemetry.metrics import CollectorRegistry
from course_lib.telemetry.probe_http import http_get
from course_lib.telemetry.runtime import Runtime


class Service:
    """Answers after `seconds`: it waits for them, or, if `blocking`, sits on the loop.

    `arrived` is set when a request has come in; setting `go_on` ends the block early.
    """

    def __init__(self, *, seconds: float, blocking: bool) -> None:
        self.registry = CollectorRegistry()
        self.arrived, self.go_on = threading.Event(), threading.Event()
        self._seconds, self._blocking = seconds, blocking
        self.app = Health().around(self._app)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await self._live(receive, send)
        self.arrived.set()
        if self._blocking:
            self.go_on.wait(self._seconds)
        else:
            await asyncio.sleep(self._seconds)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        async with Runtime(self.registry, every_seconds=0.02):
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    def read(self, name: str) -> float:
        """One sample of the registry, by its name."""
        value = self.registry.get_sample_value(name)
        assert value is not None, name
        return value


async def figures(service: Service, *, requests: int = 10) -> dict[str, float]:
    """Load the service, one request after the other; what its runtime metrics show meanwhile.

    The lag is the mean.
    """
    with serve(service.app, "blocked") as server:
        used, began = service.read("process_cpu_seconds_total"), time.perf_counter()
        async with HttpLoad(server.url) as client:
            await load(client, requests=requests, request="/")
        woken = service.read("event_loop_lag_seconds_count")
        used, took = service.read("process_cpu_seconds_total") - used, time.perf_counter() - began
        return {
            "CPU (%)": 100 * used / took,
            "memory (MB)": service.read("process_resident_memory_bytes") / 1e6,
            "threads": service.read("python_threads"),
            "loop lag (ms)": 1000 * service.read("event_loop_lag_seconds_sum") / woken,
        }


async def asked(url: str) -> str:
    """What /healthz says to a prober that waits 0.4 s, such as "200", or "no answer"."""
    try:
        return str(await asyncio.wait_for(http_get(f"{url}/healthz")(), timeout=0.4))
    except TimeoutError:
        return "no answer"


@contextmanager
def page_beside_the_loop(health: Health) -> Iterator[str]:
    """A server in a thread of its own that answers any path by the liveness; yields its URL."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if asyncio.run(health.report("liveness")).ok else 503)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Services never print."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
