"""Policies that look at how busy the instances are: the least busy of all, or of two by lot."""

import random
from bisect import bisect
from collections import defaultdict
from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
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

    __slots__ = ("count", "heaps", "turns", "weight")

    def __init__(self) -> None:
        self.count = 0
        self.weight = 0
        self.turns = 0
        self.heaps: defaultdict[int, list[int]] = defaultdict(list)


def _prepare(instances: Sequence[Instance]) -> Callable[[], Instance]:
    """Sort all instances into ties, keep the ties up to date, and return a function that picks.

    A rank is what an instance has earned times the number of instances, less its place: the
    highest is the richest, and the first among equally rich ones. While an instance stays in
    a tie its rank is weight * turns - key, so the smallest key of a weight ranks highest. A
    key in a heap that is not the instance's own any more is skipped; the instance picked last
    is in no heap. Loads are compared as floats, which is exact below 2**26.
    """
    size = len(instances)
    places = {instance: place for place, instance in enumerate(instances)}
    keys = list(range(size))
    ties = [_Tied()] * size
    by_load: dict[float, _Tied] = {}
    loads: list[float] = []
    changed = set(instances)
    for instance in instances:
        instance.watch(changed)

    def settle(instance: Instance) -> None:
        """Take an instance from the tie it was in to the one where it belongs."""
        place, weight = places[instance], instance.weight
        old, load = ties[place], instance.in_flight / weight
        tied = by_load.get(load)
        if tied is None:
            tied = by_load[load] = _Tied()
            heappush(loads, load)
        if tied is not old:
            old.count -= 1
            old.weight -= weight
            tied.count += 1
            tied.weight += weight
            keys[place] += weight * (tied.turns - old.turns)
            ties[place] = tied
        heap = tied.heaps[weight]
        heappush(heap, keys[place])
        if len(heap) > 2 * size:
            heap[:] = {k for k in heap if keys[k % size] == k and ties[k % size] is tied}
            heapify(heap)

    def pick() -> Instance:
        """Pick from the least busy tie whoever earned most, and let them pay for all."""
        for instance in changed:
            settle(instance)
        changed.clear()
        while not (tied := by_load[loads[0]]).count:
            del by_load[heappop(loads)]
        many = tied.count > 1
        if many:
            tied.turns += size
        best, highest, richest = -1, 0, []
        for weight, heap in tied.heaps.items():
            while heap:
                place = heap[0] % size
                if keys[place] == heap[0] and ties[place] is tied:
                    rank = weight * tied.turns - heap[0]
                    if best < 0 or rank > highest:
                        best, highest, richest = place, rank, heap
                    break
                heappop(heap)
        picked = instances[best]
        if many:
            keys[best] += tied.weight * size
            heappop(richest)
            changed.add(picked)
        return picked

    return pick
