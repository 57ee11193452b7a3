"""How a call gets onto a wire and off it again: the same endpoint over HTTP, gRPC and memory.

codes        the only table error <-> HTTP status <-> gRPC status
metadata     what travels beside a request: deadline, trace context, credentials
hooks        before, after, finalizer: the places where a service may look at the metadata
decoding     JSON, path and query into request dataclasses, with errors that name the field
http_server, http_client, grpc_server, grpc_client, memory
"""
