"""Registration by Consul's HTTP API: an instance announces itself, and says that it is alive.

With `ttl_seconds` the instance sends heartbeats; with `check_url` Consul asks it. An agent that
has forgotten the instance (it was restarted, or took it for dead) is told again.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Self
from urllib.parse import quote

import httpx

from course_lib.discovery.consul_http import ask
from course_lib.errors import CallError, NotFound

_HEARTBEATS_PER_TTL = 3


class ConsulRegistrar:
    """Keeps one instance registered, from `register()` to `deregister()`; all times in seconds.

    As an async context manager it registers on entry and deregisters on a clean exit.
    `crash()` ends the heartbeats and tells nobody.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        service: str,
        address: str,
        *,
        id: str | None = None,
        tags: Sequence[str] = (),
        weight: int = 1,
        meta: Mapping[str, str] | None = None,
        ttl_seconds: float | None = None,
        check_url: str | None = None,
        interval_seconds: float = 1.0,
        timeout_seconds: float = 1.0,
        deregister_after_seconds: float | None = None,
    ) -> None:
        if ttl_seconds is not None and check_url is not None:
            raise ValueError("give ttl_seconds or check_url, not both")
        host, _, port = address.rpartition(":")
        if not (host and port.isdecimal()):
            raise ValueError(f"address: expected HOST:PORT, got {address!r}")
        self._client = client
        self.id = id or f"{service}-{host}-{port}"
        self._ttl_seconds = ttl_seconds
        self._definition: dict[str, Any] = {
            "ID": self.id,
            "Name": service,
            "Address": host.strip("[]"),
            "Port": int(port),
            "Tags": list(tags),
            "Meta": dict(meta or {}),
            "Weights": {"Passing": weight, "Warning": weight},
        }
        check: dict[str, Any] = {}
        if ttl_seconds is not None:
            check = {"TTL": _go(ttl_seconds)}
        elif check_url is not None:
            check = {
                "HTTP": check_url,
                "Interval": _go(interval_seconds),
                "Timeout": _go(timeout_seconds),
            }
        if check and deregister_after_seconds is not None:
            check["DeregisterCriticalServiceAfter"] = _go(deregister_after_seconds)
        if check:
            self._definition["Check"] = check | {"CheckID": f"service:{self.id}"}
        self._heart: asyncio.Task[None] | None = None

    async def register(self) -> None:
        """Announce the instance and start the heartbeats; raises what `ask` raises."""
        await self._announce()
        if self._ttl_seconds is not None and self._heart is None:
            self._heart = asyncio.get_running_loop().create_task(self._beat(self._ttl_seconds))

    async def deregister(self) -> None:
        """Take the instance back; it is no error when the agent has forgotten it."""
        self.crash()
        with contextlib.suppress(NotFound):
            await ask(self._client, "PUT", f"agent/service/deregister/{quote(self.id, safe='')}")

    def crash(self) -> None:
        """End the heartbeats without a word, as a process does that dies."""
        if self._heart is not None:
            self._heart.cancel()
            self._heart = None

    async def _announce(self) -> None:
        await ask(self._client, "PUT", "agent/service/register", json=self._definition)
        if self._ttl_seconds is not None:
            await self._pass()

    async def _pass(self) -> None:
        await ask(self._client, "PUT", f"agent/check/pass/service:{quote(self.id, safe='')}")

    async def _beat(self, ttl_seconds: float) -> None:
        while True:
            await asyncio.sleep(ttl_seconds / _HEARTBEATS_PER_TTL)
            with contextlib.suppress(CallError):  # the next heartbeat will try again
                try:
                    await self._pass()
                except NotFound:
                    await self._announce()

    async def __aenter__(self) -> Self:
        await self.register()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.deregister()


def _go(seconds: float) -> str:
    return f"{seconds * 1000:.0f}ms"
