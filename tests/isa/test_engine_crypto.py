"""The crypto tests of tests/unit once more, every instruction of them executed by the engine.

`EngineCrypto` takes the place of the compiled rows there: operands go to registers chosen at random, the word runs on
a strand, and every register that is not the result must be what it was. Then programs as a guest has them: straight
code between loads and stores.
"""

from __future__ import annotations

import hashlib
import os
import random
import struct
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import Any

import pytest
import test_crypto_bignum as bignum
import test_crypto_ciphers as ciphers
import test_crypto_hashes as hashes
from crypto_support import Strand, from_little_words, little_words, seeded
from engine_support import BLOCK, CODE, DATA, FEF, INTEGERS, MASK64, Bench, Registers, double_index, spread

from csrc.isa.groups import load_rows
from csrc.isa.table import FIELDS

ROWS = {row.name: row for row in load_rows(("crypto",))}
MPMUL = {ROWS[name].match for name in ("mpmul", "xmpmul")}
FCC3 = 36
FILL_NORMAL = 0xC0
SIZES = (1, 2, 8, 15, 32)  # words of the bignum instructions; S4V_ENGINE_SIZES=all tries every one


class EngineCrypto:
    """Called as `crypto_support.Crypto` is. Kasumi runs on a T5, everything else on an M7."""

    def __init__(self, m7: Bench, t5: Bench) -> None:
        self._benches = {True: t5, False: m7}
        self._random = random.Random("engine crypto")
        self._calls = 0

    def __call__(self, name: str, *operands: int, strand: Strand | None = None) -> int:
        """Execute row `name`; operands are its sources in order. Returns the destination or 0."""
        self._calls += 1
        bench = self._benches[ROWS[name].feature == "kasumi"]
        budget = BLOCK if self._calls & 1 else 1
        if strand is not None:
            return self._in_place(bench, name, operands, strand, budget)
        return self._on_registers(bench, name, operands, budget)

    def _on_registers(self, bench: Bench, name: str, operands: tuple[int, ...], budget: int) -> int:
        row, rng = ROWS[name], self._random
        word, state = row.forms()[0][0], Registers(doubles=[rng.getrandbits(64) for _ in range(32)])
        numbers = rng.sample(range(32), 4)
        for token, value in zip(row.sources, operands, strict=True):
            number = numbers.pop() if token.startswith("fd") else value
            word |= spread(number, FIELDS[token])
            if token.startswith("fd"):
                state.doubles[double_index(number)] = value
        rd = rng.choice((numbers[0], word >> 14 & 31))  # a new register, or the first source
        word |= rd << 25
        bench.place([word])
        after, trap = bench.run(state, budget=budget)
        assert trap == 0, f"{name}: {trap:#x}"
        result = after.doubles[double_index(rd)]
        state.set_double(double_index(rd), result)
        assert after == state, f"{name} {word:#010x}: {after.differences(state)}"
        return result

    def _in_place(self, bench: Bench, name: str, operands: tuple[int, ...], strand: Strand, budget: int) -> int:
        """Hashes and big numbers: the whole register file, windows included."""
        word = ROWS[name].forms()[0][0] | (operands[0] if operands else 0)
        bench.place([word])
        state = Registers(doubles=list(strand.f), fsr=strand.fcc[3] << FCC3, fprs=FEF | strand.fprs)
        bench.load(state)
        self._load_windows(bench, strand)
        bench.strand.run(budget)
        trap = bench.regs["tt1"] if bench.regs["tl"] else 0
        if trap:
            self._check_fill(bench, strand, trap, word)
        self._store(bench, strand)
        return 0

    @staticmethod
    def _load_windows(bench: Bench, strand: Strand) -> None:
        for number, window in enumerate(strand.outs_locals):
            bench.regs["cwp"] = number
            for name, value in zip(INTEGERS[8:24], window, strict=True):
                bench.regs[name] = value
        for name, value in (("cwp", strand.cwp), ("canrestore", strand.canrestore),
                            ("cansave", 6 - strand.canrestore), ("otherwin", 0), ("wstate", 0)):
            bench.regs[name] = value

    @staticmethod
    def _check_fill(bench: Bench, strand: Strand, trap: int, word: int) -> None:
        """A fill trap for the first window that is not there, to be tried again."""
        assert (trap, bench.regs["tpc1"], strand.fill_traps) == (FILL_NORMAL, CODE, 1), f"{word:#010x}: {trap:#x}"
        assert bench.regs["cwp"] == (strand.cwp - strand.canrestore - 1) % 8
        strand.fill_behind = 6 if word & ~31 in MPMUL else 5
        bench.regs["tl"] = bench.regs["gl"] = 0

    @staticmethod
    def _store(bench: Bench, strand: Strand) -> None:
        after = bench.read()
        assert after.integers[:8] == [0] * 8
        assert after.fsr & ~(3 << FCC3) == 0
        strand.f[:] = after.doubles
        strand.fcc[3] = after.fsr >> FCC3 & 3
        strand.fprs = after.fprs & 3
        for number, window in enumerate(strand.outs_locals):
            bench.regs["cwp"] = number
            window[:] = [bench.regs[name] for name in INTEGERS[8:24]]


