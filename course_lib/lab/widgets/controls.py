"""The controls of a panel: a row per instance, the load, a menu of calls, a line of status.

What they say can be read in the page by class: `state-NAME`, `served-NAME`, `panel-status`; a
button is `VERB-NAME`.
"""

import html
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import ipywidgets

from course_lib.lab.traffic import Instance, Traffic

_MARKS = {"up": "●", "starting": "○", "slow": "◐", "paused": "◌", "down": "✕"}
_MARKS |= {"cut": "✂", "parted": "✂", "failing": "◔"}

Call = Callable[[], Awaitable[Any]]


class Controls:
    """Widgets that act on `traffic` and its instances; `touched_at` is when one was last used."""

    def __init__(
        self,
        traffic: Traffic,
        calls: Mapping[str, Call],
        *,
        max_rate: int,
        slow_seconds: float,
        menu: str,
    ) -> None:
        self._traffic, self._calls, self._slow_seconds = traffic, calls, slow_seconds
        self.touched_at = time.monotonic()
        in_two_words = any("," in instance.state for instance in traffic.instances.values())
        width = "14em" if in_two_words else "8em"
        self.state = {name: _text(f"state-{name}", width) for name in traffic.instances}
        self.served = {name: _text(f"served-{name}", "9em") for name in traffic.instances}
        self.status = _text("panel-status", "auto")
        self.buttons: dict[str, ipywidgets.Button] = {}
        rows = [self._row(name, instance) for name, instance in traffic.instances.items()]
        wide: dict[str, Any] = {"style": {"description_width": "initial"}}
        wide |= {"layout": {"width": "28em"}}
        self.load = ipywidgets.IntSlider(
            round(traffic.rate), 0, max_rate, 5, description="load (requests/s)", **wide
        )
        self.load.observe(lambda change: self._set_rate(change["new"]), "value")
        self.choice = ipywidgets.Dropdown(options=list(calls), description=menu, **wide)
        self.choice.add_class("panel-choice")
        self.choice.observe(lambda change: self._choose(change["new"]), "value")
        several = [self.choice] if len(calls) > 1 else []
        self.box = _Box([*rows, *several, self.load, self.status])
        self.box.words = repr(self)

    def refresh(self) -> None:
        """Show what the instances are doing now."""
        for name, instance in self._traffic.instances.items():
            state, served = instance.state, instance.served
            mark = _MARKS.get(state.partition(",")[0], "●")
            _put(self.state[name], f"{mark} {html.escape(state)}")
            _put(self.served[name], f'<span data-served="{served}">{served:,} served</span>')

    def say(self, text: str) -> None:
        """Change the line of status."""
        _put(self.status, f'<span role="status">{html.escape(text)}</span>')

    def disable(self) -> None:
        """Nothing can be pressed any more."""
        for widget in (*self.buttons.values(), self.load, self.choice):
            widget.disabled = True

    def act(self, what: str, act: Callable[[], Any]) -> None:
        """Do what a button stands for, and show what became of it."""
        self.touched_at = time.monotonic()
        try:
            act()
        except Exception as error:  # shown where the button is
            self.say(f"{what}: {type(error).__name__}: {error}")
        self.refresh()

    def _row(self, name: str, instance: Any) -> ipywidgets.HBox:
        label = ipywidgets.HTML(f"<b>{html.escape(name)}</b>", layout={"width": "7em"})
        acts = {"kill": instance.kill, "revive": lambda: _undo(instance)}
        if _can_be_slow(instance):
            acts["slow"] = lambda: instance.slow_down(self._slow_seconds)
        else:
            acts["pause"] = instance.pause
        acts |= getattr(instance, "acts", {})
        buttons = [self._button(verb, name, act) for verb, act in acts.items()]
        return ipywidgets.HBox([label, self.state[name], self.served[name], *buttons])

    def _button(self, verb: str, name: str, act: Callable[[], Any]) -> ipywidgets.Button:
        what = f"{verb} {name}"
        button = ipywidgets.Button(description=verb, tooltip=what, layout={"width": "6em"})
        button.add_class(f"{verb}-{name}")
        button.on_click(lambda _: self.act(what, act))
        self.buttons[what] = button
        return button

    def _set_rate(self, rate: float) -> None:
        self.touched_at = time.monotonic()
        self._traffic.rate = rate

    def _choose(self, name: str) -> None:
        self.touched_at = time.monotonic()
        self._traffic.call = self._calls[name]

    def __repr__(self) -> str:
        instances = self._traffic.instances
        slow = all(map(_can_be_slow, instances.values()))
        menu = f"; a menu of {', '.join(self._calls)}" if len(self._calls) > 1 else ""
        return (
            f"Control panel for {', '.join(instances)}: kill, revive, {'slow' if slow else 'pause'}"
            f"; load in requests/s{menu}."
        )


class _Box(ipywidgets.VBox):
    """The rows of a panel, with words that are the same on every run."""

    words = ""

    def __repr__(self) -> str:
        return self.words


def _can_be_slow(instance: Instance) -> bool:
    return hasattr(instance, "slow_down")  # a process of its own can only be held


def _undo(instance: Any) -> None:
    """Undo whatever was done to the instance."""
    if instance.state == "slow" and hasattr(instance, "recover"):
        instance.recover()
    elif instance.state == "paused" and hasattr(instance, "resume"):
        instance.resume()
    else:
        instance.revive()


def _text(name: str, width: str) -> ipywidgets.HTML:
    widget = ipywidgets.HTML(layout={"width": width})
    widget.add_class(name)
    return widget


def _put(widget: ipywidgets.HTML, text: str) -> None:
    if widget.value != text:
        widget.value = text
