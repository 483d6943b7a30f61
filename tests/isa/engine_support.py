"""One strand of a real `Machine`, put before one instruction again and again."""

from __future__ import annotations

import random
from types import TracebackType

from csrc.isa.table import FIELDS, I_FIELDS, Op
from emulator import Machine

CODE, DATA, TABLE, MEMORY = 0x4000, 0x6000, 0x8000, 0x10000
OFFSET = 8  # second operand of integer instructions and of addresses
ASI_PRIMARY = 0x80
PEF, PRIV, AM = 0x10, 0x04, 0x08
ILLEGAL, PRIVILEGED, FP_DISABLED, FP_OTHER = 0x10, 0x11, 0x20, 0x22
NOP = bytes.fromhex("01000000")
FP_REGISTERS = tuple(f"d{n}" for n in range(0, 64, 2))

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
        state = {"pstate": (PEF if fpu else 0) | (0 if user else PRIV), "fprs": 4 if fpu else 0, "tl": level,
                 "gl": level, "pc": CODE, "npc": CODE + 4, "tba": TABLE, "cwp": 3, "cansave": 6 - windows,
                 "canrestore": windows, "otherwin": 0, "cleanwin": 7, "wstate": 0, "fsr": 0, "gsr": 0, "pil": 15,
                 "asi": ASI_PRIMARY, "ccr": 0, "y": 0, "o0": DATA, "o1": OFFSET, "o2": 0,
                 "tstate1": ASI_PRIMARY << 24 | PRIV << 8 | 3, "tpc1": CODE + 16, "tnpc1": CODE + 20}  # fmt: skip
        for name, value in state.items():
            self.regs[name] = value

    def step(self) -> int:
        """Execute one instruction; the trap it raised, 0 for none."""
        self.strand.run(1)
        pc = self.regs["pc"]
        return (pc - TABLE) >> 5 & 0x1FF if TABLE <= pc < TABLE + 0x8000 else 0

    def trap(self, word: int, *, user: bool = False, fpu: bool = True, windows: int = 3) -> int:
        """`ready`, then `step`."""
        self.ready(word, user=user, fpu=fpu, windows=windows)
        return self.step()
