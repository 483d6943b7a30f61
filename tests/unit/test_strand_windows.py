"""Register windows: SAVE, RESTORE, their traps, the window-state instructions (UA2005 5.6; V9 6.3.6, 7.5.2)."""

from __future__ import annotations

import random

import pytest
from asm_support import HERE, NOP, asm, code
from guest_support import CODE, PEF, PRIV, TABLE, Guest

SAVE, RESTORE = asm("save", "g0", "g0", "g0"), asm("restore", "g0", "g0", "g0")
STATE = ("cansave", "canrestore", "otherwin", "cleanwin")


def windows(guest: Guest) -> tuple[int, ...]:
    return tuple(guest[name] for name in STATE)


def at(cwp: int, cansave: int, canrestore: int, otherwin: int, cleanwin: int) -> Guest:
    guest = Guest().set(cwp=cwp)
    return guest.set(cansave=cansave, canrestore=canrestore, otherwin=otherwin, cleanwin=cleanwin)


# -- moving


def test_save_and_restore_move_and_count() -> None:
    for cwp in range(8):
        guest = at(cwp, 3, 2, 1, 6).run(SAVE)
        assert (guest["cwp"], *windows(guest)) == ((cwp + 1) % 8, 2, 3, 1, 6)
        guest.run(RESTORE)
        assert (guest["cwp"], *windows(guest)) == (cwp, 3, 2, 1, 6)


def test_windows_overlap_all_the_way_round() -> None:
    guest = at(0, 6, 0, 0, 7)
    for cwp in range(8):
        guest.set(cwp=cwp, **{f"l{n}": 16 * cwp + n for n in range(8)}, **{f"o{n}": 16 * cwp + 8 + n for n in range(8)})
    for cwp in range(8):
        guest.set(cwp=cwp)
        assert [guest[f"l{n}"] for n in range(8)] == [16 * cwp + n for n in range(8)]
        assert [guest[f"o{n}"] for n in range(8)] == [16 * cwp + 8 + n for n in range(8)]
        assert [guest[f"i{n}"] for n in range(8)] == [16 * ((cwp - 1) % 8) + 8 + n for n in range(8)]


@pytest.mark.parametrize("cwp", range(8))
def test_save_adds_in_the_old_window_and_writes_the_new(cwp: int) -> None:
    guest = at(cwp, 3, 3, 0, 7).set(o6=0x1000, o0=5).run(asm("save", "o6", -176, "o6"))
    assert (guest["o6"], guest["i6"], guest["i0"]) == (0x1000 - 176, 0x1000, 5)
    guest.set(i1=7, l0=100).run(asm("restore", "i1", "l0", "o2"))
    assert (guest["o2"], guest["o1"], guest["o6"], guest["cwp"]) == (107, 7, 0x1000, cwp)


def test_return_restores_and_jumps() -> None:
    guest = at(2, 3, 3, 0, 7).set(i7=CODE + 0x30, i0=9)
    guest.load(asm("return", "i7", 8), asm("or", "g0", "o0", "g1"))
    guest.memory.write(CODE + 0x38, code(HERE))
    guest.strand.run(4)
    assert (guest["pc"], guest["cwp"], guest["g1"]) == (CODE + 0x38, 1, 9), "the slot runs in the old window"
    assert windows(guest) == (4, 2, 0, 7)


# -- traps: (why, state, instruction, wstate, tt, CWP of the handler - CWP)

TRAPS = [
    *[(f"spill {n} normal", (0, 6, 0, 7), SAVE, n | 0o50, 0x80 + 4 * n, 2) for n in range(8)],
    *[(f"spill {n} other", (0, 4, 2, 7), SAVE, n << 3 | 5, 0xA0 + 4 * n, 2) for n in range(8)],
    *[(f"fill {n} normal", (6, 0, 0, 7), RESTORE, n | 0o50, 0xC0 + 4 * n, -1) for n in range(8)],
    *[(f"fill {n} other", (4, 0, 2, 7), RESTORE, n << 3 | 5, 0xE0 + 4 * n, -1) for n in range(8)],
    ("fill of return", (6, 0, 0, 7), asm("return", "i7", 8), 0, 0xC0, -1),
    ("clean window", (3, 3, 0, 3), SAVE, 0, 0x24, 1),
    ("clean window of none", (6, 0, 0, 0), SAVE, 0, 0x24, 1),
    ("spill before clean window", (0, 3, 3, 3), SAVE, 0, 0xA0, 2),
    *[(f"flushw, {n} to save", (n, 6 - n, 0, 7), asm("flushw"), 0, 0x80, n + 2) for n in range(6)],
    ("flushw, other", (2, 2, 2, 7), asm("flushw"), 0o30, 0xA0 + 4 * 3, 4),
]


