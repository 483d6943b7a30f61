"""Linux boots, tests its ciphers and works, interpreted and translated side by side: the same to the bit.

Virtual time. Both machines take the same turns of random length; every stop and every byte of the console is
compared, and at random counts the digests of all state and memory. S4V_LINUX_LOCKSTEP=N looks N times as often, on
three kinds of server, with the kernel's randomised tests too (docs/internals/translator.md has what that came to).
"""

from __future__ import annotations

import os
import random
import re
from dataclasses import replace
from typing import cast

import pytest
from engine_drivers import SEED
from guest_console import GuestConsole
from linux_guest import CRYPTO, Linux

from emulator import Machine, Stop

pytestmark = [pytest.mark.slow, pytest.mark.nosan]

LONG = int(os.environ.get("S4V_LINUX_LOCKSTEP", "0"))
APART = 40_000_000 // max(1, LONG)  # instructions between two looks, on the average
# platform, strands, how much the kernel tests its ciphers
CASES = [("t5-2", 2, "vectors"), *([("m7-8", 4, "random"), ("t5120", 3, "vectors")] if LONG else [])]
LOADS = {"load forks": "forks: ok", "load contexts": "contexts: ok", "load32": "load32: ok", "load fp": "fp: ok"}


class Twins:
    """Two machines that must be one: as a `GuestConsole` sees a machine and its console."""

    deterministic = True

    def __init__(self, machines: tuple[Machine, Machine], rng: random.Random) -> None:
        self.machines, self.rng = machines, rng
        self.console = self
        self.insns, self.looks, self.cuts = 0, 0, 0
        self._next = 1

    def feed(self, data: bytes) -> int:
        taken, other = (machine.console.feed(data) for machine in self.machines)
        assert taken == other
        return taken

    def read(self) -> bytes:
        said, other = (machine.console.read() for machine in self.machines)
        assert said == other
        return said

    def run(self, budget_insns: int) -> Stop:
        length = min(budget_insns, int(10 ** self.rng.uniform(0, 7)), self._next - self.insns)
        stop, other = (machine.run(length) for machine in self.machines)
        assert stop == other, f"after {self.insns} instructions and a run of {length}"
        self.insns += stop.insns
        self.cuts += 1
        if self.insns >= self._next:
            self.look()
        return stop

    def look(self) -> None:
        """Digests of everything."""
        digest, other = (machine.digest() for machine in self.machines)
        assert digest == other, f"after {self.insns} instructions"
        self.looks += 1
        self._next = self.insns + 1 + int(self.rng.expovariate(1 / APART))


@pytest.mark.parametrize(("platform", "strands", "crypto"), CASES)
def test_translated_linux_is_interpreted_linux(linux: Linux, platform: str, strands: int, crypto: str) -> None:
    with (Machine("256M", strands=strands, platform=platform, deterministic=True) as one,
          Machine("256M", strands=strands, platform=platform, deterministic=True) as other):  # fmt: skip
        if note := other.prefer_engine("translator"):
            pytest.skip(note)
        for machine in (one, other):
            machine.power_on(linux.program(CRYPTO[crypto]))
        twins = Twins((one, other), random.Random(f"{SEED} {platform}"))
        guest = GuestConsole(cast(Machine, twins))
        guest.shell()
        booted = twins.insns
        tested = re.findall(r"driver\s*: (\S+)\n(?:.*\n)*?selftest\s*: (\w+)", guest.command("cat /proc/crypto"))
        # the kernel's driver of the T2's units fails its tests on any machine (test_linux_boot.py)
        assert {result for driver, result in tested if not driver.endswith("-n2")} == {"passed"}
        assert len(tested) > 20
        for load, said in LOADS.items():
            assert said in guest.command(load)
        twins.look()
        statistics = other.engine_statistics
        print(f"seed {SEED}: {platform}, {booted} instructions to the shell, {twins.insns} in all, {twins.cuts} runs, "
              f"{twins.looks} digests, {len(tested)} ciphers")  # fmt: skip
        print(replace(statistics, bodies_by_name={}))
        assert statistics.native_bytes > 500_000
        assert one.engine_statistics.native_bytes == 0
        assert twins.looks > 10
