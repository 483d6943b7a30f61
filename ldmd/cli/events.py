"""`ldm monitor`: events of the manager as they come."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ldmd.cli.connection import Connection
from ldmd.cli.parse import UsageError
from ldmd.cli.screen import Screen


def monitor(connection: Connection, screen: Screen, *, limit: str | None = None) -> None:
    """Print events until the manager ends, the user interrupts, or `limit` of them came."""
    left = None if limit is None else _number(limit)
    for event in connection.watch() if left != 0 else ():
        if screen.json:
            screen.record(**event)
        else:
            screen.print([event_text(event)])
        if left is not None:
            left -= 1
            if left == 0:
                break


def _number(text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"-c needs a number, not {text!r}")
    return int(text)


def event_text(event: Mapping[str, Any]) -> str:
    """``12:00:01 domain-state domain=ldg1 state=active``; the time is UTC."""
    when = datetime.fromtimestamp(float(event.get("time", 0)), UTC).strftime("%H:%M:%S")
    details = " ".join(f"{name}={value}" for name, value in event.items()
                       if name not in {"event", "time", "seq"} and value not in (None, ""))
    return f"{when} {event.get('event')} {details}".rstrip()
