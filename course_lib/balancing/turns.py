"""Policies that look at nothing but whose turn it is: in turn, by weight, by lot."""

import random
from bisect import bisect
from collections.abc import Iterator, Sequence
from itertools import accumulate, count, cycle
from math import gcd

from course_lib.balancing.policy import Policy, once_per_set
from course_lib.discovery.instance import Instance
from course_lib.errors import NoInstances


def round_robin() -> Policy:
    """Pick one after the other, whatever they weigh."""
    turn = count()

    def policy(instances: Sequence[Instance], key: str | None = None) -> Instance:
        if not instances:
            raise NoInstances("there is no instance to choose from")
        return instances[next(turn) % len(instances)]

    return policy


def weighted_round_robin() -> Policy:
    """Pick in proportion to the weights, evenly spread: nginx's smooth weighted round robin.

    The sequence repeats after the sum of the weights, so each pick is worked out only once.
    """
    turns = once_per_set(lambda instances: cycle(smooth_cycle(instances)))

    def policy(instances: Sequence[Instance], key: str | None = None) -> Instance:
        return next(turns(instances))

    return policy


class _Lane:
    """Instances of one weight. They always come in turn, so only the next one need be compared."""

    __slots__ = ("current", "members", "next", "weight")

    def __init__(self, weight: int) -> None:
        self.weight = weight
        self.members: list[int] = []
        self.next = 0
        self.current = 0


def smooth_cycle(instances: Sequence[Instance]) -> Iterator[Instance]:
    """Yield one cycle of smooth weighted round robin, comparing one instance for each weight.

    `plain.smooth_pick` says what is computed here.
    """
    divisor = gcd(*(instance.weight for instance in instances))
    total = sum(instance.weight for instance in instances) // divisor
    lanes: dict[int, _Lane] = {}
    for index, instance in enumerate(instances):
        weight = instance.weight // divisor
        lanes.setdefault(weight, _Lane(weight)).members.append(index)
    for _ in range(total):
        best, first, most = None, 0, 0
        for lane in lanes.values():
            lane.current += lane.weight
            index = lane.members[lane.next]
            if best is None or lane.current > most or (lane.current == most and index < first):
                best, first, most = lane, index, lane.current
        assert best is not None
        best.next += 1
        if best.next == len(best.members):
            best.next = 0
            best.current -= total
        yield instances[first]


def random_choice(rng: random.Random) -> Policy:
    """Pick by lot, in proportion to the weights (nginx's `random`)."""
    sums = once_per_set(lambda instances: list(accumulate(i.weight for i in instances)))

    def policy(instances: Sequence[Instance], key: str | None = None) -> Instance:
        weights = sums(instances)
        return instances[bisect(weights, rng.random() * weights[-1])]

    return policy
