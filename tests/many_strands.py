"""The guest of many_strands.S in a machine: strands that count by CASX and send each other mondos."""

from __future__ import annotations

import functools
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from host_shares import only_one

from emulator import Machine, parse_image

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "tests" / "many_strands.S"
CROSS = "sparc64-linux-gnu-"
FLAGS = [
    "-g",
    "-mcpu=niagara4",
    "-mcmodel=medlow",
    "-fno-pic",
    "-fno-pie",
    "-nostdlib",
    "-static",
    "-no-pie",
    "-Wl,-Ttext=0x20000",
    "-Wl,-Tdata=0x40000",
    "-Wl,-e,_start",
    "-Wl,--build-id=none",
    "-Wl,-z,max-page-size=0x2000",
]
LINE = 64
MONDO_EVERY = 8


@dataclass(frozen=True)
class ManyStrands:
    """The program with its symbols, and where it was built."""

    path: Path
    symbols: dict[str, int]


@functools.cache
def many_strands() -> ManyStrands:
    """Built once for all test processes. Skips where there is no cross compiler."""
    compiler = shutil.which(f"{CROSS}gcc")
    if compiler is None:
        pytest.skip(f"needs {CROSS}gcc")
    folder = ROOT / "build" / "many-strands"
    program = folder / "many_strands.elf"
    with only_one(folder / "one-builder"):
        if not program.exists() or program.stat().st_mtime < SOURCE.stat().st_mtime:
            fresh = program.with_suffix(".new")
            subprocess.run([compiler, *FLAGS, "-o", str(fresh), str(SOURCE)], check=True)
            fresh.replace(program)
    names = subprocess.run([f"{CROSS}nm", str(program)], check=True, capture_output=True, text=True).stdout
    symbols = {words[2]: int(words[0], 16) for line in names.splitlines() if len(words := line.split()) == 3}
    return ManyStrands(program, symbols)


def load(machine: Machine, rounds: int) -> dict[str, int]:
    """Put the program there and start strand 0, which starts the others. Its symbols."""
    program = many_strands()
    image = parse_image(program.path.read_bytes())
    machine.load_image(image)
    machine.memory.store(program.symbols["strands"], len(machine.strands))
    machine.memory.store(program.symbols["rounds"], rounds)
    machine.strands[0].start(image.entry, arg=0)
    return program.symbols


@dataclass(frozen=True)
class Line:
    """What a strand says of itself."""

    done: int
    sent: int
    received: int
    senders: int


def lines(machine: Machine) -> list[Line]:
    at = many_strands().symbols["lines"]
    return [
        Line(*(machine.memory.load(at + LINE * n + 8 * word) for word in range(4))) for n in range(len(machine.strands))
    ]


def check_end(machine: Machine, rounds: int) -> None:
    """No round, no mondo and no count is lost or made up, and each mondo came from the strand before."""
    found, strands = lines(machine), len(machine.strands)
    assert [line.done for line in found] == [rounds] * strands
    assert machine.memory.load(many_strands().symbols["shared"]) == rounds * strands
    assert all(line.sent <= rounds // MONDO_EVERY for line in found)
    for number, line in enumerate(found):
        before = (number - 1) % strands
        assert line.received == found[before].sent
        assert line.senders == line.received * (before + 1)
