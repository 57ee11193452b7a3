"""Policies that send the same key to the same instance, for as long as that instance is there."""

import socket
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from math import log
from zlib import crc32

from course_lib.balancing.policy import Policy, once_per_set
from course_lib.balancing.turns import weighted_round_robin
from course_lib.discovery.instance import Instance

_HASHES = 6271
_POINTS_PER_WEIGHT = 160
_MASK = 2**64 - 1
_MIX = 0x9E3779B97F4A7C15


def ip_hash() -> Policy:
    """Pick by the client's network: three octets of IPv4, all of IPv6 (nginx's `ip_hash`)."""
    tables = once_per_set(_table)

    def policy(instances: Sequence[Instance], key: str | None = None) -> Instance:
        return tables(instances)[address_hash(key)]

    return policy


def _table(instances: Sequence[Instance]) -> list[Instance]:
    slots = [instance for instance in instances for _ in range(min(instance.weight, _HASHES))]
    total = sum(instance.weight for instance in instances)
    return [slots[value % total] for value in range(_HASHES)]


@lru_cache(maxsize=8192)
def address_hash(address: str | None) -> int:
    """Hash a client address into 0..6270, as nginx does.

    No address counts as 0.0.0.0, as in nginx; any other text is hashed by all its bytes.
    """
    value = 89
    for octet in _octets(address or "0.0.0.0"):
        value = (value * 113 + octet) % _HASHES
    return value


def _octets(address: str) -> bytes:
    for family, octets in ((socket.AF_INET, 3), (socket.AF_INET6, 16)):
        try:
            return socket.inet_pton(family, address)[:octets]
        except (OSError, ValueError):
            continue
    return _bytes(address)


def _bytes(text: str) -> bytes:
    """UTF-8, also of half a surrogate pair: `json.loads` lets one through, and a key is a key."""
    return text.encode("utf-8", "surrogatepass")


def consistent_hash() -> Policy:
    """Pick the next point on a ring of hashes (nginx's `hash $key consistent`, ketama).

    When one of n instances comes or goes, about one key in n moves. Requests without a key go
    in turn, by weight.
    """
    rings, in_turn = once_per_set(_ring), weighted_round_robin()

    def policy(instances: Sequence[Instance], key: str | None = None) -> Instance:
        if not key:
            return in_turn(instances)
        points, owners, starts = rings(instances)
        point = crc32(_bytes(key))
        high = point >> 16
        return owners[bisect_left(points, point, starts[high], starts[high + 1])]

    return policy


def _ring(instances: Sequence[Instance]) -> tuple[list[int], list[Instance], list[int]]:
    """Return the points in order, whose they are, and where each value of the upper half begins.

    The first owner stands at the end once more, for keys beyond the last point.
    """
    owners: dict[int, Instance] = {}
    for instance in instances:
        for point in _points(instance.address, instance.weight):
            owners.setdefault(point, instance)
    points = sorted(owners)
    starts = [bisect_left(points, high << 16) for high in range(2**16 + 1)]
    return points, [owners[point] for point in (*points, points[0])], starts


def _points(address: str, weight: int) -> list[int]:
    host, colon, port = address.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()):
        host, port = address, ""
    base = crc32(f"{host}\0{port}".encode())
    points, previous = [], 0
    for _ in range(weight * _POINTS_PER_WEIGHT):
        previous = crc32(previous.to_bytes(4, "little"), base)
        points.append(previous)
    return points


def rendezvous_hash() -> Policy:
    """Let every instance draw a score from the key; the highest is picked (Thaler, Ravishankar).

    Weights enter as weight / -ln(score). It looks at every instance, so it suits small sets.
    Requests without a key go in turn, by weight.
    """
    groups = once_per_set(_by_weight)
    in_turn = weighted_round_robin()

    def policy(instances: Sequence[Instance], key: str | None = None) -> Instance:
        if not key or not instances:
            return in_turn(instances)
        drawn, best, most = _hash64(key), instances[0], -1.0
        for weight, (seeds, members) in groups(instances).items():
            scores = [(seed ^ drawn) * _MIX & _MASK for seed in seeds]
            highest = max(scores)
            score = weight / -log(((highest >> 12) + 0.5) / 2**52)
            if score > most:
                best, most = members[scores.index(highest)], score
        return best

    return policy


def _by_weight(instances: Sequence[Instance]) -> dict[int, tuple[list[int], list[Instance]]]:
    groups: dict[int, tuple[list[int], list[Instance]]] = {}
    for instance in instances:
        seeds, members = groups.setdefault(instance.weight, ([], []))
        seeds.append(_hash64(instance.id))
        members.append(instance)
    return groups


def _hash64(text: str) -> int:
    return int.from_bytes(blake2b(_bytes(text), digest_size=8).digest(), "little")
