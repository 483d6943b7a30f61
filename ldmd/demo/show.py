"""The demonstration from its beginning to its table."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ldmd.demo.move import Moved, move
from ldmd.demo.stage import ALPHA, BETA, MOVER, USER, DemoError, Stage, stage
from ldmd.demo.work import Numbers, Seen, begin, check, finish, state_of
from ldmd.report.text import amount, duration, table

OK, FAILED = 0, 1


class Voice:
    """What the person sees: lines, a line of progress on a terminal, or JSON."""

    def __init__(self, *, as_json: bool) -> None:
        self._json, self._began = as_json, time.monotonic()
        self._terminal = sys.stdout.isatty() and not as_json
        self._progress, self._phase = 0, 0

    def say(self, text: str) -> None:
        """A step."""
        at = time.monotonic() - self._began
        if self._json:
            print(json.dumps({"at": round(at, 3), "say": text}), flush=True)
        else:
            self._wipe()
            print(f"[{at:5.1f}s] {text}", flush=True)

    def progress(self, row: Mapping[str, Any]) -> None:
        """A migration moves on."""
        text = f"{row.get('percent', 0):3d}% {row.get('text', '')}"
        if self._json:
            print(json.dumps({"progress": row}), flush=True)
        elif self._terminal:
            print("\r        " + text.ljust(self._progress), end="", flush=True)
            self._progress = len(text)
        elif row.get("phase") != self._phase:
            self.say(f"  {text}")
        self._phase = int(row.get("phase") or 0)

    def _wipe(self) -> None:
        if self._progress:
            print("\r" + " " * (self._progress + 8) + "\r", end="")
            self._progress = 0

    def lines(self, lines: Sequence[str]) -> None:
        """A table, or what is wrong."""
        if not self._json:
            self._wipe()
            print("\n".join(lines), flush=True)

    def document(self, **row: Any) -> None:
        """The end, for programs."""
        if self._json:
            print(json.dumps(row), flush=True)


@dataclass(frozen=True)
class Trip:
    """One move, and what was found after it."""

    moved: Moved
    seen: Seen


def run(*, stay: bool = False, as_json: bool = False, keep: bool = False) -> int:
    """All of it; the exit status."""
    voice = Voice(as_json=as_json)
    try:
        voice.say(f"power on: {ALPHA}, a T4, and {BETA}, a T5; domain {MOVER} will move there and back")
        with stage(voice.say, keep=keep) as made:
            begin(ALPHA)
            voice.say(f"{MOVER} works: memory, disk, console, network")
            trips, wrong = _stayed() if stay else _moved(voice, made)
            home = ALPHA
            wrong += finish(home, ALPHA, made.data)
    except DemoError as error:
        voice.lines([str(error)])
        voice.document(ok=False, wrong=[str(error)])
        return FAILED
    wrong = [*wrong, *(f"{trip.moved.source} to {trip.moved.target}: {text}" for trip in trips
                       for text in trip.seen.wrong)]
    _tell(voice, trips, wrong, stay=stay)
    return FAILED if wrong else OK


def _stayed() -> tuple[list[Trip], list[str]]:
    """The work without a move: what is measured then is the demonstration itself."""
    numbers = Numbers(ALPHA)
    printed, problem = numbers.end(ALPHA)
    seen = replace(check(ALPHA, ALPHA), numbers=printed)
    return [Trip(Moved(ALPHA, ALPHA, 0.0, 0, 0, None, None), seen)], [problem] if problem else []


def _moved(voice: Voice, made: Stage) -> tuple[list[Trip], list[str]]:
    ways = ((ALPHA, BETA, ("-p", str(made.password)), f"{USER}@{BETA}", "password"),
            (BETA, ALPHA, ("-c",), ALPHA, "certificate"))
    trips = []
    for source, target, how, where, word in ways:
        voice.say(f"ldm migrate-domain {' '.join(how)} {MOVER} {where}   (by {word})")
        numbers = Numbers(source)
        numbers.moving_to(target)
        moved = replace(move(MOVER, source, where, how=how, show=voice.progress), target=target)
        trips.append(Trip(moved, _look(numbers, source, target)))
        voice.say(f"  {MOVER} runs on {target}: {'all is there' if not trips[-1].seen.wrong else 'something is wrong'}")
    return trips, []


def _look(numbers: Numbers, source: str, target: str) -> Seen:
    wrong = []
    if state_of(target, MOVER) != "active":
        wrong.append(f"{MOVER} is not active on {target}")
    if state_of(source, MOVER):
        wrong.append(f"{MOVER} is still on {source}")
    printed, problem = numbers.end(target)
    seen = check(target, ALPHA)
    return replace(seen, numbers=printed, wrong=(*wrong, *([problem] if problem else ()), *seen.wrong))


def _tell(voice: Voice, trips: Sequence[Trip], wrong: Sequence[str], *, stay: bool) -> None:
    rows = {
        "time": [duration(trip.moved.seconds) for trip in trips],
        "rounds": [str(trip.moved.rounds) for trip in trips],
        "bytes on the wire": [amount(trip.moved.wire_bytes) for trip in trips],
        "downtime": [duration(None if trip.moved.downtime_ms is None else trip.moved.downtime_ms / 1000)
                     for trip in trips],
        "longest silence of TCP": [duration(trip.seen.silence_ms / 1000) for trip in trips],
        "longest wait of a write": [duration(trip.seen.write_wait_ms / 1000) for trip in trips],
        "pages verified": ["-" if trip.moved.verified_pages is None else str(trip.moved.verified_pages)
                           for trip in trips],
        "stamps in memory": [f"{trip.seen.stamps}, 0 wrong" if not _has(trip, "memory") else "WRONG" for trip in trips],
        "disk writes": [f"{trip.seen.writes}, 0 lost" if not _has(trip, "disk") else "LOST" for trip in trips],
        "console numbers": [f"{trip.seen.numbers}, 0 lost" if not _has(trip, "console") else "LOST" for trip in trips],
        "TCP bytes": [f"{trip.seen.said_bytes}, 0 lost" if not _has(trip, "network") else "LOST" for trip in trips],
        "packets sent again": [str(trip.seen.sent_again) for trip in trips],
    }
    titles = ("", *(f"{trip.moved.source} to {trip.moved.target}" if not stay else "it stayed" for trip in trips))
    voice.lines(["", *table(titles, [(name, *cells) for name, cells in rows.items()], indent=""), ""])
    voice.lines([*(f"wrong: {text}" for text in wrong), "nothing was lost" if not wrong else "it did not hold"])
    voice.document(ok=not wrong, wrong=list(wrong), trips=[asdict(trip) for trip in trips])


def _has(trip: Trip, word: str) -> bool:
    return any(text.startswith(f"{word}:") for text in trip.seen.wrong)
