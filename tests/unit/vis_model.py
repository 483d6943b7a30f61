"""What the manuals say each VIS instruction does, lane by lane, in Python integers.

Written from the text of UA2007/OSA2011/OSA2015 and not from the C: lanes are lists, fixed point is exact
division with floor, edge masks are the manual's tables, the array formats are its bit tables.
``MODELS[name](s)`` returns an ``Out``. Lists of lanes run from the most significant lane to the least, as the
manual draws them.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

M64 = (1 << 64) - 1


@dataclass(frozen=True)
class In:
    """Operand registers by field: integer rs1, rs2; FP 1, 2, 3; the old destination; GSR, CCR, PSTATE.AM."""

    rs1: int = 0
    rs2: int = 0
    f1: int = 0
    f2: int = 0
    f3: int = 0
    old: int = 0
    imm: int = 0
    gsr: int = 0
    ccr: int = 0
    am: int = 0


@dataclass(frozen=True)
class Out:
    """The destination (None: the instruction has none) and GSR and CCR where they change."""

    value: int | None = None
    gsr: int | None = None
    ccr: int | None = None


Model = Callable[[In], Out]
MODELS: dict[str, Model] = {}


def split(value: int, bits: int, *, signed: bool, total: int = 64) -> list[int]:
    """Lanes of a register, most significant first."""
    data = (value & ((1 << total) - 1)).to_bytes(total // 8, "big")
    step = bits // 8
    return [int.from_bytes(data[i:i + step], "big", signed=signed) for i in range(0, len(data), step)]


def join(lanes: list[int], bits: int) -> int:
    """The register of these lanes, each reduced modulo 2^bits."""
    return int.from_bytes(b"".join((lane % (1 << bits)).to_bytes(bits // 8, "big") for lane in lanes), "big")


def limit(value: int, bits: int, *, signed: bool) -> int:
    """Saturate to a lane."""
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    return sorted((low, value, high))[1]


def field(value: int, high: int, low: int) -> int:
    """Bits high:low, the manual's way of writing them."""
    return int(format(value, "064b")[63 - high:64 - low], 2)


def model(*names: str) -> Callable[[Model], Model]:
    """Registers a model under the instruction's names."""
    def add(function: Model) -> Model:
        for name in names:
            assert name not in MODELS
            MODELS[name] = function
        return function
    return add


# ---- lane-wise instructions on FP registers ----

def lanewise(
    name: str, bits: int, signed: bool, function: Callable[[int, int], int], total: int = 64
) -> None:
    """Registers an instruction that maps pairs of lanes."""
    def run(s: In) -> Out:
        first = split(s.f1, bits, signed=signed, total=total)
        second = split(s.f2, bits, signed=signed, total=total)
        return Out(join([function(x, y) for x, y in zip(first, second, strict=True)], bits))
    assert name not in MODELS
    MODELS[name] = run


def saturating(bits: int, signed: bool, function: Callable[[int, int], int]) -> Callable[[int, int], int]:
    return lambda x, y: limit(function(x, y), bits, signed=signed)


for _bits in (8, 16, 32):
    for _verb, _function in (("fpadd", operator.add), ("fpsub", operator.sub)):
        lanewise(f"{_verb}{_bits}", _bits, False, _function)
        lanewise(f"{_verb}s{_bits}", _bits, True, saturating(_bits, True, _function))
        if _bits > 8:
            lanewise(f"{_verb}{_bits}s", _bits, False, _function, 32)
            lanewise(f"{_verb}s{_bits}s", _bits, True, saturating(_bits, True, _function), 32)
        if _bits < 32:
            lanewise(f"{_verb}us{_bits}", _bits, False, saturating(_bits, False, _function))
    for _verb, _choose in (("fpmin", min), ("fpmax", max)):
        lanewise(f"{_verb}{_bits}", _bits, True, _choose)
        lanewise(f"{_verb}u{_bits}", _bits, False, _choose)

