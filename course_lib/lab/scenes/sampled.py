"""Three services in a chain that each sample their spans: which traces are whole?"""

from typing import Any

from course_lib.endpoint import Endpoint
from course_lib.lab import virtual_time
from course_lib.lab.load import load
from course_lib.middleware.tracing import tracing
from course_lib.stand_ins import OtlpCollector
from course_lib.telemetry.traces import Spans, in_process

NAMES = ("users", "orders", "shop")  # the innermost first


def whole_traces(sampler: Any, *, requests: int = 10_000) -> int:
    """Of how many requests all three services record their span; `sampler` is that of `Spans`."""

    async def run() -> int:
        collector = OtlpCollector(max_spans=requests * len(NAMES))
        endpoint: Endpoint = _echo
        for name in NAMES:
            spans = Spans(name, export=in_process(collector), sampler=sampler)
            endpoint = tracing(spans, operation=name)(endpoint)
        await load(endpoint, requests=requests)
        return sum(len(trace.spans) == len(NAMES) for trace in collector.traces())

    return virtual_time.run(run)


async def _echo(request: Any) -> Any:
    return request
