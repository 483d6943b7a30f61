"""Precise traps: in delay slots, at page ends, and a RETRY that goes on as if nothing had been (V9 7.2, 7.4)."""

from __future__ import annotations

import pytest
from asm_support import HERE, NOP, asm, code, ta
from guest_support import CODE, CP, DATA, EOK, IE, MORE, PEF, PRIV, TABLE, Guest, P, V, W, X

# Branches at CODE with their slot behind them: (name, word, registers, TNPC of a trap in the slot)
TO = CODE + 0x40
BRANCHES = [
    ("ba", asm("ba", 0, 0x40), {}, TO), ("be taken", asm("be", 0, 0x40), {"ccr": 4}, TO),
    ("be not taken", asm("be", 0, 0x40), {"ccr": 0}, CODE + 8), ("be,a taken", asm("be", 1, 0x40), {"ccr": 4}, TO),
    ("bne %xcc", asm("bpne_xcc", 0, 1, 0x40), {"ccr": 0}, TO), ("bn", asm("bn", 0, 0x40), {}, CODE + 8),
    ("brz", asm("brz", 0, 1, "g0", 0x40), {}, TO), ("brnz not taken", asm("brnz", 0, 1, "g0", 0x40), {}, CODE + 8),
    ("fba", asm("fba", 0, 0x40), {"fprs": 4, "pstate": PRIV | PEF}, TO),
    ("fbu not taken", asm("fbu", 0, 0x40), {"fprs": 4, "pstate": PRIV | PEF}, CODE + 8),
    ("call", asm("call", 0x40), {}, TO), ("jmpl", asm("jmpl", "g4", 0, "g0"), {"g4": TO}, TO),
    ("return", asm("return", "g4", 0), {"g4": TO, "canrestore": 2, "cansave": 4}, TO),
]
# What traps in the slot: (name, word, registers, tt)
SLOTS = [
    ("load", asm("ldx", ("g1", 4), "g2"), {}, 0x34), ("store", asm("stx", "g2", ("g1", 4)), {}, 0x34),
    ("no memory", asm("ldx", ("g3", 0), "g2"), {"g3": 1 << 45}, 0x30), ("illegal", 0, {}, 0x10),
    ("division", asm("udivx", "g1", 0, "g2"), {}, 0x28), ("Tcc", ta(9), {}, 0x109),
    ("swap", asm("swap", ("g1", 2), "g2"), {}, 0x34), ("ASI", asm("ldxa", ("g1", "g0", 1), "g2"), {}, 0x30),
    ("tagged", asm("taddcctv", "g5", 1, "g2"), {}, 0x23), ("save", asm("save", "g0", 0, "g0"), {"cleanwin": 0}, 0x24),
]


@pytest.mark.parametrize(("name", "branch", "regs", "tnpc"), BRANCHES, ids=[row[0] for row in BRANCHES])
def test_trap_in_a_delay_slot(name: str, branch: int, regs: dict[str, int], tnpc: int) -> None:
    for what, slot, more, tt in SLOTS:
        if what == "save" and name == "return":
            continue
        guest = Guest().set(g1=DATA, **regs).set(**more)
        assert guest.trap(NOP, branch, slot, at=CODE - 4) == tt, (name, what)
        assert (guest["tpc1"], guest["tnpc1"]) == (CODE + 4, tnpc), (name, what)


@pytest.mark.parametrize("annulled", [asm("ba", 1, 0x40), asm("bne", 1, 0x40), asm("bn", 1, 0x40)])
def test_annulled_slots_never_trap(annulled: int) -> None:
    guest = Guest().set(ccr=4)
    guest.memory.write(CODE + 0x40, code(HERE))
    assert guest.trap(annulled, 0) == 0


def handler(guest: Guest, tt: int, *words: int) -> None:
    guest.memory.write(TABLE + 32 * tt, code(*words))


def test_retry_of_a_slot_goes_on_to_the_target() -> None:
    """The handler repairs the address; the slot's load is done once and the branch is not taken twice."""
    guest = Guest().set(g1=DATA + 4, g3=0)
    guest.memory.store(DATA, 0x77)
    handler(guest, 0x34, asm("wrpr_gl", "g0", 0), asm("sub", "g1", 4, "g1"), asm("add", "g3", 1, "g3"), asm("retry"))
    guest.memory.write(TO, code(asm("add", "g3", 16, "g3"), HERE))
    guest.run(asm("call", 0x40), asm("ldx", ("g1", 0), "g2"))
    assert (guest["g2"], guest["g3"], guest["o7"], guest["pc"]) == (0x77, 17, CODE, TO + 4)


