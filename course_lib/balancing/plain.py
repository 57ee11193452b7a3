"""Smooth weighted round robin and least connections as one would write them down first.

Every pick looks at every instance, which takes a hundred times as long among 1,500. `turns` and
`least` make the same choices faster, and the tests hold them to it.
"""

from collections.abc import Sequence

from course_lib.balancing.policy import Policy
from course_lib.discovery.instance import Instance


def smooth_pick(tied: Sequence[Instance], current: dict[Instance, int]) -> Instance:
    """Let every instance earn its weight; the richest is picked and pays what all earned (nginx).

    Among equally rich ones the first is picked.
    """
    for instance in tied:
        current[instance] = current.get(instance, 0) + instance.weight
    best = max(tied, key=lambda instance: current[instance])
    current[best] -= sum(instance.weight for instance in tied)
    return best


def plain_weighted_round_robin() -> Policy:
    """Return nginx's smooth weighted round robin, by a scan."""
    current: dict[Instance, int] = {}

    def policy(instances: Sequence[Instance], key: str | None = None) -> Instance:
        return smooth_pick(instances, current)

    return policy


def plain_least_connections() -> Policy:
    """Return nginx's `least_conn`, by a scan: fewest in flight for its weight, ties in turn."""
    current: dict[Instance, int] = {}

    def policy(instances: Sequence[Instance], key: str | None = None) -> Instance:
        least = instances[0]
        for other in instances:
            if other.in_flight * least.weight < least.in_flight * other.weight:
                least = other
        tied = [
            other
            for other in instances
            if other.in_flight * least.weight == least.in_flight * other.weight
        ]
        return smooth_pick(tied, current) if len(tied) > 1 else least

    return policy
