"""Memory and state of a guest to another server: sender and receiver, their wire format, and the worker process.

`worker.md` is the protocol with the manager, `protocol.md` that between two workers;
docs/internals/stream.md is the design.
"""
