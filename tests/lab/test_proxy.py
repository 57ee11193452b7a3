"""The proxy: a line that can be cut, stalled, delayed, reset and restored."""

import asyncio
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from course_lib.lab.launch import Server, run_on_lab, serve
from course_lib.lab.proxy import Proxy, proxy
from tests.lab.apps import App, ask


@pytest.fixture
def server() -> Iterator[Server]:
    with serve(App()) as server:
        yield server


@pytest.fixture
def line(server: Server) -> Iterator[Proxy]:
    with proxy(server.address) as line:
        yield line


def test_bytes_pass_in_both_directions_and_are_counted(line: Proxy):
    assert httpx.get(line.url).text == "ok"
    assert line.sent_bytes > 20
    assert line.received_bytes > 20


def test_a_large_body_passes_whole():
    text = "x" * 5_000_000
    with serve(App(text)) as server, proxy(server.address) as line:
        assert httpx.get(line.url).text == text


def test_a_cut_line_refuses_until_it_is_restored(line: Proxy):
    with httpx.Client() as client:
        client.get(line.url)
        line.cut()
        assert line.connections == 0
        with pytest.raises(httpx.TransportError):
            client.get(line.url)
        line.restore()
        assert client.get(line.url).text == "ok"


def test_a_stalled_line_delivers_when_it_is_restored(line: Proxy):
    line.stall()
    answer = ask(line.url)
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(line.url, timeout=0.05)
    assert not answer.done()
    line.restore()
    assert answer.result(5) == "ok"


def test_a_delayed_line_is_slow_both_ways(line: Proxy):
    line.delay(seconds=0.2)
    assert seconds(line) >= 0.39
    line.restore()
    assert min(seconds(line) for _ in range(5)) < 0.39


def seconds(line: Proxy) -> float:
    began = time.monotonic()
    assert httpx.get(line.url).text == "ok"
    return time.monotonic() - began


def test_a_reset_breaks_open_connections_with_rst_and_new_ones_work(line: Proxy):
    host, port = line.address.split(":")
    with socket.create_connection((host, int(port)), timeout=5) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert raw.recv(10)
        line.reset()
        with pytest.raises(ConnectionResetError):
            while raw.recv(65536):
                pass
    assert httpx.get(line.url).text == "ok"


def test_a_reset_may_break_one_of_many_connections(line: Proxy):
    with httpx.Client() as one, httpx.Client() as other:
        assert one.get(line.url).text == other.get(line.url).text == "ok"
        line.reset(1)
        assert line.connections == 1


def test_a_server_that_is_down_breaks_the_connection(server: Server, line: Proxy):
    server.kill()
    with pytest.raises(httpx.TransportError):
        httpx.get(line.url)
    run_on_lab(asyncio.sleep(0))
    assert line.connections == 0


def test_a_half_closed_connection_still_gets_its_answer(line: Proxy):
    host, port = line.address.split(":")
    with socket.create_connection((host, int(port)), timeout=5) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert raw.recv(65536).startswith(b"HTTP/1.1 200")
        raw.shutdown(socket.SHUT_WR)
        assert raw.recv(10) == b""


def test_a_connection_that_both_sides_closed_is_gone(line: Proxy):
    for _ in range(3):
        assert httpx.get(line.url).text == "ok"
    end = time.monotonic() + 5
    while line.connections and time.monotonic() < end:
        run_on_lab(asyncio.sleep(0))
    assert line.connections == 0


@pytest.mark.parametrize(
    "address", ["nowhere", "127.0.0.1:", "127.0.0.1:http", "http://127.0.0.1:80"]
)
def test_what_is_no_address_is_refused_in_words(address: str):
    with pytest.raises(ValueError, match="host:port was expected"):
        proxy(address)
