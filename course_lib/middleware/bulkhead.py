"""A bulkhead keeps one slow dependency from taking every worker down with it.

It refuses at once; it never queues. For queueing see `rate_limit.delaying`.
"""

from typing import Any

from course_lib.endpoint import Endpoint, Middleware
from course_lib.errors import Overloaded


def bulkhead(capacity: int) -> Middleware:
    """Admit at most `capacity` requests at once; refuse the others with `Overloaded`."""

    def wrap(inner: Endpoint) -> Endpoint:
        in_flight = 0

        async def endpoint(request: Any) -> Any:
            nonlocal in_flight
            if in_flight >= capacity:
                raise Overloaded(f"{in_flight} requests in flight, capacity {capacity}")
            in_flight += 1
            try:
                return await inner(request)
            finally:
                in_flight -= 1

        return endpoint

    return wrap
