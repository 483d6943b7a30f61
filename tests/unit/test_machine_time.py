"""Running a deterministic machine until its clock shows a time."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from emulator import Machine, StopReason
from emulator.errors import ConfigError

PROGRAMS = Path(__file__).resolve().parents[2] / "images/prebuilt"
FOREVER = (1 << 64) - 1


def test_time_passes_where_nothing_runs() -> None:
    with Machine("16M", deterministic=True) as machine:
        assert machine.time_ns == 0
        stop = machine.run(FOREVER, until_ns=5_000_000)
        assert (stop.reason, stop.insns, machine.time_ns) == (StopReason.TIME, 0, 5_000_000)
        assert machine.run(FOREVER, until_ns=1_000_000).reason is StopReason.TIME, "that was long ago"
        assert machine.time_ns == 5_000_000
        assert machine.run(FOREVER).reason is StopReason.IDLE
    with Machine("16M") as machine, pytest.raises(ConfigError, match="host"):
        machine.run(1, until_ns=1)


def test_a_budget_ends_a_run_before_its_time() -> None:
    with Machine("16M", deterministic=True) as machine:
        machine.memory.write(0x1000, bytes.fromhex("10800000 01000000"))  # ba . ; nop
        machine.strands[0].start(0x1000)
        assert machine.run(1000, until_ns=1_000_000).reason is StopReason.BUDGET
        assert machine.insns == 1000
        stop = machine.run(FOREVER, until_ns=1_000_000)
        assert stop.reason is StopReason.TIME
        assert machine.insns == machine.platform.clock_hz // 1000, "a TICK an instruction, to the last"


@pytest.mark.parametrize("name", ["check-clock", "check-smp", "hello"])
def test_a_run_cut_by_time_is_the_same_run(name: str) -> None:
    """Also where strands wait for timers: the state is bit for bit that of a run in one piece."""

    def run(chance: random.Random | None) -> tuple[bytes, bytes, int]:
        with Machine("64M", strands=4, deterministic=True) as machine:
            machine.boot(PROGRAMS / f"{name}.elf")
            out = b""
            for _ in range(100_000):
                if chance is None:
                    stop = machine.run(FOREVER)
                else:
                    stop = machine.run(FOREVER, until_ns=machine.time_ns + chance.choice((1, 100, 5_000, 300_000)))
                out += machine.console.read()
                if stop.reason is StopReason.EXIT:
                    break
            return machine.digest(), out, machine.insns

    whole = run(None)
    assert whole[1]
    assert run(random.Random(20130326)) == whole
