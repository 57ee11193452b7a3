"""Who is there, and how to call them.

instance        one running copy of a service
instancer       learns which instances there are, and tells
endpointer      connects them, and keeps the connections of those that stay
consul_http     an instancer that asks a Consul agent
"""

from course_lib.discovery.endpointer import Endpointer, in_zone, only, prefer
from course_lib.discovery.instance import Instance
from course_lib.discovery.instancer import Event, Instancer, LocalInstancer, Sink

__all__ = [
    "Endpointer",
    "Event",
    "Instance",
    "Instancer",
    "LocalInstancer",
    "Sink",
    "in_zone",
    "only",
    "prefer",
]
