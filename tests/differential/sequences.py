"""Random instruction sequences for differential tests, drawn from the instruction table.

A sequence is straight-line code with forward branches, short counted loops, calls, register windows, loads and
stores to a scratch buffer; it never traps (but for window spills and fills) and ends where the driver
(sequence_driver.S) takes over. Everything a sequence can reach is part of the state it starts from, so two correct
machines end in equal states.

Register use: %g5 scratch buffer (its middle), %g6 loop counter, %g7 the driver's state, %g4 masked index, %sp and
%fp the stack; the rest is data.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from csrc.isa.groups import ALL
from csrc.isa.table import FIELDS, I_FIELDS, Op

G0, G4, G5, G6, G7, SP, O7, FP = 0, 4, 5, 6, 7, 14, 15, 30
DESTINATIONS = [r for r in range(1, 32) if r not in (G4, G5, G6, G7, SP, FP)]
SOURCES = [r for r in range(32) if r not in (G6, SP, FP)]
STATE_WORDS = 70
REG_WORDS, Y_WORD, CCR_WORD, ASI_WORD, GSR_WORD, FSR_WORD, FPRS_WORD, D_WORDS = 0, 32, 33, 34, 35, 36, 37, 38
GSR_BITS = 0xFFFFFFFF_0E0000FF  # mask, im, irnd, scale, align
FRAME = 176
MAX_DEPTH = 10

INTEGERS = [0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
            0x100000000, 0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 0xFFFFFFFF80000000, 0xFFFFFFFFFFFFFFFF]
DOUBLES = [0x0000000000000000, 0x8000000000000000, 0x3FF0000000000000, 0xBFF0000000000000, 0x4000000000000000,
           0x3FE5555555555555, 0x0010000000000000, 0x000FFFFFFFFFFFFF, 0x0000000000000001, 0x7FEFFFFFFFFFFFFF,
           0x7FF0000000000000, 0xFFF0000000000000, 0x41DFFFFFFFC00000, 0x43E0000000000000, 0x3CA0000000000000]
SINGLES = [0x00000000, 0x80000000, 0x3F800000, 0xBF800000, 0x40490FDB, 0x00800000, 0x007FFFFF, 0x00000001,
           0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x4F000000, 0x33800000]


@dataclass
class Atom:
    """Words that stay together. ``patch`` completes a control transfer: (word number, row, target atom)."""

    words: list[int]
    patch: tuple[int, Op, int] | None = None


@dataclass(frozen=True)
class Sequence:
    """Code (without the jump to the driver) and the state it starts from."""

    code: tuple[int, ...]
    state: tuple[int, ...]
    scratch_seed: int


@dataclass
class Pools:
    """Rows of the table by the way a sequence uses them."""

    integer: list[Op] = field(default_factory=list)
    divide: list[Op] = field(default_factory=list)
    carry: list[Op] = field(default_factory=list)
    fp: list[Op] = field(default_factory=list)
    vis: list[Op] = field(default_factory=list)
    branch: list[Op] = field(default_factory=list)
    by_name: dict[str, Op] = field(default_factory=dict)


DIVIDES = {"udivx", "sdivx", "udiv", "udivcc", "sdiv", "sdivcc"}
CARRIES = {"addccc", "subccc"}


def make_pools(excluded: frozenset[str], features: frozenset[str]) -> Pools:
    """Sort the table's rows; those named in ``excluded`` or of other ``features`` are left out."""
    pools = Pools(by_name={row.name: row for row in ALL})
    for row in ALL:
        if row.name in excluded or row.feature not in features or row.flags & {"priv", "hpriv", "quad"}:
            continue
        if row.name in DIVIDES:
            pools.divide.append(row)
        elif row.name in CARRIES:
            pools.carry.append(row)
        elif row.flags & {"ieee", "fop"}:
            pools.fp.append(row)
        elif row.feature in ("vis", "vis2") and "special" not in row.flags:
            pools.vis.append(row)
        elif "cti" in row.flags and "annul" in row.tokens():
            pools.branch.append(row)
        elif not row.flags & {"special", "load", "store", "atomic", "cti"} and "fpu" not in row.flags:
            if not any(t.startswith("fq") for t in row.tokens()):
                pools.integer.append(row)
        elif row.name.endswith("_fcc"):
            pools.integer.append(row)
    return pools


def set_field(word: int, spans: tuple[tuple[int, int], ...], value: int) -> int:
    """Put a value into a (possibly split) field; the first span takes the low bits."""
    for low, width in spans:
        word |= (value & ((1 << width) - 1)) << low
        value >>= width
    return word


