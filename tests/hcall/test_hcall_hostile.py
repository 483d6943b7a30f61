"""Hostile arguments: whatever a guest passes, the machine answers, stays whole and can be saved.

``S4V_HCALL_CALLS`` (default 3000) and ``S4V_HCALL_SEED`` set how many calls, and which.
"""

from __future__ import annotations

import os
import random

import pytest
from guest_support import CODE, EBADTRAP, EOK, MORE, Guest

from csrc.hyp.generate_docs import calls
from emulator.errors import ChannelError, StateError

CALLS = int(os.environ.get("S4V_HCALL_CALLS", "3000"))
SEED = int(os.environ.get("S4V_HCALL_SEED", "20261122"))
ENDS = {"MACH_EXIT", "API_EXIT", "MACH_SIR", "MACH_SUSPEND", "CPU_YIELD", "MMU_ENABLE"}  # do not come back at once
STATUSES = {*range(18), 18, 23}
SERVICES = (0x002, 0x003, 0x101, 0x103, 0x104, 0x110)
TWO_VERSIONS = (0x103, 0x104)
MACHINE = {"strands": 2, "platform": "t5120", "rng_control": True}
EDGES = [0, 1, 2, 3, 4, 5, 8, 0x11, 0x100, 0x111, 0x200, 0x205, 63, 64, 128, 448, 511, 512, 2047, 2048, 8192,
         0x864, 0x10A72, 1 << 38, (1 << 38) + (1 << 28),
         MORE, MORE + 64, MORE + 0x10000, 0x200000, 0x3FFFC0, 0x400000 - 8, 0x400000, 1 << 32, 1 << 40, (1 << 60) - 8,
         1 << 60, 1 << 63, (1 << 64) - 64, (1 << 64) - 1]  # fmt: skip

WORDS = [0, 1 << 54, 3 << 53, 0x400, 0x200, 0x41 << 56 | 3 << 53 | 1 << 32, 0x40 << 56 | 3 << 53 | 1 << 28, 0x380000,
         0x380008]
"""Parts of descriptors of crypto units."""


def argument(seed: random.Random) -> int:
    kind = seed.randrange(10)
    if kind < 6:
        return seed.choice(EDGES)
    if kind < 8:
        return seed.choice(EDGES) + seed.choice([-64, -8, -1, 1, 8, 64]) & (1 << 64) - 1
    return seed.getrandbits(seed.choice([4, 10, 22, 33, 64]))


def arguments(seed: random.Random, group: int) -> list[int]:
    """Five arguments; every other time the first is a channel or a sysino that is there."""
    values = [argument(seed) for _ in range(5)]
    if seed.randrange(2):
        values[0] = seed.choice([1, 2, 3]) if group == 0x101 else seed.choice([0x111, 0x202, 0x205, 0x100, 0x200])
    if seed.randrange(2):
        values[1] = seed.randrange(8)
    if group == 0x103:
        values[0] = seed.choice([1, 2, 0x864, 0x10A72, values[0]])
        if seed.randrange(2):
            values[:3] = seed.choice([1, 2]), 0x390000, 1 << seed.randrange(7)
        values[1:3] = seed.choice([(0x390000, 1 << seed.randrange(7)), (64 * seed.randrange(70), 24), values[1:3]])
    if group == 0x101 and seed.randrange(3) == 0:  # a copy that may succeed
        values[1:] = seed.randrange(2), seed.randrange(1 << 17) & ~7, 0x380000 + (seed.randrange(1 << 18) & ~7), 1 << 12
    return values


def prepared() -> Guest:
    """Every group negotiated; channels to the client and between two endpoints, with queues and tables."""
    guest = Guest(**MACHINE)  # type: ignore[arg-type]
    for group in (1, *SERVICES):
        assert guest.hcall(0, group, 2 if group in TWO_VERSIONS else 1, 9, trap=0xFF)[0] == EOK
    descriptors = random.Random(SEED)
    for handle_of, base in ((1, 0x390000), (2, 0x398000)):
        assert guest.hcall(0x111, handle_of, base, 64)[0] == EOK
        for at in range(base, base + 4096, 8):
            guest.memory.store(at, descriptors.choice([*WORDS, descriptors.getrandbits(64)]))
    guest.machine.add_channel(1).up = True
    guest.machine.channel(1).export(16384)
    guest.machine.connect_channels(2, 3)
    for channel in (1, 2, 3):
        for call in (0xE0, 0xE4):
            assert guest.hcall(call, channel, 0x200000 + 0x1000 * channel + 0x10000 * (call & 4), 8)[0] == EOK
        assert guest.hcall(0xEA, channel, 0x300000 + 0x1000 * channel, 16)[0] == EOK
        for entry in range(16):
            guest.memory.store(0x300000 + 0x1000 * channel + 16 * entry, 0x380000 + 8192 * entry | 0x630)
    return guest


