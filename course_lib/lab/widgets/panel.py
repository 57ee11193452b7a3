"""The control panel: kill, revive and slow instances down, and watch what becomes of the load.

`await control_panel(fleet, lambda: client.get_user(1))` shows a row per instance, a slider for
the load and a live figure. Real calls go out whenever no cell runs; while one runs the panel
waits, so that it disturbs no measurement. One panel is active at a time. Without a front end
(nbclient, nbval) twenty frames run, and that is all.
"""

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from random import Random
from typing import Any, Protocol

from IPython.core.getipython import get_ipython
from IPython.display import display

from course_lib.lab.plots import LiveFigure, Picture
from course_lib.lab.plots import traffic as draw_traffic
from course_lib.lab.traffic import FRAME_SECONDS, Instance, Traffic
from course_lib.lab.widgets.controls import Call, Controls

FRAMES_WITHOUT_FRONT_END = 20
FRAME_SECONDS_WITHOUT_FRONT_END = 0.05
IDLE_MINUTES = 10

_active: "Panel | None" = None


class View(Protocol):
    """A picture of one's own under the controls."""

    async def frame(self) -> None:
        """Look at what is there now; called after each frame of traffic."""

    def draw(self) -> Picture:
        """The picture."""

    async def stop(self) -> None:
        """The panel has ended."""


async def control_panel(
    instances: Mapping[str, Instance],
    call: Call | Mapping[str, Call],
    *,
    rate: int = 50,
    max_rate: int = 300,
    title: str = "Requests answered, live",
    slow_seconds: float = 0.2,
    menu: str = "balanced by",
    view: View | None = None,
) -> "Panel":
    """Show a panel over `instances`; `call()` is one request, sent `rate` times a second.

    Calls by name (`{"in turn": ..., "by lot": ...}`) are chosen from a menu; it begins with the
    first, and `menu` is the word beside it. `view` draws another figure than the usual one.
    """
    global _active
    if _active is not None:
        await _active.stop("stopped: another panel has taken over")
    calls = call if isinstance(call, Mapping) else {"": call}
    frame = FRAME_SECONDS if has_front_end() else FRAME_SECONDS_WITHOUT_FRONT_END
    first = next(iter(calls.values()))
    traffic = Traffic(instances, first, rate=rate, rng=Random(1), frame_seconds=frame)
    controls = Controls(traffic, calls, max_rate=max_rate, slow_seconds=slow_seconds, menu=menu)
    panel = Panel(traffic, controls, title, view)
    panel.show()
    if has_front_end():
        _active = panel
        panel.start()
    else:
        for _ in range(FRAMES_WITHOUT_FRONT_END):
            await panel.frame()
        await panel.stop("stopped: nobody is watching")
    return panel


def has_front_end() -> bool:
    """Whether a person can press buttons: Jupyter says so by allowing a cell to ask for input."""
    kernel = getattr(_shell(), "kernel", None)
    if kernel is None:
        return False
    return bool(kernel.get_parent("shell").get("content", {}).get("allow_stdin"))


def _shell() -> Any:
    return get_ipython()  # type: ignore[no-untyped-call]


class Panel:
    """What `control_panel` shows; `traffic` holds its data."""

    def __init__(
        self, traffic: Traffic, controls: Controls, title: str, view: View | None = None
    ) -> None:
        self.traffic, self.controls, self.title, self._view = traffic, controls, title, view
        self._task: asyncio.Task[None] | None = None
        self._free = asyncio.Event()
        self._held = False
        self._strips: deque[dict[str, str]] = deque(maxlen=traffic.samples.maxlen)
        draw = view.draw if view else self._draw
        self.figure = LiveFigure(
            draw, text=f"{title}: a live figure.", frames_per_second=2.0 if view else 2.5
        )

    def show(self) -> None:
        """Put controls and figure into the output of the running cell."""
        self.controls.refresh()
        display(self.controls.box)
        self.figure.show()

    def start(self) -> None:
        """Send traffic from now on, whenever no cell is running."""
        events = _shell().events
        events.register("pre_run_cell", self._hold)
        events.register("post_run_cell", self._release)
        self._task = asyncio.get_running_loop().create_task(self._run())
        self.controls.say("waiting until the cell has ended")

    async def stop(self, why: str = "stopped") -> None:
        """Send nothing more; the panel says why."""
        global _active
        _active = None if _active is self else _active
        if self._task is not None:
            events = _shell().events
            events.unregister("pre_run_cell", self._hold)
            events.unregister("post_run_cell", self._release)
            if self._task is not asyncio.current_task():
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self.traffic.stop()
        if self._view is not None:
            await self._view.stop()
        self.controls.disable()
        self.controls.refresh()
        self.controls.say(why)

    async def frame(self) -> None:
        """Send for a fifth of a second, then show what came of it, unless a cell has run since."""
        self._held = False
        await self.traffic.frame()
        if self._held:  # the cell's own calls count in this frame
            self.traffic.samples.pop()
            self.traffic.pause()
            return
        instances = self.traffic.instances.items()
        if self._view is not None:
            await self._view.frame()
        self._strips.append({n: each.strip for n, each in instances if hasattr(each, "strip")})
        self.controls.refresh()
        self.figure.update()

    async def _run(self) -> None:
        while time.monotonic() - self.controls.touched_at < 60 * IDLE_MINUTES:
            if not self._free.is_set():
                self.traffic.pause()
                self.controls.say("waiting while a cell runs")
                await self._free.wait()
            try:
                await self.frame()
                self.controls.say(self._summary())
            except Exception as error:  # a panel that raises would only vanish
                self.controls.say(f"{type(error).__name__}: {error}")
                await asyncio.sleep(1)
        await self.stop(
            f"stopped: nobody has touched it for {IDLE_MINUTES} minutes. Run the cell again."
        )

    def _hold(self, *_: Any) -> None:
        self._held = True
        self._free.clear()

    def _release(self, *_: Any) -> None:
        self._free.set()

    def _summary(self) -> str:
        outcomes = dict(self.traffic.outcomes)
        answered = outcomes.pop("ok", 0)
        failed = ", ".join(f"{count:,} {name}" for name, count in sorted(outcomes.items()))
        return f"running: {answered:,} calls answered, {failed or 'none failed'}"

    def _draw(self) -> Picture:
        samples = list(self.traffic.samples)
        names = self.traffic.instances
        return draw_traffic(
            [sample.at for sample in samples],
            {name: [sample.answered[name] for sample in samples] for name in names},
            [sample.failed_percent for sample in samples],
            title=self.title,
            states=list(self._strips),
        )

    def _ipython_display_(self) -> None:
        """Already shown; a second copy would only confuse."""

    def __repr__(self) -> str:
        return repr(self.controls)
