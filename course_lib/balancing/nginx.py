"""Reads an `upstream` block of nginx and returns the instances and the policy it asks for.

Read are `server` with `weight` and `down`, and the methods ours match: least_conn, ip_hash and
`hash ... consistent`. Anything else is refused by name rather than ignored.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from course_lib.balancing.hashing import consistent_hash, ip_hash
from course_lib.balancing.least import least_connections
from course_lib.balancing.policy import Policy
from course_lib.balancing.turns import weighted_round_robin
from course_lib.discovery.instance import Instance

_BLOCK = re.compile(r"\s*upstream\s+([^\s{]+)\s*\{([^}]*)\}\s*")
# What nginx does with a server that fails is no part of which server it chooses.
_ABOUT_FAILURE = ("max_fails", "fail_timeout")


@dataclass(frozen=True)
class Upstream:
    """An `upstream` block: its name, its instances (the id is the address), a fresh policy."""

    name: str
    instances: tuple[Instance, ...]
    policy: Policy


def read_upstream(text: str) -> Upstream:
    """Read one `upstream` block; raises ValueError that names the directive it cannot read."""
    block = _BLOCK.fullmatch(re.sub(r"#[^\n]*", "", text))
    if block is None:
        raise ValueError("expected one block: upstream NAME { ... }")
    name, body = block.groups()
    *directives, rest = (each.split() for each in body.split(";"))
    if rest:
        raise ValueError(f"expected ';' after {' '.join(rest)!r}")
    instances: list[Instance] = []
    make: Callable[[], Policy] = weighted_round_robin
    for directive in directives:
        match directive:
            case ["server", address, *parameters]:
                instances += _server(address, parameters)
            case ["least_conn"]:
                make = least_connections
            case ["ip_hash"]:
                make = ip_hash
            case ["hash", _, "consistent"]:
                make = consistent_hash
            case _:
                raise ValueError(f"upstream {name}: cannot read {' '.join(directive)!r}")
    if make is ip_hash and re.search(r"\bdown\b", body):
        raise ValueError(f"upstream {name}: ip_hash counts a server that is down; remove it")
    if not instances:
        raise ValueError(f"upstream {name}: expected at least one server that is not down")
    return Upstream(name, tuple(instances), make())


def _server(address: str, parameters: list[str]) -> list[Instance]:
    weight = 1
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key == "weight" and value.isdecimal() and int(value) > 0:
            weight = int(value)
        elif key not in _ABOUT_FAILURE and key != "down":
            raise ValueError(f"server {address}: cannot read {parameter!r}")
    return [] if "down" in parameters else [Instance(address, address, weight)]
