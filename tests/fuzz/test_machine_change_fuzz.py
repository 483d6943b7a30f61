"""Random hypercalls while memory and strands of the machine come and go: the machine neither dies nor hangs.

The guest is that of test_hcall_fuzz. Between its runs memory and strands are added and removed at random: what is
refused has a reason and changes nothing. ``S4V_CHANGE_FUZZ`` sets the number of changes, ``S4V_HCALL_SEED`` the seed.
"""

from __future__ import annotations

import os
import random

import pytest
from test_hcall_fuzz import PROGRAM, SEED, Harness

from emulator import Machine, StopReason
from emulator.errors import AddressError, BusyError, ConfigError, StrandError
from emulator.machine import argument_block

CHANGES = int(os.environ.get("S4V_CHANGE_FUZZ", "400"))
PAGE, MIB = 8192, 1 << 20
LEAST, HIGH, HIGH_PA, SPAN = 8 * MIB, 0x8000_0000, 0x1_0000_0000, 4 * MIB
"""The program, its stacks and counters are below 8 MiB of the 16 and stay."""


class Changing(Harness):
    """Changes something at each stop."""

    def __init__(self, platform: str, seed: int) -> None:
        super().__init__(platform, False, seed)
        self.machine.close()
        self.rng = random.Random(seed)
        self.machine = Machine("16M", platform=platform, strands=2, max_strands=8, deterministic=True)
        self.changes = self.refused = 0
        for number in (0, 1):
            self.machine.add_channel(number).up = True
        self.machine.channel(0).export(65536)
        self.machine.connect_channels(2, 3)

    def change(self) -> None:
        machine, rng = self.machine, self.rng
        low = rng.random() < 0.3
        at = LEAST + rng.randrange(LEAST // PAGE) * PAGE if low else HIGH + rng.randrange(SPAN // PAGE) * PAGE
        size = rng.choice([PAGE, 4 * PAGE, MIB])
        before = machine.blocks, [strand.number for strand in machine.strands]
        self.changes += 1
        try:
            match rng.randrange(4):
                case 0:
                    machine.add_memory(at, at if low else at - HIGH + HIGH_PA, size)
                case 1:
                    machine.remove_memory(at, size)
                case 2:
                    machine.add_strands(rng.sample(range(1, 8), rng.randrange(1, 3)))
                case _:
                    machine.remove_strands(rng.sample(range(1, 8), rng.randrange(1, 3)))
        except (ConfigError, AddressError, BusyError, StrandError):
            self.refused += 1
            assert (machine.blocks, [strand.number for strand in machine.strands]) == before

    def serve(self, reason: StopReason, strand: int) -> bool:
        goes_on = super().serve(reason, strand)
        for _ in range(self.rng.randrange(4)):
            self.change()
        return goes_on

    def start(self, count: int) -> None:
        self.machine.reset()
        for ra, length in self.machine.poisoned:
            self.machine.heal(ra, length)
        self.machine.memory.write(0x10000, bytes(16))
        self.seed += 1
        image = self.machine.load_image(PROGRAM)
        self.machine.memory.write(LEAST - PAGE, argument_block(LEAST - PAGE, ["fuzz", str(self.seed), str(count)]))
        self.machine.strands[0].start(image.entry, arg=LEAST - PAGE)

    def check(self) -> None:
        """The state can be saved, and a machine with the same memory, of other physical addresses, takes it."""
        moved, pa = [], 0
        for ra, size in self.machine.memory.ranges:
            moved.append((ra, pa, size))
            pa += 2 * size
        with Machine("16M", platform=self.machine.platform.name, strands=1, max_strands=8, deterministic=True) as other:
            other.remove_memory(0, 16 * MIB)
            for block in moved:
                other.add_memory(*block)
            other.machine_description = self.machine.machine_description
            other.load(self.machine.save())
            assert other.digest() == self.machine.digest()
            assert [s.number for s in other.strands] == [s.number for s in self.machine.strands]


@pytest.mark.parametrize("platform", ["t5-2", "t5120"])
def test_random_calls_while_resources_change(platform: str) -> None:
    harness = Changing(platform, SEED)
    print(f"seed {SEED}, {CHANGES} changes, {platform}")
    starts = 0
    while harness.changes < CHANGES:
        harness.run(500)
        starts += 1
        if starts % 8 == 1:
            harness.check()
        assert starts < 40 * CHANGES, f"guests die too early: {harness.ends}"
    print(f"{harness.changes} changes, {harness.refused} refused, {harness.calls} calls, {dict(harness.ends)}")
    assert 0 < harness.refused < harness.changes
    harness.check()
    harness.machine.close()
