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
    return address.encode()


def consistent_hash() -> Policy:
    """Pick the next point on a ring of hashes (nginx's `hash $key consistent`, ketama).

    When one of n instances comes or goes, about one key in n moves. Requests without a key go
    in turn, by weight.
    """
    rings, in_turn = once_per_set(_ring), weighted_round_robin()

    def policy(instances: Sequence[Instance], key: str | None = None) -> Instance:
        if not key:
            return in_turn(instances)
        points, owners = rings(instances)
        place = bisect_left(points, crc32(key.encode()))
        return owners[place if place < len(points) else 0]

    return policy


def _ring(instances: Sequence[Instance]) -> tuple[list[int], list[Instance]]:
    owners: dict[int, Instance] = {}
    for instance in instances:
        for point in _points(instance.address, instance.weight):
            owners.setdefault(point, instance)
    points = sorted(owners)
    return points, [owners[point] for point in points]


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
    seeds = once_per_set(lambda instances: [_hash64(instance.id) for instance in instances])
    in_turn = weighted_round_robin()

    def policy(instances: Sequence[Instance], key: str | None = None) -> Instance:
        if not key or not instances:
            return in_turn(instances)
        best, most, drawn = instances[0], -1.0, _hash64(key)
        for instance, seed in zip(instances, seeds(instances), strict=True):
            mixed = ((seed ^ drawn) * 0x9E3779B97F4A7C15) & _MASK
            mixed = ((mixed ^ mixed >> 32) * 0xD6E8FEB86659FD93) & _MASK
            score = instance.weight / -log(((mixed >> 11) + 0.5) / 2**53)
            if score > most:
                best, most = instance, score
        return best

    return policy


def _hash64(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
