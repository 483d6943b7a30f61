"""What the translator says it has done, and which instructions of a kernel it leaves to their bodies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from emulator import Machine, StopReason
from emulator._core_observe import EngineStatistics
from emulator.errors import EngineError

pytestmark = pytest.mark.nosan

PREBUILT = Path(__file__).resolve().parents[2] / "images" / "prebuilt"


def statistics_of(name: str, insns: int) -> tuple[EngineStatistics, int]:
    """After so many instructions of a program, and the traps it has taken. Skips where there is no translator."""
    with Machine("64M", deterministic=True) as machine:
        try:
            machine.use_engine("translator")
        except EngineError as none:
            pytest.skip(str(none))
        assert machine.engine_statistics == EngineStatistics(0, 0, 0, 0, 0.0, 0, 0, 0, 0, {})
        machine.boot(PREBUILT / f"bench-{name}.elf")
        assert machine.run(insns).reason is StopReason.BUDGET
        found, taken = machine.engine_statistics, machine.strand_counts(0).traps
        assert found.native_bytes == machine._core.native_bytes() > 0
        assert found.bodies == sum(found.bodies_by_name.values())
        machine.use_engine("interpreter")
        assert machine.engine_statistics.regions == 0
        return found, taken


def test_window_traps_are_no_calls() -> None:
    """Handlers with their counters and RETRY are translated; SAVE and RETURN of a full ring go there by themselves."""
    found, traps = statistics_of("calls", 2_000_000)
    assert traps > 20_000
    assert found.bodies + found.lookups < 3_000
    assert found.left + found.left_at < 30_000  # RETRY gives a compare's codes back as one, which blocks ask for
    assert found.regions <= found.blocks < found.instructions
    assert 0 < found.compile_seconds < 60


def test_a_trap_and_the_way_back_are_no_calls() -> None:
    found, traps = statistics_of("traps", 1_000_000)
    assert traps > 50_000
    assert found.bodies + found.lookups + found.left + found.left_at < 1000


@pytest.mark.parametrize("engine", ["interpreter", "translator"])
def test_statistics_of_a_run(engine: str) -> None:
    command = [sys.executable, "-m", "emulator.cli", "run", "--stats", "--engine", engine, "--max-insns", "2000000"]
    done = subprocess.run([*command, str(PREBUILT / "bench-dhry.elf")], capture_output=True, text=True, check=False)
    if engine == "translator" and "translator needs" in done.stderr:
        pytest.skip("no translator on this host")
    stats = json.loads(next(line for line in done.stderr.splitlines() if line.startswith("{")))
    assert (stats["translator"] is not None) == (engine == "translator")
    if engine == "translator":
        assert stats["translator"]["regions"] > 0
