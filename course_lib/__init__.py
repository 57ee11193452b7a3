"""The house a request walks through, room by room, in the order in which it meets them.

errors       every way a call can fail, as one tree
context      what travels with a call: deadline, trace context, caller
endpoint     one operation of a service as a function; middleware; chain
shop         the running example: users, orders, catalogue, and their storage
transport    HTTP, gRPC and memory: bytes on the wire, from and to an endpoint
middleware   one behaviour a file, wrapped around any endpoint
discovery    who can be asked: instances that come and go
balancing    whom to ask: eight policies, and the endpoint that stands for many
stand_ins    embedded servers that speak a real protocol
telemetry    what a running service tells: logs, metrics, traces, health
platform     what looks after it: a pod that is probed and restarted
lab          start it, load it, break it, watch it, in real or in virtual time
grading      tasks, hints, predictions, progress, and the `course` command
authoring    how the notebooks are executed, normalised and checked
"""
