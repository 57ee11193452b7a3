"""Embedded servers that speak a real protocol, so that the real one can take their place."""

from course_lib.stand_ins.consul_agent import ConsulAgent

__all__ = ["ConsulAgent"]
