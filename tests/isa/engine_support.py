"""One strand of a real `Machine`, put before one instruction again and again."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType

from csrc.isa.table import FIELDS, I_FIELDS, Op
from emulator import Machine

CODE, DATA, TABLE, MEMORY = 0x4000, 0x6000, 0x8000, 0x10000
OFFSET = 8  # second operand of integer instructions and of addresses
ASI_PRIMARY = 0x80
PEF, PRIV, AM = 0x10, 0x04, 0x08
ILLEGAL, PRIVILEGED, FP_DISABLED, FP_OTHER = 0x10, 0x11, 0x20, 0x22
NOP = bytes.fromhex("01000000")
INTEGERS = tuple(f"{kind}{n}" for kind in "goli" for n in range(8))
DOUBLES = tuple(f"d{n}" for n in range(0, 64, 2))
DIRTY_LOWER, DIRTY_UPPER, FEF = 1, 2, 4  # FPRS
GSR_BITS = 0xFFFFFFFF_0E0000FF  # those that exist
MASK64 = (1 << 64) - 1
NO_TRAP = 0x1FF  # a trap type nothing raises
BLOCK = 200  # a budget for which whole blocks are decoded; 1 goes through the stepper

# Field values with which no row traps, given Bench's registers: %o0 a data address, %o1 a small number, %o2 the rest.
HARMLESS = {
    "rs1": 8, "rs2": 9, "rd": 10, "fs1": 1, "fs2": 2, "fs3": 3, "fsd": 5, "fd1": 2, "fd2": 3, "fd3": 4, "fdd": 7,
    "fq1": 4, "fq2": 8, "fqd": 12, "fcc": 1, "mfcc": 1, "bfcc": 1, "membar": 1, "prefetch": 0, "imm22": 5,
    "const22": 5, "disp30": 2, "disp22": 2, "disp19": 2, "disp16": 2, "disp10": 2, "imm5": 1, "imm5lo": 1, "imm3": 1,
    "simm13": 1, "bpp": 1, "annul": 0,
}  # fmt: skip
HARMLESS_I: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = dict.fromkeys(
    ("ri", "ri11", "ri10", "ri5", "ri8", "shcnt32", "shcnt64"), ((9,), (OFFSET,))
)
HARMLESS_I |= {"casasi": ((ASI_PRIMARY,), ()), "addr": ((8, 9), (8, OFFSET)),
               "asiaddr": ((8, 9, ASI_PRIMARY), (8, OFFSET))}  # fmt: skip


def spread(value: int, spans: tuple[tuple[int, int], ...]) -> int:
    """A value in the bits of a field, which may lie in two pieces (least significant first)."""
    word = 0
    for low, width in spans:
        word |= (value & ((1 << width) - 1)) << low
        value >>= width
    return word


def harmless_words(row: Op) -> list[int]:
    """A word of every form of a row that traps only if the row itself must."""
    words = []
    for match, _, i in row.forms():
        word = match
        for token in row.tokens():
            if token in I_FIELDS:
                assert i is not None
                for span, value in zip(I_FIELDS[token][i], HARMLESS_I[token][i], strict=True):
                    word |= spread(value, (span,))
            else:
                word |= spread(HARMLESS[token], FIELDS[token])
        words.append(word)
    return words


def random_operands(row: Op, rng: random.Random, count: int) -> list[int]:
    """Words of a row with random operand fields."""
    forms = row.forms()
    return [match | rng.getrandbits(32) & ~mask & 0xFFFFFFFF for match, mask, _ in (rng.choice(forms),) * count]


def double_index(number: int) -> int:
    """Index into the 32 doubles of a register field: bit 0 of the field is bit 5 of the number."""
    return (number & 0x1E | (number & 1) << 5) // 2


@dataclass
class Registers:
    """What an arithmetic instruction can see or change."""

    integers: list[int] = field(default_factory=lambda: [0] * 32)
    doubles: list[int] = field(default_factory=lambda: [0] * 32)
    ccr: int = 0
    gsr: int = 0
    fsr: int = 0
    fprs: int = FEF
    y: int = 0

    def single(self, number: int) -> int:
        """%f`number`, 0 to 31."""
        return self.doubles[number // 2] >> (0 if number & 1 else 32) & 0xFFFFFFFF

    def set_single(self, number: int, value: int) -> None:
        """Write %f`number`, and say so in FPRS."""
        shift = 0 if number & 1 else 32
        self.doubles[number // 2] = self.doubles[number // 2] & ~(0xFFFFFFFF << shift) | value << shift
        self.fprs |= DIRTY_LOWER

    def set_double(self, index: int, value: int) -> None:
        """Write a double by index, and say so in FPRS."""
        self.doubles[index] = value
        self.fprs |= DIRTY_LOWER if index < 16 else DIRTY_UPPER

    def set_integer(self, number: int, value: int) -> None:
        """Write an integer register; %g0 stays 0."""
        self.integers[number] = value & MASK64 if number else 0

    def differences(self, other: Registers) -> str:
        """Both values of every register that is not the same, for messages."""
        names = [*INTEGERS, *DOUBLES]
        pairs = zip(names, self.integers + self.doubles, other.integers + other.doubles, strict=True)
        found = [f"{name} {a:#x} {b:#x}" for name, a, b in pairs if a != b]
        for name in ("ccr", "gsr", "fsr", "fprs", "y"):
            if getattr(self, name) != getattr(other, name):
                found.append(f"{name} {getattr(self, name):#x} {getattr(other, name):#x}")
        return ", ".join(found)


class Bench:
    """A machine with one strand, its trap table, and a page of code."""

    def __init__(self, platform: str, cpu_arch: str = "native") -> None:
        self.machine = Machine(platform=platform, cpu_arch=cpu_arch, memory=MEMORY, deterministic=True)
        self.machine.memory.write(0, NOP * (MEMORY // 4))
        self.strand = self.machine.strands[0]
        self.strand.start(CODE, rtba=TABLE)
        self.regs = self.strand.regs

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.machine.close()

    def ready(self, word: int, *, user: bool = False, fpu: bool = True, windows: int = 3) -> None:
        """The next instruction is `word`, at TL 1 (user: TL 0), with registers that suit `harmless_words`.

        `windows` can be restored, the others can be saved to.
        """
        level = 0 if user else 1
        self.machine.memory.write(CODE, word.to_bytes(4, "big"))
        self.machine.memory.write(DATA, NOP * 32)  # a jump goes there
        state = {"pstate": (PEF if fpu else 0) | (0 if user else PRIV), "fprs": 4 if fpu else 0, "tl": level,
                 "gl": level, "pc": CODE, "npc": CODE + 4, "tba": TABLE, "cwp": 3, "cansave": 6 - windows,
                 "canrestore": windows, "otherwin": 0, "cleanwin": 7, "wstate": 0, "fsr": 0, "gsr": 0, "pil": 15,
                 "asi": ASI_PRIMARY, "ccr": 0, "y": 0, "o0": DATA, "o1": OFFSET, "o2": 0,
                 "tstate1": ASI_PRIMARY << 24 | PRIV << 8 | 3, "tpc1": CODE + 16, "tnpc1": CODE + 20}  # fmt: skip
        for name, value in state.items():
            self.regs[name] = value

    def step(self, budget: int = 1) -> int:
        """Execute one instruction (and NOPs, with a larger budget); the trap it raised, 0 for none."""
        place = f"tt{self.regs['tl'] + 1}"
        self.regs[place] = NO_TRAP
        self.strand.run(budget)
        return 0 if self.regs[place] == NO_TRAP else self.regs[place]

    def trap(self, word: int, *, user: bool = False, fpu: bool = True, windows: int = 3, budget: int = 1) -> int:
        """`ready`, then `step`."""
        self.ready(word, user=user, fpu=fpu, windows=windows)
        return self.step(budget)

    # -- arithmetic on all registers

    def place(self, words: Iterable[int]) -> None:
        """Instructions at CODE, NOPs after them."""
        code = b"".join(word.to_bytes(4, "big") for word in words)
        self.machine.memory.write(CODE, code + NOP * 2)

    def load(self, state: Registers, *, address_mask: bool = False) -> None:
        """Privileged at TL 0 before the code, with these registers."""
        self.regs["pstate"] = PEF | PRIV | (AM if address_mask else 0)
        for name, value in (("tl", 0), ("gl", 0), ("pc", CODE), ("npc", CODE + 4), ("tba", TABLE)):
            self.regs[name] = value
        for name, value in zip(INTEGERS, state.integers, strict=True):
            self.regs[name] = value
        for name, value in zip(DOUBLES, state.doubles, strict=True):
            self.regs[name] = value
        for name in ("ccr", "gsr", "fsr", "fprs", "y"):
            self.regs[name] = getattr(state, name)

    def read(self) -> Registers:
        """All registers."""
        return Registers([self.regs[name] for name in INTEGERS], [self.regs[name] for name in DOUBLES],
                         *(self.regs[name] for name in ("ccr", "gsr", "fsr", "fprs", "y")))

    def run(self, state: Registers, *, budget: int = 1, address_mask: bool = False) -> tuple[Registers, int]:
        """The code on these registers: what they are afterwards, and the trap it made (0: none)."""
        self.load(state, address_mask=address_mask)
        self.strand.run(budget)
        trap = self.regs["tt1"] if self.regs["tl"] else 0
        if trap:
            self.regs["gl"] = 0
        return self.read(), trap
