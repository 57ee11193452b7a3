"""The running example: a small shop with users, orders and a catalogue.

users, orders, catalogue   the business rules, as plain classes behind Protocols; no I/O
storage, storage_sql       where the rows are kept
endpoints                  one endpoint for each operation, and client stubs made of endpoints
*_http, *_grpc             adapters that put those endpoints on a wire; shop.proto
"""
