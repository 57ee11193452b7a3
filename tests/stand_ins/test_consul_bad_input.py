"""Malformed input: Consul's own codes and words, an unharmed agent, an index that only grows."""

from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.lab import virtual_time
from course_lib.stand_ins import ConsulAgent
from course_lib.stand_ins.consul_values import duration


def connect(agent: ConsulAgent) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=agent.app)
    return httpx.AsyncClient(transport=transport, base_url="http://agent/v1", timeout=None)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "Request decode failed: EOF"),
        (b"{", "Request decode failed"),
        (b"[]", "Request decode failed: json: cannot unmarshal array"),
        (b"{}", "Missing service name"),
        (b'{"Name": 7}', "struct field ServiceDefinition.Name of type string"),
        (b'{"name": "a", "port": "80"}', "cannot unmarshal string into Go struct field"),
        (b'{"name": "a", "port": 8e1}', "of type int"),
        (b'{"name": "a", "port": 99999999999999999999}', "of type int"),
        (b'{"name": "a", "port": 70000}', "Invalid service port"),
        (b'{"name": "a", "tags": "v1"}', "of type slice"),
        (b'{"name": "a", "tags": [1]}', "cannot unmarshal number"),
        (b'{"name": "a", "address": "0.0.0.0"}', "Invalid service address"),
        (b'{"name": "a", "meta": {"x": 1}}', "Meta"),
        (b'{"name": "a", "meta": {"x y": "1"}}', "Invalid Service Meta"),
        (b'{"name": "a", "weights": {"passing": 0}}', "Passing must be greater than 0"),
        (b'{"name": "a", "check": {"notes": "x"}}', "TTL must be > 0 for TTL checks"),
        (b'{"name": "a", "checks": [{}]}', "TTL must be > 0 for TTL checks"),
        (b'{"name": "a", "check": []}', "cannot unmarshal array"),
        (b'{"name": "a", "check": {"http": "http://x"}}', "Interval must be > 0"),
        (b'{"name": "a", "check": {"ttl": "1s", "interval": "1s"}}', "cannot both be specified"),
        (b'{"name": "a", "check": {"ttl": "soon"}}', 'time: invalid duration "soon"'),
        (b'{"name": "a", "check": {"ttl": "10"}}', "invalid duration"),
        (b'{"name": "a", "check": {"tcp": "x:1", "interval": "1s"}}', "TTL and HTTP checks"),
        (b'{"name": "a", "check": {"ttl": "1s", "status": "odd"}}', "Status for checks must"),
    ],
)
async def test_a_malformed_registration_is_a_bad_request(body: bytes, words: str) -> None:
    client = connect(ConsulAgent())
    answer = await client.put("/agent/service/register", content=body)
    assert answer.status_code == 400
    assert words in answer.text
    assert (await client.get("/agent/services")).json() == {}


async def test_an_empty_check_is_no_check() -> None:
    client = connect(ConsulAgent())
    answer = await client.put("/agent/service/register", json={"Name": "a", "Check": {}})
    assert answer.status_code == 200
    assert (await client.get("/agent/checks")).json() == {}


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("PUT", "/agent/check/register", 400, "Request decode failed: EOF"),
        ("PUT", "/agent/service/maintenance/?enable=true", 400, "Missing service ID"),
        ("PUT", "/agent/service/maintenance/u1", 400, "Missing value for enable"),
        ("PUT", "/agent/service/maintenance/u1?enable=x", 400, 'Invalid value for enable: "x"'),
        ("PUT", "/agent/service/maintenance/u1?enable=1", 404, "No service registered with ID"),
        ("GET", "/health/service/", 400, "Missing service name"),
        ("GET", "/health/service/a?passing=x", 400, "Invalid value for ?passing"),
        ("GET", "/health/state/", 400, "Missing check state"),
        ("GET", "/health/node/", 400, "Missing node name"),
        ("GET", "/catalog/service/", 400, "Missing service name"),
        ("GET", "/kv/", 400, "Missing key name"),
        ("PUT", "/kv/", 400, "Missing key name"),
        ("DELETE", "/kv/", 400, "Missing key name"),
        ("PUT", "/kv/a?cas=x", 400, "strconv.ParseUint"),
        ("PUT", "/kv/a?flags=-1", 400, "strconv.ParseUint"),
        ("PUT", "/kv/a?cas=1&acquire=x", 400, "Conflicting flags"),
        ("PUT", "/kv/a?acquire=x", 500, 'invalid session "x"'),
        ("DELETE", "/kv/a?recurse&cas=1", 400, "Conflicting flags"),
        ("POST", "/kv/a", 405, "method POST not allowed"),
        ("GET", "/nothing", 404, "not a recognized HTTP API endpoint"),
    ],
)
async def test_what_makes_no_sense_is_answered_in_consuls_words(
    method: str, path: str, status: int, words: str
) -> None:
    answer = await connect(ConsulAgent()).request(method, path)
    assert (answer.status_code, words in answer.text) == (status, True), answer.text


