"""The kubelet's HTTP probe: a GET on a connection of its own, whose status decides.

Redirects to the same host are followed; one that leads to another host is not followed and counts
as success. Of the body, which may have no end, 10 KiB are read. Leaves out that the kubelet throws
away an answer whose body breaks off or stalls; here it is a failure.
Source: kubernetes/pkg/probe/http/http.go.
"""

from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from course_lib.telemetry.probes import Ask

_MOST_REDIRECTS = 10
_MOST_BYTES = 10 * 1024
_HEADERS = {
    "user-agent": "kube-probe/1.33",
    "accept": "*/*",
    "accept-encoding": "identity",
    "connection": "close",
}


def http_get(url: str, transport: httpx.AsyncBaseTransport | None = None) -> Ask:
    """Ask this URL, over the network or over another httpx transport; certificates may be wrong."""
    client = httpx.AsyncClient(  # keeps no connection open, so there is nothing to close
        transport=transport,
        verify=False,
        limits=httpx.Limits(max_keepalive_connections=0),
        timeout=None,
        trust_env=False,
        headers=_HEADERS,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # every probe is the first
    )

    async def ask() -> int:
        request = client.build_request("GET", url)
        for _ in range(_MOST_REDIRECTS):
            response = await client.send(request, stream=True)
            await _read_some(response)
            onward = response.next_request if response.headers.get("location") else None
            if onward is None or onward.url.host != httpx.URL(url).host:
                return response.status_code
            request = onward
        raise ConnectionError(f"stopped after {_MOST_REDIRECTS} redirects")

    return ask


async def _read_some(response: httpx.Response) -> None:
    read = 0
    response.headers.pop("content-encoding", None)  # counted as it comes, right or wrong
    try:
        async for chunk in response.aiter_bytes():
            read += len(chunk)
            if read >= _MOST_BYTES:
                break
    finally:
        await response.aclose()
