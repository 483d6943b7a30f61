"""Seeded runs of the whole hand-over in virtual time. S4V_HANDOVER_RUNS: how many of each way (release: 10,000)."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from handover_simulator import WAY, Simulation
from migration_world import Violation
from simulator_mishaps import KINDS, OVER, PHASES

RUNS = int(os.environ.get("S4V_HANDOVER_RUNS", "600"))
FIRST = int(os.environ.get("S4V_HANDOVER_SEED", "1"))
ENOUGH = 2000
"""Runs after which every mishap has been in every phase at every side."""


def table(counted: Counter[tuple[str, str, str]], phases: tuple[str, ...]) -> str:
    """Mishap and side x phase: how often."""
    lines = [" " * 16 + "".join(f"{phase:>9}" for phase in (*phases, OVER))]
    for kind in KINDS:
        for side in "st":
            row = "".join(f"{counted[phase, kind, side]:9}" for phase in (*phases, OVER))
            lines.append(f"{kind:14}{side} {row}")
    return "\n".join(lines)


@pytest.mark.parametrize("way", WAY)
def test_random_runs(way: WAY) -> None:
    """Every one ends with one copy, both sides clean, and the domain can be moved then; and they were no formality."""
    wrong: list[str] = []
    found: Counter[str] = Counter()
    counted: Counter[tuple[str, str, str]] = Counter()
    for seed in range(FIRST, FIRST + RUNS):
        run = Simulation(seed, way)
        try:
            found["events"] += run.run()
        except Violation as violation:
            wrong.append(f"seed {seed}: {violation}")
        counted.update(run.mishaps.counted)
        found["moved at once"] += run.ran == 1
        found["moved by another attempt"] += run.ran > 1
        found["moved when all was calm"] += run.again
        found["machine died after FINAL"] += run.rescued > 0
        found["lost with its pages"] += bool(run.pages.lost)
    phases = PHASES if way is WAY.PAGES else PHASES[:-1]
    print(f"{RUNS} runs from seed {FIRST}, {way.value}: {dict(found)}\n{table(counted, phases)}")
    assert wrong == []
    assert found["moved at once"] > RUNS / 5 and found["moved by another attempt"] > RUNS / 20
    assert found["moved when all was calm"] > RUNS / 50 and found["machine died after FINAL"] > RUNS / 400
    assert (found["lost with its pages"] > RUNS / 50) is (way is WAY.PAGES)
    if RUNS >= ENOUGH:
        missing = [(phase, kind, side) for phase in phases for kind in KINDS for side in "st"
                   if not counted[phase, kind, side]]
        assert missing == []