@pytest.fixture(scope="module")
def benches() -> Iterator[tuple[Bench, Bench]]:
    with Bench("m7") as m7, Bench("t5") as t5:
        yield m7, t5


@pytest.fixture
def engine(benches: tuple[Bench, Bench], monkeypatch: pytest.MonkeyPatch) -> EngineCrypto:
    """The engine in the place of the compiled rows."""
    crypto = EngineCrypto(*benches)
    for module in (bignum, ciphers, hashes):
        monkeypatch.setattr(module, "build", lambda: crypto)
    return crypto


def runs_of(module: ModuleType, *skipped: str) -> Iterator[Any]:
    """The tests of a module with the parameters pytest would give them."""
    for name, function in vars(module).items():
        if not name.startswith("test_") or name in skipped:
            continue
        calls: list[dict[str, Any]] = [{}]
        for mark in getattr(function, "pytestmark", []):
            names, values = mark.args
            keys = [names] if isinstance(names, str) and "," not in names else list(names)
            rows = [dict(zip(keys, value if len(keys) > 1 else (value,), strict=True)) for value in values]
            calls = [call | row for call in calls for row in rows]
        for number, call in enumerate(calls):
            if "words" in call and call["words"] not in SIZES and os.environ.get("S4V_ENGINE_SIZES") != "all":
                continue
            yield pytest.param(partial(function, **call), id=f"{name.removeprefix('test_')}-{number}")


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("run", [
    *runs_of(ciphers, "test_crc32c_is_the_same_with_and_without_the_hosts_instruction"),
    *runs_of(hashes),
    # These ask for what an engine never does, or test C functions that are no instructions.
    *runs_of(bignum, "test_fails_without_fill_traps", "test_result_may_be_an_operand",
             "test_register_maps_do_not_overlap"),
])
def test_on_the_engine(run: Callable[[], None]) -> None:
    run()


# ---- programs ----

LDDF, STDF, LDX, STX = 0xC1182000, 0xC1382000, 0xC0582000, 0xC0702000  # [rs1 + immediate], register 0


def double_field(number: int) -> int:
    """The register field of %d`number`."""
    return number & 0x1E | number >> 5


def load_double(number: int, offset: int) -> int:
    """ldd [%o0 + offset], %d`number`"""
    return LDDF | double_field(number) << 25 | 8 << 14 | offset


def store_double(number: int, offset: int) -> int:
    """std %d`number`, [%o0 + offset]"""
    return STDF | double_field(number) << 25 | 8 << 14 | offset


def crypto_word(name: str, rd: int, *sources: int) -> int:
    """A crypto instruction; sources are double numbers, or the immediate."""
    row = ROWS[name]
    word = row.forms()[0][0] | (double_field(rd) << 25 if row.dest else 0)
    for token, value in zip(row.sources, sources, strict=True):
        word |= spread(double_field(value) if token.startswith("fd") else value, FIELDS[token])
    return word


def fxor(rd: int, first: int, second: int) -> int:
    """fxor of doubles"""
    return 0x81B00D80 | double_field(rd) << 25 | double_field(first) << 14 | double_field(second)


def run_program(bench: Bench, words: list[int], data: bytes) -> bytes:
    """Straight code with %o0 = DATA; what memory at DATA holds afterwards."""
    bench.place(words)
    bench.machine.memory.write(DATA, data)
    state = Registers()
    state.integers[8] = DATA
    bench.load(state)
    bench.strand.run(len(words))
    assert (bench.regs["tl"], bench.regs["pc"]) == (0, CODE + 4 * len(words))
    return bytes(bench.machine.memory.read(DATA, len(data)))