def check_whole(guest: Guest) -> None:
    """The state goes into an image that another machine takes, and the digests agree."""
    image, digest = guest.machine.save(), guest.machine.digest()
    other = Guest(**MACHINE)  # type: ignore[arg-type]
    other.machine.load(image)
    assert other.machine.digest() == digest


def test_hostile_arguments() -> None:
    print(f"seed {SEED}, {CALLS} calls")
    seed = random.Random(SEED)
    able = [call for call in calls() if call.name not in ENDS]
    services = [call for call in able if call.group in SERVICES or call.name == "MACH_SET_WATCHDOG"]
    guest = prepared()
    answers: dict[str, set[int]] = {}
    for n in range(CALLS):
        if n % 500 == 0:
            guest = prepared()
            for group in TWO_VERSIONS:
                guest.hcall(0, group, 1 + n // 500 % 2, 9, trap=0xFF)
        call = seed.choice(services if n % 3 else able)
        status = guest.hcall(call.function, *arguments(seed, call.group), trap=call.trap)[0]
        answers.setdefault(call.name, set()).add(status)
        if n % 50 == 0:
            assert guest.machine.channel(1).receive() is not None
            guest.machine.channel(1).send(bytes(64 * seed.randrange(12)))
            guest.machine.console.feed(b"x")
            guest.machine.console.read()
        if n % 250 == 249:
            check_whole(guest)
        if call.name == "API_SET_VERSION":
            guest.hcall(0, 1, 1, 6, trap=0xFF)
            for group in SERVICES:
                guest.hcall(0, group, seed.choice([1, 2]) if group in TWO_VERSIONS else 1, 9, trap=0xFF)
    known = {status for each in answers.values() for status in each}
    assert known <= STATUSES, known - STATUSES
    reached = {name for name, each in answers.items() if each - {EBADTRAP}}
    assert reached >= {call.name for call in services}
    succeeded = {name for name in reached if EOK in answers[name]}
    assert {"LDC_COPY", "LDC_MAPIN", "INTR_SETSTATE", "NCS_QCONF", "RNG_CTL_READ"} <= succeeded
    assert len(succeeded) > len(services) // 2


def damaged_part(image: bytes, poison: int) -> range:
    """What the hypervisor has in an image: the ranges of poison, the first at `poison`, are the last of it."""
    ranges = poison.to_bytes(8, "little") + (poison + 63).to_bytes(8, "little")
    return range(8 + 4, image.index(ranges) + 2 * len(ranges))


@pytest.mark.parametrize("everywhere", [False, True])
def test_damaged_state_images_are_refused_or_taken(everywhere: bool) -> None:
    """Flipped bytes in the hypervisor's part of an image: near its beginning, and anywhere in it."""
    seed = random.Random(SEED)
    guest = prepared()
    for page in range(4):
        assert guest.hcall(0xED, 3, page << 13)[0] == EOK
    for line in (0x3E0000, 0x3E1000):
        guest.machine.poison(line, 64)
    image, units = guest.machine.save(), guest.machine.crypto_units
    part = damaged_part(image, 0x3E0000)
    assert 2500 < len(part) < 60_000
    outcomes = set()
    for _ in range(150):
        damaged = bytearray(image)
        for _ in range(seed.randrange(1, 4)):
            damaged[seed.choice(part if everywhere else part[:2500])] ^= 1 << seed.randrange(8)
        other = Guest(**MACHINE)  # type: ignore[arg-type]
        try:
            other.machine.load(bytes(damaged))
        except StateError:
            outcomes.add("refused")  # and the machine is as good as new
            assert (other.machine.reboot_data, other.machine.suspended) == (b"", False)
            assert (other.machine.poisoned, other.machine.crypto_units) == ((), units)
            other.strand.start(CODE)
            assert other.hcall(0, 0x110, 1, 0, trap=0xFF)[0] == EOK
            assert other.hcall(0x171, 0, 0)[:2] == (EOK, 0)
            with pytest.raises(ChannelError):
                other.machine.channel(1)
            check_whole(other)
            continue
        outcomes.add("taken")
        other.machine.run(2000)
        for function in (0x113, 0x114, 0x133):
            other.hcall(function, 0x864, 0x380000, 0)
        other.hcall(0xEE, 1 << 38)
        other.machine.digest()
    assert outcomes == {"taken", "refused"}
