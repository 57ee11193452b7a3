"""py-consul, synchronous and asynchronous, drives every route of the agent over a real socket."""

import threading
import time
from collections.abc import Iterator

import consul
import consul.aio
import consul.exceptions
import httpx
import pytest
from consul import Check

from course_lib.lab.launch import Server, serve
from course_lib.stand_ins import ConsulAgent


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(ConsulAgent().app) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[consul.Consul]:
    host, port = server.address.split(":")
    client = consul.Consul(host, int(port))
    yield client
    for service_id in client.agent.services():
        client.agent.service.deregister(service_id)
    for check_id in client.agent.checks():
        client.agent.check.deregister(check_id)
    client.kv.delete("", recurse=True)


def ids(client: consul.Consul, name: str, **options: object) -> list[str]:
    _, entries = client.health.service(name, **options)
    return [entry["Service"]["ID"] for entry in entries]


def test_a_service_is_registered_found_and_deregistered(client: consul.Consul) -> None:
    client.agent.service.register(
        "users", "u1", "127.0.0.1", 8001, ["v1", "blue"], meta={"zone": "a"}, weights={"passing": 3}
    )
    service = client.agent.services()["u1"]
    assert (service["Service"], service["Port"], service["Tags"]) == ("users", 8001, ["v1", "blue"])
    assert service["Meta"] == {"zone": "a"}
    assert service["Weights"] == {"Passing": 3, "Warning": 1}
    assert client.agent.service_definition("u1")["ID"] == "u1"
    assert ids(client, "users", passing=True) == ["u1"]
    assert client.catalog.services()[1] == {"consul": [], "users": ["v1", "blue"]}
    (place,) = client.catalog.service("users")[1]
    assert (place["ServiceID"], place["ServicePort"], place["Node"]) == ("u1", 8001, "agent-one")
    client.agent.service.deregister("u1")
    assert ids(client, "users") == []
    assert client.agent.services() == {}


def test_a_ttl_check_starts_critical_and_follows_its_heartbeats(client: consul.Consul) -> None:
    client.agent.service.register("users", "u1", port=8001, check=Check.ttl("10s"))
    beats = client.agent.check
    assert client.agent.checks()["service:u1"]["Status"] == "critical"
    assert ids(client, "users", passing=True) == []
    assert ids(client, "users") == ["u1"]
    for beat, status in (
        (beats.ttl_pass, "passing"),
        (beats.ttl_warn, "warning"),
        (beats.ttl_fail, "critical"),
    ):
        beat("service:u1", "a note")
        check = client.agent.checks()["service:u1"]
        assert (check["Status"], check["Output"], check["Type"]) == (status, "a note", "ttl")
        found = client.health.state(status)[1]
        assert "service:u1" in [check["CheckID"] for check in found]


def test_several_checks_are_numbered_and_all_must_pass(client: consul.Consul) -> None:
    client.agent.service.register(
        "users", "u1", check=Check.ttl("10s"), extra_checks=[Check.ttl("20s")]
    )
    assert sorted(client.agent.checks()) == ["service:u1:1", "service:u1:2"]
    client.agent.check.ttl_pass("service:u1:1")
    assert ids(client, "users", passing=True) == []
    client.agent.check.ttl_pass("service:u1:2")
    assert ids(client, "users", passing=True) == ["u1"]


def test_a_check_of_its_own_belongs_to_a_service_or_to_the_node(client: consul.Consul) -> None:
    client.agent.service.register("users", "u1")
    client.agent.check.register("memory", Check.ttl("10s"), "mem", "in MB", "u1")
    (check,) = client.health.checks("users")[1]
    assert (check["CheckID"], check["Notes"], check["ServiceID"]) == ("mem", "in MB", "u1")
    client.agent.check.deregister("mem")
    assert ids(client, "users", passing=True) == ["u1"]
    client.agent.check.register("disk", Check.ttl("10s"))
    assert ids(client, "users", passing=True) == []
    node = client.health.node("agent-one")[1]
    assert [check["CheckID"] for check in node] == ["serfHealth", "disk"]
    assert client.agent.check.register("lost", Check.ttl("10s"), service_id="nobody") is False


def test_an_http_check_asks_the_service(client: consul.Consul, server: Server) -> None:
    well, ill = f"{server.url}/v1/status/leader", f"{server.url}/nothing"
    client.agent.service.register("users", "well", check=Check.http(well, "1s", timeout="1s"))
    client.agent.service.register("users", "ill", check=Check.http(ill, "1s", deregister="1m"))
    index = None
    for _ in range(5):
        index, entries = client.health.service("users", passing=True, index=index, wait="2s")
        if entries:
            break
    assert [entry["Service"]["ID"] for entry in entries] == ["well"]
    check = client.agent.checks()["service:well"]
    assert check["Type"] == "http"
    assert "200 OK" in check["Output"]


def test_maintenance_takes_an_instance_out_and_back(client: consul.Consul) -> None:
    client.agent.service.register("users", "u1")
    client.agent.service.maintenance("u1", True, "new disk")
    assert ids(client, "users", passing=True) == []
    assert client.agent.checks()["_service_maintenance:u1"]["Notes"] == "new disk"
    client.agent.service.maintenance("u1", False)
    assert ids(client, "users", passing=True) == ["u1"]
    client.agent.maintenance(True)
    assert ids(client, "users", passing=True) == []
    client.agent.maintenance(False)
    assert ids(client, "users", passing=True) == ["u1"]


