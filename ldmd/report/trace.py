"""A migration as a trace that ui.perfetto.dev and chrome://tracing open (Trace Event Format, JSON object form).

Rows: phases, rounds, the pause; counters: rates, what is left. Times are microseconds from the beginning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ldmd.migration.phases import Phase
from ldmd.report.text import downtime_of, seconds_of, spans

PID = 1
PHASES, ROUNDS, PAUSE = 1, 2, 3
ROWS = {PHASES: "phases", ROUNDS: "rounds", PAUSE: "the domain stands still"}
COUNTERS = {"dirty_rate": "dirtied, bytes/s", "wire_rate": "on the wire, bytes/s", "remaining": "left, bytes",
            "predicted_downtime_ms": "predicted pause, ms"}  # fmt: skip

Event = dict[str, Any]


def _us(seconds: float) -> float:
    return round(seconds * 1e6, 3)


def trace(record: Mapping[str, Any]) -> dict[str, Any]:
    """The whole document."""
    return {"displayTimeUnit": "ms", "traceEvents": list(_events(record)),
            "otherData": {name: str(record[name]) for name in ("domain", "source", "target", "kind", "result")}}


def _events(record: Mapping[str, Any]) -> Iterator[Event]:
    name = f"{record['domain']}: {record['source']} to {record['target']}"
    yield {"ph": "M", "name": "process_name", "pid": PID, "tid": 0, "args": {"name": name}}
    for tid, text in ROWS.items():
        yield {"ph": "M", "name": "thread_name", "pid": PID, "tid": tid, "args": {"name": text}}
    end, numbers = seconds_of(record), {each.value for each in Phase}
    for row, until in spans(record["phases"], end):
        number = row.get("phase")
        yield _span(PHASES, Phase(number).name.lower() if number in numbers else str(number), row["at"], until, {})
    yield from _rounds(record)
    yield from _pause(record, end)
    for row in record["samples"]:
        for key, text in COUNTERS.items():
            if isinstance(row.get(key), int | float):
                yield {"ph": "C", "name": text, "pid": PID, "ts": _us(row["at"]), "args": {key: row[key]}}


def _rounds(record: Mapping[str, Any]) -> Iterator[Event]:
    begin = next((row["at"] for row in record["phases"] if row.get("phase") == Phase.COPY), 0.0)
    for row in record["rounds"]:
        args = {key: value for key, value in row.items() if key != "at"}
        yield _span(ROUNDS, f"round {row.get('round')}", begin, row["at"], args)
        begin = row["at"]


def _pause(record: Mapping[str, Any], end: float) -> Iterator[Event]:
    downtime = downtime_of(record)
    begin = next((row["at"] for row in record["phases"] if row.get("phase") == Phase.SUSPEND), None)
    if begin is None or downtime is None:
        return
    yield _span(PAUSE, "pause", begin, begin + downtime, {})
    parts = record["summary"].get("parts")
    for name, ms in parts.items() if isinstance(parts, Mapping) else ():
        if isinstance(ms, int | float):
            yield _span(PAUSE, str(name), begin, min(begin + ms / 1000, max(end, begin)), {})
            begin += ms / 1000


def _span(tid: int, name: str, begin: float, end: float, args: Mapping[str, Any]) -> Event:
    return {"ph": "X", "name": name, "pid": PID, "tid": tid, "ts": _us(begin), "dur": max(0.0, _us(end - begin)),
            "args": dict(args)}
