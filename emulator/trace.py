"""What happened when, as a trace that ui.perfetto.dev and chrome://tracing open (Trace Event Format, JSON object form).

A *process* of the trace is a machine or a domain, a *thread* a strand, its console, its devices. Times are virtual or,
of a machine in real time, the host's, in microseconds since the trace began; what is told with each event has the other
one, where there are two. The format: "Trace Event Format" of the Chromium project.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MOST_EVENTS = 1_000_000
"""Kept; older ones go, and the trace says how many."""
TEXT_BYTES = 200
Track = tuple[str, str]
"""Process and thread: ("alpha/ldg1", "strand 0")."""


@dataclass(frozen=True, slots=True)
class Mark:
    """`kind`: X a span of `ns`, i an instant, C a counter. `at_ns`: the trace's time. `host_ns`: the host's clock."""

    kind: str
    track: Track
    name: str
    at_ns: int
    ns: int
    host_ns: int
    args: dict[str, Any] = field(default_factory=dict)


class Trace:
    """Events of any number of machines. Safe from any thread."""

    def __init__(self, *, most: int = MOST_EVENTS, host_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._marks: deque[Mark] = deque(maxlen=most)
        self._host_ns = host_ns
        self._begin_ns = host_ns()
        self._lock = threading.Lock()
        self._count = 0

    def _add(self, mark: Mark) -> None:
        with self._lock:
            self._marks.append(mark)
            self._count += 1

    def host(self) -> int:
        """The host's time since the trace began, nanoseconds."""
        return self._host_ns() - self._begin_ns

    def span(self, track: Track, name: str, *, at_ns: int, ns: int, **args: Any) -> None:
        """Something that took `ns` from `at_ns` on."""
        self._add(Mark("X", track, name, at_ns, max(0, ns), self.host(), args))

    def instant(self, track: Track, name: str, *, at_ns: int, **args: Any) -> None:
        """Something that happened."""
        self._add(Mark("i", track, name, at_ns, 0, self.host(), args))

    def text(self, track: Track, data: bytes, *, at_ns: int) -> None:
        """Output of a console."""
        shown = data[:TEXT_BYTES].decode("latin-1")
        self.instant(track, shown.strip()[:40] or repr(shown), at_ns=at_ns, text=shown, bytes=len(data))

    def counter(self, track: Track, name: str, value: float, *, at_ns: int) -> None:
        """A number that changes."""
        self._add(Mark("C", track, name, at_ns, 0, self.host(), {"value": value}))

    def __len__(self) -> int:
        return len(self._marks)

    def document(self) -> dict[str, Any]:
        """The whole trace."""
        with self._lock:
            marks, lost = tuple(self._marks), self._count - len(self._marks)
        return {"displayTimeUnit": "ns", "traceEvents": list(_events(marks)),
                "otherData": {"events_lost": str(lost), "clock": "virtual where a machine has virtual time, else host"}}

    def write(self, path: str | Path) -> None:
        """Into a file: the whole of it or nothing. Raises OSError."""
        whole = Path(path)
        beside = whole.with_name(f".{whole.name}.{os.getpid()}.new")
        try:
            with beside.open("w", encoding="utf-8") as file:
                json.dump(self.document(), file, separators=(",", ":"))
                file.write("\n")
            beside.replace(whole)
        finally:
            beside.unlink(missing_ok=True)


def _events(marks: tuple[Mark, ...]) -> Iterator[dict[str, Any]]:
    processes: dict[str, int] = {}
    threads: dict[Track, int] = {}
    for mark in marks:
        process, thread = mark.track
        if process not in processes:
            processes[process] = len(processes) + 1
            yield {"ph": "M", "name": "process_name", "pid": processes[process], "tid": 0, "args": {"name": process}}
        pid = processes[process]
        if mark.track not in threads:
            threads[mark.track] = 1 + sum(1 for each in threads if each[0] == process)
            yield {"ph": "M", "name": "thread_name", "pid": pid, "tid": threads[mark.track], "args": {"name": thread}}
        yield _event(mark, pid, threads[mark.track])


def _event(mark: Mark, pid: int, tid: int) -> dict[str, Any]:
    event: dict[str, Any] = {"ph": mark.kind, "name": mark.name, "pid": pid, "tid": tid, "ts": mark.at_ns / 1000}
    if mark.kind == "X":
        event["dur"] = mark.ns / 1000
    if mark.kind == "i":
        event["s"] = "t"  # of its thread
    args = dict(mark.args)
    if mark.kind != "C":
        args["host_us"] = mark.host_ns / 1000
    return event | {"args": args}
