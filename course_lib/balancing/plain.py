"""Smooth weighted round robin and least connections as one would write them down first.

Every pick looks at every instance, which takes a hundred times as long among 1,500. `turns` and
`least` make the same choices faster, and the tests hold them to it.
"""

from collections.abc import Sequence
from math import inf

from course_lib.balancing.policy import Policy
from course_lib.discovery.instance import Instance


def smooth_pick(tied: Sequence[Instance], current: dict[Instance, int]) -> Instance:
    """Let every instance earn its weight; the richest is picked and pays what all earned (nginx).

    Among equally rich ones the first is picked.
    """
    best, most, total = tied[0], -inf, 0
    for instance in tied:
        weight = instance.weight
        total += weight
        earned = current[instance] = current.get(instance, 0) + weight
        if earned > most:
            best, most = instance, earned
    current[best] -= total
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
        least, tied = instances[0], [instances[0]]
        for other in instances[1:]:
            its, the_least = other.in_flight * least.weight, least.in_flight * other.weight
            if its < the_least:
                least, tied = other, [other]
            elif its == the_least:
                tied.append(other)
        return smooth_pick(tied, current) if len(tied) > 1 else least

    return policy
