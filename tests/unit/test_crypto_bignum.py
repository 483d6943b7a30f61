"""MPMUL, MONTMUL, MONTSQR and the carry-less variants: arithmetic, register map, failure rule."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from crypto_support import MASK64, Strand, build, from_little_words, little_words, samples, seeded

FCC_DONE, FCC_FAILED = 0, 3
SIZES = range(1, 33)

# ---- polynomials over GF(2) as Python integers ----


def xmul(a: int, b: int) -> int:
    product = 0
    while b:
        low = b & -b
        product ^= a * low
        b ^= low
    return product


def xmod(a: int, n: int) -> int:
    while a.bit_length() >= n.bit_length():
        a ^= n << (a.bit_length() - n.bit_length())
    return a


def xinverse64(n: int) -> int:
    """1/n modulo x^64 for n with constant term 1."""
    inverse = 1
    for _ in range(6):  # Newton: y (2 - n y), which is n y^2 in characteristic 2
        inverse = xmul(xmul(inverse, inverse) & MASK64, n) & MASK64
    return inverse


# ---- a register file filled the way software fills it ----

Name = str | tuple[int, str]

LOCALS = [f"l{i}" for i in range(8)]
INS = [f"i{i}" for i in range(6)]
OUTS = [f"o{i}" for i in range(6)]


class Registers:
    """Names such as ``(-3, "l4")`` (window relative to the current one) and ``"d24"``."""

    def __init__(self, random: Random, cwp: int = 3, canrestore: int = 6) -> None:
        self.strand = Strand(cwp=cwp, canrestore=canrestore)
        self.strand.f[:] = [random.getrandbits(64) for _ in range(32)]
        for window in self.strand.outs_locals:
            window[:] = [random.getrandbits(64) for _ in range(16)]

    def place(self, name: Name) -> tuple[ctypes.Array, int]:
        """The array a register is in and its index there."""
        if isinstance(name, str):
            return self.strand.f, int(name[1:]) // 2
        window, register = name
        kind, number = register[0], int(register[1:])
        row = (self.strand.cwp + window - (1 if kind == "i" else 0)) % 8  # ins are the caller's outs
        return self.strand.outs_locals[row], number + (8 if kind == "l" else 0)

    def __getitem__(self, name: Name) -> int:
        array, index = self.place(name)
        return array[index]

    def __setitem__(self, name: Name, value: int) -> None:
        array, index = self.place(name)
        array[index] = value

    def load(self, names: Sequence[Name], number: int, words: int) -> None:
        for name, word in zip(names, little_words(number, words), strict=False):
            self[name] = word

    def read(self, names: Sequence[Name], words: int) -> int:
        return from_little_words([self[name] for name in names[:words]])


def in_window(window: int, *groups: list[str]) -> list[tuple[int, str]]:
    return [(window, register) for group in groups for register in group]


A = in_window(-5, LOCALS, OUTS) + [f"d{n}" for n in range(24, 60, 2)]
N = in_window(-4, LOCALS, OUTS) + in_window(-3, LOCALS, OUTS) + in_window(-2, LOCALS[:4])
B = in_window(-1, INS, LOCALS) + in_window(0, INS, LOCALS, OUTS[:4])
MULTIPLIER = [*in_window(-6, OUTS), "d0", "d2", *in_window(-6, LOCALS, INS)]
MULTIPLIER += [f"d{n}" for n in range(4, 24, 2)]
PRODUCT = [name for window in (-4, -3, -2, -1) for name in in_window(window, LOCALS, OUTS)]
PRODUCT += in_window(0, LOCALS)


def test_register_maps_do_not_overlap() -> None:
    registers = Registers(seeded("map"))
    for names, size in ((A + N + B + ["d60"], 97), (A + MULTIPLIER + PRODUCT, 128)):
        places = {(ctypes.addressof(array), index) for array, index in map(registers.place, names)}
        assert len(places) == len(names) == size


def run(registers: Registers, name: str, words: int) -> int:
    registers.strand.fcc[3] = 1
    build()(name, words - 1, strand=registers.strand)
    return registers.strand.fcc[3]


def interesting_pairs(random: Random, n: int) -> list[tuple[int, int]]:
    below = [0, 1, n - 1, n // 2]
    pairs = [(a % n, b % n) for a in below for b in below]
    return pairs + [(random.randrange(n), random.randrange(n)) for _ in samples(3)]


def moduli(random: Random, words: int) -> list[int]:
    bits = 64 * words
    full = random.getrandbits(bits) | 1 << (bits - 1) | 1
    short = random.getrandbits(bits - 40) | 1
    return [full, short, (1 << bits) - 1, (1 << (bits - 1)) + 1, 1]


@pytest.mark.parametrize("words", SIZES)
def test_montmul(words: int) -> None:
    random = seeded(f"montmul{words}")
    radix = 1 << 64 * words
    for n in moduli(random, words):
        n0 = -pow(n, -1, 1 << 64) & MASK64
        for a, b in interesting_pairs(random, n):
            registers = Registers(random, cwp=random.randrange(8))
            registers.load(A, a, words)
            registers.load(B, b, words)
            registers.load(N, n, words)
            registers["d60"] = n0
            assert run(registers, "montmul", words) == FCC_DONE
            assert registers.read(A, words) == a * b * pow(radix, -1, n) % n


@pytest.mark.parametrize("words", SIZES)
def test_montsqr(words: int) -> None:
    random = seeded(f"montsqr{words}")
    radix = 1 << 64 * words
    for n in moduli(random, words):
        for a, _ in interesting_pairs(random, n):
            registers = Registers(random, cwp=random.randrange(8))
            registers.load(A, a, words)
            registers.load(N, n, words)
            registers["d60"] = -pow(n, -1, 1 << 64) & MASK64
            assert run(registers, "montsqr", words) == FCC_DONE
            assert registers.read(A, words) == a * a * pow(radix, -1, n) % n


@pytest.mark.parametrize("words", SIZES)
def test_xmontmul_and_xmontsqr(words: int) -> None:
    random = seeded(f"xmont{words}")
    radix = 1 << 64 * words
    bits = 64 * words
    for n in (random.getrandbits(bits) | 1 << (bits - 1) | 1, random.getrandbits(bits - 9) | 1):
        n0 = xinverse64(n & MASK64)
        assert xmul(n0, n) & MASK64 == 1
        degree = n.bit_length() - 1
        ones, some, other = (1 << degree) - 1, random.getrandbits(degree), random.getrandbits(degree)
        for a, b in [(0, 0), (ones, ones), (some, other)]:
            for name, factor in (("xmontmul", b), ("xmontsqr", a)):
                registers = Registers(random)
                registers.load(A, a, words)
                registers.load(B, b, words)
                registers.load(N, n, words)
                registers["d60"] = n0
                assert run(registers, name, words) == FCC_DONE
                result = registers.read(A, words)
                assert result.bit_length() <= degree
                assert xmod(xmul(result, xmod(radix, n)), n) == xmod(xmul(a, factor), n)


@pytest.mark.parametrize(("name", "multiply"), [("mpmul", lambda a, b: a * b), ("xmpmul", xmul)])
@pytest.mark.parametrize("words", SIZES)
def test_mpmul(words: int, name: str, multiply: Callable[[int, int], int]) -> None:
    random = seeded(f"{name}{words}")
    bits = 64 * words
    ones = (1 << bits) - 1
    pairs = [(0, ones), (1, ones), (ones, ones), (1 << (bits - 1), 3)]
    pairs += [(random.getrandbits(bits), random.getrandbits(bits)) for _ in samples(3)]
    for a, b in pairs:
        registers = Registers(random, cwp=random.randrange(8))
        registers.load(A, a, words)
        registers.load(MULTIPLIER, b, words)
        assert run(registers, name, words) == FCC_DONE
        assert registers.read(PRODUCT, 2 * words) == multiply(a, b)


def valid(random: Random, words: int = 8) -> Registers:
    n = random.getrandbits(64 * words) | 1 << (64 * words - 1) | 1
    registers = Registers(random)
    registers.load(A, random.randrange(n), words)
    registers.load(B, random.randrange(n), words)
    registers.load(N, n, words)
    registers["d60"] = -pow(n, -1, 1 << 64) & MASK64
    return registers


def unchanged_but_fcc3(registers: Registers, name: str, words: int = 8) -> bool:
    before = registers.strand.contents()
    assert run(registers, name, words) == FCC_FAILED
    registers.strand.fcc[3] = registers.strand.fprs = 0
    return registers.strand.contents() == before


NEEDED = {"montmul": 5, "montsqr": 5, "xmontmul": 5, "xmontsqr": 5, "mpmul": 6, "xmpmul": 6}


def valid_for(name: str, random: Random) -> Registers:
    registers = valid(random)
    if name.startswith("x"):
        registers["d60"] = xinverse64(registers[N[0]])
    return registers


@pytest.mark.parametrize("name", list(NEEDED))
def test_missing_windows_make_a_fill_trap(name: str) -> None:
    random = seeded(name)
    for canrestore in range(7):
        registers = valid_for(name, random)
        registers.strand.canrestore, registers.strand.fill_traps, registers.strand.fcc[3] = canrestore, 1, 1
        before = registers.strand.contents()
        build()(name, 7, strand=registers.strand)
        trapped = canrestore < NEEDED[name]
        assert registers.strand.fill_behind == (NEEDED[name] if trapped else 0)
        registers.strand.fill_behind = 0
        assert (registers.strand.contents() == before) == trapped
        assert registers.strand.fcc[3] == (1 if trapped else FCC_DONE)


@pytest.mark.parametrize("name", list(NEEDED))
def test_fails_without_fill_traps(name: str) -> None:
    random = seeded(name)
    for canrestore in range(7):
        registers = valid_for(name, random)
        registers.strand.canrestore = canrestore
        if canrestore < NEEDED[name]:
            assert unchanged_but_fcc3(registers, name)
        else:
            assert run(registers, name, 8) == FCC_DONE


@pytest.mark.parametrize("name", ["montmul", "montsqr", "xmontmul", "xmontsqr"])
def test_fails_on_invalid_modulus(name: str) -> None:
    random = seeded(name)
    registers = valid(random)
    registers[N[0]] &= ~1  # even
    assert unchanged_but_fcc3(registers, name)
    registers = valid(random)
    registers["d60"] ^= 1 << 63  # not the inverse of this modulus
    assert unchanged_but_fcc3(registers, name)
    registers = valid(random)
    registers.load(N, 0, 8)
    assert unchanged_but_fcc3(registers, name)


@pytest.mark.parametrize("words", [1, 2, 8, 31, 32])
def test_unreduced_operands_give_a_congruent_result(words: int) -> None:
    """Operands above N: n is subtracted at most once, so the result may be above N too."""
    random = seeded(f"unreduced{words}")
    radix, above = 1 << 64 * words, 0
    for bits in (64 * words, 64 * words - 1, 64 * words - 60):
        for _ in samples(10):
            n = random.getrandbits(bits) | 1
            a, b = random.getrandbits(64 * words), random.getrandbits(64 * words)
            registers = Registers(random)
            registers.load(A, a, words)
            registers.load(B, b, words)
            registers.load(N, n, words)
            registers["d60"] = -pow(n, -1, 1 << 64) & MASK64
            assert run(registers, "montmul", words) == FCC_DONE
            total = (a * b + -a * b * pow(n, -1, radix) % radix * n) // radix
            assert registers.read(A, words) == (total if total < n else total - n)
            above += total >= 2 * n
    assert above


def test_unreduced_polynomials_give_a_congruent_result() -> None:
    random = seeded("xunreduced")
    for words in (1, 2, 9, 32):
        n = random.getrandbits(64 * words - 20) | 1
        a, b = random.getrandbits(64 * words), random.getrandbits(64 * words)
        registers = Registers(random)
        registers.load(A, a, words)
        registers.load(B, b, words)
        registers.load(N, n, words)
        registers["d60"] = xinverse64(n & MASK64)
        assert run(registers, "xmontmul", words) == FCC_DONE
        result = registers.read(A, words)
        assert result.bit_length() >= n.bit_length()
        assert xmod(xmul(xmod(result, n), xmod(1 << 64 * words, n)), n) == xmod(xmul(a, b), n)


@pytest.mark.parametrize("name", ["montmul", "montsqr", "mpmul"])
@pytest.mark.parametrize("words", [1, 7, 14, 15, 32])
def test_writes_only_the_result(name: str, words: int) -> None:
    random = seeded(f"{name}{words}")
    registers = valid(random, words)
    everything = [f"d{n}" for n in range(0, 64, 2)]
    everything += [(w, f"{kind}{i}") for w in range(-7, 1) for kind in "ol" for i in range(8)]
    before = {name: registers[name] for name in everything}
    assert run(registers, name, words) == FCC_DONE
    result = PRODUCT[:2 * words] if name == "mpmul" else A[:words]
    assert registers.strand.fprs == (0 if name == "mpmul" else 3)
    changed = {name for name in everything if registers[name] != before[name]}
    assert changed == set(result)


@pytest.mark.parametrize("words", [1, 2, 17, 32])
@pytest.mark.parametrize("name", ["bignum_montmul", "bignum_xmontmul"])
def test_result_may_be_an_operand(name: str, words: int) -> None:
    random = seeded(f"{name}{words}")
    n = random.getrandbits(64 * words) | 1 << (64 * words - 1) | 1
    n0 = xinverse64(n & MASK64) if name == "bignum_xmontmul" else -pow(n, -1, 1 << 64) & MASK64
    array = ctypes.c_uint64 * words
    function = build().library[name]
    function.restype = ctypes.c_bool
    rest = (array(*little_words(n, words)), ctypes.c_uint64(n0), ctypes.c_uint(words))
    for _ in samples(10):
        a, b = (little_words(random.getrandbits(64 * words - 1), words) for _ in "ab")
        out, x, y = array(), array(*a), array(*b)
        assert function(out, array(*a), array(*b), *rest)
        assert function(x, x, array(*b), *rest)
        assert function(y, array(*a), y, *rest)
        assert list(x) == list(y) == list(out)
        assert function(out, array(*a), array(*a), *rest)
        z = array(*a)
        assert function(z, z, z, *rest)
        assert list(z) == list(out)
