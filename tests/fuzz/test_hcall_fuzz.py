"""Random hypercalls from inside a guest (images/programs/hcall/fuzz.c): the machine neither dies nor hangs.

A guest that ends, resets, suspends, traps or kills itself is started again, where it stopped counting. A million calls
under AddressSanitizer and UBSan (`make sanitize`); ``S4V_HCALL_FUZZ`` sets another number, ``S4V_HCALL_SEED`` the seed.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from emulator import Machine, StopReason, parse_image

PROGRAM = parse_image((Path(__file__).resolve().parents[2] / "images" / "prebuilt" / "hcall-fuzz.elf").read_bytes())
SANITIZED = "address" in os.environ.get("S4V_EXPECT_SANITIZER", "")
CALLS = int(os.environ.get("S4V_HCALL_FUZZ", "1000000" if SANITIZED else "200000"))
SEED = int(os.environ.get("S4V_HCALL_SEED", "20261125"))
SHARDS = (("t5120", True), ("t5-2", False), ("t5120", False), ("t7-1", True))
PROGRESS, FINISHED = 0x10000, 0x55
BATCH = 20_000  # calls of one start
MOST_INSNS = 3000  # a call, with what the guest does around it
GOES_ON = {StopReason.CONSOLE, StopReason.CHANNEL, StopReason.EXPIRED, StopReason.SUSPEND, StopReason.BUDGET}


def new_machine(platform: str, control: bool) -> Machine:
    machine = Machine("16M", platform=platform, strands=2, deterministic=True, rng_control=control)
    machine.add_channel(0).up = True
    machine.channel(0).export(65536)
    machine.add_channel(1).up = True
    machine.connect_channels(2, 3)
    return machine


def whole(machine: Machine, platform: str, control: bool) -> None:
    """The state can be saved, and another machine takes it."""
    with new_machine(platform, control) as other:
        other.load(machine.save())
        assert other.digest() == machine.digest()


class Harness:
    """Starts guests one after the other until they have made so many calls."""

    def __init__(self, platform: str, control: bool, seed: int) -> None:
        self.machine, self.seed, self.calls = new_machine(platform, control), seed, 0
        self.ends: Counter[str] = Counter()

    def start(self, count: int) -> None:
        machine = self.machine
        machine.reset()
        machine.heal(0, machine.memory.size_bytes)
        machine.memory.write(PROGRESS, bytes(16))
        self.seed += 1
        machine.boot(PROGRAM, args=["fuzz", str(self.seed), str(count)])

    def made(self, count: int) -> int:
        """Calls of this start; its counter may have been written over."""
        made = self.machine.memory.load(PROGRESS)
        return made if made <= count else 1

    def serve(self, reason: StopReason, strand: int) -> bool:
        """What the client does about a stop. False: this guest is at its end."""
        machine = self.machine
        machine.console.read()
        if reason is StopReason.SUSPEND:
            machine.resume(self.seed % 3)
        elif reason is StopReason.CHANNEL:
            for number in (0, 1):
                machine.channel(number).receive()
                machine.channel(number).send(bytes(64))
        elif reason is StopReason.IDLE:  # CPU_YIELD: input wakes it
            machine.console.feed(b"wake")
        elif reason is StopReason.WATCHDOG:
            return strand != 0
        return reason in GOES_ON or reason is StopReason.IDLE

    def run(self, count: int) -> None:
        """One guest to its end."""
        self.start(count)
        idle, before = 0, -1
        budget = count * MOST_INSNS
        while budget > 0:
            stop = self.machine.run(min(budget, 2_000_000))
            budget -= max(stop.insns, 1000)
            now = self.made(count)
            idle = idle + 1 if stop.reason is StopReason.IDLE and now == before else 0
            stuck = now == before and stop.reason is StopReason.BUDGET
            if idle > 3 or stuck or not self.serve(stop.reason, stop.strand):
                self.ends["stuck" if stuck else stop.reason.name] += 1
                self.ends["finished"] += stop.exit_code == FINISHED
                break
            before = now
        self.calls += max(self.made(count), 1)


@pytest.mark.parametrize("shard", range(len(SHARDS)))
def test_random_calls(shard: int) -> None:
    platform, control = SHARDS[shard]
    harness = Harness(platform, control, SEED + 1_000_000 * shard)
    goal = CALLS // len(SHARDS)
    print(f"seed {harness.seed}, {goal} calls, {platform}")
    starts = 0
    while harness.calls < goal:
        harness.run(min(BATCH, goal - harness.calls))
        starts += 1
        if starts % 16 == 1:
            whole(harness.machine, platform, control)
        assert starts < 20 + goal // 100, f"guests die too early: {harness.ends}"
    print(f"{harness.calls} calls in {starts} starts, {dict(harness.ends)}")
    assert sum(harness.ends.values()) > 0
    harness.machine.close()