class Generator:
    """Draws sequences from one ``random.Random``."""

    def __init__(self, rng: random.Random, pools: Pools) -> None:
        self.rng = rng
        self.pools = pools

    # -- single instructions

    def immediate(self, width: int) -> int:
        rng = self.rng
        if rng.random() < 0.3:
            return rng.choice((0, 1, 2, 7, 8, 31, 32, 63, -1, -2, -8, (1 << width - 1) - 1, -(1 << width - 1)))
        return rng.getrandbits(width)

    def token_value(self, token: str, low_i: int | None) -> int:
        rng = self.rng
        if token in ("rs1", "rs2"):
            return rng.choice(SOURCES)
        if token == "rd":
            return rng.choice(DESTINATIONS)
        if token in I_FIELDS:
            if low_i == 0:
                return rng.choice(SOURCES)
            return self.immediate(sum(w for _, w in I_FIELDS[token][1]))
        return rng.getrandbits(sum(w for _, w in FIELDS[token]))

    def encode(self, row: Op, **fixed: int) -> int:
        """A word of this row; operands are random but for those in ``fixed`` (``i=`` picks the form)."""
        forms = row.forms()
        wanted = fixed.pop("i", None)
        match, _, form_i = self.rng.choice([f for f in forms if wanted is None or f[2] == wanted])
        word = match
        for token in row.tokens():
            value = fixed[token] if token in fixed else self.token_value(token, form_i)
            spans = I_FIELDS[token][form_i or 0] if token in I_FIELDS else FIELDS[token]
            word = set_field(word, spans, value)
        return word

    def named(self, name: str, **fixed: int) -> int:
        return self.encode(self.pools.by_name[name], **fixed)

    def simple(self) -> int:
        """One instruction that may stand in a delay slot."""
        kind = self.rng.random()
        if kind < 0.45:
            return self.encode(self.rng.choice(self.pools.integer))
        if kind < 0.65 and self.pools.fp:
            return self.encode(self.rng.choice(self.pools.fp))
        if kind < 0.82 and self.pools.vis:
            return self.encode(self.rng.choice(self.pools.vis))
        return self.memory_immediate()

    # -- memory

    LOADS = (("ldub", 1), ("ldsb", 1), ("lduh", 2), ("ldsh", 2), ("lduw", 4), ("ldsw", 4), ("ldx", 8), ("ldd", 8))
    STORES = (("stb", 1), ("sth", 2), ("stw", 4), ("stx", 8), ("std", 8))
    FLOATS = (("ldf", 4), ("lddf", 8), ("stf", 4), ("stdf", 8))
    ATOMICS = (("swap", 4), ("ldstub", 1))
    EVEN = tuple(r for r in DESTINATIONS if r % 2 == 0 and r + 1 in DESTINATIONS)

    def data_register(self, name: str) -> dict[str, int]:
        if name.rstrip("a") in ("ldd", "std"):
            return {"rd": self.rng.choice(self.EVEN)}
        if name.startswith("st"):
            return {"rd": self.rng.choice(SOURCES)}
        return {}

    def memory_immediate(self) -> int:
        """A load or store at %g5 + simm13."""
        name, size = self.rng.choice(self.LOADS + self.STORES + self.FLOATS + self.ATOMICS)
        offset = self.rng.randrange(-4096, 4096 - 8, size) // size * size
        return self.address(self.named(name, i=1, addr=0, **self.data_register(name)), G5, offset)

    @staticmethod
    def address(word: int, base: int, low: int) -> int:
        return word & ~(0x1F << 14 | 0x1FFF) | base << 14 | low & 0x1FFF

    def memory_indexed(self) -> list[int]:
        """AND an index into %g4, then a load, store or atomic at %g5 + %g4, plain or through an ASI."""
        rng = self.rng
        mask = self.named("and", i=1, rs1=rng.choice(SOURCES), ri=0xFC0, rd=G4)
        kind = rng.random()
        if kind < 0.3:
            name, _ = rng.choice(self.LOADS + self.STORES + self.FLOATS + self.ATOMICS)
            return [mask, self.address(self.named(name, i=0, addr=0, **self.data_register(name)), G5, G4)]
        if kind < 0.65:
            name, _ = rng.choice(self.LOADS + self.STORES + self.FLOATS)
            asi = rng.choice((0x80, 0x88))
            return [mask, self.asi_word(name + "a", asi)]
        if kind < 0.75:
            name, asi = rng.choice((("lddfa", 0xD0), ("stdfa", 0xD0), ("lddfa", 0xD2), ("stdfa", 0xD2)))
            return [mask, self.asi_word(name, asi)]
        if kind < 0.85:
            word = self.asi_word(rng.choice(("lddfa", "stdfa")), 0xF0)
            return [mask, word & ~(0x1F << 25) | rng.choice((0, 16, 1, 17)) << 25]
        return [mask, *self.compare_and_swap()]

    def asi_word(self, name: str, asi: int) -> int:
        word = self.named(name, i=0, asiaddr=0, **self.data_register(name))
        return word & ~(0x1F << 14 | 0x1FFF) | G5 << 14 | asi << 5 | G4

    def compare_and_swap(self) -> list[int]:
        add = self.named("add", i=0, rs1=G5, ri=G4, rd=G4)
        word = self.named(self.rng.choice(("casa", "casxa")), i=0, rs1=G4, casasi=0x80)
        return [add, word]

    def asi_register(self) -> list[int]:
        """Set %asi, then use it: [%g5 + simm13] %asi."""
        value = self.rng.choice((0x80, 0x88))
        name, size = self.rng.choice(self.LOADS + self.STORES + self.FLOATS)
        offset = self.rng.randrange(-4096, 4096 - 8, size) // size * size
        word = self.named(name + "a", i=1, asiaddr=0, **self.data_register(name))
        return [self.named("wrasi", i=1, rs1=G0, ri=value), self.address(word, G5, offset)]

    # -- state registers

    def state_register(self) -> list[int]:
        rng = self.rng
        return [rng.choice((
            lambda: self.named("rdy"), lambda: self.named("wry"), lambda: self.named("rdccr"),
            lambda: self.named("wrccr"), lambda: self.named("rdasi"), lambda: self.named("rdgsr"),
            lambda: self.named("wrgsr", i=1, rs1=G0, ri=rng.getrandbits(8)),
            lambda: self.named("rdpc"), lambda: self.named("membar"), lambda: self.named("stbar"),
            lambda: self.named("flushw"),
            lambda: self.address(self.named("prefetch", i=1, addr=0, prefetch=rng.choice((0, 1, 2, 3, 20))), G5, 64),
            lambda: self.address(self.named("flush", i=1, addr=0), G5, 8 * rng.randrange(64)),
        ))()]

    def divide(self) -> list[int]:
        """A division whose divisor is not zero: an immediate, or a register made odd."""
        row = self.rng.choice(self.pools.divide)
        if self.rng.random() < 0.5:
            return [self.encode(row, i=1, ri=self.immediate(13) | 1)]
        divisor = self.rng.choice(DESTINATIONS)
        return [self.named("or", i=1, rs1=divisor, ri=1, rd=divisor), self.encode(row, i=0, ri=divisor)]

    def carry(self) -> list[int]:
        """ADDCcc or SUBCcc behind something that sets or reads the carry.

        Never right behind a logic or divide instruction: there QEMU 7.2 knows the carry to be 0, adds without it,
        and forgets to record that the condition codes are those of an addition now.
        """
        first = self.named(self.rng.choice(("addcc", "subcc", "rdccr")))
        return [first, *(self.encode(self.rng.choice(self.pools.carry)) for _ in range(self.rng.randint(1, 3)))]

    # -- control flow

    def branch(self, index: int, count: int) -> Atom:
        """A conditional branch with its delay slot to a later atom of the region."""
        row = self.rng.choice(self.pools.branch)
        displacements = {t: 0 for t in row.tokens() if t.startswith("disp")}
        target = self.rng.randint(index + 1, min(count, index + 6))
        return Atom([self.encode(row, **displacements), self.simple()], (0, row, target))

    def call(self, index: int, count: int) -> Atom:
        row = self.pools.by_name["call"]
        target = self.rng.randint(index + 1, min(count, index + 4))
        return Atom([self.encode(row, disp30=0), self.simple()], (0, row, target))

    def jump(self, index: int, count: int) -> Atom:
        """RDPC, then JMPL relative to it."""
        base = self.rng.choice(DESTINATIONS)
        row = self.pools.by_name["jmpl"]
        target = self.rng.randint(index + 1, min(count, index + 4))
        words = [self.named("rdpc", rd=base), self.encode(row, i=1, rs1=base, ri=0), self.simple()]
        return Atom(words, (1, row, target))

    def loop(self) -> Atom:
        """A counted loop: MOV n,%g6; body; SUBcc; BRNZ back; delay slot."""
        body = [self.simple() for _ in range(self.rng.randint(1, 5))]
        start = self.named("or", i=1, rs1=G0, ri=self.rng.randint(1, 5), rd=G6)
        count = self.named("subcc", i=1, rs1=G6, ri=1, rd=G6)
        distance = -(len(body) + 1)
        if self.rng.random() < 0.5:
            back = self.named("brnz", rs1=G6, disp16=distance, annul=self.rng.getrandbits(1))
        else:
            back = self.named("bpne_xcc", disp19=distance, annul=self.rng.getrandbits(1))
        return Atom([start, *body, count, back, self.simple()])

    def atom(self, index: int, count: int) -> Atom:
        kinds: tuple[tuple[float, Callable[[], Atom]], ...] = (
            (0.60, lambda: Atom([self.simple()])),
            (0.72, lambda: Atom(self.memory_indexed())),
            (0.76, lambda: Atom(self.asi_register())),
            (0.80, lambda: Atom(self.state_register())),
            (0.83, lambda: Atom(self.divide())),
            (0.86, lambda: Atom(self.carry())),
            (0.94, lambda: self.branch(index, count)),
            (0.96, lambda: self.call(index, count)),
            (0.98, lambda: self.jump(index, count)),
            (1.01, self.loop),
        )
        draw = self.rng.random()
        return next(make for limit, make in kinds if draw < limit)()

    def region(self, count: int) -> list[int]:
        """Atoms that may branch among themselves, with the displacements filled in."""
        atoms = [self.atom(i, count) for i in range(count)]
        starts = [0]
        for atom in atoms:
            starts.append(starts[-1] + len(atom.words))
        out: list[int] = []
        for start, atom in zip(starts, atoms, strict=False):
            words = list(atom.words)
            if atom.patch is not None:
                at, row, target = atom.patch
                words[at] = self.aim(words[at], row, starts[target] - (start + at))
            out += words
        return out

    @staticmethod
    def aim(word: int, row: Op, distance: int) -> int:
        if row.name == "jmpl":  # its base is the RDPC one word earlier
            return word & ~0x1FFF | 4 * (distance + 1)
        token = next(t for t in row.tokens() if t.startswith("disp"))
        return set_field(word, FIELDS[token], distance)

    def window_fill(self) -> list[int]:
        """After SAVE: give every local and out register a value that depends on defined ones only."""
        sources = [r for r in SOURCES if r < 8 or r >= 24]
        rows = [self.pools.by_name[n] for n in ("add", "xor", "sub", "orn", "mulx")]
        return [self.encode(self.rng.choice(rows), i=1, rs1=self.rng.choice(sources), rd=register)
                for register in (8, 9, 10, 11, 12, 13, O7, *range(16, 24))]

    def code(self) -> list[int]:
        rng = self.rng
        words = self.region(rng.randint(4, 24))
        depth = rng.randint(1, MAX_DEPTH) if rng.random() < 0.4 else 0
        for _ in range(depth):
            words.append(self.named("save", i=1, rs1=SP, ri=-FRAME, rd=SP))
            words += self.window_fill()
            words += self.region(rng.randint(1, 6))
        for _ in range(depth):
            words.append(self.named("restore"))
            words += self.region(rng.randint(1, 5))
        return words

    # -- state

    def integer_value(self) -> int:
        rng = self.rng
        if rng.random() < 0.5:
            return rng.getrandbits(64)
        value = rng.choice(INTEGERS)
        return (value + rng.choice((0, 0, 1, -1))) & 0xFFFFFFFFFFFFFFFF

    def double_value(self) -> int:
        rng = self.rng
        kind = rng.random()
        if kind < 0.25:
            return rng.choice(DOUBLES)
        if kind < 0.5:
            return rng.choice(SINGLES) << 32 | rng.choice(SINGLES)
        if kind < 0.75:  # of moderate size, so that sums and products stay finite
            return struct.unpack(">Q", struct.pack(">d", rng.uniform(-1e6, 1e6)))[0]
        pair = struct.pack(">ff", rng.uniform(-1e3, 1e3), rng.uniform(-1e3, 1e3))
        return struct.unpack(">Q", pair)[0]

    def state(self) -> list[int]:
        rng = self.rng
        words = [self.integer_value() for _ in range(32)]
        words += [rng.getrandbits(32), rng.getrandbits(8), 0x80, rng.getrandbits(64) & GSR_BITS & ~(1 << 27)]
        words += [rng.getrandbits(2) << 30, 0]
        return words + [self.double_value() for _ in range(32)]

    def sequence(self) -> Sequence:
        return Sequence(tuple(self.code()), tuple(self.state()), self.rng.getrandbits(63))


LEAVE = (0xCC59E238, 0x81C18000, 0x01000000)  # ldx [%g7 + 568], %g6; jmpl %g6, %g0; nop


def pack_batch(sequences: list[Sequence]) -> bytes:
    """The batch file of sequence_driver.c."""
    item_bytes = 8 * (2 + STATE_WORDS)
    offset = 8 + item_bytes * len(sequences)
    head = [struct.pack(">Q", len(sequences))]
    code = []
    for sequence in sequences:
        words = (*sequence.code, *LEAVE)
        head.append(struct.pack(f">QQ{STATE_WORDS}Q", offset, sequence.scratch_seed, *sequence.state))
        code.append(struct.pack(f">{len(words)}I", *words))
        offset += 4 * len(words)
    return b"".join(head + code)
