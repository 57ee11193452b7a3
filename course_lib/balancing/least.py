"""Policies that look at how busy the instances are: the least busy of all, or of two by lot."""

import random
from bisect import bisect
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from heapq import heapify, heappop, heappush
from itertools import accumulate
from math import lcm

from course_lib.balancing.plain import plain_least_connections
from course_lib.balancing.policy import Policy, once_per_set
from course_lib.discovery.instance import Instance


def least_connections(*, scan_up_to: int = 8) -> Policy:
    """Pick the instance with the fewest requests in flight for its weight (nginx's `least_conn`).

    Ties go to smooth weighted round robin among the tied instances only. Of up to `scan_up_to`
    instances each is looked at, which is quicker there than to keep them sorted.
    """

    def prepare(instances: Sequence[Instance]) -> Callable[[], Instance]:
        if len(instances) > scan_up_to:
            return _prepare(instances)
        return partial(plain_least_connections(), instances)

    loads = once_per_set(prepare)

    def policy(instances: Sequence[Instance], key: str | None = None) -> Instance:
        return loads(instances)()

    return policy


def two_choices(rng: random.Random) -> Policy:
    """Draw two by weight and pick the less busy (Mitzenmacher, "The Power of Two Choices", 2001).

    A tie goes to the first one drawn.
    """
    sums = once_per_set(lambda instances: [0, *accumulate(i.weight for i in instances)])

    def policy(instances: Sequence[Instance], key: str | None = None) -> Instance:
        ends = sums(instances)
        first = bisect(ends, rng.random() * ends[-1]) - 1
        if len(instances) == 1:
            return instances[0]
        one = instances[first]
        drawn = rng.random() * (ends[-1] - one.weight)
        other = instances[bisect(ends, drawn if drawn < ends[first] else drawn + one.weight) - 1]
        return other if other.in_flight * one.weight < one.in_flight * other.weight else one

    return policy


class _Tied:
    """Instances that are equally busy; `heaps` holds, for each weight, the richest first.

    A tie that nobody is in any more stays, in case somebody comes back; then it is not `listed`.
    """

    __slots__ = ("heaps", "listed", "turns", "weight")

    def __init__(self) -> None:
        self.weight = 0
        self.turns = 0
        self.listed = False
        self.heaps: defaultdict[int, list[int]] = defaultdict(list)


class _Seat:
    """Where an instance stands: its tie, its key there, and what one request adds to its load."""

    __slots__ = ("instance", "key", "request", "tied", "weight")

    def __init__(self, instance: Instance, key: int, request: int, tied: _Tied) -> None:
        self.instance = instance
        self.weight = instance.weight
        self.key = key
        self.request = request
        self.tied = tied


def _prepare(instances: Sequence[Instance]) -> Callable[[], Instance]:
    """Sort all instances into ties, keep the ties up to date, and return a function that picks.

    A rank is what an instance has earned times the number of instances, less its place: the
    highest is the richest, and the first among equally rich ones. While an instance stays in
    a tie its rank is weight * turns - key, so the smallest key of a weight ranks highest. A
    key in a heap that is not the instance's own any more is skipped. A load is in_flight /
    weight, times a multiple of all weights, so that it is whole.
    """
    size, multiple = len(instances), lcm(*(instance.weight for instance in instances))
    nowhere = _Tied()  # whoever is picked stays here until the next pick sees how busy it is
    seats = [
        _Seat(instance, place, multiple // instance.weight, nowhere)
        for place, instance in enumerate(instances)
    ]
    by_load: dict[int, _Tied] = {}
    loads: list[int] = []
    changed = set(seats)
    pushed, most_pushed = 0, 4 * size + 1000

    def sweep() -> None:
        """Build the heaps anew, without the keys and the ties that are nobody's any more."""
        for load, tied in [*by_load.items()]:
            tied.heaps.clear()
            if not tied.listed:
                del by_load[load]
        for seat in seats:
            seat.tied.heaps[seat.weight].append(seat.key)
        for tied in by_load.values():
            for heap in tied.heaps.values():
                heapify(heap)

    def pick() -> Instance:
        """Pick from the least busy tie whoever earned most, and let them pay for all."""
        nonlocal pushed
        for seat in changed:
            load = seat.instance.in_flight * seat.request
            tied, old = by_load.get(load), seat.tied
            if tied is None:
                tied = by_load[load] = _Tied()
            if tied is not old:
                if not tied.listed:
                    tied.listed = True
                    heappush(loads, load)
                weight = seat.weight
                old.weight -= weight
                tied.weight += weight
                seat.tied = tied
                key = seat.key = seat.key + weight * (tied.turns - old.turns)
                heappush(tied.heaps[weight], key)
        pushed += len(changed)
        changed.clear()
        if pushed > most_pushed:
            pushed = 0
            sweep()
        tied = by_load[loads[0]]
        while not tied.weight:
            tied.listed = False
            heappop(loads)
            tied = by_load[loads[0]]
        turns, highest = tied.turns + size, 0
        best: _Seat | None = None
        for weight, heap in tied.heaps.items():
            while heap:
                key = heap[0]
                seat = seats[key % size]
                if seat.key == key and seat.tied is tied:
                    rank = weight * turns - key
                    if best is None or rank > highest:
                        best, highest, richest = seat, rank, heap
                    break
                heappop(heap)
        assert best is not None  # a tie that weighs something has somebody in it
        heappop(richest)
        best.key = tied.weight * size - highest
        best.tied = nowhere
        tied.turns = turns
        tied.weight -= best.weight
        changed.add(best)
        return best.instance

    for seat in seats:
        seat.instance.watch(pick, partial(changed.add, seat))
    return pick
