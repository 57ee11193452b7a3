"""A fallback gives the second-best answer when the best cannot be had: a default, or an old one.

Nothing should fall back where a wrong answer costs more than none: stock, money, permissions.
Whoever falls back must say so to somebody (`on_fallback`), or the outage stays hidden.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from course_lib.endpoint import Endpoint, Middleware
from course_lib.errors import Failure, Internal

OnFallback = Callable[[Any, Exception], None]


def outage(error: Exception) -> bool:
    """Whether the other side could not be had: a failure, but no bug and no answer."""
    return isinstance(error, Failure) and not isinstance(error, Internal)


def _say_nothing(request: Any, error: Exception) -> None:
    """Tell nobody."""


def fallback(
    instead: Endpoint,
    *,
    when: Callable[[Exception], bool] = outage,
    on_fallback: OnFallback = _say_nothing,
) -> Middleware:
    """Ask `instead`, an endpoint for the same requests, when the call fails and `when` says so."""

    def wrap(inner: Endpoint) -> Endpoint:
        async def endpoint(request: Any) -> Any:
            try:
                return await inner(request)
            except Exception as error:
                if not when(error):
                    raise
                on_fallback(request, error)
                return await instead(request)

        return endpoint

    return wrap


def stale_cache(
    max_age_seconds: float,
    *,
    capacity: int = 1000,
    key: Callable[[Any], Hashable] = lambda request: request,
    when: Callable[[Exception], bool] = outage,
    on_fallback: OnFallback = _say_nothing,
) -> Middleware:
    """Answer with the last good answer to the same request, when the call fails.

    Every call is still tried first. The answers of the `capacity` latest requests are kept, by
    `key`, which makes of a request what can be hashed.
    """

    def wrap(inner: Endpoint) -> Endpoint:
        kept: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()

        async def endpoint(request: Any) -> Any:
            clock, name = asyncio.get_running_loop().time, key(request)
            hash(name)  # raises TypeError before the call, not after it
            try:
                response = await inner(request)
            except Exception as error:
                instant, response = kept.get(name, (None, None))
                if instant is None or not when(error) or clock() > instant + max_age_seconds:
                    raise
                on_fallback(request, error)
                return response
            kept[name] = (clock(), response)
            kept.move_to_end(name)
            if len(kept) > capacity:
                kept.popitem(last=False)
            return response

        return endpoint

    return wrap
