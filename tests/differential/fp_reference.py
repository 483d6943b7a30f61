"""What SPARC floating point must deliver, computed with MPFR (gmpy2): results and exception flags.

MPFR rounds correctly, with subnormals, in the four directions.  Added here, with exact rationals: tininess
before rounding and the rule that an enabled underflow trap signals exact tiny results too.  The NaN rules are
SPARC's.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import gmpy2
from fp_library import DZ, NV, NX, OF, UF
from gmpy2 import mpfr, mpq

Outcome = tuple[int, int]  # register contents, flags


@dataclass(frozen=True)
class Format:
    bits: int
    precision: int
    letter: str  # of struct

    @property
    def sign(self) -> int:
        return 1 << (self.bits - 1)

    @property
    def infinity(self) -> int:
        return self.sign - (1 << (self.precision - 1))

    @property
    def quiet(self) -> int:
        return 1 << (self.precision - 2)

    @property
    def default_nan(self) -> int:
        return self.sign - 1

    @property
    def emin(self) -> int:
        """Exponent of the smallest normal number."""
        return 3 - (1 << (self.bits - self.precision - 1)) - 1

    def is_nan(self, a: int) -> bool:
        return a & (self.sign - 1) > self.infinity

    def is_signalling(self, a: int) -> bool:
        return self.is_nan(a) and not a & self.quiet

    def decode(self, a: int) -> float:
        """Exact: a single is a double too."""
        value: float = struct.unpack(">" + self.letter, a.to_bytes(self.bits // 8, "big"))[0]
        return value

    def encode(self, x: mpfr) -> int:
        """x is representable: MPFR has rounded it."""
        return int.from_bytes(struct.pack(">" + self.letter, float(x)), "big")


FP32, FP64 = Format(32, 24, "f"), Format(64, 53, "d")
ROUNDINGS = (gmpy2.RoundToNearest, gmpy2.RoundToZero, gmpy2.RoundUp, gmpy2.RoundDown)


def _context(fmt: Format, rounding: int) -> gmpy2.context:
    context = gmpy2.ieee(fmt.bits)
    context.round = rounding
    return context


CONTEXTS = {(fmt, i): _context(fmt, r) for fmt in (FP32, FP64) for i, r in enumerate(ROUNDINGS)}
WIDE = gmpy2.context(precision=4600, emin=-20000, emax=20000)  # holds every sum and a * b + c exactly

def _half(ctx: gmpy2.context, x: mpfr, y: mpfr) -> mpfr:
    """(x + y) / 2 rounded once; an exact zero takes its sign from the rounding direction."""
    total = WIDE.add(x, y)
    return ctx.add(x, y) if total == 0 else ctx.plus(WIDE.div(total, 2))


# (MPFR's operation in a context, the exact rational result) by name
OPERATIONS: dict[str, tuple[Callable[..., mpfr], Callable[..., mpq]]] = {
    "add": (lambda ctx, x, y: ctx.add(x, y), lambda x, y: mpq(x) + mpq(y)),
    "sub": (lambda ctx, x, y: ctx.sub(x, y), lambda x, y: mpq(x) - mpq(y)),
    "mul": (lambda ctx, x, y: ctx.mul(x, y), lambda x, y: mpq(x) * mpq(y)),
    "div": (lambda ctx, x, y: ctx.div(x, y), lambda x, y: mpq(x) / mpq(y)),
    "half_add": (_half, lambda x, y: (mpq(x) + mpq(y)) / 2),
    "half_sub": (lambda ctx, x, y: _half(ctx, x, -y), lambda x, y: (mpq(x) - mpq(y)) / 2),
    "madd": (lambda ctx, x, y, z: ctx.fma(x, y, z), lambda x, y, z: mpq(x) * mpq(y) + mpq(z)),
    "msub": (lambda ctx, x, y, z: ctx.fma(x, y, -z), lambda x, y, z: mpq(x) * mpq(y) - mpq(z)),
    "round": (lambda ctx, x: ctx.plus(x), mpq),
}


def finish(fmt: Format, rounding: int, tem: int, name: str, values: Sequence[mpfr]) -> Outcome:
    """One operation on operands without NaN."""
    ctx = CONTEXTS[fmt, rounding]
    rounded, exact = OPERATIONS[name] if name != "sqrt" else (lambda c, x: c.sqrt(x), None)
    ctx.clear_flags()
    result = rounded(ctx, *values)
    if gmpy2.is_nan(result):
        return fmt.default_nan, NV
    if ctx.divzero:
        return fmt.encode(result), DZ
    flags = OF | NX if ctx.overflow else NX if ctx.inexact else 0
    smallest = mpq(2) ** fmt.emin
    if exact is not None and all(gmpy2.is_finite(v) for v in values) and abs(result) <= smallest:
        value = exact(*values)
        if value != mpq(result):
            flags |= NX
        elif flags:
            raise AssertionError("MPFR says inexact, the rationals say exact")
        if value and abs(value) < smallest and (flags & NX or tem & UF):
            flags |= UF
    return fmt.encode(result), flags


def nan_of(fmt: Format, operands: Sequence[int]) -> int | None:
    """The NaN operand that wins, if any: signalling before quiet, then the later operand."""
    for wanted in (fmt.is_signalling, fmt.is_nan):
        for operand in reversed(operands):
            if wanted(operand):
                return operand
    return None


def arithmetic(fmt: Format, name: str, operands: Sequence[int], rounding: int, tem: int) -> Outcome:
    nan = nan_of(fmt, operands)
    if nan is None:
        return finish(fmt, rounding, tem, name, [mpfr(fmt.decode(v), 53) for v in operands])
    flags = NV if fmt.is_signalling(nan) else 0
    if name in ("madd", "msub"):
        factors = sorted(v & (fmt.sign - 1) for v in operands[:2])
        if factors == [0, fmt.infinity]:
            flags = NV
    return nan | fmt.quiet, flags


def negate(fmt: Format, result: int) -> int:
    return result if fmt.is_nan(result) else result ^ fmt.sign


def widen(a: int) -> Outcome:
    if FP32.is_nan(a):
        wide = (a & FP32.sign) << 32 | FP64.infinity | (a & (1 << 23) - 1) << 29 | FP64.quiet
        return wide, NV if FP32.is_signalling(a) else 0
    return FP64.encode(mpfr(FP32.decode(a), 53)), 0


def narrow(a: int, rounding: int, tem: int) -> Outcome:
    if FP64.is_nan(a):
        short = (a >> 32 & FP32.sign) | FP32.infinity | (a >> 29 & (1 << 23) - 1) | FP32.quiet
        return short, NV if FP64.is_signalling(a) else 0
    return finish(FP32, rounding, tem, "round", [mpfr(FP64.decode(a), 53)])


def multiply_wide(a: int, b: int) -> Outcome:
    """fsmuld: exact; the NaN is chosen among the singles."""
    nan = nan_of(FP32, (a, b))
    if nan is not None:
        return widen(nan)
    return finish(FP64, 0, 0, "mul", [mpfr(FP32.decode(v), 53) for v in (a, b)])


def to_integer(fmt: Format, a: int, bits: int) -> Outcome:
    mask, negative = (1 << bits) - 1, bool(a & fmt.sign)
    limit = 1 << (bits - 1)
    if not fmt.is_nan(a) and a & (fmt.sign - 1) != fmt.infinity:
        value = fmt.decode(a)
        integer = int(value)
        if -limit <= integer < limit:
            return integer & mask, NX if integer != value else 0
    return (limit if negative else limit - 1), NV


def from_integer(fmt: Format, a: int, bits: int, rounding: int) -> Outcome:
    signed = a - (1 << bits) if a >> (bits - 1) else a
    return finish(fmt, rounding, 0, "round", [mpfr(signed, 64)])


def compare(fmt: Format, a: int, b: int, *, signalling: bool) -> Outcome:
    if fmt.is_nan(a) or fmt.is_nan(b):
        return 3, NV if signalling or fmt.is_signalling(a) or fmt.is_signalling(b) else 0
    x, y = fmt.decode(a), fmt.decode(b)
    return (x < y) + 2 * (x > y), 0


def compare_lexicographic(fmt: Format, a: int, b: int) -> Outcome:
    if fmt.is_nan(b):
        return 3, 0
    if fmt.is_nan(a):
        return 2, 0
    x, y = fmt.decode(a), fmt.decode(b)
    return int(x < y or (x == y == 0 and bool(a & fmt.sign) and not b & fmt.sign)), 0


def unfused(fmt: Format, form: str, operands: Sequence[int], rounding: int, tem: int) -> Outcome:
    """numadd: -p - c, numsub: -p + c, p the rounded product; a trap of the multiply ends the operation."""
    product, flags = arithmetic(fmt, "mul", operands[:2], rounding, tem)
    if flags & tem:
        return product, flags
    if form.startswith("n"):
        product = negate(fmt, product)
    name = "add" if form in ("umadd", "numsub") else "sub"
    result, more = arithmetic(fmt, name, (product, operands[2]), rounding, tem)
    return result, flags | more


def expected(operation: str, a: int, b: int, c: int, rounding: int, tem: int) -> Outcome:
    """Result and flags of one driver operation, named as in softfp.h (fused forms: madd msub nmadd nmsub)."""
    prefix, _, name = operation.partition("_")
    fmt = FP32 if prefix == "fp32" else FP64
    mask = (1 << fmt.bits) - 1
    a, b, c = (a & mask, b & mask, c & mask) if not name.startswith("from") else (a, b, c)
    if name in ("add", "sub", "mul", "div", "half_add", "half_sub"):
        return arithmetic(fmt, name, (a, b), rounding, tem)
    if name == "sqrt":
        return arithmetic(fmt, name, (b,), rounding, tem)
    if name in ("madd", "msub", "nmadd", "nmsub"):
        result, flags = arithmetic(fmt, name.removeprefix("n"), (a, b, c), rounding, tem)
        return negate(fmt, result) if name[0] == "n" else result, flags
    if name.endswith(("umadd", "umsub")):
        return unfused(fmt, name, (a, b, c), rounding, tem)
    if name in ("mul_fp64", "neg_mul_fp64"):
        result, flags = multiply_wide(a, b)
        return negate(FP64, result) if name[0] == "n" else result, flags
    if name.startswith("neg_"):
        result, flags = arithmetic(fmt, name.removeprefix("neg_"), (a, b), rounding, tem)
        cancelled = name == "neg_add" and not result & (mask >> 1) and (a ^ b) & fmt.sign
        return result if cancelled else negate(fmt, result), flags
    return _converted(name, fmt, (a, b), rounding, tem)


def _converted(name: str, fmt: Format, operands: tuple[int, int], rounding: int, tem: int) -> Outcome:
    a, b = operands
    if name == "to_fp64":
        return widen(b)
    if name == "to_fp32":
        return narrow(b, rounding, tem)
    if name.startswith("to_i"):
        return to_integer(fmt, b, int(name[4:]))
    if name.startswith("from_i"):
        bits = int(name[6:])
        return from_integer(fmt, b & ((1 << bits) - 1), bits, rounding)
    if name == "compare_lexicographic":
        return compare_lexicographic(fmt, a, b)
    if name.startswith("compare"):
        return compare(fmt, a, b, signalling=name.endswith("signalling"))
    raise ValueError(name)
