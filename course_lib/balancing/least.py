"""Policies that look at how busy the instances are: the least busy of all, or of two by lot."""

import random
from bisect import bisect
from collections import defaultdict
from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush, heapreplace
from itertools import accumulate

from course_lib.balancing.policy import Policy, once_per_set
from course_lib.discovery.instance import Instance


def least_connections() -> Policy:
    """Pick the instance with the fewest requests in flight for its weight (nginx's `least_conn`).

    Ties go to smooth weighted round robin among the tied instances only.
    """
    loads = once_per_set(_prepare)

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
    """Instances that are equally busy; `heaps` holds, for each weight, the richest first."""

    __slots__ = ("heaps", "turns", "weight")

    def __init__(self) -> None:
        self.weight = 0
        self.turns = 0
        self.heaps: defaultdict[int, list[int]] = defaultdict(list)


def _prepare(instances: Sequence[Instance]) -> Callable[[], Instance]:
    """Sort all instances into ties, keep the ties up to date, and return a function that picks.

    A rank is what an instance has earned times the number of instances, less its place: the
    highest is the richest, and the first among equally rich ones. While an instance stays in
    a tie its rank is weight * turns - key, so the smallest key of a weight ranks highest. A
    key in a heap that is not the instance's own any more is skipped. Loads are compared as
    floats, which is exact below 2**26.
    """
    size = len(instances)
    places = {instance: place for place, instance in enumerate(instances)}
    keys = list(range(size))
    ties = [_Tied()] * size
    by_load: dict[float, _Tied] = {}
    loads: list[float] = []
    changed = set(instances)
    pushed = 0
    paid: tuple[int, list[int]] | None = None

    def settle() -> None:
        """Take every instance that has changed from the tie it was in to where it belongs."""
        nonlocal pushed
        if paid is not None:  # it is still on top of its heap, with the key it had before
            place, heap = paid
            picked = instances[place]
            if by_load.get(picked.in_flight / picked.weight) is ties[place]:
                heapreplace(heap, keys[place])
            else:
                heappop(heap)
        for instance in changed:
            place, weight = places[instance], instance.weight
            load, old = instance.in_flight / weight, ties[place]
            tied = by_load.get(load)
            if tied is None:
                tied = by_load[load] = _Tied()
                heappush(loads, load)
            if tied is old:
                continue
            old.weight -= weight
            tied.weight += weight
            keys[place] += weight * (tied.turns - old.turns)
            ties[place] = tied
            heappush(tied.heaps[weight], keys[place])
        pushed += len(changed)
        if pushed > 4 * size + 1000:
            pushed = 0
            sweep()
        changed.clear()

    def sweep() -> None:
        """Build the heaps anew, without the keys that are nobody's any more."""
        for tied in by_load.values():
            tied.heaps.clear()
        for place, tied in enumerate(ties):
            tied.heaps[instances[place].weight].append(keys[place])
        for tied in by_load.values():
            for heap in tied.heaps.values():
                heapify(heap)

    def pick() -> Instance:
        """Pick from the least busy tie whoever earned most, and let them pay for all."""
        nonlocal paid
        settle()
        tied = by_load[loads[0]]
        while not tied.weight:
            del by_load[heappop(loads)]
            tied = by_load[loads[0]]
        turns, best, highest, richest = tied.turns + size, -1, 0, []
        for weight, heap in tied.heaps.items():
            while heap:
                key = heap[0]
                place = key % size
                if keys[place] == key and ties[place] is tied:
                    if best < 0 or weight * turns - key > highest:
                        best, highest, richest = place, weight * turns - key, heap
                    break
                heappop(heap)
        tied.turns = turns
        keys[best] += tied.weight * size
        paid = best, richest
        return instances[best]

    for instance in instances:
        instance.watch(pick, changed)
    return pick
