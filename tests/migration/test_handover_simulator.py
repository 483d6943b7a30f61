"""Seeded runs of the whole hand-over in virtual time. S4V_HANDOVER_RUNS says how many (10,000 for a release)."""

from __future__ import annotations

import os

from handover_simulator import Simulation
from migration_world import Violation

RUNS = int(os.environ.get("S4V_HANDOVER_RUNS", "1000"))
FIRST = int(os.environ.get("S4V_HANDOVER_SEED", "1"))


def test_random_runs() -> None:
    """Every one ends with one copy, both sides clean; and the runs were no formality."""
    wrong, events, moved, stayed, again = [], 0, 0, 0, 0
    for seed in range(FIRST, FIRST + RUNS):
        run = Simulation(seed)
        try:
            events += run.run()
        except Violation as violation:
            wrong.append(f"seed {seed}: {violation}")
        moved += run.t.guest == "run"
        again += run.ran > 1
        stayed += run.s.guest == "run"
    print(f"{RUNS} runs from seed {FIRST}: {events} events, {moved} moved ({again} not at once), {stayed} stayed")
    assert wrong == []
    assert moved > RUNS / 5 and again > RUNS / 20 and stayed > RUNS / 50
