"""The loop under virtual time: its clock moves only when nothing is ready to run.

Leaves out everything a clock that jumps cannot wait for: threads, sockets, processes.
"""

import asyncio
import heapq
import inspect
import linecache
import math
import threading
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

_COMPACT_ABOVE = 100
_RUN = "course_lib.lab.virtual_time"


class Deadlock(RuntimeError):
    """Everything waits, and nothing is left that could happen."""


class NotInVirtualTime(RuntimeError):
    """Threads, sockets and processes live in real time; a virtual clock cannot wait for them."""


_BaseEventLoop: Any = asyncio.BaseEventLoop  # type stubs hide what a loop is built from


class VirtualTimeLoop(_BaseEventLoop):
    """An event loop whose clock starts at 0.0 and moves only when nothing is ready to run.

    Timers due at the same instant run in the order in which they were set.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lost: list[BaseException] = []
        self.give_up: Callable[[], bool] | None = None
        self.interrupted = False
        self._now = 0.0
        self._timers: list[tuple[float, int, Any]] = []
        self._set = 0
        self._cancelled = 0
        self._tasks: dict[weakref.ref[asyncio.Task[Any]], None] = {}
        self._forget = self._tasks.pop
        self._created = 0
        self.set_exception_handler(_keep)

    def time(self) -> float:
        """Virtual seconds since the run began."""
        return self._now

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        """Run the callback in the next turn of the loop."""
        if self._closed:
            raise RuntimeError("the virtual run is over; make the object inside the run")
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> Any:
        """Run the callback soon; refused when it comes from another thread."""
        if self._thread_id not in (None, threading.get_ident()):
            error = NotInVirtualTime("an answer came from a thread: use storage in memory here")
            self.lost.append(error)
            raise error
        return self.call_soon(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """Run the callback when the virtual clock shows `when`."""
        if self._closed:
            raise RuntimeError("the virtual run is over; make the object inside the run")
        timer: Any = asyncio.TimerHandle(when, callback, args, self, context)
        timer._scheduled = True
        self._set += 1
        heapq.heappush(self._timers, (when, self._set, timer))
        return timer

    def call_later(
        self, delay: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """Run the callback `delay` virtual seconds from now."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def create_task(
        self, coro: Any, *, name: str | None = None, **options: Any
    ) -> asyncio.Task[Any]:
        """Start a task, and remember it as long as it lives, so that its failure is not lost."""
        self._check_closed()
        self._created += 1
        task = asyncio.Task(coro, loop=self, name=name or f"task {self._created}", **options)
        self._tasks[weakref.ref(task, self._forget)] = None
        return task

    def pending(self) -> list[asyncio.Task[Any]]:
        """The tasks that have not ended, in the order in which they were made."""
        tasks = [ref() for ref in list(self._tasks)]
        return [task for task in tasks if task is not None and not task.done()]

    def unretrieved(self) -> list[BaseException]:
        """The exceptions of callbacks and of finished tasks that nobody has asked for."""
        tasks = [ref() for ref in list(self._tasks)]
        for task in tasks:
            if task is not None and task._log_traceback:
                error = task.exception()
                if error is not None and not any(error is e for e in self.lost):
                    self.lost.append(error)
        return self.lost

    def _timer_handle_cancelled(self, _timer: asyncio.TimerHandle) -> None:
        self._cancelled += 1
        if len(self._timers) > _COMPACT_ABOVE and self._cancelled * 2 > len(self._timers):
            self._timers = [t for t in self._timers if not t[2].cancelled()]
            heapq.heapify(self._timers)
            self._cancelled = 0

    def _run_once(self) -> None:
        ready = self._ready
        if not ready and not self._stopping:
            self._jump()
        if self.give_up is not None and self.give_up():
            raise TimeoutError
        if self.interrupted:
            self.interrupted = False
            raise KeyboardInterrupt
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def _jump(self) -> None:
        """Move the clock to the next timer, and make ready every timer that is due then."""
        timers, ready = self._timers, self._ready
        while not ready:
            if not timers or not timers[0][0] < math.inf:  # infinite, or not a number
                raise Deadlock(_story(self))
            when = timers[0][0]
            self._now = max(self._now, when)
            # Sums of floats that should be equal differ in their last digit, more so far out.
            due = self._now + math.ulp(self._now)
            while timers and timers[0][0] <= due:
                timer = heapq.heappop(timers)[2]
                timer._scheduled = False
                if timer.cancelled():
                    self._cancelled -= 1
                else:
                    ready.append(timer)

    def _process_events(self, event_list: Any) -> None:
        """There is no selector, so there are no events."""


def _refuse(name: str) -> Callable[..., NoReturn]:
    def refuse(*_args: Any, **_options: Any) -> NoReturn:
        raise NotInVirtualTime(
            f"loop.{name}() needs a thread, a socket or a process, and there are none in virtual "
            "time; use the memory transport and storage in memory, or an ordinary loop"
        )

    return refuse


for _name in (
    *("run_in_executor", "getaddrinfo", "getnameinfo", "start_tls", "add_signal_handler"),
    *("add_reader", "remove_reader", "add_writer", "remove_writer", "sock_connect"),
    *("sock_recv", "sock_recv_into", "sock_recvfrom", "sock_recvfrom_into", "sock_accept"),
    *("sock_sendall", "sock_sendto", "sock_sendfile", "sendfile", "connect_accepted_socket"),
    *("create_connection", "create_server", "create_unix_connection", "create_unix_server"),
    *("create_datagram_endpoint", "connect_read_pipe", "connect_write_pipe"),
    *("subprocess_exec", "subprocess_shell"),
):
    setattr(VirtualTimeLoop, _name, _refuse(_name))


def _keep(loop: asyncio.AbstractEventLoop, details: dict[str, Any]) -> None:
    error = details.get("exception") or RuntimeError(details["message"])
    assert isinstance(loop, VirtualTimeLoop)
    if "future" in details and isinstance(error, asyncio.CancelledError):
        return  # a cancelled `gather` keeps it as if it were a failure; a cancelled task does not
    if not any(error is e for e in loop.lost):
        loop.lost.append(error)


def _story(loop: VirtualTimeLoop) -> str:
    lines = [f"  {task.get_name()} waits in {_place(task.get_coro())}" for task in loop.pending()]
    return "\n".join(
        [f"at {loop.time():g} virtual seconds everything waits and nothing can happen:", *lines]
    )


def _place(waiting: Any) -> str:
    """The innermost line outside asyncio on which a suspended coroutine waits."""
    name, place = getattr(waiting, "__qualname__", "?"), ""
    while waiting is not None:
        frame = getattr(waiting, "cr_frame", None) or getattr(waiting, "ag_frame", None)
        file = frame.f_code.co_filename if frame else ""
        if frame and "asyncio" not in file and frame.f_globals.get("__name__") != _RUN:
            line = linecache.getline(file, frame.f_lineno).strip()
            name, place = frame.f_code.co_qualname, f", line {frame.f_lineno}: {line}"
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "ag_await", None)
        waiting = waiting if inspect.iscoroutine(waiting) or inspect.isasyncgen(waiting) else None
    return name + place
