"""Embedded servers that speak a real protocol, so that the real one can take their place.

Each is imported when it is asked for, so that one does not pay for the libraries of another.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from course_lib.stand_ins.consul_agent import ConsulAgent
    from course_lib.stand_ins.log_store import LogStore
    from course_lib.stand_ins.otlp_collector import OtlpCollector
    from course_lib.stand_ins.otlp_tail import TailSampling

__all__ = ["ConsulAgent", "LogStore", "OtlpCollector", "TailSampling"]

_WHERE = {
    "ConsulAgent": "consul_agent",
    "LogStore": "log_store",
    "OtlpCollector": "otlp_collector",
    "TailSampling": "otlp_tail",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