def test_done_skips_the_slot() -> None:
    guest = Guest().set(g1=DATA + 4, g3=0)
    handler(guest, 0x34, asm("done"))
    guest.memory.write(TO, code(asm("add", "g3", 16, "g3"), HERE))
    guest.run(asm("ba", 0, 0x40), asm("ldx", ("g1", 0), "g3"))
    assert (guest["g3"], guest["pc"]) == (16, TO + 4)


def test_interrupt_between_branch_and_slot() -> None:
    guest = Guest().set(pstate=PRIV | IE, pil=0)
    guest.set(tick_cmpr=guest["tick"] + 2)
    guest.run(NOP, asm("ba", 0, 0x3C), NOP)
    assert guest.tt == 0x4E
    assert (guest["tpc1"], guest["tnpc1"]) == (CODE + 8, CODE + 0x40)


VA = 0x1_4000_0000
PAGE = V | CP | P | W | X


@pytest.mark.parametrize("branch", [False, True])
def test_fetch_miss_at_the_end_of_a_page(branch: bool) -> None:
    """The second page comes with the first miss; execution goes on in it."""
    guest = Guest().mmu_on()
    assert guest.map(VA, PAGE | DATA) == EOK
    last = asm("ba", 0, -0x100) if branch else asm("or", "g0", 1, "g2")
    guest.memory.write(DATA + 0x1FFC, code(last))
    guest.memory.write(MORE, code(asm("or", "g0", 5, "g3"), HERE))
    guest.memory.write(DATA + 0x1EFC, code(HERE))
    guest.set(pc=VA + 0x1FFC).strand.run(10)
    assert guest.tt == 0x64
    assert guest.ifault.address == VA + 0x2000
    assert guest["tpc1"] == VA + 0x2000
    assert guest["tnpc1"] == (VA + 0x1EFC if branch else VA + 0x2004)
    assert guest.map(VA + 0x2000, PAGE | MORE) == EOK
    handler(guest, 0x64, asm("retry"))
    guest.set(pc=TABLE + 32 * 0x64).strand.run(10)
    assert (guest.tt, guest["g3"]) == (0, 5)
    assert guest["pc"] == (VA + 0x1EFC if branch else VA + 0x2004)


def test_a_trapping_instruction_changes_nothing() -> None:
    """Registers, condition codes and memory are those of before; earlier instructions are done."""
    cases = [
        (asm("ldd", ("g1", 4), "g2"), {}), (asm("ldstub", ("g3", 0), "g2"), {"g3": 1 << 45}),
        (asm("taddcctv", "g5", 1, "g2"), {}), (asm("save", "g1", 1, "g2"), {"cansave": 0, "canrestore": 6}),
        (asm("restore", "g1", 1, "g2"), {}), (asm("casxa", "g1", 0x15, "g0", "g2"), {}),
        (asm("jmpl", "g1", 2, "g2"), {}), (asm("udivcc", "g1", 0, "g2"), {}),
    ]
    for word, regs in cases:
        guest = Guest().set(g1=DATA, g2=0x1234, ccr=0x5A, y=9, g6=1, **regs)
        guest.memory.store(DATA, 0x4242)
        assert guest.trap(asm("add", "g6", 1, "g6"), word) != 0, hex(word)
        assert guest["tstate1"] >> 32 & 0xFF == 0x5A
        guest.set(gl=0)
        assert (guest["g2"], guest["g6"], guest["y"]) == (0x1234, 2, 9), hex(word)
        assert guest.memory.load(DATA) == 0x4242


def test_traps_are_not_counted_as_instructions_but_tcc_is() -> None:
    for words, done in (([NOP, NOP, 0], 2), ([NOP, NOP, ta(1)], 3)):
        guest = Guest()
        guest.load(*words)
        before = guest.strand.insns
        guest.strand.run(done)
        assert guest.strand.insns - before == done
        assert guest["tl"] == (1 if done == 3 else 0)
        guest.strand.run(1)
        assert guest["tl"] == 1
