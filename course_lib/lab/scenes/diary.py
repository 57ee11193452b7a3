"""A diary of states: who was in which one from when to when, for a timeline."""

import time


class Diary:
    """Who was in which state when, in seconds since it was opened; for `plots.timeline`."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._notes: dict[str, list[tuple[float, str]]] = {}

    def note(self, row: str, state: str) -> None:
        """From now on `row` is in this state."""
        notes = self._notes.setdefault(row, [])
        if not notes or notes[-1][1] != state:
            notes.append((time.monotonic() - self._began, state))

    def when(self, row: str, state: str) -> float:
        """When `row` was last put into this state."""
        return max(at for at, noted in self._notes[row] if noted == state)

    def rows(self) -> dict[str, list[tuple[float, float, str]]]:
        """(start, end, state) of every row, up to now, in the order of the names."""
        now = time.monotonic() - self._began
        return {row: _spans(self._notes[row], now) for row in sorted(self._notes)}


def _spans(notes: list[tuple[float, str]], now: float) -> list[tuple[float, float, str]]:
    ends = [at for at, _ in notes[1:]] + [now]
    return [(at, end, state) for (at, state), end in zip(notes, ends, strict=True)]
