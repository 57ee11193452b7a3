"""The second-best answer: a default or an old one, and never in place of a plain no."""

import asyncio
from typing import Any

import pytest

from course_lib.errors import CircuitOpen, Internal, NotFound, Unavailable
from course_lib.middleware.fallback import fallback, stale_cache


async def guest(_request: Any) -> str:
    return "guest"


class Users:
    """Answers "Ada <n>" the nth time, or raises what stands in `error`."""

    error: Exception | None = None
    answered = 0

    async def __call__(self, _request: Any) -> str:
        if self.error is not None:
            raise self.error
        self.answered += 1
        return f"Ada {self.answered}"


async def test_a_default_stands_in_during_an_outage() -> None:
    users = Users()
    call = fallback(guest)(users)
    assert await call(1) == "Ada 1"
    users.error = CircuitOpen()
    assert await call(1) == "guest"


@pytest.mark.parametrize("error", [NotFound(), Internal(), TypeError()])
async def test_answers_and_bugs_are_not_papered_over(error: Exception) -> None:
    users = Users()
    users.error = error
    for call in (fallback(guest)(users), stale_cache(60)(users)):
        with pytest.raises(type(error)):
            await call(1)


async def test_somebody_is_told_of_every_fallback() -> None:
    told: list[tuple[Any, Exception]] = []
    users = Users()
    call = fallback(guest, on_fallback=lambda *what: told.append(what))(users)
    await call(1)
    users.error = Unavailable("refused")
    await call(2)
    assert told == [(2, users.error)]


async def test_the_last_good_answer_is_given_while_it_is_fresh_enough() -> None:
    users = Users()
    call = stale_cache(60)(users)
    assert [await call(1), await call(1)] == ["Ada 1", "Ada 2"]
    users.error = Unavailable()
    await asyncio.sleep(60)
    assert await call(1) == "Ada 2"
    await asyncio.sleep(1)
    with pytest.raises(Unavailable):
        await call(1)


async def test_however_old_an_answer_may_be_there_must_have_been_one() -> None:
    users = Users()
    call = stale_cache(float("inf"))(users)
    await call(1)
    users.error = Unavailable()
    await asyncio.sleep(1e9)
    assert await call(1) == "Ada 1"
    with pytest.raises(Unavailable):
        await call(2)


async def test_another_request_gets_no_answer_that_was_not_its_own() -> None:
    users = Users()
    call = stale_cache(60, key=lambda request: request % 10)(users)
    await call(1)
    users.error = Unavailable()
    assert await call(11) == "Ada 1"
    with pytest.raises(Unavailable):
        await call(2)


async def test_a_request_that_cannot_be_kept_is_refused_before_the_call() -> None:
    users = Users()
    with pytest.raises(TypeError, match="unhashable"):
        await stale_cache(60)(users)({"user_id": 1})
    assert await stale_cache(60, key=str)(users)({"user_id": 1}) == "Ada 1"


async def test_only_the_latest_requests_are_kept() -> None:
    users = Users()
    call = stale_cache(60, capacity=2)(users)
    for request in (1, 2, 1, 3):
        await call(request)
    users.error = Unavailable()
    assert [await call(1), await call(3)] == ["Ada 3", "Ada 4"]
    with pytest.raises(Unavailable):
        await call(2)
