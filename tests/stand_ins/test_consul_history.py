"""Random histories: the index only grows, and a watcher that hands it back misses nothing."""

import asyncio
import re

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.lab import virtual_time
from course_lib.stand_ins import ConsulAgent

SERVICES = ("a", "b", "c")
VERBS = ["register", "register 3s", "deregister", "pass", "fail", "maintain", "serve"]
STEPS = st.one_of(
    st.tuples(
        st.sampled_from(
            ["register", "register 3s", "deregister", "pass", "fail", "maintain", "serve"]
        ),
        st.sampled_from(SERVICES),
    ),
    st.tuples(st.just("wait"), st.sampled_from(["0.1", "1", "4"])),
    st.tuples(st.sampled_from(["put", "delete"]), st.sampled_from(["k/1", "k/2"])),
)


async def take(client: httpx.AsyncClient, verb: str, subject: str) -> None:
    if verb == "wait":
        await asyncio.sleep(float(subject))
    elif verb in ("put", "delete"):
        await client.request(verb.upper(), f"/kv/{subject}", content=b"x")
    elif verb.startswith("register"):
        check = {"Check": {"TTL": "3s", "CheckID": f"ttl:{subject}"}} if verb.endswith("s") else {}
        body = {"Name": "users", "ID": subject, "Port": 1, **check}
        await client.put("/agent/service/register?replace-existing-checks", json=body)
    elif verb == "deregister":
        await client.put(f"/agent/service/deregister/{subject}")
    elif verb in ("pass", "fail"):
        await client.put(f"/agent/check/{verb}/ttl:{subject}")
    else:
        enable = str(verb == "maintain").lower()
        await client.put(f"/agent/service/maintenance/{subject}?enable={enable}")


def facts(answer: httpx.Response) -> str:
    """The answer without the output of checks, whose change alone wakes nobody."""
    return re.sub(r'"Output":"[^"]*"', "", answer.text)


class Watch:
    """Follows one path by blocking queries, as a client does."""

    def __init__(self, client: httpx.AsyncClient, path: str) -> None:
        self._client, self._path, self._index = client, path, 0
        self.latest = ""
        self.rounds = 0

    async def run(self) -> None:
        while True:
            joint = "&" if "?" in self._path else "?"
            path = f"{self._path}{joint}index={self._index}&wait=10m"
            answer = await self._client.get(path)
            index = int(answer.headers["x-consul-index"])
            assert index >= max(1, self._index)
            self._index, self.latest = index, facts(answer)
            self.rounds += 1


PATHS = ("/health/service/users?passing", "/health/service/users", "/health/state/critical")
PATHS += ("/catalog/service/users", "/catalog/services", "/kv/k/1", "/kv/k?recurse")


@settings(max_examples=100, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_a_watcher_ends_up_with_what_a_fresh_question_gets(
    steps: list[tuple[str, str]],
) -> None:
    async def main() -> None:
        transport = httpx.ASGITransport(app=ConsulAgent().app)
        client = httpx.AsyncClient(transport=transport, base_url="http://agent/v1", timeout=None)
        watches = {path: Watch(client, path) for path in PATHS}
        tasks = [asyncio.create_task(watch.run()) for watch in watches.values()]
        for verb, subject in steps:
            await take(client, verb, subject)
        await asyncio.sleep(5)
        for path, watch in watches.items():
            assert watch.latest == facts(await client.get(path)), path
            assert watch.rounds <= 2 + 4 * len(steps)
        for task in tasks:
            assert not task.done()
            task.cancel()

    virtual_time.run(main)
