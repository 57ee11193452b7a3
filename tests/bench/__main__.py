"""Measure what the course promises: `python -m tests.bench [--quick] [--check] [--strict]`.

Prints a table and saves a plot under build/bench. A missed target is said in the table; only
with --strict does it also make the exit status 1. --check compares the HTTP peers and times
nothing.
"""

import argparse
from pathlib import Path

from tests.bench import balancing, http_peers, in_process, learner, logs, telemetry, traces
from tests.bench.report import plot, table

FOLDER = Path(__file__).parents[2] / "build" / "bench"


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three short rounds")
    parser.add_argument("--check", action="store_true", help="check the peers, time nothing")
    parser.add_argument("--strict", action="store_true", help="exit status 1 on a missed target")
    options = parser.parse_args()
    rounds, seconds = (3, 0.5) if options.quick else (9, 1.5)
    rows = http_peers.run(FOLDER, rounds, seconds, only_check=options.check)
    rows += telemetry.run(FOLDER, rounds, seconds, only_check=options.check)
    if options.check:
        print("The peers answer, log and count alike.")
        return 0
    rows += in_process.run(rounds)
    rows += balancing.run(rounds)
    rows += learner.run(rounds)
    rows += logs.run(rounds, 200_000 if options.quick else logs.EVENTS)
    rows += traces.run(rounds)
    print(table(rows))
    plot(rows, FOLDER / "bench.png")
    print("\nPlot: build/bench/bench.png")
    return 1 if options.strict and not all(row.met for row in rows) else 0


raise SystemExit(main())
