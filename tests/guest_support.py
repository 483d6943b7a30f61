"""A bare strand under test: code, data and a trap table that stands still at the entry a trap went to.

::

    0x010000  code           0x040000  trap table: `ba,a .` in every entry     0x080000  data
    0x020000  hypercalls     0x060000  MMU fault status area                   0x100000  more data, queues, TSBs
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from asm_support import HERE, asm, code, ta

from emulator import Machine, Stop, StopReason, Strand

CODE, CALLS, TABLE, AREA, DATA, MORE = 0x10000, 0x20000, 0x40000, 0x60000, 0x80000, 0x100000
IE, PRIV, AM, PEF, TLE, CLE = 2, 4, 8, 16, 0x100, 0x200
V, NFO = 1 << 63, 1 << 62
IE_TTE, E, CP, P, X, W = 1 << 12, 1 << 11, 1 << 10, 1 << 8, 1 << 7, 1 << 6
FAST = 0x80
EOK, ENOCPU, ENORADDR, EBADPGSZ, EBADTSB, EINVAL, EBADTRAP, EBADALIGN = 0, 1, 2, 4, 5, 6, 7, 8
EWOULDBLOCK, ECPUERROR, ENOTSUPPORTED, ENOMAP, ETOOMANY = 9, 12, 13, 14, 15
MASK64 = (1 << 64) - 1


@dataclass(frozen=True)
class Fault:
    """One half of the MMU fault status area."""

    type: int
    address: int
    context: int


class Guest:
    """A machine whose strand 0 is ready at CODE: privileged, TL 0, windows as CPU_START leaves them."""

    def __init__(
        self, *, area: bool = True, strands: int = 1, deterministic: bool = True, **options: object
    ) -> None:
        self.machine = Machine("4M", strands=strands, deterministic=deterministic, **options)  # type: ignore[arg-type]
        self.memory = self.machine.memory
        self.memory.write(TABLE, code(*[HERE] * (0x8000 // 4)))
        self.number = 0
        for strand in self.machine.strands:
            strand.start(CODE)
            strand["tba"] = TABLE
            self.number = strand.number
            if area:
                assert self.hcall(0x26, AREA + 0x100 * strand.number) == (EOK, 0, 1, 1, 1)
        self.number = 0

    @property
    def strand(self) -> Strand:
        return self.machine.strands[self.number]

    def __getitem__(self, name: str) -> int:
        value: int = self.strand[name]
        return value

    def set(self, **regs: int) -> Guest:
        for name, value in regs.items():
            self.strand[name] = value & MASK64
        return self

    # -- running

    def load(self, *words: int, at: int = CODE) -> None:
        """Code that ends by standing still; PC at its start."""
        self.memory.write(at, code(*words, HERE))
        self.strand["pc"] = at

    def run(self, *words: int, at: int = CODE, budget: int = 64) -> Guest:
        """Run words until they or the trap they take stand still."""
        self.load(*words, at=at)
        stop = self.strand.run(budget)
        assert stop.reason is StopReason.BUDGET, stop
        return self

    def run_to_stop(self, *words: int, at: int = CODE, budget: int = 1000) -> Stop:
        self.load(*words, at=at)
        stop: Stop = self.strand.run(budget)
        return stop

    @property
    def tt(self) -> int:
        """Trap type of the current level; 0 at TL 0."""
        level = self["tl"]
        if level == 0:
            return 0
        entry = self["tba"] + (0x4000 if level > 1 else 0) + 32 * self[f"tt{level}"]
        assert self["pc"] == entry, f"tt {self[f'tt{level}']:#x} but at {self['pc']:#x}, not {entry:#x}"
        return self[f"tt{level}"]

    def trap(self, *words: int, at: int = CODE, **regs: int) -> int:
        """Trap type that the words take; 0: none."""
        return self.set(**regs).run(*words, at=at).tt

    def step(self) -> None:
        """Run one instruction."""
        self.strand.step()

    # -- hypercalls and mappings

    def hcall(self, function: int, *args: int, trap: int = FAST) -> tuple[int, int, int, int, int]:
        """Status and four results. Arguments not given are 1, so that results not written show as what they were."""
        s, regs = self.strand, ("pc", "npc", "mmu_enabled", "pstate", *(f"o{n}" for n in range(6)))
        saved = {name: s[name] for name in regs}
        self.memory.write(CALLS, code(ta(trap)))
        values: Mapping[str, int] = {f"o{n}": args[n] if n < len(args) else 1 for n in range(5)}
        self.set(mmu_enabled=0, pstate=PRIV, pc=CALLS, o5=function, **values)
        self.step()
        assert s["pc"] == CALLS + 4
        result = (s["o0"], s["o1"], s["o2"], s["o3"], s["o4"])
        npc = saved.pop("npc")
        self.set(**saved)
        s["npc"] = npc
        return result

    def map(self, va: int, tte: int, *, context: int = 0, flags: int = 3) -> int:
        return self.hcall(0, va, context, tte, flags, trap=0x83)[0]

    def mmu_on(self) -> Guest:
        """MMU on: the first 4 MB of VA are mapped 1:1 by a permanent privileged mapping."""
        assert self.hcall(0x25, 0, 0, V | CP | P | X | W | 3, 3)[0] == EOK
        return self.set(mmu_enabled=1)

    def contexts(self, primary: int, secondary: int) -> Guest:
        """Write the context registers; the page at CODE is mapped in both contexts, for user and kernel."""
        enabled, pstate = self["mmu_enabled"], self["pstate"]
        for register, context in ((0x08, primary), (0x10, secondary)):
            self.map(CODE, V | CP | X | CODE, context=context)
            self.set(mmu_enabled=0, pstate=PRIV, g1=register, g2=context).run(asm("stxa", "g2", ("g1", "g0", 0x21)))
        return self.set(mmu_enabled=enabled, pstate=pstate)

    def area(self, offset: int) -> Fault:
        words = [self.memory.load(AREA + 0x100 * self.number + offset + 8 * n) for n in range(3)]
        return Fault(*words)

    @property
    def ifault(self) -> Fault:
        return self.area(0)

    @property
    def dfault(self) -> Fault:
        return self.area(0x40)