@pytest.mark.parametrize(("why", "state", "word", "wstate", "tt", "moved"), TRAPS, ids=[row[0] for row in TRAPS])
def test_window_traps(why: str, state: tuple[int, ...], word: int, wstate: int, tt: int, moved: int) -> None:
    for cwp in range(8):
        guest = at(cwp, *state).set(wstate=wstate)
        assert guest.trap(word) == tt, why
        assert guest["cwp"] == (cwp + moved) % 8
        assert guest["tstate1"] & 31 == cwp
        assert windows(guest) == state, "counts are the handler's business"


def test_flushw_with_nothing_to_flush() -> None:
    guest = at(3, 6, 0, 0, 7)
    assert guest.trap(asm("flushw")) == 0 and guest["cwp"] == 3


# -- window-state instructions: (name, before, after) of cansave, canrestore, otherwin, cleanwin

MOVES = [
    ("saved", (0, 6, 0, 7), (1, 5, 0, 7)), ("saved", (0, 4, 2, 7), (1, 4, 1, 7)),
    ("restored", (6, 0, 0, 5), (5, 1, 0, 6)), ("restored", (4, 0, 2, 7), (4, 1, 1, 7)),
    ("restored", (6, 0, 0, 7), (5, 1, 0, 7)), ("allclean", (3, 3, 0, 2), (3, 3, 0, 7)),
    ("otherw", (2, 4, 0, 5), (2, 0, 4, 5)), ("normalw", (2, 0, 4, 5), (2, 4, 0, 5)), ("invalw", (1, 2, 3, 5),
    (6, 0, 0, 5)),
]


@pytest.mark.parametrize(("name", "before", "after"), MOVES)
def test_window_state_instructions(name: str, before: tuple[int, ...], after: tuple[int, ...]) -> None:
    guest = at(5, *before).run(asm(name))
    assert windows(guest) == after and guest["cwp"] == 5


# -- handlers that spill and fill, deep recursion

SPILL = [asm("add", "o6", 0x7FF, "g1")]
SPILL += [asm("stx", f"{s}{n}", ("g1", 64 * (s == "i") + 8 * n)) for s in "li" for n in range(8)]
SPILL += [asm("saved"), asm("retry")]
FILL = [asm("add", "o6", 0x7FF, "g1")]
FILL += [asm("ldx", ("g1", 64 * (s == "i") + 8 * n), f"{s}{n}") for s in "li" for n in range(8)]
FILL += [asm("restored"), asm("retry")]
CLEAN = [asm("rdpr_cleanwin", "g1"), asm("add", "g1", 1, "g1"), asm("wrpr_cleanwin", "g0", "g1")]
CLEAN += [asm("or", "g0", "g0", f"{s}{n}") for s in "lo" for n in range(8)] + [asm("retry")]


def with_handlers() -> Guest:
    guest = Guest()
    for tt, words in ((0x80, SPILL), (0xC0, FILL), (0x24, CLEAN)):
        guest.memory.write(TABLE + 32 * tt, code(*words))
    return guest.set(o6=0x300000 - 0x7FF, cleanwin=1)


