"""Operations of hvctl 1.2 about traces of a run (protocol.md, "Traces")."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from emulator.server.errors import ArgumentError

if TYPE_CHECKING:
    from emulator.hvctl.operations import Call, Result


def _start(call: Call) -> Result:
    call.args.end()
    call.server.tracing.start()
    return {}


def _stop(call: Call) -> Result:
    path = call.args.text("path")
    call.args.end()
    if not os.path.isabs(path):
        raise ArgumentError("path: an absolute path is wanted")
    return call.server.aside(lambda: call.server.tracing.stop(path))


TRACE_OPERATIONS: Mapping[str, Callable[[Call], Result]] = {"trace.start": _start, "trace.stop": _stop}
