"""Behaviours that wrap any endpoint, one a file; none of them knows another.

On a server, from the outside in: tracing, instrumenting, logging, deadline, authentication,
rate limit, bulkhead. Refusals are counted because what counts stands outside.
"""