lanewise("fpadd64", 64, False, operator.add)
lanewise("fpsub64", 64, False, operator.sub)
lanewise("fmean16", 16, True, lambda x, y: math.floor(Fraction(x + y + 1, 2)))


def ones_complement_sum(x: int, y: int) -> int:
    """Addition modulo 2^16 - 1, where 0xffff stays 0xffff unless both are zero."""
    return x + y if x + y < 0x10000 else x + y - 0xFFFF


lanewise("fchksm16", 16, False, ones_complement_sum)

for _bits in (16, 32):
    lanewise(f"fsll{_bits}", _bits, False, lambda x, y, n=_bits: x * 2 ** (y % n))
    lanewise(f"fsrl{_bits}", _bits, False, lambda x, y, n=_bits: x // 2 ** (y % n))
    lanewise(f"fsra{_bits}", _bits, True, lambda x, y, n=_bits: x // 2 ** (y % n))
    lanewise(f"fslas{_bits}", _bits, True, lambda x, y, n=_bits: limit(x * 2 ** (y % n), n, signed=True))


# ---- compares: character i from the right of the printed mask is lane i ----

def compare(name: str, bits: int, signed: bool, relation: Callable[[int, int], bool]) -> None:
    """Registers a compare that leaves a bit mask in an integer register."""
    def run(s: In) -> Out:
        pairs = zip(split(s.f1, bits, signed=signed), split(s.f2, bits, signed=signed), strict=True)
        return Out(int("".join("1" if relation(x, y) else "0" for x, y in pairs), 2))
    assert name not in MODELS
    MODELS[name] = run


for _bits in (8, 16, 32):
    for _word, _relation in (("gt", operator.gt), ("le", operator.le)):
        compare(f"fpcmp{_word}{_bits}", _bits, True, _relation)
        compare(f"fpcmpu{_word}{_bits}", _bits, False, _relation)
    for _word, _relation in (("eq", operator.eq), ("ne", operator.ne)):
        compare(f"fpcmp{'u' if _bits == 8 else ''}{_word}{_bits}", _bits, False, _relation)


# ---- logicals: truth table of (bit of 1, bit of 2), for 00, 01, 10, 11 ----

TRUTH = {
    "fzero": "0000", "fone": "1111", "fsrc1": "0011", "fsrc2": "0101", "fnot1": "1100", "fnot2": "1010",
    "fand": "0001", "fnand": "1110", "for": "0111", "fnor": "1000", "fxor": "0110", "fxnor": "1001",
    "fandnot1": "0100", "fandnot2": "0010", "fornot1": "1101", "fornot2": "1011",
}


def logical(table: str, bits: int) -> Model:
    def run(s: In) -> Out:
        pairs = zip(format(s.f1 & M64, "064b")[-bits:], format(s.f2 & M64, "064b")[-bits:], strict=True)
        return Out(int("".join(table[int(x + y, 2)] for x, y in pairs), 2))
    return run


for _name, _table in TRUTH.items():
    MODELS[_name + "d"] = logical(_table, 64)
    MODELS[_name + "s"] = logical(_table, 32)


# ---- multiplies ----

def rounded(product: int, drop: int) -> int:
    """Drop the low bits, rounding to nearest with ties up."""
    return math.floor(Fraction(product, 1 << drop) + Fraction(1, 2))


@model("fmul8x16")
def fmul8x16(s: In) -> Out:
    pixels, factors = split(s.f1, 8, signed=False, total=32), split(s.f2, 16, signed=True)
    return Out(join([rounded(p * f, 8) for p, f in zip(pixels, factors, strict=True)], 16))


def multiply_by_half(index: int) -> Model:
    def run(s: In) -> Out:
        factor = split(s.f2, 16, signed=True, total=32)[index]
        return Out(join([rounded(p * factor, 8) for p in split(s.f1, 8, signed=False, total=32)], 16))
    return run


MODELS["fmul8x16au"] = multiply_by_half(0)
MODELS["fmul8x16al"] = multiply_by_half(1)


def upper_bytes(value: int, total: int) -> list[int]:
    return split(value, 8, signed=True, total=total)[0::2]


def lower_bytes(value: int, total: int) -> list[int]:
    return split(value, 8, signed=False, total=total)[1::2]


@model("fmul8sux16")
def fmul8sux16(s: In) -> Out:
    return Out(join([rounded(x * y, 8) for x, y in zip(upper_bytes(s.f1, 64), split(s.f2, 16, signed=True),
                                                       strict=True)], 16))


@model("fmul8ulx16")
def fmul8ulx16(s: In) -> Out:
    return Out(join([rounded(x * y, 16) for x, y in zip(lower_bytes(s.f1, 64), split(s.f2, 16, signed=True),
                                                        strict=True)], 16))


@model("fmuld8sux16")
def fmuld8sux16(s: In) -> Out:
    factors = split(s.f2, 16, signed=True, total=32)
    return Out(join([x * y * 256 for x, y in zip(upper_bytes(s.f1, 32), factors, strict=True)], 32))


@model("fmuld8ulx16")
def fmuld8ulx16(s: In) -> Out:
    factors = split(s.f2, 16, signed=True, total=32)
    return Out(join([x * y for x, y in zip(lower_bytes(s.f1, 32), factors, strict=True)], 32))


@model("fpmaddx")
def fpmaddx(s: In) -> Out:
    return Out(divmod(s.f1 * s.f2 + s.f3, 1 << 64)[1])


@model("fpmaddxhi")
def fpmaddxhi(s: In) -> Out:
    return Out(divmod(s.f1 * s.f2 + s.f3, 1 << 64)[0])


# ---- pack, expand, move bytes ----

def fixed(value: int, scale: int, point: int) -> int:
    """value shifted left by scale, its integer part above the binary point."""
    return math.floor(Fraction(value * 2 ** scale, 2 ** point))


@model("fpack16")
def fpack16(s: In) -> Out:
    scale = field(s.gsr, 6, 3)
    return Out(join([limit(fixed(v, scale, 7), 8, signed=False) for v in split(s.f2, 16, signed=True)], 8))


@model("fpack32")
def fpack32(s: In) -> Out:
    lanes = split(s.f1, 8, signed=False)
    scale = field(s.gsr, 7, 3)
    first, second = (limit(fixed(v, scale, 23), 8, signed=False) for v in split(s.f2, 32, signed=True))
    return Out(join([*lanes[1:4], first, *lanes[5:8], second], 8))


@model("fpackfix")
def fpackfix(s: In) -> Out:
    scale = field(s.gsr, 7, 3)
    return Out(join([limit(fixed(v, scale, 16), 16, signed=True) for v in split(s.f2, 32, signed=True)], 16))


@model("fexpand")
def fexpand(s: In) -> Out:
    return Out(join([16 * v for v in split(s.f2, 8, signed=False, total=32)], 16))


@model("fpmerge")
def fpmerge(s: In) -> Out:
    first, second = split(s.f1, 8, signed=False, total=32), split(s.f2, 8, signed=False, total=32)
    return Out(join([byte for pair in zip(first, second, strict=True) for byte in pair], 8))


def pixel_distance(s: In) -> int:
    pairs = zip(split(s.f1, 8, signed=False), split(s.f2, 8, signed=False), strict=True)
    return sum(abs(x - y) for x, y in pairs)


@model("pdist")
def pdist(s: In) -> Out:
    return Out((s.old + pixel_distance(s)) & M64)


@model("pdistn")
def pdistn(s: In) -> Out:
    return Out(pixel_distance(s))


def sixteen_bytes(first: int, second: int) -> list[int]:
    return split(first, 8, signed=False) + split(second, 8, signed=False)


@model("faligndata")
def faligndata(s: In) -> Out:
    start = field(s.gsr, 2, 0)
    return Out(join(sixteen_bytes(s.f1, s.f2)[start:start + 8], 8))


@model("faligndatai")
def faligndatai(s: In) -> Out:
    start = field(s.rs1, 2, 0)
    return Out(join(sixteen_bytes(s.old, s.f2)[start:start + 8], 8))


@model("bshuffle")
def bshuffle(s: In) -> Out:
    source = sixteen_bytes(s.f1, s.f2)
    return Out(join([source[int(digit, 16)] for digit in format(field(s.gsr, 63, 32), "08x")], 8))


# ---- moves between register files ----

@model("movdtox")
def movdtox(s: In) -> Out:
    return Out(s.f2)


@model("movstouw")
def movstouw(s: In) -> Out:
    return Out(split(s.f2, 32, signed=False)[1])


@model("movstosw")
def movstosw(s: In) -> Out:
    return Out(split(s.f2, 32, signed=True)[1] & M64)


@model("movxtod")
def movxtod(s: In) -> Out:
    return Out(s.rs2)


@model("movwtos")
def movwtos(s: In) -> Out:
    return Out(split(s.rs2, 32, signed=False)[1])


# ---- edges: the manual's tables, indexed by the low address bits ----

EDGES = {
    ("8", ""): (7, "ff 7f 3f 1f 0f 07 03 01", "80 c0 e0 f0 f8 fc fe ff"),
    ("8", "l"): (7, "ff fe fc f8 f0 e0 c0 80", "01 03 07 0f 1f 3f 7f ff"),
    ("16", ""): (6, "f 7 3 1", "8 c e f"),
    ("16", "l"): (6, "f e c 8", "1 3 7 f"),
    ("32", ""): (4, "3 1", "2 3"),
    ("32", "l"): (4, "3 2", "1 3"),
}


def edge(address_bits: int, left: str, right: str) -> Model:
    lane_bytes = address_bits & -address_bits
    left_table, right_table = ([int(entry, 16) for entry in table.split()] for table in (left, right))

    def run(s: In) -> Out:
        first, last = (s.rs1, s.rs2) if not s.am else (s.rs1 % 2 ** 32, s.rs2 % 2 ** 32)
        mask = left_table[first % 8 // lane_bytes]
        if first // 8 == last // 8:
            mask &= right_table[last % 8 // lane_bytes]
        return Out(mask)
    return run


for (_width, _order), (_low, _left, _right) in EDGES.items():
    MODELS[f"edge{_width}{_order}cc"] = edge(_low, _left, _right)
    MODELS[f"edge{_width}{_order}n"] = edge(_low, _left, _right)


# ---- three-dimensional arrays ----

def array_offset(s: In) -> int:
    """The manual's three tables: upper, middle and lower address fields, as one string of bits."""
    size = min(field(s.rs2, 2, 0), 5)
    integer_parts = ((11, 11), (33, 11), (55, 9))
    x, y, z = ([(s.rs1 >> (base + i)) & 1 for i in range(width)] for base, width in integer_parts)
    lower, middle = x[0:2] + y[0:2] + z[0:1], x[2:6] + y[2:6] + z[1:5]
    upper = x[6:6 + size] + y[6:6 + size] + z[5:9]
    return sum(bit << i for i, bit in enumerate(lower + middle + upper))


for _scale, _width in enumerate(("8", "16", "32")):
    MODELS[f"array{_width}"] = lambda s, k=_scale: Out(array_offset(s) * 2 ** k)


# ---- integer arithmetic ----

def condition_codes(exact_signed: dict[int, int], exact_unsigned: dict[int, int]) -> int:
    """CCR from the exact results at 64 and 32 bits: N, Z of the wrapped result, V, C by leaving the range."""
    ccr = 0
    for bits, at in ((64, 4), (32, 0)):
        signed, unsigned = exact_signed[bits], exact_unsigned[bits]
        wrapped = unsigned % (1 << bits)
        flags = (wrapped >> (bits - 1) << 3) | ((wrapped == 0) << 2)
        flags |= (not -(1 << (bits - 1)) <= signed < 1 << (bits - 1)) << 1
        flags |= not 0 <= unsigned < 1 << bits
        ccr |= flags << at
    return ccr


def with_carry(sign: int, *, sets_cc: bool) -> Model:
    def run(s: In) -> Out:
        carry = field(s.ccr, 4, 4)
        signed, unsigned = {}, {}
        for bits in (64, 32):
            for is_signed, results in ((True, signed), (False, unsigned)):
                x, y = (split(v, bits, signed=is_signed)[-1] for v in (s.rs1, s.rs2))
                results[bits] = x + sign * (y + carry)
        return Out(unsigned[64] & M64, ccr=condition_codes(signed, unsigned) if sets_cc else None)
    return run


MODELS["addxc"], MODELS["addxccc"] = with_carry(1, sets_cc=False), with_carry(1, sets_cc=True)
MODELS["subxc"], MODELS["subxccc"] = with_carry(-1, sets_cc=False), with_carry(-1, sets_cc=True)


@model("umulxhi")
def umulxhi(s: In) -> Out:
    return Out(divmod(s.rs1 * s.rs2, 1 << 64)[0])


def polynomial_product(a: int, b: int) -> int:
    """Product over GF(2): sum of shifted copies, no carries."""
    product = 0
    for power, digit in enumerate(reversed(format(b, "b"))):
        if digit == "1":
            product ^= a << power
    return product


@model("xmulx")
def xmulx(s: In) -> Out:
    return Out(polynomial_product(s.rs1, s.rs2) & M64)


@model("xmulxhi")
def xmulxhi(s: In) -> Out:
    return Out(polynomial_product(s.rs1, s.rs2) >> 64)


@model("lzcnt")
def lzcnt(s: In) -> Out:
    return Out(64 - s.rs2.bit_length())


@model("popc")
def popc(s: In) -> Out:
    return Out(format(s.rs2, "b").count("1"))


@model("shutdown")
def shutdown(s: In) -> Out:
    return Out()


# ---- instructions that write GSR ----

def gsr_with(gsr: int, high: int, low: int, value: int) -> int:
    text = format(gsr, "064b")
    return int(text[:63 - high] + format(value, f"0{high - low + 1}b") + text[64 - low:], 2)


def align_address(s: In, *, little: bool) -> Out:
    address = (s.rs1 + s.rs2) % 2 ** 64
    offset = (8 - address % 8) % 8 if little else address % 8
    return Out(address // 8 * 8, gsr=gsr_with(s.gsr, 2, 0, offset))


MODELS["alignaddr"] = lambda s: align_address(s, little=False)
MODELS["alignaddrl"] = lambda s: align_address(s, little=True)


@model("bmask")
def bmask(s: In) -> Out:
    total = (s.rs1 + s.rs2) & M64
    return Out(total, gsr=gsr_with(s.gsr, 63, 32, total % 2 ** 32))


@model("siam")
def siam(s: In) -> Out:
    return Out(gsr=gsr_with(s.gsr, 27, 25, s.imm))


def cmask(lane_bytes: int) -> Model:
    """The mask with which BSHUFFLE takes lane i from the first register where bit i is set."""
    def run(s: In) -> Out:
        digits = ""
        for byte in range(8):  # from the most significant
            lane = (7 - byte) // lane_bytes
            digits += format(byte if s.rs2 >> lane & 1 else byte + 8, "x")
        return Out(gsr=gsr_with(s.gsr, 63, 32, int(digits, 16)))
    return run


MODELS["cmask8"], MODELS["cmask16"], MODELS["cmask32"] = cmask(1), cmask(2), cmask(4)


def run_model(name: str, state: In) -> Out:
    """Outcome of an instruction with GSR and CCR filled in where it leaves them alone."""
    out = MODELS[name](state)
    gsr = state.gsr if out.gsr is None else out.gsr
    return replace(out, gsr=gsr, ccr=state.ccr if out.ccr is None else out.ccr)