def aes_program() -> list[int]:
    """AES-128: key at 0, block at 16; expands the key into %d0-%d42, encrypts in place through %d44-%d50."""
    words = [load_double(0, 0), load_double(2, 8)]
    for number in range(10):
        high, low = 4 * number, 4 * number + 2
        words += [crypto_word("aes_kexpand1", high + 4, high, low, number),
                  crypto_word("aes_kexpand2", low + 4, low, high + 4)]
    words += [load_double(44, 16), load_double(46, 24), fxor(44, 44, 0), fxor(46, 46, 2)]
    for number in range(1, 11):
        last = "_l" if number == 10 else ""
        words += [crypto_word(f"aes_eround01{last}", 48, 4 * number, 44, 46),
                  crypto_word(f"aes_eround23{last}", 46, 4 * number + 2, 44, 46),
                  fxor(44, 48, 50)]  # %d50 is zero
    return [*words, store_double(44, 16), store_double(46, 24)]


def test_aes_program(benches: tuple[Bench, Bench]) -> None:
    for bench in benches:
        for key, plain, cipher in ciphers.AES_VECTORS[:2]:
            data = run_program(bench, aes_program(), bytes.fromhex(key + plain))
            assert data.hex() == key + cipher


@pytest.mark.parametrize("name", ["md5", "sha1", "sha256", "sha512"])
def test_hash_program(benches: tuple[Bench, Bench], name: str) -> None:
    """Initial state at 0, then the blocks of a message; the state comes back to 0."""
    rng = seeded(name)
    size = 128 if name == "sha512" else 64
    first = 2 * hashes.FIRST_BLOCK_DOUBLE[name]
    state_doubles = (hashes.STATE_BYTES[name] + 7) // 8
    for length in (3, 55, 56, 200):
        message = rng.randbytes(length)
        blocks = hashes.padded(name, message)
        words = [load_double(2 * n, 8 * n) for n in range(state_doubles)]
        for start in range(0, len(blocks), size):
            words += [load_double(first + 2 * n, 64 + start + 8 * n) for n in range(size // 8)]
            words.append(crypto_word(name, 0))
        words += [store_double(2 * n, 8 * n) for n in range(state_doubles)]
        initial = bytes.fromhex(hashes.INITIAL[name])
        data = run_program(benches[length & 1], words, initial + bytes(64 - len(initial)) + blocks)
        assert data[:hashes.STATE_BYTES[name]] == hashlib.new(name, message).digest()


def test_montgomery_program(benches: tuple[Bench, Bench]) -> None:
    """256-bit MONTMUL as software has it: operands loaded on the way down the windows, the result stored at the top."""
    rng, words, bench = seeded("program"), 4, benches[1]
    n = rng.getrandbits(256) | 1 << 255 | 1
    a, b = rng.randrange(n), rng.randrange(n)
    save, restore, local, inner = 0x9DE3A000, 0x81E80000, 16, 24

    def move(opcode: int, first: int, offset: int) -> list[int]:
        return [opcode | first + i << 25 | 1 << 14 | offset + 8 * i for i in range(words)]  # [%g1 + offset]

    program = [*move(LDX, local, 0), save, *move(LDX, local, 32), save, save, save, *move(LDX, inner, 64), save,
               LDDF | double_field(60) << 25 | 1 << 14 | 96, crypto_word("montmul", 0, words - 1),
               *[restore] * 5, *move(STX, local, 104)]
    bench.place(program)
    data = b"".join(struct.pack(">4Q", *little_words(value, 4)) for value in (a, n, b))
    bench.machine.memory.write(DATA, data + struct.pack(">Q", -pow(n, -1, 1 << 64) & MASK64) + bytes(32))
    state = Registers()
    state.integers[1] = DATA
    bench.load(state)
    for name, value in (("cwp", 0), ("cansave", 6), ("canrestore", 0), ("otherwin", 0), ("cleanwin", 7)):
        bench.regs[name] = value
    bench.strand.run(len(program))
    assert (bench.regs["tl"], bench.regs["fsr"] >> FCC3 & 3) == (0, 0)
    result = struct.unpack(">4Q", bytes(bench.machine.memory.read(DATA + 104, 32)))
    assert from_little_words(list(result)) == a * b * pow(1 << 256, -1, n) % n
