"""A migration's record as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from emulator.units import format_amount, format_duration
from ldmd.migration.phases import MEANINGS, Phase

Record = Mapping[str, Any]


def seconds_of(record: Record) -> float:
    """How long it took."""
    return float(record["ended_at"]) - float(record["started_at"])


def amount(number: float | None) -> str:
    """``48M``, ``3.1M``; "-" for None."""
    return "-" if number is None else format_amount(number)


def duration(seconds: float | None) -> str:
    """``1.25 s``, ``41 ms``; "-" for None."""
    return "-" if seconds is None else format_duration(seconds)


def downtime_of(record: Record) -> float | None:
    """Seconds for which the domain stood still, where that is known."""
    value = record["summary"].get("downtime_ms")
    return float(value) / 1000 if isinstance(value, int | float) else None


def bytes_of(record: Record) -> float | None:
    """Bytes on the wire."""
    value = record["summary"].get("bytes")
    if isinstance(value, int | float):
        return value
    return max((row.get("bytes", 0) for row in record["samples"]), default=None)


def clock(seconds: float) -> str:
    """Day and time, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, indent: str = "    ") -> Iterator[str]:
    """Columns as wide as they must be."""
    widths = [max(len(row[place]) for row in (titles, *rows)) for place in range(len(titles))]
    for row in (titles, *rows):
        yield (indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()


def result_of(record: Record) -> str:
    """ "done", "failed"; of a dry run whether it could be done."""
    words = {"done": "dry run: can be done", "failed": "dry run: would fail"}
    return words.get(record["result"], "dry run") if record["dry_run"] else str(record["result"])


def list_lines(records: Sequence[tuple[str, Record]]) -> Iterator[str]:
    """All of them, one a line."""
    rows = [(name, clock(record["started_at"]), f"{record['source']} -> {record['target']}", record["kind"],
             result_of(record), duration(seconds_of(record)), amount(bytes_of(record)), duration(downtime_of(record)))
            for name, record in records]
    yield from table(("MIGRATION", "BEGUN (UTC)", "FROM, TO", "KIND", "RESULT", "TIME", "BYTES", "DOWNTIME"), rows,
                     indent="")


def report_lines(name: str, record: Record) -> Iterator[str]:
    """One of them, whole."""
    there = f" as {record['target_domain']}" if record.get("target_domain") not in (None, record["domain"]) else ""
    yield f"{name}: {record['domain']} from {record['source']} to {record['target']}{there}, {record['kind']}"
    yield f"begun {clock(record['started_at'])} UTC, {'dry run, ' if record['dry_run'] else ''}{record['result']} " \
          f"after {duration(seconds_of(record))}"
    for line in record["problems"]:
        yield f"    {line}"
    yield from _phases(record)
    yield from _rounds(record)
    yield from _summary(record["summary"])


def _phases(record: Record) -> Iterator[str]:
    rows = []
    for row, end in spans(record["phases"], seconds_of(record)):
        number = int(row.get("phase", 0))
        meaning = MEANINGS[Phase(number)] if number in {each.value for each in Phase} else ""
        rows.append((str(number), duration(end - row["at"]), meaning))
    if rows:
        yield ""
        yield "PHASES"
        yield from table(("PHASE", "TIME", ""), rows)


def spans(rows: Sequence[Mapping[str, Any]], end: float) -> Iterator[tuple[Mapping[str, Any], float]]:
    """Each row with the time at which the next one begins, or all ends."""
    for place, row in enumerate(rows):
        yield row, float(rows[place + 1]["at"]) if place + 1 < len(rows) else max(end, float(row["at"]))


def _rounds(record: Record) -> Iterator[str]:
    rows, before = [], 0
    for row in record["rounds"]:
        rows.append((str(row.get("round", "")), duration(row["at"]), amount(row.get("bytes", 0) - before),
                     amount(row.get("remaining")), amount(row.get("dirty_rate")), amount(row.get("wire_rate")),
                     f"{row['ratio']:.1f}" if row.get("ratio") else "-", str(row.get("limited_by", ""))))
        before = row.get("bytes", 0)
    if rows:
        yield ""
        yield "ROUNDS"
        yield from table(("ROUND", "ENDED AT", "SENT", "LEFT", "DIRTIED/S", "WIRE/S", "RATIO", "LIMITED BY"), rows)


def _summary(summary: Mapping[str, Any]) -> Iterator[str]:
    rows = []
    for name, value in summary.items():
        if name == "parts" and isinstance(value, Mapping):
            rows += [(f"pause: {part}", f"{ms:.1f} ms") for part, ms in value.items() if isinstance(ms, int | float)]
        elif name.endswith("_ms") and isinstance(value, int | float):
            rows.append((name.removesuffix("_ms"), f"{value:.1f} ms"))
        elif not isinstance(value, Mapping | list):
            rows.append((name.replace("_", " "), str(value)))
    if rows:
        yield ""
        yield "SUMMARY"
        yield from (f"    {name:<18} {value}" for name, value in rows)
