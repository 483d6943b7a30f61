"""The committed guest programs on a Machine: each checks a part of the machine from inside and says so."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from emulator import Machine, Stop, StopReason, StrandState, parse_image

IMAGES = Path(__file__).resolve().parents[2] / "images"
PROGRAMS = tomllib.loads((IMAGES / "manifest.toml").read_text())["program"]
DYING = {"check-watchdog", "check-nohandler"}
CHECKS = sorted(p.removeprefix("check-") for p in PROGRAMS if p.startswith("check-") and p not in DYING)
BENCHES = sorted(p.removeprefix("bench-") for p in PROGRAMS if p.startswith("bench-"))
WORK_MAGIC = b"S4VBENCH"


def run(machine: Machine, budget_insns: int = 500_000_000) -> tuple[Stop, str]:
    """Run to the first stop that is not for console output."""
    output = b""
    while True:
        stop = machine.run(budget_insns)
        output += machine.console.read()
        if stop.reason is not StopReason.CONSOLE:
            return stop, output.decode()


@pytest.mark.parametrize("name", CHECKS)
def test_check_program_finds_nothing_wrong(name: str) -> None:
    with Machine("64M", strands=2, deterministic=True) as machine:
        machine.boot(IMAGES / "prebuilt" / f"check-{name}.elf")
        stop, output = run(machine)
    assert output == f"{name}: ok\n"
    assert (stop.reason, stop.exit_code) == (StopReason.EXIT, 0)


def test_hello() -> None:
    with Machine("16M") as machine:
        machine.boot(IMAGES / "prebuilt" / "hello.elf")
        stop, output = run(machine)
    assert output == "hello, sun4v\n"
    assert (stop.reason, stop.exit_code) == (StopReason.EXIT, 0)


def test_echo_gives_back_what_it_is_fed_and_counts_lines() -> None:
    with Machine("16M") as machine:
        machine.boot(IMAGES / "prebuilt" / "echo.elf")
        machine.console.feed(b"first\nsecond line\nquit\nnot read\n")
        stop, output = run(machine)
    assert output == "first\nsecond line\n"
    assert (stop.reason, stop.exit_code) == (StopReason.EXIT, 2)


def test_trap_at_the_last_level_stops_the_strand_with_a_report() -> None:
    with Machine("16M") as machine:
        machine.boot(IMAGES / "prebuilt" / "check-watchdog.elf")
        stop, output = run(machine)
        assert output == "watchdog: trapping at TL 2\n"
        assert (stop.reason, stop.trap_type) == (StopReason.WATCHDOG, 0x101)
        assert machine.strands[0].state is StrandState.ERROR
        assert machine.strands[0]["tl"] == 2
        assert f"{machine.strands[0]['pc']:016x}" in machine.strands[0].print()


def test_runtime_reports_a_trap_without_handler() -> None:
    with Machine("16M") as machine:
        machine.boot(IMAGES / "prebuilt" / "check-nohandler.elf")
        stop, output = run(machine)
    assert output.startswith("trap 0x010 at pc 0x1") and output.endswith(", TL 1\n")
    assert (stop.reason, stop.exit_code) == (StopReason.EXIT, 0xE1)


# Checksums of one unit of work, from the native x86-64 build of the same sources.
NATIVE = {
    "sieve": 0x198e, "crc": 0xdf6fd768, "matmul": 0xf16bbea000000000, "sha": 0x4d28ccb5ce5666a8,
    "qsort": 0xf30b958337d0a5ef, "fib": 0xb520, "bytecode": 0xc1ad884cdbebdb5c, "str": 0x50e8,
    "hash": 0x80297bee, "dhry": 0x2c, "mark": 0xd40a, "bigsieve": 0x14069, "sha256": 0x1d316550aceb4255,
    "memcpy": 0x80eb509a90a80000, "memset": 0x0, "loop64": 0xba6b3172b4e75251, "nbody": 0x7ca70fa947d0a5ba,
    "chase": 0x46cb, "traps": 0x1, "calls": 0x2de43aa90e005fd,
}


def test_every_benchmark_has_a_native_checksum() -> None:
    assert set(BENCHES) == NATIVE.keys()


@pytest.mark.parametrize("name", BENCHES)
def test_benchmark_gives_the_checksum_of_the_native_build(name: str) -> None:
    data = bytearray((IMAGES / "prebuilt" / f"bench-{name}.elf").read_bytes())
    at = data.index(WORK_MAGIC) + len(WORK_MAGIC)
    data[at : at + 8] = (1).to_bytes(8, "big")
    with Machine("64M") as machine:
        machine.boot(parse_image(bytes(data)))
        stop, output = run(machine)
    assert output == f"{name} {NATIVE[name]:016x}\n"
    assert (stop.reason, stop.exit_code) == (StopReason.EXIT, 0)