async def test_a_heartbeat_for_a_check_that_is_not_a_ttl_is_refused() -> None:
    client = connect(ConsulAgent())
    check = {"Name": "web", "HTTP": "http://x", "Interval": "9h"}
    await client.put("/agent/check/register", json=check)
    answer = await client.put("/agent/check/pass/web")
    assert (answer.status_code, answer.text) == (500, 'CheckID "web" does not have associated TTL')
    odd = await client.put("/agent/check/update/web", json={"Status": "odd"})
    assert (odd.status_code, odd.text) == (400, "Invalid check status: 'odd'")


async def test_a_value_over_half_a_mebibyte_is_too_large_declared_or_not() -> None:
    async def pieces() -> Any:
        for _ in range(9):
            yield b"x" * 65536

    client = connect(ConsulAgent())
    assert (await client.put("/kv/a", content=b"x" * 524288)).json() is True
    for content in (b"x" * 524289, pieces()):
        answer = await client.put("/kv/a", content=content)
        assert (answer.status_code, "too large" in answer.text) == (413, True)
    assert len((await client.get("/kv/a?raw")).content) == 524288


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5),
        ("1m30s", 90),
        ("100ms", 0.1),
        ("1.5h", 5400),
        ("0", 0),
        ("-2s", -2),
        ("1us", 1e-6),
    ],
)
def test_durations_are_read_as_go_reads_them(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "5x", "--5s", "1s2", "9999999h", "٣s", "+"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        duration(text)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NAMES = ["name", "ID", "Port", "Tags", "check", "Checks", "Meta", "Weights", "Address", "ttl"]
NAMES += ["HTTP", "Interval", "tagged_addresses", "EnableTagOverride", "CheckID", "ServiceID"]
NAMES += ["DeregisterCriticalServiceAfter", "Status", "Header", "Timeout"]
PLAUSIBLE = st.sampled_from(
    ["a", "1s", "0s", "http://x", "", {"ttl": "1s"}, [{"TTL": "2s"}], 80, []]
)
BODIES = st.dictionaries(st.sampled_from(NAMES), PLAUSIBLE | JSON, max_size=8)
ROUTES = st.sampled_from(
    ["agent/service/register", "agent/check/register", "agent/check/update/a", "kv/a"]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(ROUTES, BODIES), max_size=6))
def test_no_registration_harms_the_agent(requests: list[tuple[str, Any]]) -> None:
    async def main() -> None:
        client = connect(ConsulAgent())
        index = 1
        for route, body in requests:
            answer = await client.put(f"/{route}", content=orjson.dumps(body))
            assert answer.status_code in (200, 400, 404, 500)
            assert answer.status_code < 500 or "does not have associated TTL" in answer.text
            for query in ("health/service/a", "health/state/any", "kv/a", "catalog/services"):
                seen = await client.get(f"/{query}")
                assert seen.status_code in (200, 404)
                assert int(seen.headers["x-consul-index"]) >= index
                index = int(seen.headers["x-consul-index"])
        assert (await client.get("/agent/services")).status_code == 200
        assert (await client.get("/agent/checks")).status_code == 200

    virtual_time.run(main)
