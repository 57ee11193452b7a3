"""Discovery by Consul's HTTP API: watches the instances of a service by blocking queries.

Works against any Consul by its address. The other side, which registers an instance, is in
`consul_registrar_http`. Follows the rules of Go-kit's `sd/consul` and of Consul's own page on
blocking queries, and adds one: it never spins.
"""

import asyncio
import random
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

import httpx

from course_lib.discovery.instance import Instance
from course_lib.discovery.instancer import Event, Sink, sorted_set
from course_lib.errors import CallError, Internal, InvalidRequest, NotFound, Unavailable

_BASE_SECONDS = 0.1
_ERROR_CAP_SECONDS = 10.0
_VAIN_CAP_SECONDS = 1.0
_AT_ONCE_SECONDS = 0.5
_ANSWER_SECONDS = 5.0


def consul_client(
    address: str = "127.0.0.1:8500", *, transport: httpx.AsyncBaseTransport | None = None
) -> httpx.AsyncClient:
    """A client for the agent at `address`; it belongs to the event loop that first uses it."""
    return httpx.AsyncClient(
        base_url=f"http://{address}/v1/",
        transport=transport,
        timeout=None,
        limits=httpx.Limits(max_connections=None),
        trust_env=False,
    )


async def ask(
    client: httpx.AsyncClient,
    method: str,
    path: str,
    *,
    answer_seconds: float = _ANSWER_SECONDS,
    **options: Any,
) -> httpx.Response:
    """One request to the agent; what goes wrong becomes an error of the tree.

    Nobody there, no answer in time or a 5xx: `Unavailable`. 404: `NotFound`. Other 4xx:
    `InvalidRequest`, with Consul's words.
    """
    try:
        async with asyncio.timeout(answer_seconds):
            answer = await client.request(method, path, **options)
    except (httpx.RequestError, TimeoutError) as error:
        words = str(error) or type(error).__name__
        raise Unavailable(f"no answer from Consul: {words}") from error
    if answer.is_success:
        return answer
    kind = {404: NotFound}.get(answer.status_code, InvalidRequest)
    raise (Unavailable if answer.is_server_error else kind)(f"Consul: {answer.text.strip()}")


class ConsulInstancer:
    """Tells its sinks who offers a service: at once, and whenever that changes.

    An event holds the full set, sorted and without duplicates, or the error that keeps us from
    knowing. `tags` and `passing` choose instances; `datacenter` asks another datacentre;
    `wait_seconds` is how long one query may be held. Runs until `stop()`, on the loop it was
    started on: that of the first `register`.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        service: str,
        *,
        tags: Sequence[str] = (),
        passing: bool = True,
        datacenter: str | None = None,
        wait_seconds: float = 60.0,
        rng: random.Random | None = None,
    ) -> None:
        self._client = client
        self._path = f"health/service/{quote(service, safe='')}"
        self._params: list[tuple[str, str]] = [("tag", tag) for tag in tags]
        self._params += [("passing", "1")] if passing else []
        self._params += [("dc", datacenter)] if datacenter else []
        self._wait_seconds = wait_seconds
        self._rng = rng or random.Random()
        self._sinks: list[Sink] = []
        self._last: Event | None = None
        self._task: asyncio.Task[None] | None = None

    def register(self, sink: Sink) -> None:
        """Tell `sink` what is known now, and everything that comes."""
        self._sinks.append(sink)
        if self._last is not None:
            sink(self._last)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._watch())

    def deregister(self, sink: Sink) -> None:
        """Tell `sink` nothing more."""
        if sink in self._sinks:
            self._sinks.remove(sink)

    def stop(self) -> None:
        """End the watch."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        index, known, errors, in_vain = 0, None, 0, 0
        while True:
            asked_at = loop.time()
            try:
                found, answered = await self._query(index)
            except CallError as error:
                self._push(Event(error=error))
                # An agent that comes back may count from the beginning: ask it anew.
                index, known, errors = 0, None, errors + 1
                await self._pause(errors, _ERROR_CAP_SECONDS)
                continue
            errors = 0
            if (facts := _facts(found)) != known:
                self._push(Event(found))
                known, in_vain = facts, 0
            elif loop.time() - asked_at < _AT_ONCE_SECONDS:
                in_vain += 1
                await self._pause(in_vain, _VAIN_CAP_SECONDS)
            else:
                in_vain = 0
            index = answered if answered >= index else 0

    async def _pause(self, times: int, cap_seconds: float) -> None:
        longest = min(cap_seconds, _BASE_SECONDS * 2 ** min(times, 30))
        await asyncio.sleep(self._rng.uniform(0, longest))

    async def _query(self, index: int) -> tuple[tuple[Instance, ...], int]:
        params, answer_seconds = list(self._params), _ANSWER_SECONDS
        if index > 0:
            params += [("index", str(index)), ("wait", f"{self._wait_seconds * 1000:.0f}ms")]
            answer_seconds += self._wait_seconds * 17 / 16
        answer = await ask(
            self._client, "GET", self._path, params=params, answer_seconds=answer_seconds
        )
        try:
            found = [_instance(entry) for entry in _entries(answer.json())]
            answered = int(answer.headers.get("x-consul-index", 0))
            # One address under several ids is one instance, or it would get a double share.
            by_address = {instance.address: instance for instance in reversed(sorted_set(found))}
            return sorted_set(by_address.values()), answered
        except Exception as error:  # whatever a registry says must not end the watch
            raise Internal(f"Consul's answer makes no sense: {error!r}") from error

    def _push(self, event: Event) -> None:
        self._last = event
        for sink in list(self._sinks):
            sink(event)


def _entries(body: Any) -> list[Any]:
    if not isinstance(body, list):
        raise TypeError(f"expected a list, got {body!r:.80}")
    return body


def _instance(entry: dict[str, Any]) -> Instance:
    node, service = entry["Node"], entry["Service"]
    host = service["Address"] or node["Address"]
    return Instance(
        service["ID"],
        f"[{host}]:{service['Port']}" if ":" in host else f"{host}:{service['Port']}",
        max(1, int(service.get("Weights", {}).get("Passing", 1))),
        zone=(service.get("Meta") or {}).get("zone") or node.get("Datacenter", ""),
    )


def _facts(instances: Iterable[Instance]) -> list[tuple[str, str, int, str]]:
    return [(each.id, each.address, each.weight, each.zone) for each in instances]
