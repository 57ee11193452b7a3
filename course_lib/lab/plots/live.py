"""A figure that changes in place while an experiment runs.

It is shown once and updated through its `display_id`; its text stays the same from run to run.
"""

import time
from collections.abc import Callable
from typing import Any

from course_lib.lab.plots.canvas import Picture


class LiveFigure:
    """Draws `draw()` again whenever it is told to, at most `frames_per_second` times a second.

    `text` is what is stored beside the picture; the numbers live in what `draw` reads.
    """

    def __init__(
        self, draw: Callable[[], Picture], *, text: str, frames_per_second: float = 5.0
    ) -> None:
        self._draw, self.text = draw, text
        self._pause_seconds = 1 / frames_per_second
        self._drawn_at = float("-inf")
        self._handle: Any = None
        self.frames = 0

    def show(self) -> None:
        """Put the figure into the output of the running cell."""
        from IPython.display import DisplayHandle

        self._handle = DisplayHandle()
        data, metadata = self._bundle()
        self._handle.display(data, metadata=metadata, raw=True)

    def update(self) -> bool:
        """Draw again unless the last frame is too young; True when a frame was drawn."""
        if self._handle is None or time.monotonic() - self._drawn_at < self._pause_seconds:
            return False
        data, metadata = self._bundle()
        self._handle.update(data, metadata=metadata, raw=True)
        return True

    def _bundle(self) -> tuple[dict, dict]:
        self._drawn_at, self.frames = time.monotonic(), self.frames + 1
        data, metadata = self._draw()._repr_mimebundle_()
        return {**data, "text/plain": self.text}, metadata
