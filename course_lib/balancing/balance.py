"""A balancer is an endpoint that stands for many."""

from collections.abc import Callable, Sequence
from typing import Any

from course_lib.balancing.policy import Policy
from course_lib.context import caller_address
from course_lib.discovery.instance import Instance
from course_lib.endpoint import Endpoint
from course_lib.errors import NoInstances


def caller(request: Any) -> str | None:
    """The address the call came from: what requests are hashed by unless told otherwise."""
    return caller_address.get()


def balance(
    discover: Callable[[], Sequence[Instance]],
    policy: Policy,
    *,
    key: Callable[[Any], str | None] = caller,
) -> Endpoint:
    """Return one endpoint that sends each request to an instance the policy picks.

    Raises NoInstances when discovery returns none.
    """

    async def endpoint(request: Any) -> Any:
        instances = discover()
        if not instances:
            raise NoInstances("discovery returned no instance")
        instance = policy(instances, key(request))
        if instance.endpoint is None:
            raise NoInstances(f"instance {instance.id!r} has no endpoint")
        instance.begin()
        try:
            return await instance.endpoint(request)
        finally:
            instance.end()

    return endpoint
