"""`GET /users/{id}`: the course's full chain beside its peers, each in a process of its own.

Before anything is timed, the peers are checked: byte-equal answers, the same fields in the
log, the same metrics, the same refusal without credentials. Runs are interleaved, so whatever
else the machine does meets all of them; a ratio is the median of the ratios of the rounds.
"""

import asyncio
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

import psutil
import uvloop

from tests.bench.report import Row

HEADERS = {
    "authorization": "Basic YWRhOmxvdmVsYWNl",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}
CONNECTIONS = 16


class Peer:
    """A server process with one of the apps."""

    def __init__(self, name: str, process: subprocess.Popen[str], log_path: Path) -> None:
        self.name = name
        self._says = process.stdout
        self.log_path = log_path
        self._process = psutil.Process(process.pid)

    @cached_property
    def port(self) -> int:
        """Where it listens; waits until it does."""
        assert self._says is not None
        return int(self._says.readline())

    @property
    def cpu_seconds(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system

    def get(self, path: str, headers: dict[str, str] = HEADERS) -> tuple[int, bytes]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def last_log_line(self) -> dict[str, object]:
        return json.loads(self.log_path.read_bytes().splitlines()[-1])


@contextmanager
def serving(name: str, folder: Path, cpu: int = 0, **environment: str) -> Iterator[Peer]:
    """A peer as long as the block runs."""
    log_path = folder / f"{name}.log"
    log_path.write_bytes(b"")
    command = [sys.executable, "-m", "tests.bench.server", name, str(log_path), str(cpu)]
    pipe, env = subprocess.PIPE, {**os.environ, **environment}
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=env) as process:
        try:
            yield Peer(name, process, log_path)
        finally:
            process.terminate()


def check(course: Peer, plain: Peer, usual: Peer) -> None:
    """Refuse to compare what is not alike."""
    status, body = course.get("/users/1")
    assert status == 200, body
    for peer in (plain, usual):
        assert peer.get("/users/1") == (status, body), (peer.name, peer.get("/users/1"), body)
    lines = [peer.last_log_line() for peer in (course, usual)]
    assert lines[0].keys() == lines[1].keys(), lines
    steady = lines[0].keys() - {"timestamp", "seconds", "span_id"}
    assert all(lines[0][key] == lines[1][key] for key in steady), lines
    refusals = [peer.get("/users/1", {}) for peer in (course, usual)]
    assert refusals[0][0] == 401 and refusals[0] == refusals[1], refusals
    samples = [sample_names(peer) for peer in (course, usual)]
    assert samples[0] == samples[1], samples[0] ^ samples[1]


def sample_names(peer: Peer) -> set[str]:
    """What the metrics page lists, without the values, which are times or counts of our calls."""
    _, page = peer.get("/metrics")
    lines = [line for line in page.decode().splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0] for line in lines}


class Caller(asyncio.Protocol):
    """Sends the next request as soon as an answer is complete; knows how long answers are."""

    def __init__(self, request: bytes, size: int) -> None:
        self.request, self.size, self.received, self.answers = request, size, 0, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(self.request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        if not self.received and not data.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(data[:200])
        self.received += len(data)
        if self.received >= self.size:
            self.received = 0
            self.answers += 1
            self.transport.write(self.request)  # type: ignore[attr-defined]


async def drive(port: int, seconds: float, headers: dict[str, str] = HEADERS) -> float:
    """Answers a second over kept-alive connections, each with one request at a time."""
    loop = asyncio.get_running_loop()
    lines = [f"{name}: {value}" for name, value in {"host": "bench", **headers}.items()]
    request = "\r\n".join(["GET /users/1 HTTP/1.1", *lines, "", ""]).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    size = len(head) + int(length)
    writer.close()
    callers = [Caller(request, size) for _ in range(CONNECTIONS)]
    for caller in callers:
        await loop.create_connection(lambda caller=caller: caller, "127.0.0.1", port)
    started = loop.time()
    await asyncio.sleep(seconds)
    took, answers = loop.time() - started, sum(caller.answers for caller in callers)
    for caller in callers:
        caller.transport.abort()  # type: ignore[attr-defined]
    return answers / took


def run(folder: Path, rounds: int, seconds: float, only_check: bool = False) -> list[Row]:
    """The rows of this comparison."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        names = ("course", "plain", "usual")
        peers = [stack.enter_context(serving(name, folder)) for name in names]
        check(*peers)
        if only_check:
            return []
        return measure(peers, rounds, seconds, {"plain": 1.0, "usual": 5.0})


@contextmanager
def away_from_the_servers() -> Iterator[None]:
    """Keep this process off the core that the servers run on, where the system lets us."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0}
    if len(allowed) == 1:
        yield
        return
    os.sched_setaffinity(0, allowed - {0})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def measure(
    peers: list[Peer],
    rounds: int,
    seconds: float,
    targets: dict[str, float],
    headers: dict[str, str] = HEADERS,
) -> list[Row]:
    """Rates, CPU time, and how many times the rate of each in `targets` the first peer has."""
    with away_from_the_servers():
        return _measure(peers, rounds, seconds, targets, headers)


def _measure(
    peers: list[Peer],
    rounds: int,
    seconds: float,
    targets: dict[str, float],
    headers: dict[str, str],
) -> list[Row]:
    rates: dict[str, list[float]] = {peer.name: [] for peer in peers}
    cpu: dict[str, list[float]] = {peer.name: [] for peer in peers}
    for peer in peers:
        uvloop.run(drive(peer.port, 0.3, headers))
    for _ in range(rounds):
        for peer in peers:
            before = peer.cpu_seconds
            rates[peer.name].append(uvloop.run(drive(peer.port, seconds, headers)))
            used = peer.cpu_seconds - before
            cpu[peer.name].append(1e6 * used / (rates[peer.name][-1] * seconds))
    rows = [Row(f"GET /users/1, {name}", runs, "requests/s") for name, runs in rates.items()]
    rows += [Row(f"CPU a request, {name}", runs, "us") for name, runs in cpu.items()]
    first = peers[0].name
    for name, target in targets.items():
        ratios = [a / b for a, b in zip(rates[first], rates[name], strict=True)]
        rows.append(Row(f"{first} / {name}", ratios, "times", target))
    return rows
