"""Pages that hold code and are written: what changes is decoded again, what does not stays, translated code too."""

from __future__ import annotations

import pytest
from engine_guests import CODE, JMP_O7_8, NOP, L, O, add, branch, code_bytes, machine, mov, sethi, stw, words

from emulator import Machine

L0, L1, L2, L3, L4, O7 = L, L + 1, L + 2, L + 3, L + 4, O + 7
CALL, SPOT = 0x40000000, CODE + 0x200


def call(words_ahead: int) -> int:
    """Call so many instructions ahead."""
    return CALL | words_ahead & 0x3FFFFFFF


def guest(*loop: int) -> Machine:
    """The loop, an inner loop of 60 instructions before it, and a subroutine at SPOT whose first word adds to %l4."""
    inner = (mov(L3, 10), add(L2, L2, 1), add(L2, L2, 1), add(L3, L3, -1), 0x80A4E000, branch(-4, cond=9), NOP)
    body = (*inner, *loop)
    made = machine(sethi(L0, CODE), *body, branch(-len(body)), NOP)
    made.memory.write(SPOT, words(add(L4, L4, 1), JMP_O7_8, NOP))
    return made


def test_data_beside_code_costs_no_code() -> None:
    """A word in the granule of decoded code that is written all the time: nothing is decoded anew."""
    made = guest(stw(L2, L0, 0x3C))  # the same 64 bytes as the end of the loop
    made.run(5000)
    before = code_bytes(made)
    made.run(100_000)
    assert code_bytes(made) == before


@pytest.mark.parametrize("every", [1, 20])
def test_changed_code_runs_and_the_rest_stays_translated(every: int) -> None:
    """A subroutine rewritten again and again with another instruction is right each time; the rest stays translated."""
    back = call((SPOT - CODE) // 4 - 9)
    made = guest(stw(L1, L0, SPOT - CODE), back, NOP)
    if not made._core.set_engine(1, 5):
        pytest.skip("needs a host that can translate: x86-64 with MOVBE and BMI2, and a core of tail calls")
    plain = guest(stw(L1, L0, SPOT - CODE), back, NOP)
    for number in range(1, 60):
        for each in (made, plain):
            each.strands[0]["l1"] = add(L4, L4, number)
            each.run(640 * every)
        assert made.digest() == plain.digest()
    assert made.strands[0]["l4"] > 59 * 60 / 2 * every / 2
    assert 0 < made._core.native_bytes() < 1500 * 20  # 1500: all of it once


def test_a_page_that_is_data_again_is_written_at_full_speed() -> None:
    """Once all code of a page has been overwritten, the page holds none."""
    made = guest(NOP)
    made.memory.write(CODE + 0x2000, words(*[NOP] * 30, JMP_O7_8, NOP))
    made.strands[0]["o7"] = CODE - 8
    made.strands[0]["pc"] = CODE + 0x2000
    made.run(500)
    both = code_bytes(made)
    made.memory.write(CODE + 0x2000, bytes(0x2000))
    made.run(500)
    assert code_bytes(made) < both
