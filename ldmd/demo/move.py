"""The move itself: the real `ldm migrate-domain`, and what its record says afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emulator.places import place
from ldmd.demo.stage import DemoError
from ldmd.migrationrecord import FOLDER, kept_in, read

Show = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Moved:
    """What a migration came to."""

    source: str
    target: str
    seconds: float
    rounds: int
    wire_bytes: int
    downtime_ms: float | None
    verified_pages: int | None


def move(domain: str, source: str, target: str, *, how: Sequence[str], show: Show) -> Moved:
    """Move it; `how`: options of the command. Raises DemoError with what the command said."""
    command = [sys.executable, "-m", "ldmd.cli", "-m", source, "migrate-domain", "--json", *how]
    with subprocess.Popen([*command, domain, target], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            said = list(_lines(process.stdout, show))
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise DemoError(f"ldm migrate-domain {domain} {target} failed:\n  " + "\n  ".join(said))
    return _moved(source, target)


def _lines(lines: Iterator[str] | Any, show: Show) -> Iterator[str]:
    """What is no progress; a document may have several lines."""
    rest = ""
    for line in lines:
        rest += line
        try:
            row = json.loads(rest)
        except ValueError:
            continue
        rest = ""
        if isinstance(row, dict) and "progress" in row:
            show(row["progress"])
        elif isinstance(row, dict) and "error" in row:
            yield from (text for key in ("text", "cause", "remedy") if (text := row["error"].get(key)))
        elif isinstance(row, dict) and "status" not in row:
            yield from (str(text) for text in row.values())
    if rest.strip():
        yield rest.strip()


def _moved(source: str, target: str) -> Moved:
    records = kept_in(place(source).manager / FOLDER)
    if not records:
        raise DemoError(f"{source} keeps no record of the migration")
    record = read(records[-1].path)
    summary = record["summary"]
    rounds = max((int(row.get("round", 0)) for row in (*record["samples"], *record["rounds"])), default=0)
    sent = max((int(row.get("bytes", 0)) for row in (*record["samples"], *record["rounds"])), default=0)
    return Moved(source, target, record["ended_at"] - record["started_at"], int(summary.get("rounds") or rounds),
                 int(summary.get("bytes") or sent), summary.get("downtime_ms"), summary.get("verified_pages"))
