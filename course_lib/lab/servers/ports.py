"""Ports for processes that must be told where to listen before they start."""

import random
import socket
from collections.abc import Collection

_BY_CHANCE = random.SystemRandom()


def free_addresses(count: int, *, but: Collection[str] = ()) -> list[str]:
    """Return so many addresses "127.0.0.1:PORT" on which nobody listens just now, none in `but`.

    They lie below the ports that systems hand out by themselves, so nobody gets one by chance.
    """
    found: set[str] = set()
    while len(found) < count:
        port = _BY_CHANCE.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found |= {f"127.0.0.1:{port}"} - set(but)
    return sorted(found)
