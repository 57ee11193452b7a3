"""An alert as Prometheus and Loki's ruler keep it: quiet, pending while its `for` runs, firing."""

from collections.abc import Sequence

Points = Sequence[tuple[float, float]]
Spans = list[tuple[float, float, str]]


def alert_states(counts: Points, *, above: float, for_seconds: float = 0.0) -> Spans:
    """The states of an alert over evenly spaced counts, as `(start, end, state)`.

    A count stands at the end of its step, when it is known. The alert fires once every count
    was `above` for so long, and is quiet again with the first that is not.
    """
    step = counts[1][0] - counts[0][0] if len(counts) > 1 else 1.0
    spans: Spans = []
    since: float | None = None
    for known, count in counts:
        if count <= above:
            since, state = None, "quiet"
        else:
            since = known if since is None else since
            state = "firing" if known - since >= for_seconds else "pending"
        if spans and spans[-1][2] == state:
            spans[-1] = (spans[-1][0], known + step, state)
        else:
            spans.append((known, known + step, state))
    return spans


def rings(spans: Spans) -> list[float]:
    """When the alert began to fire: each time somebody is woken up."""
    return [start for start, _, state in spans if state == "firing"]
