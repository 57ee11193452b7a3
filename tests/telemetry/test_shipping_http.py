"""The shipper: whatever the store does, a request never waits, and every line is accounted for."""

import asyncio
import json
import shutil
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from course_lib.lab.launch import serve
from course_lib.lab.proxy import proxy
from course_lib.stand_ins import LogStore
from course_lib.telemetry.logs import json_logger
from course_lib.telemetry.shipping_http import Shipper

LABELS = {"service": "users", "instance": "a"}
Answer = Callable[[httpx.Request], Any]


class Store(httpx.AsyncBaseTransport):
    """A store in memory that answers as it is told."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.bodies: list[dict[str, Any]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        status = await self.answer(request)
        if status == 204:
            self.bodies.append(json.loads(request.content))
        return httpx.Response(status, text="the reason")

    @property
    def lines(self) -> list[str]:
        streams = [stream for body in self.bodies for stream in body["streams"]]
        return [json.loads(line)["event"] for stream in streams for _, line in stream["values"]]


async def accepts(_: httpx.Request) -> int:
    return 204


async def refuses(_: httpx.Request) -> int:
    return 400


async def fails(_: httpx.Request) -> int:
    return 503


async def is_down(_: httpx.Request) -> int:
    raise httpx.ConnectError("nobody there")


async def has_a_bug(_: httpx.Request) -> int:
    raise ZeroDivisionError


async def hangs(_: httpx.Request) -> int:
    await asyncio.Event().wait()
    return 204


async def is_slow(_: httpx.Request) -> int:
    await asyncio.sleep(3)
    return 204


def shipper(store: httpx.AsyncBaseTransport, **settings: Any) -> Shipper:
    return Shipper("http://logs", LABELS, transport=store, **settings)


async def test_lines_go_out_in_batches_in_order_with_their_labels_and_instants():
    store = Store(accepts)
    async with shipper(store, batch_lines=3) as stream:
        log = json_logger("users", "a", stream)
        for n in range(4):
            log(f"event {n}")
        await asyncio.sleep(0.1)
        log("event 4", level="error")
        await asyncio.sleep(1)
        assert (stream.sent, stream.waiting, stream.dropped) == (5, 0, 0)
    assert store.lines == [f"event {n}" for n in range(5)]
    counts = [[len(stream["values"]) for stream in body["streams"]] for body in store.bodies]
    assert counts == [[3], [1, 1]]
    (_, error) = store.bodies[1]["streams"]
    assert error["stream"] == {"service": "users", "instance": "a", "level": "error"}
    assert error["values"][0][0] == "1735689600100000000"


async def test_a_level_inside_a_field_is_not_taken_for_the_level_of_the_line():
    store = Store(accepts)
    async with shipper(store) as stream:
        log = json_logger("users", "a", stream)
        log("x", user={"level": "critical"}, text='","level":"error')
    assert [stream["stream"]["level"] for stream in store.bodies[0]["streams"]] == ["info"]


@pytest.mark.parametrize("answer", [fails, is_down, hangs, is_slow, refuses, has_a_bug])
async def test_writing_costs_no_time_and_every_line_is_accounted_for(answer):
    loop = asyncio.get_running_loop()
    async with shipper(Store(answer), most_lines=100, batch_lines=10) as stream:
        for _ in range(20):
            started = loop.time()
            for _ in range(50):
                stream.write(b'{"event":"call","level":"info"}\n')
            assert loop.time() == started
            await asyncio.sleep(1)
            assert stream.waiting <= 100
    assert stream.waiting == 0
    assert stream.sent + stream.dropped == 1000
    assert stream.dropped > 0
    if answer is not is_slow:
        assert stream.failed > 0 and stream.sent == 0


@pytest.mark.parametrize(
    ("answer", "said"),
    [(fails, "503 the reason"), (is_down, "nobody there"), (hangs, "TimeoutError")],
)
async def test_the_last_error_says_why(answer, said):
    async with shipper(Store(answer), timeout_seconds=1) as stream:
        stream.write(b"{}\n")
        await asyncio.sleep(2)
        assert said in stream.last_error


@pytest.mark.parametrize(("status", "sent"), [(200, 1), (503, 0)])
async def test_an_answer_without_end_is_not_read_to_its_end(status, sent):
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 100
            yield b"x" * 100

    store = httpx.MockTransport(lambda request: httpx.Response(status, content=endless()))
    async with Shipper("http://store", LABELS, transport=store) as shipper:
        shipper.write(b"{}\n")
        await asyncio.sleep(0.3)
        assert (shipper.sent, shipper.waiting) == (sent, 1 - sent)
        assert shipper.last_error == ("" if sent else "503 " + "x" * 200)
        assert read <= 400


async def test_after_an_outage_the_kept_lines_arrive_and_the_store_is_told_of_the_drops():
    store = Store(is_down)
    async with shipper(store, most_lines=5) as stream:
        for n in range(8):
            stream.write(f'{{"event":"{n}","level":"info"}}\n'.encode())
        await asyncio.sleep(30)
        store.answer = accepts
        await asyncio.sleep(15)
        assert (stream.sent, stream.dropped, stream.waiting, stream.last_error) == (5, 3, 0, "")
        assert store.lines == [*"01234", "log lines dropped"]
        lost = json.loads(store.bodies[0]["streams"][-1]["values"][-1][1])
        assert (lost["count"], lost["service"], lost["level"]) == (3, "users", "warning")
        stream.write(b'{"event":"after"}\n')
    assert store.lines[6:] == ["after"]


async def test_drops_that_nothing_follows_are_told_all_the_same():
    gate = asyncio.Event()

    async def is_stuck(_: httpx.Request) -> int:
        await gate.wait()
        return 204

    store = Store(is_stuck)
    async with shipper(store, most_lines=1) as stream:
        stream.write(b'{"event":"x"}\n')
        await asyncio.sleep(1)
        stream.write(b"while the first is on its way\n")
        gate.set()
        await asyncio.sleep(1)
        assert store.lines == ["x", "log lines dropped"]
        stream.write(b'{"event":"y"}\n')
        stream.write(b"just before the end\n")
    assert store.lines[2:] == ["y", "log lines dropped"]
    assert len(store.bodies) == 3


async def test_a_batch_ends_at_a_megabyte_too():
    store = LogStore(most_body_bytes=3_000_000)
    async with shipper(httpx.ASGITransport(store.app)) as stream:
        log = json_logger("users", "a", stream)
        for _ in range(500):
            log("crash", stack='"' * 9_000)
        await asyncio.sleep(5)
    assert (len(store), stream.dropped, stream.failed) == (500, 0, 0)


async def test_a_batch_that_is_too_large_is_halved_and_only_a_line_too_large_alone_is_dropped():
    async def takes_a_kilobyte(request: httpx.Request) -> int:
        return 413 if len(request.content) > 1_000 else 204

    store = Store(takes_a_kilobyte)
    async with shipper(store) as stream:
        for size in (1, 300, 300, 2_000, 300):
            stream.write(b'{"event":"%s"}\n' % (b"x" * size))
        await asyncio.sleep(5)
    assert [len(line) for line in store.lines] == [1, 300, 300, 300, len("log lines dropped")]
    assert (stream.sent, stream.dropped) == (4, 1)


async def test_a_shipper_may_be_opened_again_and_opened_twice_it_runs_once():
    store = Store(is_slow)
    stream = shipper(store)
    for round_ in "ab":
        await stream.__aenter__()
        await stream.__aenter__()
        for n in range(3):
            stream.write(f'{{"event":"{round_}{n}"}}\n'.encode())
            await asyncio.sleep(1)
        await stream.close(within_seconds=10)
    assert store.lines == ["a0", "a1", "a2", "b0", "b1", "b2"]
    assert (stream.sent, stream.dropped) == (6, 0)


async def test_failures_are_tried_again_ever_more_seldom():
    store, instants = Store(accepts), []

    async def notes(_: httpx.Request) -> int:
        instants.append(asyncio.get_running_loop().time())
        return 503

    store.answer = notes
    async with shipper(store, every_seconds=1, longest_wait_seconds=8) as stream:
        stream.write(b"{}\n")
        await asyncio.sleep(40)
        waits = [b - a for a, b in pairwise(instants)]
    assert waits[:5] == [2, 4, 8, 8, 8]


async def test_a_line_too_long_or_after_the_end_is_dropped_and_counted():
    async with shipper(Store(accepts), most_line_bytes=100) as stream:
        stream.write(b"x" * 101)
    stream.write(b"late\n")
    assert (stream.sent, stream.dropped) == (0, 2)


async def test_closing_sends_what_is_waiting_and_never_takes_longer_than_it_may():
    loop = asyncio.get_running_loop()
    store = Store(accepts)
    async with shipper(store, batch_lines=2) as stream:
        for _ in range(9):
            stream.write(b'{"event":"x"}\n')
    assert (len(store.lines), stream.dropped, loop.time() < 0.3) == (9, 0, True)
    started = loop.time()
    async with shipper(Store(hangs)) as stream:
        stream.write(b"{}\n")
        await asyncio.sleep(1)
    assert (stream.dropped, loop.time() - started) == (1, 3)
    await stream.close()


async def test_closing_tries_once_more_even_in_the_middle_of_a_long_wait():
    store = Store(fails)
    async with shipper(store) as stream:
        stream.write(b'{"event":"x"}\n')
        await asyncio.sleep(12)
        store.answer = accepts
    assert (stream.sent, store.lines) == (1, ["x"])


async def test_a_shipper_never_started_only_fills_its_buffer():
    stream = shipper(Store(accepts), most_lines=1)
    stream.write(b"x")
    stream.write(b"x")
    await stream.close()
    assert (stream.waiting, stream.dropped) == (1, 1)


@pytest.mark.real_time
@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
async def test_a_store_whose_certificate_nobody_vouches_for_gets_nothing(tmp_path: Path):
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    make = f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {certificate}"
    subprocess.run([*make.split(), "-subj", "/CN=impostor"], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=tls)
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Shipper(url, LABELS, every_seconds=0.01) as stream:
            stream.write(b"{}\n")
            while not stream.last_error:
                await asyncio.sleep(0.01)
            await stream.close(within_seconds=0)
        assert "CERTIFICATE_VERIFY_FAILED" in stream.last_error


@pytest.mark.real_time
async def test_on_sockets_lines_arrive_in_the_log_store_also_from_other_threads():
    store = LogStore()
    with serve(store.app) as server:
        async with Shipper(server.url, LABELS, every_seconds=0.01) as stream:
            log = json_logger("users", "a", stream)
            writers = [
                threading.Thread(
                    target=lambda: [
                        log("call", n=n, text="\u2028\x00\ud800")  # type: ignore[func-returns-value]
                        for n in range(50)
                    ]
                )
                for _ in range(4)
            ]
            for writer in writers:
                writer.start()
            for writer in writers:
                writer.join()
        assert (stream.sent, stream.dropped, len(store)) == (200, 0, 200)
    assert len(store.search('{level="info"}', n=7)) == 4


@pytest.mark.real_time
async def test_a_store_that_is_cut_off_and_hangs_leaves_nothing_behind():
    store = LogStore()
    with serve(store.app) as server, proxy(server.address) as between:
        url = f"http://{between.address}"
        settings = {"every_seconds": 0.01, "timeout_seconds": 0.1, "longest_wait_seconds": 0.05}
        async with Shipper(url, LABELS, **settings) as stream:
            for break_it in (between.cut, between.stall):
                break_it()
                stream.write(b'{"event":"during"}\n')
                while not stream.last_error:
                    await asyncio.sleep(0.01)
                between.restore()
                while stream.last_error:
                    await asyncio.sleep(0.01)
        assert stream.waiting == 0
    assert len(store.search(event="during")) >= 2


async def test_lines_that_are_too_large_do_not_hold_up_the_others():
    async def takes_a_kilobyte(request: httpx.Request) -> int:
        return 413 if len(request.content) > 1_000 else 204

    store = Store(takes_a_kilobyte)
    async with shipper(store) as stream:
        for _ in range(20):
            stream.write(b'{"event":"%s"}\n' % (b"x" * 2_000))
        stream.write(b'{"event":"good"}\n')
        await asyncio.sleep(2)
        assert store.lines[0] == "good"
        assert (stream.sent, stream.dropped) == (1, 20)


async def test_what_is_refused_for_ever_is_not_told_for_ever():
    pushes: list[int] = []

    async def counts(request: httpx.Request) -> int:
        pushes.append(len(request.content))
        return 400

    async with shipper(Store(counts)) as stream:
        stream.write(b'{"event":"odd"}\n')
        await asyncio.sleep(600)
        assert (len(pushes), stream.dropped) == (1, 1)


async def test_opened_while_it_is_being_closed_it_runs_once_it_has_closed():
    store = Store(is_slow)
    stream = shipper(store)
    await stream.__aenter__()
    stream.write(b'{"event":"before"}\n')
    closing = asyncio.create_task(stream.close(within_seconds=10))
    await asyncio.sleep(0)
    async with stream:
        assert closing.done()
        stream.write(b'{"event":"after"}\n')
        await asyncio.sleep(5)
    assert store.lines == ["before", "after"]
