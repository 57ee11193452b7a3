"""One HTTP health check: 2xx is passing, 429 a warning, anything else critical.

Every probe opens a connection of its own, as Consul's do, so nothing is left open between them.
"""

from collections.abc import Awaitable, Callable

import httpx

from course_lib.stand_ins.consul_definitions import CheckDefinition

Fetch = Callable[[CheckDefinition], Awaitable[tuple[str, str]]]
"""Probe the target of a check; returns (status, output). Whatever it raises counts as critical."""

_LONGEST_OUTPUT_BYTES = 4096


def http_fetch(transport: httpx.AsyncBaseTransport | None = None) -> Fetch:
    """Probe over the network, or over another httpx transport (an ASGI application in memory)."""
    clients: list[httpx.AsyncClient] = []

    async def fetch(check: CheckDefinition) -> tuple[str, str]:
        if not clients:
            clients.append(_client(transport))
        headers = [(name, value) for name, values in check.header.items() for value in values]
        request = clients[0].stream(
            check.method, check.http, headers=headers, content=check.body.encode()
        )
        async with request as response:
            body = b""
            async for chunk in response.aiter_bytes():
                body += chunk[: _LONGEST_OUTPUT_BYTES - len(body)]
                if len(body) >= _LONGEST_OUTPUT_BYTES:
                    break
        code = f"{response.status_code} {response.reason_phrase}"
        output = f"HTTP {check.method} {check.http}: {code} Output: {body.decode(errors='replace')}"
        return status_of(response.status_code), output

    return fetch


def status_of(code: int) -> str:
    """What a health endpoint's HTTP status says about the service."""
    if 200 <= code < 300:
        return "passing"
    return "warning" if code == 429 else "critical"


def _client(transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=transport,
        limits=httpx.Limits(max_keepalive_connections=0),
        timeout=None,
        follow_redirects=True,
        trust_env=False,
        headers={"user-agent": "Consul Health Check"},
    )