def test_recursion_through_spills_and_fills() -> None:
    """sum(n) = n + sum(n - 1), 40 deep: each frame keeps n in a local and in an in."""
    guest = with_handlers()
    function = [
        asm("save", "o6", -192, "o6"), asm("or", "g0", "i0", "l3"), asm("brz", 0, 1, "i0", 0x14),
        asm("or", "g0", 0, "o0"), asm("call", -16), asm("sub", "i0", 1, "o0"), NOP,
        asm("return", "i7", 8), asm("add", "l3", "o0", "o0"),
    ]
    # brz skips the call; the slot of `return` adds in the caller's window, so add before: l3 + o0 into i0
    function[-2:] = [asm("add", "l3", "o0", "i0"), asm("return", "i7", 8), asm("or", "g0", "o0", "o0")]
    guest.memory.write(CODE + 0x100, code(*function))
    guest.set(o0=40).run(asm("call", 0x100), NOP, budget=20_000)
    assert guest["pc"] == CODE + 8 and guest["tl"] == 0
    assert guest["o0"] == sum(range(41))
    assert guest["o6"] == 0x300000 - 0x7FF
    assert guest["cansave"] + guest["canrestore"] + guest["otherwin"] == 6


# -- MPMUL and MONTMUL with their operands in spilled windows

SEED = 20260


def mont_inputs(words: int) -> tuple[int, int, int, int]:
    rng = random.Random(SEED + words)
    n = rng.getrandbits(64 * words) | 1 | 1 << 64 * words - 1
    return rng.randrange(n), rng.randrange(n), n, -pow(n, -1, 1 << 64) % (1 << 64)


def limbs(value: int, count: int) -> list[int]:
    return [value >> 64 * k & ((1 << 64) - 1) for k in range(count)]


FOURTEEN = [*(f"l{n}" for n in range(8)), *(f"o{n}" for n in range(6))]


def mont_guest(words: int, resident: int) -> Guest:
    """A, N, B in windows 0 to 5 by SAVEs with real stack frames; then all but `resident` are spilled by FLUSHW."""
    guest = with_handlers().set(fprs=4, pstate=PRIV | PEF, cleanwin=7)
    a, b, n, n0 = mont_inputs(words)
    for cwp in range(6):
        guest.set(cwp=cwp, o6=0x300000 - 0x7FF - 256 * cwp)
    for place, value in zip(FOURTEEN, limbs(a, words), strict=False):
        guest.set(cwp=0, **{place: value})
    for place, value in zip(FOURTEEN, limbs(n, words), strict=False):
        guest.set(cwp=1, **{place: value})
    ins_first = [*(f"i{k}" for k in range(6)), *(f"l{k}" for k in range(8))]
    for place, value in zip(ins_first, limbs(b, words), strict=False):
        guest.set(cwp=4, **{place: value})
    guest.set(cwp=5, cansave=1, canrestore=5, otherwin=0, d60=n0)
    if resident == 0:
        guest.run(asm("flushw"), budget=500)
        assert (guest["cansave"], guest["canrestore"], guest["cwp"], guest["tl"]) == (6, 0, 5, 0)
        for cwp in (0, 1, 2, 3, 4, 6, 7):
            guest.set(cwp=cwp, **{f"l{k}": 0xDEAD for k in range(8)})
        guest.set(cwp=5)
    return guest


@pytest.mark.parametrize("words", [1, 5, 8])
@pytest.mark.parametrize("resident", [5, 0])
def test_montmul_fetches_spilled_windows_back(words: int, resident: int) -> None:
    a, b, n, _ = mont_inputs(words)
    guest = mont_guest(words, resident)
    guest.run(asm("montmul", words - 1), budget=500)
    assert (guest["tl"], guest["cwp"], guest["canrestore"], guest["cansave"]) == (0, 5, 5, 1)
    assert guest["fsr"] >> 36 & 3 == 0, "fcc3: it worked"
    want = a * b * pow(2, -64 * words, n) % n
    guest.set(cwp=0)
    assert [guest[place] for place in FOURTEEN[:words]] == limbs(want, words)


def test_missing_window_is_the_one_the_handler_gets() -> None:
    guest = mont_guest(2, 5).set(canrestore=2, cansave=4)
    guest.memory.write(TABLE + 32 * 0xC0, code(HERE))
    assert guest.trap(asm("montmul", 1)) == 0xC0
    assert guest["cwp"] == 2, "two windows are there, the third is wanted"
    assert guest["tstate1"] & 31 == 5


def test_mpmul_wants_one_window_more() -> None:
    guest = mont_guest(2, 5)
    guest.memory.write(TABLE + 32 * 0xC0, code(HERE))
    assert guest.trap(asm("mpmul", 1)) == 0xC0
    assert guest["cwp"] == 7
