"""What makes an overload: a machine that is busy, and a wire that tells it nothing."""

import asyncio
from typing import Any

from course_lib.endpoint import Endpoint, Middleware
from course_lib.transport.memory import memory_client, memory_server


class Machine:
    """Does one thing at a time: a call waits until the machine is free.

    `stands_still` is a stretch of the loop's time, from and until, in which it begins nothing.
    """

    def __init__(self, stands_still: tuple[float, float] = (0.0, 0.0)) -> None:
        self._stands_still = stands_still
        self._free_at = 0.0

    def takes(self, seconds: float) -> Middleware:
        """Let each call take so many seconds of the machine before it goes on."""

        def wrap(inner: Endpoint) -> Endpoint:
            async def endpoint(request: Any) -> Any:
                await self._work(seconds)
                return await inner(request)

            return endpoint

        return wrap

    async def _work(self, seconds: float) -> None:
        now = asyncio.get_running_loop().time()
        begins = max(now, self._free_at)
        start, end = self._stands_still
        if start <= begins < end:
            begins = end
        self._free_at = begins + seconds
        await asyncio.sleep(self._free_at - now)


def over_the_wire(service: Endpoint) -> Endpoint:
    """Call the service over memory; as over HTTP, its work goes on when the caller has left."""
    return memory_client(memory_server(_goes_on(service)))


def _goes_on(inner: Endpoint) -> Endpoint:
    async def endpoint(request: Any) -> Any:
        work = asyncio.ensure_future(inner(request))
        work.add_done_callback(lambda work: work.cancelled() or work.exception())
        await asyncio.wait([work])
        return work.result()

    return endpoint
