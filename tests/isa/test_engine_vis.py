"""Every VIS row on the engine against the model written from the manuals: operands, GSR, CCR, FPRS, nothing else."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from engine_support import BLOCK, GSR_BITS, MASK64, Bench, Registers, double_index
from isa_support import SEED
from vis_model import MODELS, In, run_model
from vis_support import SPECIAL, random_word

from csrc.isa.groups import load_rows
from csrc.isa.table import Op

STATES = int(os.environ.get("S4V_ENGINE_STATES", "24"))  # of every row
ROWS = {row.name: row for row in load_rows(("vis",))}


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """The M7 has all of VIS."""
    with Bench("m7") as machine:
        yield machine


def random_state(rng: random.Random) -> Registers:
    """All registers at random, with a liking for telling values."""
    words = [rng.choice(SPECIAL) if rng.random() < 0.3 else random_word(rng) for _ in range(64)]
    return Registers([0, *words[1:32]], words[32:], ccr=rng.getrandbits(8), gsr=rng.getrandbits(64) & GSR_BITS)


def operands(row: Op, word: int, state: Registers, *, address_mask: bool) -> In:
    """The model's view of a word and the registers."""
    rs1, rs2, rs3, rd = word >> 14 & 31, word & 31, word >> 9 & 31, word >> 25 & 31
    values: dict[str, int] = {"imm": word & 7, "gsr": state.gsr, "ccr": state.ccr, "am": int(address_mask)}
    for token in row.tokens():
        if token in ("rs1", "rs2"):
            values[token] = state.integers[rs1 if token == "rs1" else rs2]
        elif token == "ri":
            values["rs2"] = ((word & 0x1FFF ^ 0x1000) - 0x1000) & MASK64 if word >> 13 & 1 else state.integers[rs2]
        elif token[:2] in ("fs", "fd") and token[2] in "123":
            number = {"1": rs1, "2": rs2, "3": rs3}[token[2]]
            double = token[1] == "d"
            values["f" + token[2]] = state.doubles[double_index(number)] if double else state.single(number)
    if row.dest in ("fdd", "fdd+"):
        values["old"] = state.doubles[double_index(rd)]
    return In(**values)


def subtract_ccr(a: int, b: int) -> int:
    """xcc and icc of SUBcc, which the EDGE instructions with condition codes set on their whole operands."""
    ccr = 0
    for bits, shift in ((64, 4), (32, 0)):
        mask, sign = (1 << bits) - 1, 1 << (bits - 1)
        x, y = a & mask, b & mask
        signed = ((x ^ sign) - sign) - ((y ^ sign) - sign)
        nibble = 8 * bool((x - y) & sign) + 4 * (x == y) + 2 * (not -sign <= signed < sign) + (x < y)
        ccr |= nibble << shift
    return ccr


def expected_state(row: Op, word: int, state: Registers, *, address_mask: bool) -> Registers:
    """Registers after the instruction, by the model."""
    out = run_model(row.name, operands(row, word, state, address_mask=address_mask))
    after = replace(state, integers=list(state.integers), doubles=list(state.doubles))
    after.ccr, after.gsr = out.ccr or 0, (out.gsr or 0) & GSR_BITS
    if row.name.startswith("edge") and row.name.endswith("cc"):
        after.ccr = subtract_ccr(state.integers[word >> 14 & 31], state.integers[word & 31])
    rd = word >> 25 & 31
    if out.value is not None:
        dest = (row.dest or "").rstrip("+")
        if dest == "rd":
            after.set_integer(rd, out.value)
        elif dest == "fdd":
            after.set_double(double_index(rd), out.value)
        else:
            after.set_single(rd, out.value)
    return after


@pytest.mark.parametrize("budget", [1, BLOCK], ids=["stepper", "blocks"])
@pytest.mark.parametrize("name", sorted(ROWS))
def test_row_on_the_engine(bench: Bench, name: str, budget: int) -> None:
    row, rng = ROWS[name], random.Random(f"{SEED} {name} {budget}")
    print(f"S4V_TEST_SEED={SEED} S4V_ENGINE_STATES={STATES}")
    for _ in range(STATES):
        match, mask, _ = rng.choice(row.forms())
        word = match | rng.getrandbits(32) & ~mask
        state, address_mask = random_state(rng), bool(rng.getrandbits(1))
        bench.place([word])
        after, trap = bench.run(state, budget=budget, address_mask=address_mask)
        assert trap == 0
        wanted = expected_state(row, word, state, address_mask=address_mask)
        assert after == wanted, f"{name} {word:#010x}: {after.differences(wanted)}"


def test_every_model_is_run() -> None:
    assert set(ROWS) == set(MODELS)
