"""A balancer is an endpoint that stands for many."""

from collections.abc import Callable, Sequence
from typing import Any

from course_lib.balancing.policy import Policy
from course_lib.context import caller_address
from course_lib.discovery.instance import Instance
from course_lib.endpoint import Endpoint
from course_lib.errors import NoInstances


def balance(
    discover: Callable[[], Sequence[Instance]],
    policy: Policy,
    *,
    key: Callable[[Any], str | None] | None = None,
) -> Endpoint:
    """Return one endpoint that sends each request to an instance the policy picks.

    `key(request)` is what a policy may hash by: without it, the address the call came from.
    Raises NoInstances when discovery returns none.
    """

    async def endpoint(request: Any) -> Any:
        instances = discover()
        if not instances:
            raise NoInstances("discovery returned no instance")
        hash_key = caller_address.get() if key is None else key(request)
        instance = policy(instances, hash_key)
        if instance.endpoint is None:
            raise NoInstances(f"instance {instance.id!r} has no endpoint")
        instance.begin()
        try:
            return await instance.endpoint(request)
        finally:
            instance.end()

    return endpoint
