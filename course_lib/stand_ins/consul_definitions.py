"""What a client registers: a service and its checks, read from JSON and validated.

Leaves out: gateways, Connect, and every kind of check but TTL and HTTP (those are refused by name).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from course_lib.stand_ins.consul_values import Fields, Refused

STATUSES = ("passing", "warning", "critical")
_OTHER_KINDS = ("script", "args", "scriptargs", "tcp", "udp", "grpc", "h2ping", "dockercontainerid")
_META_KEY = re.compile(r"[A-Za-z0-9_-]{1,128}")
_ANY_ADDRESS = {"0.0.0.0", "::", "[::]", "0:0:0:0:0:0:0:0"}


@dataclass(frozen=True)
class CheckDefinition:
    """How the health of a service (or, without a service, of the whole node) is found out."""

    check_id: str = ""
    name: str = ""
    status: str = ""
    notes: str = ""
    service_id: str = ""
    ttl_seconds: float = 0.0
    http: str = ""
    method: str = "GET"
    header: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    body: str = ""
    interval_seconds: float = 0.0
    timeout_seconds: float = 0.0
    deregister_after_seconds: float = 0.0
    successes_before_passing: int = 0
    failures_before_critical: int = 0

    @property
    def kind(self) -> str:
        """Consul's word for it: "http" or "ttl"."""
        return "http" if self.http else "ttl"


@dataclass(frozen=True)
class ServiceDefinition:
    """One instance of a service: what it is called, where it listens, and its checks."""

    service_id: str
    name: str
    tags: tuple[str, ...] = ()
    address: str = ""
    port: int = 0
    meta: Mapping[str, str] = field(default_factory=dict)
    tagged_addresses: Mapping[str, Any] = field(default_factory=dict)
    weight_passing: int = 1
    weight_warning: int = 1
    enable_tag_override: bool = False
    checks: tuple[CheckDefinition, ...] = ()


def read_service(raw: object) -> ServiceDefinition:
    """The body of `/v1/agent/service/register`; raises `Refused` with status 400."""
    fields = Fields(raw, "ServiceDefinition")
    name, address, port = fields.text("Name"), fields.text("Address"), fields.integer("Port")
    if not name:
        raise Refused(400, "Missing service name")
    if address in _ANY_ADDRESS:
        raise Refused(400, "Invalid service address")
    if not 0 <= port <= 65535:
        raise Refused(400, f"Invalid service port: {port}")
    passing, warning = _weights(fields)
    single = fields.value("Check")
    raw_checks = [None if single == {} else single, *fields.items("Checks")]
    checks = tuple(_read_check(raw_check) for raw_check in raw_checks if raw_check is not None)
    for check in checks:
        if check.status and check.status not in STATUSES:
            raise Refused(400, "Status for checks must 'passing', 'warning', 'critical'")
    return ServiceDefinition(
        service_id=fields.text("ID") or name,
        name=name,
        tags=fields.texts("Tags"),
        address=address,
        port=port,
        meta=_meta(fields),
        tagged_addresses=_tagged_addresses(fields),
        weight_passing=passing,
        weight_warning=warning,
        enable_tag_override=fields.flag("EnableTagOverride"),
        checks=checks,
    )


def read_check(raw: object) -> CheckDefinition:
    """The body of `/v1/agent/check/register`; raises `Refused` with status 400."""
    fields = Fields(raw, "CheckDefinition")
    if not fields.text("Name"):
        raise Refused(400, "Missing check name")
    if fields.text("Status") not in ("", *STATUSES):
        raise Refused(400, "Bad check status")
    return _read_check(raw)


def _read_check(raw: object) -> CheckDefinition:
    fields = Fields(raw, "CheckDefinition")
    check = CheckDefinition(
        check_id=fields.text("CheckID", "ID"),
        name=fields.text("Name"),
        status=fields.text("Status"),
        notes=fields.text("Notes"),
        service_id=fields.text("ServiceID"),
        ttl_seconds=fields.seconds("TTL"),
        http=fields.text("HTTP"),
        method=fields.text("Method") or "GET",
        header=_header(fields),
        body=fields.text("Body"),
        interval_seconds=fields.seconds("Interval"),
        timeout_seconds=fields.seconds("Timeout"),
        deregister_after_seconds=fields.seconds("DeregisterCriticalServiceAfter"),
        successes_before_passing=fields.integer("SuccessBeforePassing"),
        failures_before_critical=fields.integer("FailuresBeforeCritical"),
    )
    _validate(check, fields)
    return check


def _validate(check: CheckDefinition, fields: Fields) -> None:
    other = next((kind for kind in _OTHER_KINDS if fields.value(kind)), None)
    if other:
        raise Refused(400, f"Invalid check: this agent runs TTL and HTTP checks, not {other}")
    if check.interval_seconds > 0 and check.ttl_seconds > 0:
        raise Refused(400, "Invalid check: Interval and TTL cannot both be specified")
    if check.http and check.interval_seconds <= 0:
        raise Refused(400, "Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks")
    if not check.http and check.ttl_seconds <= 0:
        raise Refused(400, "Invalid check: TTL must be > 0 for TTL checks")


def _weights(fields: Fields) -> tuple[int, int]:
    raw = fields.value("Weights")
    if raw is None:
        return 1, 1
    weights = Fields(raw, "Weights")
    passing, warning = weights.integer("Passing", 1), weights.integer("Warning", 1)
    if passing < 1:
        raise Refused(400, "Invalid Weights: Passing must be greater than 0")
    if warning < 0:
        raise Refused(400, "Invalid Weights: Warning must be greater or equal than 0")
    if passing > 65535 or warning > 65535:
        raise Refused(400, "Invalid Weights: Passing and Warning must not be greater than 65535")
    return passing, warning


def _meta(fields: Fields) -> dict[str, str]:
    meta = fields.text_mapping("Meta")
    if len(meta) > 64:
        raise Refused(400, "Invalid Service Meta: Node metadata cannot contain more than 64 pairs")
    for key, value in meta.items():
        if not _META_KEY.fullmatch(key) or key.startswith("consul-"):
            raise Refused(400, f"Invalid Service Meta: Couldn't load metadata pair ('{key}')")
        if len(value) > 512:
            raise Refused(400, f"Invalid Service Meta: value of '{key}' is longer than 512")
    return meta


def _tagged_addresses(fields: Fields) -> dict[str, Any]:
    addresses = {}
    for name, raw in fields.mapping("TaggedAddresses").items():
        place = Fields({"Address": raw} if isinstance(raw, str) else raw, "ServiceAddress")
        addresses[name] = {"Address": place.text("Address"), "Port": place.integer("Port")}
    return addresses


def _header(fields: Fields) -> dict[str, tuple[str, ...]]:
    raw = fields.mapping("Header")
    return {
        name: Fields({"Header": values}, "Header").texts("Header") for name, values in raw.items()
    }
