"""A guest moves between servers with the operations of hvctl, and goes on as if nothing had happened.

Memory is copied over the guest's descriptors, as another process would. Virtual time: with no chance but the seeded one of
when it moves.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from moving_support import Memory, carry_state, copy_memory, move, put_state
from server_support import LABOS, PROMPT, Room, labos_spec

from emulator.backends.file import create_disk
from emulator.devices.switch import join
from emulator.hvctl.local import RefusedError

SEED = int(os.environ.get("SUN4V_TEST_SEED", "1"))
MS = 1_000_000
MIB = 1 << 20


class Pair:
    """Servers in one virtual time; guest 1 lives on one of them, and its console is one text."""

    def __init__(self, *platforms: str, **options: Any) -> None:
        self.rooms = [Room(platform, name=f"s{n}", **options) for n, platform in enumerate(platforms)]
        self.home, self.moves = 0, 0
        self.said = bytearray()

    @property
    def room(self) -> Room:
        return self.rooms[self.home]

    @property
    def text(self) -> str:
        return self.said.decode("latin-1").replace("\r", "")

    def start(self, spec: dict[str, Any]) -> None:
        self.room.add(spec)
        self.room.server.console(1).attach(self.said.extend)
        self.until(PROMPT)

    def advance(self, ns: int) -> None:
        """All servers, a slice at a time."""
        while ns > 0:
            step = min(ns, MS)
            for room in self.rooms:
                room.server.advance(step)
            ns -= step

    def until(self, end: str, *, most_ms: int = 60_000) -> None:
        for _ in range(most_ms):
            if self.text.endswith(end):
                return
            self.advance(MS)
        raise AssertionError(f"no {end!r} but {self.text[-400:]!r}")

    def do(self, line: str, *, most_ms: int = 60_000) -> str:
        """A command; its output."""
        begin = len(self.text)
        self.room.type(1, line)
        self.until(f"\n{PROMPT}", most_ms=most_ms)
        return self.text[begin:].partition("\n")[2].removesuffix(f"\n{PROMPT}")

    def move(self, to: int | None = None, *, spec: dict[str, Any] | None = None) -> None:
        """To another server, by default the next one."""
        to = (self.home + 1) % len(self.rooms) if to is None else to
        target = self.rooms[to]
        move(self.room.client, target.client, spec or self.room.call("guest.spec", guest=1))
        self.home, self.moves = to, self.moves + 1
        target.server.console(1).attach(self.said.extend)

    def run(self, script: Sequence[tuple[str, int]], *, chance: random.Random | None) -> None:
        """Lines, each with its time in ms; with `chance` the guest moves at random instants of it."""
        for line, ms in script:
            self.room.type(1, line)
            left = ms * MS
            while left > 0:
                step = min(left, chance.randrange(1, ms * MS) if chance else left)
                self.advance(step)
                left -= step
                if chance and left:
                    self.move()

    def close(self) -> None:
        for room in self.rooms:
            room.close()

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def disks(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        create_disk(path, MIB)
    return [{"name": "d0", "number": 0, "channels": [1], "backend": str(path)}]


SCRIPT = [
    ("dirty 20000 4194304", 30), ("write c0d0 0 pattern 64", 20), ("verify c0d0 0 64", 20), ("psrinfo -pv", 10),
    ("cksum c0d0", 60), ("date; uptime", 10), ("crypto", 60), ("write c0d0 100 hello", 20), ("sleep 0", 20),
    ("dirty check", 60), ("dirty stop", 30),
]  # fmt: skip


def test_a_run_with_moves_is_the_run_without(tmp_path: Path) -> None:
    """To the bit: console, disk, digest of state and memory, count of instructions."""
    ends = []
    for chance in (None, random.Random(SEED)):
        disk = tmp_path / ("moved" if chance else "stays")
        with Pair("t5-2", "t5-2") as pair:
            pair.start(labos_spec(1, disks=disks(disk), vcpus=[[0, 1], [1, 2]], max_vcpus=4))
            pair.run(SCRIPT, chance=chance)
            digest = pair.room.call("guest.digest", guest=1)
            ends.append((pair.text, digest, hashlib.sha256(disk.read_bytes()).hexdigest()))
            print("seed", SEED, "moves", pair.moves)
            assert pair.moves >= len(SCRIPT) if chance else pair.moves == 0
    stays, moved = ends
    assert " 0 wrong" in stays[0] and "64 blocks" in stays[0]
    assert moved[0] == stays[0]
    assert moved[2] == stays[2]
    assert moved[1] == stays[1]
