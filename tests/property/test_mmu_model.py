"""Random mappings, demaps and context switches against a model of what the hypervisor promises (see csrc/strand/mmu.h).

The soft TLB, its banks of contexts and the ring of MMU_MAP_ADDR entries must never show: a load gives what the model
gives. S4V_MMU_ROUNDS goes deeper.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass

import pytest
from asm_support import asm
from guest_support import CP, EINVAL, ENOMAP, EOK, ETOOMANY, PRIV, Guest, V, W

SEED = int(os.environ.get("S4V_TEST_SEED", "7"))
ROUNDS = int(os.environ.get("S4V_MMU_ROUNDS", "6"))
OPERATIONS = 300
MAPS = 60  # fewer than entries in the ring: none may be lost
VA, RA = 0x1_4000_0000, 0x200000  # VA is 4M-aligned; pages used lie at offset RA in it, so that a 4M page fits
PAGES = 16
SIZES = (0, 0, 0, 1, 1, 3)
CONTEXTS = range(13)  # more than there are banks


@dataclass
class Mapping:
    va: int
    tte: int
    flags: int

    @property
    def size(self) -> int:
        return 13 + 3 * (self.tte & 7)

    def covers(self, va: int) -> bool:
        return (self.va ^ va) >> self.size == 0

    def overlaps(self, other: Mapping) -> bool:
        return (self.va ^ other.va) >> max(self.size, other.size) == 0


class Model:
    """What is mapped: permanently in context 0, and by MMU_MAP_ADDR in each context."""

    def __init__(self) -> None:
        self.permanent: list[Mapping] = []
        self.mapped: dict[int, list[Mapping]] = {context: [] for context in CONTEXTS}

    def map(self, context: int, new: Mapping) -> None:
        for old in self.mapped[context]:
            if old.overlaps(new):
                old.flags &= ~new.flags
        self.mapped[context].append(new)

    def demap(self, contexts: range | tuple[int, ...], flags: int, va: int | None = None) -> None:
        for context in contexts:
            for old in self.mapped[context]:
                if va is None or old.covers(va):
                    old.flags &= ~flags

    def map_permanent(self, new: Mapping) -> int:
        for old in self.permanent:
            if old.overlaps(new):
                if old.tte != new.tte or old.flags & new.flags:
                    return EINVAL
                old.flags |= new.flags
                break
        else:
            if len(self.permanent) == 7:  # the eighth is the 1:1 mapping
                return ETOOMANY
            self.permanent.append(new)
        self.demap((0,), new.flags, new.va)
        return EOK

    def unmap_permanent(self, va: int, flags: int) -> int:
        for old in self.permanent:
            if old.covers(va):
                if not old.flags & flags:
                    return ENOMAP
                old.flags &= ~flags
                if not old.flags:
                    self.permanent.remove(old)
                self.demap((0,), flags, va)
                return EOK
        return ENOMAP

    def load(self, context: int, va: int) -> int | None:
        """The RA, None for a miss."""
        for m in (self.permanent if context == 0 else []) + self.mapped[context][::-1]:
            if m.flags & 1 and m.covers(va):
                mask = (1 << m.size) - 1
                return m.tte & 0xFF_FFFF_FFFF_E000 & ~mask | va & mask
        return None


class Driver:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.model = Model()
        self.guest = Guest().mmu_on()
        self.maps = 0
        for page in range(256):
            self.guest.memory.store(RA + 8192 * page + 8, page)

    def va(self) -> int:
        return VA + RA + 8192 * self.rng.randrange(PAGES)

    def mapping(self) -> Mapping:
        size = self.rng.choice(SIZES)
        ra = 0 if size == 3 else RA + 8192 * self.rng.randrange(256)
        return Mapping(self.va(), V | CP | W | size | ra, self.rng.choice((1, 2, 3, 3)))

    def do_map(self) -> None:
        if self.maps == MAPS:
            return
        self.maps += 1
        new, context = self.mapping(), self.rng.choice(CONTEXTS)
        assert self.guest.map(new.va, new.tte, context=context, flags=new.flags) == EOK
        self.model.map(context, new)

    def do_demap(self) -> None:
        context, flags, va = self.rng.choice(CONTEXTS), self.rng.choice((1, 2, 3)), self.va()
        which = self.rng.randrange(8)
        if which < 4:
            status = self.guest.hcall(0x22, 0, 0, va, context, flags)[0]
            self.model.demap((context,), flags, va)
        elif which < 5:
            status = self.guest.hcall(0, va, context, flags, trap=0x84)[0]
            self.model.demap((context,), flags, va)
        elif which < 7:
            status = self.guest.hcall(0x23, 0, 0, context, flags)[0]
            self.model.demap((context,), flags)
        else:
            status = self.guest.hcall(0x24, 0, 0, flags)[0]
            self.model.demap(CONTEXTS, flags)
        assert status == EOK

    def do_permanent(self) -> None:
        new = self.mapping()
        if self.rng.getrandbits(1):
            assert self.guest.hcall(0x25, new.va, 0, new.tte, new.flags)[0] == self.model.map_permanent(new)
        else:
            assert self.guest.hcall(0x28, new.va, 0, new.flags)[0] == self.model.unmap_permanent(new.va, new.flags)

    def do_loads(self) -> None:
        context, asi = self.rng.choice(CONTEXTS), self.rng.choice((0x81, 0x11))
        self.guest.set(mmu_enabled=0, g1=0x10, g2=context).run(asm("stxa", "g2", ("g1", "g0", 0x21)))
        self.guest.set(mmu_enabled=1)
        for _ in range(4):
            va = self.va() + 8
            tt = self.guest.trap(asm("ldxa", ("g1", "g0", asi), "g2"), g1=va)
            value = self.guest["g2"]
            self.guest.set(tl=0, gl=0, pstate=PRIV)
            ra = self.model.load(context, va)
            if ra is None:
                assert tt == 0x68, (context, hex(va))
            else:
                assert (tt, value) == (0, (ra - RA) // 8192), (context, hex(va), hex(ra))


@pytest.mark.parametrize("number", range(ROUNDS))
def test_translations_against_the_model(number: int) -> None:
    print(f"S4V_TEST_SEED={SEED}")
    driver = Driver(SEED * 1000 + number)
    steps = (driver.do_map, driver.do_map, driver.do_demap, driver.do_permanent, *[driver.do_loads] * 6)
    for _ in range(OPERATIONS):
        driver.rng.choice(steps)()
