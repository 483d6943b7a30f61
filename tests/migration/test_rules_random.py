"""Random moves between servers of all kinds: what the rules allow has a plan, what lacks resources has none."""

from __future__ import annotations

from random import Random

import pytest
from domain_support import guest
from rules_support import Move

from emulator.chips import cpu_archs
from ldmd.messages import RefusedError

PLATFORMS = ("t3-1", "t4-1", "t5-2", "m7-8", "m10-1")


def random_move(rng: Random) -> Move:
    """A domain of any size and state; a target that has little, or much."""
    here = rng.choice(PLATFORMS)
    there = here if rng.random() < 0.4 else rng.choice(PLATFORMS)
    archs = cpu_archs({"t3-1": "t3", "t4-1": "t4", "t5-2": "t5", "m7-8": "m7", "m10-1": "sparc64-x"}[here])
    move = Move(here, there, upto="inactive", vcpus=rng.randint(1, 24), size=f"{rng.randint(1, 40) * 256}M",
                arch=rng.choice(archs))
    if rng.random() < 0.3:
        move.source.ok("set-core", count=str(rng.randint(1, 3)), domain="ldg1")
    move.with_devices(disk=rng.random() < 0.5, net=rng.random() < 0.5, adapter=0 if rng.random() < 0.2 else None)
    move.up(rng.choice(("inactive", "bound", "active", "booted", "booted", "booted")))
    for number in range(rng.randint(0, 3)):
        free = move.facts()
        guest(move.target, f"other{number}", vcpus=max(1, rng.randint(1, max(1, free.free_strands // 2))),
              size=f"{rng.randint(1, max(1, (free.free_bytes >> 28) * 2 // 3)) * 256}M")
        move.target.manager.execute("bind-domain", {"domain": f"other{number}"})
    if rng.random() < 0.4:
        move.os = {"name": "Solaris", "version": rng.choice(("11.2", "11.3", "11.4", "10 9/10", "10 1/13"))}
    return move


@pytest.mark.parametrize("seed", range(40))
def test_what_the_rules_allow_has_a_plan_and_what_lacks_resources_has_none(seed: int) -> None:
    move = random_move(Random(seed))
    report = move.report()
    if report.ok:
        assert move.planned().uuid == move.domain.uuid  # rules_support looks whether the plan is sound
    elif {each.rule for each in report.errors} <= {"G10", "G20", "G21", "G24"}:
        with pytest.raises(RefusedError):
            move.plan()
