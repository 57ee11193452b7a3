"""What a service says about itself: is it alive, is it ready, has it started.

A check is a function, plain or async, that raises or returns False when something is wrong. It may
hang: the page says so after `check_seconds`. A plain one runs on in its thread and is not started
a second time beside itself; an async one is cancelled, which a thread it waits for does not hear of
(a blocking driver: pass its plain function). Leaves out how often anybody asks (see `probes`).
"""

import asyncio
import inspect
import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

from course_lib.errors import CallError

Check = Callable[[], Any]
"""Plain or async; raising or returning False means: not well. A plain one runs in a thread."""

PAGES = {"/healthz": "liveness", "/readyz": "readiness", "/startupz": "startup"}


@dataclass(frozen=True)
class Report:
    """What the checks of one kind came to: for each name "ok", or why not."""

    checks: Mapping[str, str]

    @property
    def ok(self) -> bool:
        """Whether every check passed; where there is none, the answer itself is the proof."""
        return all(outcome == "ok" for outcome in self.checks.values())


class Health:
    """Named checks by kind, and three ASGI pages: 200 when all checks of a kind pass, else 503.

    A check registered under a name in use takes its place.
    """

    def __init__(self, *, check_seconds: float = 0.5) -> None:
        self.check_seconds = check_seconds
        self.draining = False
        self._checks: dict[str, dict[str, _Named]] = {kind: {} for kind in PAGES.values()}

    def liveness(self, name: str, check: Check) -> None:
        """Add a check that fails when only a restart will help."""
        self._checks["liveness"][name] = _Named(check)

    def readiness(self, name: str, check: Check) -> None:
        """Add a check that fails when no requests should be sent here for now."""
        self._checks["readiness"][name] = _Named(check)

    def startup(self, name: str, check: Check) -> None:
        """Add a check that fails as long as the service is still starting."""
        self._checks["startup"][name] = _Named(check)

    def drain(self) -> None:
        """Be not ready for good, whatever the checks say; the service stays alive."""
        self.draining = True

    async def report(self, kind: str) -> Report:
        """Run the checks of one kind, all at once; takes at most about `check_seconds`."""
        checks = self._checks[kind]
        outcomes = await asyncio.gather(*(c.outcome(self.check_seconds) for c in checks.values()))
        found = dict(zip(checks, outcomes, strict=True))
        if kind == "readiness" and self.draining:
            found["drain"] = "draining"
        return Report(found)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve /healthz, /readyz and /startupz; anything else is not found."""
        await self.around(_nothing_else)(scope, receive, send)

    def around(self, app: Any) -> Any:
        """The application with the three pages in front of it, whatever it is written with."""

        async def with_pages(scope: Any, receive: Any, send: Any) -> None:
            kind = PAGES.get(_path(scope))
            if kind is None:
                await app(scope, receive, send)
            elif scope["method"] not in ("GET", "HEAD"):
                await _answer(scope, send, 405, {"status": "ask with GET or HEAD"})
            else:
                report = await self.report(kind)
                body = {"status": "ok" if report.ok else "failing", "checks": dict(report.checks)}
                await _answer(scope, send, 200 if report.ok else 503, body)

        return with_pages


class _Named:
    """One check; however many ask at the same time, it runs once."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._thread = _OwnThread()
        self._task: asyncio.Task[str] | None = None

    async def outcome(self, most_seconds: float) -> str:
        """Say "ok", or what is wrong."""
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:
            self._task = loop.create_task(self._run(most_seconds))
        task = self._task
        await asyncio.wait([task], timeout=most_seconds)
        if task.done():
            return "cancelled" if task.cancelled() else task.result()
        return _late(most_seconds)  # it does not even listen when it is cancelled

    async def _run(self, most_seconds: float) -> str:
        try:
            async with asyncio.timeout(most_seconds):
                answer = await self._called()
        except TimeoutError:
            return _late(most_seconds)
        except CallError as error:
            return f"{type(error).__name__}: {error}"
        except (Exception, SystemExit) as error:  # its text may hold an address or a password
            return type(error).__name__
        return "failed" if answer is False else "ok"

    async def _called(self) -> Any:
        call = getattr(self._check, "__call__", None)  # noqa: B004
        if inspect.iscoroutinefunction(self._check) or inspect.iscoroutinefunction(call):
            return await self._check()
        loop = asyncio.get_running_loop()
        try:
            waiting = loop.run_in_executor(self._thread, self._check)
        except RuntimeError:  # virtual time has no threads; there the check may not block
            answer = self._check()
        else:
            answer = await waiting
        return await answer if inspect.isawaitable(answer) else answer


class _OwnThread(Executor):
    """A thread for one check at a time; one that hangs keeps nobody from leaving."""

    def __init__(self) -> None:
        self._result: Future[Any] | None = None

    def submit(self, check: Any, /, *_: Any, **__: Any) -> Future[Any]:
        """Start the check, or join it where it still runs."""
        if self._result is None or self._result.done():
            result: Future[Any] = Future()
            self._result = result
            result.set_running_or_notify_cancel()

            def run() -> None:
                try:
                    result.set_result(check())
                except StopIteration as error:  # asyncio's futures do not take it
                    result.set_exception(RuntimeError(repr(error)))
                except BaseException as error:
                    result.set_exception(error)

            threading.Thread(target=run, name="health check", daemon=True).start()
        return self._result


def _late(most_seconds: float) -> str:
    return f"no answer within {most_seconds:g} s"


def _path(scope: Any) -> str:
    if scope["type"] != "http":
        return ""
    return scope["path"].removeprefix(scope.get("root_path", ""))


async def _nothing_else(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for _ in ("startup", "shutdown"):
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
    elif scope["type"] == "http":
        await _answer(scope, send, 404, {"status": f"there is {', '.join(PAGES)}"})


async def _answer(scope: Any, send: Any, status: int, body: Mapping[str, Any]) -> None:
    content = json.dumps(body).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if status == 405:
        headers.append((b"allow", b"GET, HEAD"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send(
        {"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content}
    )
