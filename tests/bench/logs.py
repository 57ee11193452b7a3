"""The log store: events taken in, and questions put to a million of them.

It is in memory and only computes, so it is timed by the processor's clock, whoever else is busy.
"""

import random
import time
from collections.abc import Callable

import orjson

from course_lib.stand_ins import LogStore
from tests.bench.report import Row

EVENTS = 1_000_000
BATCH = 1_000
FIRST_SECOND = 1_735_689_600


def lines(count: int, rng: random.Random) -> list[bytes]:
    """Lines as `json_logger` writes them: 100,000 users, one call in a hundred fails."""
    return [
        orjson.dumps(
            {
                "event": "call",
                "operation": rng.choice(("get_user", "list_users", "create_user")),
                "outcome": "Unavailable" if rng.random() < 0.01 else "ok",
                "seconds": round(rng.random(), 6),
                "user_id": rng.randrange(100_000),
                "service": "users",
                "instance": rng.choice("abc"),
                "level": "info",
                "timestamp": f"2025-01-01T{number // 3600 % 24:02}:{number // 60 % 60:02}:"
                f"{number % 60:02}.000000Z",
                "trace_id": f"{rng.getrandbits(128):032x}",
                "span_id": f"{rng.getrandbits(64):016x}",
            }
        )
        for number in range(count)
    ]


def body(batch: list[bytes], first: int) -> bytes:
    """One push of a batch, an event a millisecond."""
    at_ns = FIRST_SECOND * 10**9
    values = [
        [str(at_ns + (first + number) * 10**6), line.decode()] for number, line in enumerate(batch)
    ]
    stream = {"service": "users", "instance": "abc"[first // BATCH % 3], "level": "info"}
    return orjson.dumps({"streams": [{"stream": stream, "values": values}]})


def run(rounds: int, events: int = EVENTS) -> list[Row]:
    rng, store, rates, worst = random.Random(1), LogStore(), [], 0.0
    for first in range(0, events, 50_000):
        new = lines(50_000, rng)
        bodies = [body(new[at : at + BATCH], first + at) for at in range(0, len(new), BATCH)]
        started = time.process_time()
        for one in bodies:
            before = time.process_time()
            store.push(one)
            worst = max(worst, time.process_time() - before)
        rates.append(len(new) / (time.process_time() - started))
    million = f"{events:,} events"
    needle = '{service="users"} |= "\\"user_id\\":4242,"'
    rows = [Row(f"log store: pushes of {BATCH:,} taken in, {million}", rates, "events/s", 20_000)]
    rows.append(Row("log store: the longest push of them", [1e3 * worst], "ms"))
    questions: dict[str, Callable[[], object]] = {
        "one user's events": lambda: store.search(user_id=4242),
        "one outcome of one user": lambda: store.search(user_id=4242, outcome="ok"),
        "the last 100 failures": lambda: store.search(outcome="Unavailable"),
        "all 1 % of failures counted by operation": lambda: store.count(
            outcome="Unavailable", by="operation"
        ),
        "a third of all counted by outcome": lambda: store.count(
            operation="get_user", by="outcome"
        ),
        "one trace": lambda: store.search(trace_id=rare["trace_id"]),
        "LogQL, a field in the line": lambda: store.search(needle, limit=100),
    }
    rare = store.search(limit=1)[0]
    for name, ask in questions.items():
        times = [_ms(ask) for _ in range(rounds)]
        target = None if "counted" in name else 200.0
        rows.append(Row(f"log store: {name}", times, "ms", target, at_least=False))
    scan = '{service="users"} |~ "user_id.:4242,"'
    rows.append(
        Row("log store: a regular expression over all", [_ms(lambda: store.search(scan))], "ms")
    )
    store.close()
    return rows


def _ms(ask: Callable[[], object]) -> float:
    started = time.process_time()
    assert ask()
    return 1e3 * (time.process_time() - started)
