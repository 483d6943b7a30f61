"""Programs that mix VIS and floating point: GSR set by one instruction and used by the next, SIAM between FPops."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from engine_support import BLOCK, GSR_BITS, Bench, Registers
from isa_support import SEED

pytest.importorskip("gmpy2", reason="the oracle of floating point is MPFR, through gmpy2")

import test_engine_fp as fp
import test_engine_vis as vis

LENGTH = 30
GSR_WRITERS = ("siam", "siam", "bmask", "alignaddr", "alignaddrl", "cmask8", "cmask16", "cmask32")
GSR_READERS = ("faligndata", "bshuffle", "fpack16", "fpack32", "fpackfix")


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench("m7") as machine:
        yield machine


def random_program(rng: random.Random) -> list[tuple[str, int]]:
    """Names and words: a third of GSR users, a third of VIS, a third of arithmetic that rounds."""
    arithmetic = [name for name in fp.ARITHMETIC if fp.ROWS[name].feature != "fjfmau"]
    program = []
    for _ in range(LENGTH):
        name = rng.choice(rng.choice((GSR_WRITERS, GSR_READERS, sorted(vis.ROWS), arithmetic, arithmetic)))
        row = vis.ROWS.get(name) or fp.ROWS[name]
        match, mask, _ = rng.choice(row.forms())
        program.append((name, match | rng.getrandbits(32) & ~mask))
    return program


def execute(name: str, word: int, state: Registers) -> Registers:
    """The models of both groups."""
    if name in vis.ROWS:
        return vis.expected_state(vis.ROWS[name], word, state, address_mask=False)
    after = replace(state, integers=list(state.integers), doubles=list(state.doubles))
    assert fp.execute(fp.ROWS[name], word, after) == 0
    return after


@pytest.mark.parametrize("budget", [LENGTH, BLOCK], ids=["exact", "blocks"])
def test_mixed_programs(bench: Bench, budget: int) -> None:
    rng = random.Random(f"{SEED} mixed {budget}")
    print(f"S4V_TEST_SEED={SEED} S4V_ENGINE_STATES={fp.STATES}")
    for _ in range(4 * fp.STATES):
        state, program = fp.random_state(rng), random_program(rng)
        state.doubles = [rng.choice((0x3FF, 0x400, 0x433)) << 52 | rng.getrandbits(52) for _ in range(32)]
        state.gsr = rng.getrandbits(64) & GSR_BITS
        bench.place([word for _, word in program])
        after, trap = bench.run(state, budget=budget)
        wanted = state
        for name, word in program:
            wanted = execute(name, word, wanted)
        text = " ".join(name for name, _ in program)
        assert trap == 0, text
        assert after == wanted, f"{text}: {after.differences(wanted)}"
