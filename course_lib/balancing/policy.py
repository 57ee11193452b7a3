"""What a policy is, and how it prepares once for a set of instances instead of at every pick."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from course_lib.discovery.instance import Instance
from course_lib.errors import NoInstances

Prepared = TypeVar("Prepared")


class Policy(Protocol):
    """Choose one of `instances`; `key` is the client address, or whatever requests are hashed by.

    The sequence is never changed in place: a new set, or a new weight, is a new sequence.
    """

    def __call__(self, instances: Sequence[Instance], key: str | None = None) -> Instance: ...


def once_per_set(
    prepare: Callable[[Sequence[Instance]], Prepared],
) -> Callable[[Sequence[Instance]], Prepared]:
    """Call `prepare` when the set or a weight has changed, and keep what it returned till then.

    A sequence seen before is known by its identity; another one with the same members counts
    as the same set. The set before the latest is kept too: where an instance comes and goes all
    the time, two sets take turns, and each goes on where it was. Raises NoInstances for an
    empty one.
    """
    known: Sequence[Instance] | None = None
    latest: tuple[list[tuple[Instance, str, int]], Any] = ([], None)
    before = latest
    prepared: Any = None

    def of(instances: Sequence[Instance]) -> Prepared:
        nonlocal known, latest, before, prepared
        if instances is not known:
            if not instances:
                raise NoInstances("there is no instance to choose from")
            now = [(instance, instance.address, instance.weight) for instance in instances]
            if now != latest[0]:
                latest, before = before if now == before[0] else (now, prepare(instances)), latest
                prepared = latest[1]
            known = instances
        return prepared

    return of
