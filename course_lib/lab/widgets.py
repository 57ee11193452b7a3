"""The control panel: kill, revive and slow instances down, and watch what becomes of the load.

`await control_panel(fleet, lambda: client.get_user(1))` shows a row per instance, a slider for
the load and a live figure. Real calls go out whenever no cell runs; while one runs the panel
waits, so that it disturbs no measurement. One panel is active at a time. Without a front end
(nbclient, nbval) twenty frames run, and that is all. This is the only room that knows ipywidgets.
"""

import asyncio
import html
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any

import ipywidgets
from IPython.core.getipython import get_ipython
from IPython.display import display

from course_lib.lab.plots import LiveFigure, Picture
from course_lib.lab.plots import traffic as draw_traffic
from course_lib.lab.traffic import FRAME_SECONDS, Instance, Traffic

FRAMES_WITHOUT_FRONT_END = 20
FRAME_SECONDS_WITHOUT_FRONT_END = 0.1
_MARKS = {"up": "●", "starting": "○", "slow": "◐", "paused": "◌", "down": "✕"}
_MARKS |= {"cut": "✂", "parted": "✂"}

Call = Callable[[], Awaitable[Any]]

_active: "Panel | None" = None


async def control_panel(
    instances: Mapping[str, Instance],
    call: Call | Mapping[str, Call],
    *,
    rate: int = 50,
    max_rate: int = 300,
    title: str = "Requests answered, live",
    slow_seconds: float = 0.2,
    proxies: Mapping[str, Any] | None = None,
    idle_minutes: float = 10.0,
    rng: Random | None = None,
    menu: str = "balanced by",
) -> "Panel":
    """Show a panel over `instances`; `call()` is one request, sent `rate` times a second.

    Calls by name (`{"in turn": ..., "by lot": ...}`) are chosen from a menu; it begins with the
    first, and `menu` is the word beside it.
    `proxies` (by instance name, with `.cut()` and `.restore()`) add a button that cuts the wire.
    """
    global _active
    if _active is not None:
        await _active.stop("stopped: another panel has taken over")
    calls = call if isinstance(call, Mapping) else {"": call}
    frame = FRAME_SECONDS if has_front_end() else FRAME_SECONDS_WITHOUT_FRONT_END
    first = next(iter(calls.values()))
    traffic = Traffic(instances, first, rate=rate, rng=rng or Random(1), frame_seconds=frame)
    panel = Panel(traffic, title, max_rate, slow_seconds, proxies or {}, idle_minutes * 60, calls)
    panel.choice.description = menu
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
        self,
        traffic: Traffic,
        title: str,
        max_rate: int,
        slow_seconds: float,
        proxies: Mapping[str, Any],
        idle_seconds: float,
        calls: Mapping[str, Call] | None = None,
    ) -> None:
        self.traffic, self.title, self._calls = traffic, title, calls or {}
        self._slow_seconds, self._proxies = slow_seconds, proxies
        self._idle_seconds, self._touched = idle_seconds, time.monotonic()
        self._task: asyncio.Task[None] | None = None
        self._free = asyncio.Event()
        in_two_words = any("," in instance.state for instance in traffic.instances.values())
        width = "14em" if in_two_words else "8em"
        self.state = {name: _text(f"state-{name}", width) for name in traffic.instances}
        self._strips: deque[dict[str, str]] = deque(maxlen=traffic.samples.maxlen)
        self.served = {name: _text(f"served-{name}", "9em") for name in traffic.instances}
        self.status = _text("panel-status", "auto")
        self.load = ipywidgets.IntSlider(
            value=round(traffic.rate),
            min=0,
            max=max_rate,
            step=5,
            description="load (requests/s)",
            style={"description_width": "initial"},
            layout={"width": "28em"},
        )
        self.load.observe(lambda change: self._set_rate(change["new"]), "value")
        rows = [self._row(name, instance) for name, instance in traffic.instances.items()]
        self.choice = ipywidgets.Dropdown(
            options=list(self._calls),
            description="balanced by",
            style={"description_width": "initial"},
            layout={"width": "28em"},
        )
        self.choice.add_class("panel-choice")
        self.choice.observe(lambda change: self._choose(change["new"]), "value")
        several = [self.choice] if len(self._calls) > 1 else []
        self.box = _Box([*rows, *several, self.load, self.status])
        self.box.words = repr(self)
        self.figure = LiveFigure(self._draw, text=f"{title}: a live figure.", frames_per_second=2.5)

    def show(self) -> None:
        """Put controls and figure into the output of the running cell."""
        self._refresh()
        display(self.box)
        self.figure.show()

    def start(self) -> None:
        """Send traffic from now on, whenever no cell is running."""
        events = _shell().events
        events.register("pre_run_cell", self._hold)
        events.register("post_run_cell", self._release)
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._say("waiting until the cell has ended")

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
        for widget in self.box.controls:
            widget.disabled = True
        self._refresh()
        self._say(why)

    async def frame(self) -> None:
        """Send for a fifth of a second, then show what came of it."""
        await self.traffic.frame()
        instances = self.traffic.instances.items()
        self._strips.append({n: each.strip for n, each in instances if hasattr(each, "strip")})
        self._refresh()
        self.figure.update()

    async def _run(self) -> None:
        while time.monotonic() - self._touched < self._idle_seconds:
            if not self._free.is_set():
                self.traffic.pause()
                self._say("waiting while a cell runs")
                await self._free.wait()
            try:
                await self.frame()
                self._say(self._summary())
            except Exception as error:  # a panel that raises would only vanish
                self._say(f"{type(error).__name__}: {error}")
                await asyncio.sleep(1)
        minutes = self._idle_seconds / 60
        await self.stop(
            f"stopped: nobody has touched it for {minutes:g} minutes. Run the cell again."
        )

    def _hold(self, *_: Any) -> None:
        self._free.clear()

    def _release(self, *_: Any) -> None:
        self._free.set()

    def _row(self, name: str, instance: Instance) -> ipywidgets.HBox:
        label = ipywidgets.HTML(f"<b>{html.escape(name)}</b>", layout={"width": "7em"})
        acts: dict[str, Callable[[], Any]] = {
            "kill": instance.kill,
            "revive": lambda: self._revive(name),
        }
        if _can_be_slow(instance):
            acts["slow"] = lambda: instance.slow_down(self._slow_seconds)
        else:
            acts["pause"] = instance.pause  # type: ignore[attr-defined]
        if name in self._proxies:
            acts["cut"] = self._proxies[name].cut
        acts |= getattr(instance, "acts", {})
        buttons = [self._button(verb, name, act) for verb, act in acts.items()]
        return ipywidgets.HBox([label, self.state[name], self.served[name], *buttons])

    def _button(self, verb: str, name: str, act: Callable[[], Any]) -> ipywidgets.Button:
        button = ipywidgets.Button(
            description=verb, tooltip=f"{verb} {name}", layout={"width": "6em"}
        )
        button.add_class(f"{verb}-{name}")
        button.on_click(lambda _: self._act(f"{verb} {name}", act))
        return button

    def _act(self, what: str, act: Callable[[], Any]) -> None:
        self._touched = time.monotonic()
        try:
            act()
        except Exception as error:  # shown where the button is
            self._say(f"{what}: {type(error).__name__}: {error}")
        self._refresh()

    def _revive(self, name: str) -> None:
        """Undo whatever was done to the instance."""
        instance: Any = self.traffic.instances[name]
        if name in self._proxies:
            self._proxies[name].restore()
        if instance.state == "slow" and hasattr(instance, "recover"):
            instance.recover()
        elif instance.state == "paused" and hasattr(instance, "resume"):
            instance.resume()
        else:
            instance.revive()

    def _set_rate(self, rate: float) -> None:
        self._touched = time.monotonic()
        self.traffic.rate = rate

    def _choose(self, name: str) -> None:
        self._touched = time.monotonic()
        self.traffic.call = self._calls[name]

    def _refresh(self) -> None:
        for name, instance in self.traffic.instances.items():
            state, served = instance.state, instance.served
            mark = _MARKS.get(state.partition(",")[0], "●")
            _put(self.state[name], f"{mark} {html.escape(state)}")
            _put(self.served[name], f'<span data-served="{served}">{served:,} served</span>')

    def _summary(self) -> str:
        outcomes = dict(self.traffic.outcomes)
        answered = outcomes.pop("ok", 0)
        failed = ", ".join(f"{count:,} {name}" for name, count in sorted(outcomes.items()))
        return f"running: {answered:,} calls answered, {failed or 'none failed'}"

    def _say(self, text: str) -> None:
        _put(self.status, f'<span role="status">{html.escape(text)}</span>')

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
        slow = all(map(_can_be_slow, self.traffic.instances.values()))
        verbs = (
            "kill, revive, " + ("slow" if slow else "pause") + (", cut" if self._proxies else "")
        )
        names = ", ".join(self.traffic.instances)
        menu = f"; a menu of {', '.join(self._calls)}" if len(self._calls) > 1 else ""
        return f"Control panel for {names}: {verbs}; load in requests/s{menu}."


class _Box(ipywidgets.VBox):
    """The rows of a panel, with words that are the same on every run."""

    words = ""

    @property
    def controls(self) -> list[Any]:
        rows = [child for child in self.children if isinstance(child, ipywidgets.HBox)]
        buttons = [w for row in rows for w in row.children if isinstance(w, ipywidgets.Button)]
        others = (ipywidgets.IntSlider, ipywidgets.Dropdown)
        return buttons + [w for w in self.children if isinstance(w, others)]

    def __repr__(self) -> str:
        return self.words


def _can_be_slow(instance: Instance) -> bool:
    return hasattr(instance, "slow_down")  # a process of its own can only be held


def _text(name: str, width: str) -> ipywidgets.HTML:
    widget = ipywidgets.HTML(layout={"width": width})
    widget.add_class(name)
    return widget


def _put(widget: ipywidgets.HTML, text: str) -> None:
    if widget.value != text:
        widget.value = text