def test_tags_and_filters_choose_instances(client: consul.Consul) -> None:
    client.agent.service.register("users", "u1", port=1, tags=["v1"], meta={"zone": "a"})
    client.agent.service.register("users", "u2", port=2, tags=["v1", "V2"], meta={"zone": "b"})
    assert ids(client, "users", tag="v2") == ["u2"]
    assert ids(client, "users", tag=["v1", "v2"]) == ["u2"]
    assert ids(client, "users", filter_expr='Service.Meta.zone == "a"') == ["u1"]
    assert ids(client, "users", filter_expr='"V2" not in Service.Tags') == ["u1"]
    found = client.catalog.service("users", filter_expr="ServicePort == 2")[1]
    assert [place["ServiceID"] for place in found] == ["u2"]
    assert list(client.agent.services(filter_expr="Port != 1")) == ["u2"]
    assert client.agent.checks(filter_expr="Status == passing") == {}
    with pytest.raises(consul.exceptions.BadRequest):
        client.health.service("users", filter_expr="Nonsense == 1")
    names = client.catalog.services(filter_expr="ServiceName == users")[1]
    assert names == {"users": ["v1", "V2"]}


def test_a_blocking_query_returns_at_the_change(client: consul.Consul) -> None:
    index, _ = client.health.service("users")
    timer = threading.Timer(0.2, client.agent.service.register, ("users", "u1"))
    timer.start()
    began = time.monotonic()
    later, entries = client.health.service("users", index=index, wait="10s")
    assert [entry["Service"]["ID"] for entry in entries] == ["u1"]
    assert int(later) > int(index)
    assert time.monotonic() - began < 5
    timer.join()


def test_keys_and_values(client: consul.Consul) -> None:
    kv = client.kv
    index, missing = kv.get("shop/limit")
    assert (int(index) >= 1, missing) == (True, None)
    assert kv.put("shop/limit", b"\x00\xff", flags=7)
    entry = kv.get("shop/limit")[1]
    assert (entry["Value"], entry["Flags"], entry["LockIndex"]) == (b"\x00\xff", 7, 0)
    assert not kv.put("shop/limit", "2", cas=0)
    assert not kv.put("shop/limit", "2", cas=entry["ModifyIndex"] + 1)
    assert kv.put("shop/limit", "2", cas=entry["ModifyIndex"])
    kv.put("shop/a/1", "x")
    kv.put("shop/a/2", None)
    assert kv.get("shop/", keys=True)[1] == ["shop/a/1", "shop/a/2", "shop/limit"]
    assert kv.get("shop/", keys=True, separator="/")[1] == ["shop/a/", "shop/limit"]
    found = kv.get("shop/a", recurse=True)[1]
    assert [(entry["Key"], entry["Value"]) for entry in found] == [
        ("shop/a/1", b"x"),
        ("shop/a/2", None),
    ]
    assert not kv.delete("shop/limit", cas=1)
    assert kv.delete("shop/limit")
    assert kv.delete("shop/", recurse=True)
    assert kv.get("shop/", recurse=True)[1] is None


def test_the_agent_tells_who_it_is(client: consul.Consul) -> None:
    assert client.agent.self()["Config"]["Datacenter"] == "dc1"
    assert client.agent.members()[0]["Name"] == "agent-one"
    assert client.status.leader() == "127.0.0.1:8300"
    assert client.status.peers() == ["127.0.0.1:8300"]
    assert client.catalog.datacenters() == ["dc1"]
    assert [node["Node"] for node in client.catalog.nodes()[1]] == ["agent-one"]
    assert list(client.catalog.node("agent-one")[1]["Services"]) == ["consul"]
    assert [check["CheckID"] for check in client.health.state("any")[1]] == ["serfHealth"]


def test_unknown_ids_are_not_found(server: Server) -> None:
    for path in (
        "agent/check/pass/nobody",
        "agent/check/warn/nobody",
        "agent/check/fail/nobody",
        "agent/check/deregister/nobody",
        "agent/service/deregister/nobody",
        "agent/service/maintenance/nobody?enable=true",
    ):
        answer = httpx.put(f"{server.url}/v1/{path}")
        assert answer.status_code == 404, path
        assert "nobody" in answer.text
    update = httpx.put(f"{server.url}/v1/agent/check/update/nobody", json={"Status": "passing"})
    assert update.status_code == 404
    assert httpx.get(f"{server.url}/v1/nothing").status_code == 404
    assert httpx.get(f"{server.url}/v1/agent/service/register").status_code == 404
    assert httpx.post(f"{server.url}/v1/kv/a").status_code == 405


@pytest.mark.real_time
async def test_the_asynchronous_client_does_the_same(server: Server) -> None:
    host, port = server.address.split(":")
    async with consul.aio.Consul(host, int(port)) as client:
        await client.agent.service.register("orders", "o1", port=9, check=Check.ttl("10s"))
        await client.agent.check.ttl_pass("service:o1")
        index, entries = await client.health.service("orders", passing=True)
        assert [entry["Service"]["ID"] for entry in entries] == ["o1"]
        assert entries[0]["Checks"][0]["CheckID"] == "serfHealth"
        await client.agent.service.deregister("o1")
        later, entries = await client.health.service("orders", index=index, wait="5s")
        assert (entries, int(later) > int(index)) == ([], True)
        assert await client.kv.put("a", "1")
        assert (await client.kv.get("a"))[1]["Value"] == b"1"
        assert await client.kv.delete("a")
        assert (await client.kv.get("a"))[1] is None
        assert await client.status.leader() == "127.0.0.1:8300"
