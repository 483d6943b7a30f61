"""Privileged and ancillary state registers, clocks and their compare registers, FSR, FPRS (UA2005, 5)."""

from __future__ import annotations

import pytest
from asm_support import NOP, asm
from guest_support import CODE, CP, DATA, IE, PEF, PRIV, Guest, P, V, X

ALL_ONES = (1 << 64) - 1
FPU = {"fprs": 4, "pstate": PRIV | PEF}


def read(guest: Guest, row: str) -> int:
    return guest.run(asm(row, "g1"))["g1"]


# -- widths: what is left of a write of all ones

# GL 42:40, CCR 39:32, ASI 31:24, PSTATE 20:8 without the bits sun4v has not, CWP 2:0
TSTATE = 7 << 40 | 0xFF << 32 | 0xFF << 24 | 0x13DE << 8 | 7
PRIVILEGED = [
    ("tpc", ALL_ONES & ~3), ("tnpc", ALL_ONES & ~3), ("tt", 0x1FF), ("tstate", TSTATE),
    ("tba", ALL_ONES & ~0x7FFF), ("pil", 15), ("cwp", 7), ("cansave", 7), ("canrestore", 7), ("cleanwin", 7),
    ("otherwin", 7), ("wstate", 63), ("gl", 2), ("tl", 2),
]


@pytest.mark.parametrize(("name", "left"), PRIVILEGED)
def test_privileged_registers(name: str, left: int) -> None:
    guest = Guest().set(tl=1, tpc1=0, l1=ALL_ONES, g1=ALL_ONES)
    guest.load(asm(f"wrpr_{name}", "g1", 0), asm(f"rdpr_{name}", "g2"))
    guest.strand.run(2)
    assert guest["g2"] == left
    if name == "gl":
        return
    guest.load(asm(f"wrpr_{name}", "g0", 0), asm(f"rdpr_{name}", "g2"))
    guest.strand.run(2)
    assert guest["g2"] == 0 or name == "tl"


def test_write_is_exclusive_or() -> None:
    assert Guest().set(g1=0b1100).run(asm("wrpr_pil", "g1", 0b1010))["pil"] == 0b0110
    assert Guest().set(g1=0xFF, g2=0x0F).run(asm("wry", "g1", "g2"))["y"] == 0xF0


def test_pstate_bits() -> None:
    guest = Guest().set(g1=0x1FFF & ~PRIV & ~8 | PRIV)
    guest.run(asm("wrpr_pstate", "g1", 0))
    assert guest["pstate"] == 0x13D6, "IG, MG, AG and RED are not there"
    assert Guest().set(g1=0x13D6).run(asm("wrpr_pstate", "g1", 0), asm("rdpr_pstate", "g2"))["g2"] == 0x13D6


@pytest.mark.parametrize(("level", "prefix"), [(1, "1"), (2, "2")])
def test_trap_registers_are_those_of_the_level(level: int, prefix: str) -> None:
    guest = Guest().set(tl=level, g1=0x1230)
    for name in ("tpc", "tnpc", "tt"):
        guest.load(asm(f"wrpr_{name}", "g1", 0), asm(f"rdpr_{name}", "g2"))
        guest.strand.run(2)
        assert guest[name + prefix] == guest["g2"] == 0x1230 & (0x1FF if name == "tt" else ALL_ONES)
        assert guest[name + "12".replace(prefix, "")] == 0


def test_lowering_tl_needs_no_return() -> None:
    guest = Guest().set(tl=2, gl=2)
    guest.run(asm("wrpr_tl", "g0", 0), asm("wrpr_gl", "g0", 1))
    assert (guest["tl"], guest["gl"]) == (0, 1)


ANCILLARY = [("y", 0xFFFFFFFF), ("ccr", 0xFF), ("asi", 0xFF), ("fprs", 7), ("softint", 0x1FFFF),
             ("tick_cmpr", ALL_ONES), ("stick_cmpr", ALL_ONES), ("pcr", ALL_ONES)]


@pytest.mark.parametrize(("name", "left"), ANCILLARY)
def test_ancillary_registers(name: str, left: int) -> None:
    guest = Guest().set(g1=ALL_ONES).run(asm(f"wr{name}", "g1", 0), asm(f"rd{name}", "g2"))
    assert guest["g2"] == left
    assert guest.run(asm(f"wr{name}", "g0", 0), asm(f"rd{name}", "g2"))["g2"] == 0


def test_gsr_fields() -> None:
    guest = Guest().set(g1=ALL_ONES, **FPU).run(asm("wrgsr", "g1", 0), asm("rdgsr", "g2"))
    assert guest["g2"] == 0xFFFFFFFF_0E0000FF


@pytest.mark.parametrize("name", ["y", "ccr", "asi", "fprs"])
def test_user_registers(name: str) -> None:
    assert Guest().trap(asm(f"wr{name}", "g0", 1), asm(f"rd{name}", "g1"), pstate=0) == 0
    assert Guest().trap(asm("rdpc", "g1"), pstate=0) == 0


def test_pc_is_all_64_bits_outside_am() -> None:
    guest = Guest().mmu_on()
    va = 0x5_0000_0000
    assert guest.map(va, V | CP | P | X | CODE) == 0
    guest.load(asm("rdpc", "g1"), asm("call", 12), NOP)
    guest.set(pc=va).strand.run(3)
    assert (guest["g1"], guest["o7"], guest["pc"]) == (va, va + 4, va + 16)


def test_setting_am_masks_the_next_address() -> None:
    guest = Guest().mmu_on()
    va = 0x5_0000_0000
    assert guest.map(va, V | CP | P | X | CODE) == 0
    guest.load(asm("wrpr_pstate", "g0", PRIV | 8))
    guest.set(pc=va).strand.step()
    assert guest["pc"] == 4


def test_call_and_jmpl_give_masked_addresses_in_am() -> None:
    guest = Guest().set(pstate=PRIV | 8, g1=0xF_0000_0000 | CODE + 0x40)
    guest.load(asm("jmpl", "g1", 0, "g2"), NOP)
    guest.strand.run(2)
    assert (guest["pc"], guest["g2"]) == (CODE + 0x40, CODE)


def test_performance_counter_is_the_users_unless_pcr_says_no() -> None:
    for words in ([asm("rdpic", "g1")], [asm("wrpic", "g0", 1)]):
        assert Guest().trap(*words, pstate=0) == 0
        guest = Guest().set(g1=1).run(asm("wrpcr", "g1", 0))
        assert guest.trap(*words) == 0
        assert guest.trap(*words, pstate=0) == 0x37
        assert (guest.dfault.type, guest.dfault.address) == (0xC, 0)
    assert Guest().trap(asm("rdpcr", "g1"), pstate=0) == 0x11


# -- SOFTINT


def test_softint_set_and_clear() -> None:
    guest = Guest().set(softint=0b1010, g1=0b0110)
    assert guest.run(asm("wrsoftint_set", "g1", 0))["softint"] == 0b1110
    assert guest.run(asm("wrsoftint_clear", "g1", 0))["softint"] == 0b1000
    assert guest.run(asm("wrsoftint_set", "g1", -1))["softint"] == 0x1FFF9 | 0b1000, "17 bits, xor applied first"


# -- clocks in deterministic mode: TICK counts the instructions of the one strand


def test_tick_counts_instructions() -> None:
    guest = Guest()
    start = guest["tick"]
    guest.run(NOP, NOP, asm("rdtick", "g1"), NOP, asm("rdpr_tick", "g2"), asm("rdtick", "g3"))
    assert (guest["g1"] - start, guest["g2"] - start, guest["g3"] - start) == (2, 4, 5)


def test_stick_runs_at_its_own_rate() -> None:
    guest = Guest()
    cpu = guest.machine.cpu
    guest.run(*[NOP] * 10, asm("rdtick", "g1"), asm("rdstick", "g2"), budget=40)
    assert guest["g2"] == (guest["g1"] + 1) * cpu.stick_hz // cpu.tick_hz


@pytest.mark.parametrize("ahead", [1, 2, 3, 10, 57, 200])
def test_tick_match_comes_at_its_very_instruction(ahead: int) -> None:
    """The trap is taken before the first instruction at which TICK has reached the value."""
    guest = Guest().set(pstate=PRIV | IE, pil=0)
    guest.set(tick_cmpr=guest["tick"] + ahead)
    guest.run(*[NOP] * 300, budget=400)
    assert guest.tt == 0x4E
    assert guest["tpc1"] == CODE + 4 * ahead
    assert guest["softint"] == 1


@pytest.mark.parametrize("ahead", [1, 5, 64, 131])
def test_stick_match_comes_at_its_very_instruction(ahead: int) -> None:
    guest = Guest().set(pstate=PRIV | IE, pil=0)
    cpu, tick = guest.machine.cpu, guest["tick"]
    target = (tick + ahead) * cpu.stick_hz // cpu.tick_hz
    guest.set(stick_cmpr=target)
    guest.run(*[NOP] * 300, budget=400)
    first = next(n for n in range(300) if (tick + n) * cpu.stick_hz // cpu.tick_hz >= target)
    assert guest.tt == 0x4E
    assert guest["tpc1"] == CODE + 4 * first
    assert guest["softint"] == 1 << 16


def test_matches_do_not_depend_on_how_a_run_is_cut() -> None:
    digests = set()
    for step in (1, 3, 1000):
        guest = Guest().set(pstate=PRIV | IE, pil=0)
        guest.set(tick_cmpr=guest["tick"] + 37, stick_cmpr=guest["stick"] + 500)
        guest.load(*[NOP] * 100)
        done = 0
        while done < 90:
            done += guest.machine.run(min(step, 90 - done)).insns
        digests.add(guest.machine.digest())
    assert len(digests) == 1


@pytest.mark.parametrize("register", ["tick_cmpr", "stick_cmpr"])
def test_bit_63_disables_a_compare_register(register: str) -> None:
    guest = Guest().set(g1=1 << 63)
    guest.run(asm(f"wr{register}", "g1", 0), *[NOP] * 20)
    assert guest["softint"] == 0
    guest.run(asm(f"wr{register}", "g0", 0), NOP)
    assert guest["softint"] == (1 if register == "tick_cmpr" else 1 << 16), "a value already passed fires at once"


@pytest.mark.parametrize("register", ["tick_cmpr", "stick_cmpr"])
def test_match_fires_once_for_each_programming(register: str) -> None:
    guest = Guest()
    guest.run(asm(f"wr{register}", "g0", 0), NOP)
    assert guest["softint"] != 0
    guest.set(softint=0).run(*[NOP] * 20)
    assert guest["softint"] == 0
    guest.run(asm(f"wr{register}", "g0", 0), NOP)
    assert guest["softint"] != 0


def test_timer_programmed_by_the_guest_reaches_it_in_a_loop() -> None:
    guest = Guest().set(pstate=PRIV | IE, pil=0)
    words = [asm("rdtick", "g1"), asm("add", "g1", 50, "g1"), asm("wrtick_cmpr", "g1", 0), asm("ba", 0, 0), NOP]
    guest.run(*words, budget=100)
    assert guest.tt == 0x4E
    assert guest["tpc1"] == CODE + 16, "the slot is the 51st instruction"


# -- FPRS


@pytest.mark.parametrize(("words", "dirty"), [
    ([asm("fmovs", "f1", "f31")], 1), ([asm("fmovd", "d0", "d30")], 1), ([asm("fmovd", "d0", "d32")], 2),
    ([asm("faddd", "d0", "d2", "d62")], 2), ([asm("lddf", ("g1", 0), "d4")], 1), ([asm("lddf", ("g1", 0), "d40")], 2),
    ([asm("ldf", ("g1", 0), "f3")], 1), ([asm("stdf", "d40", ("g1", 0))], 0), ([asm("fcmpd", 0, "d40", "d40")], 0),
    ([asm("fmovs", "f1", "f2"), asm("fmovd", "d0", "d50")], 3), ([asm("ldxfsr", ("g1", 0))], 0), ([NOP], 0),
    ([asm("ldda", ("g1", "g0", 0xE2), "g2")], 0), ([asm("lddfa", ("g1", "g0", 0x80), "d34")], 2),
])
def test_fp_writes_mark_their_half_dirty(words: list[int], dirty: int) -> None:
    guest = Guest().set(g1=DATA, **FPU)
    assert guest.trap(*words) == 0
    assert guest["fprs"] == 4 | dirty


def test_fprs_switches_the_fpu_at_once() -> None:
    guest = Guest().set(pstate=PRIV | PEF)
    move = asm("fmovd", "d0", "d2")
    assert guest.trap(asm("wrfprs", "g0", 4), move, asm("wrfprs", "g0", 0), move) == 0x20
    assert guest["tpc1"] == CODE + 12


# -- FSR

RD, TEM, NS, FTT, AEXC, CEXC, FCC0, FCC_HIGH = 3 << 30, 31 << 23, 1 << 22, 7 << 14, 31 << 5, 31, 3 << 10, 0x3F << 32
LOW = RD | TEM | NS | AEXC | CEXC | FCC0


def test_fsr_fields() -> None:
    guest = Guest().set(g1=DATA, **FPU)
    guest.memory.store(DATA, ALL_ONES)
    guest.run(asm("ldxfsr", ("g1", 0)), asm("stxfsr", ("g1", 8)))
    assert guest.memory.load(DATA + 8) & ~(7 << 17) == LOW | FCC_HIGH, "no qne, no ftt, nothing reserved"
    guest.memory.write(DATA, bytes(8))
    guest.run(asm("ldfsr", ("g1", 0)), asm("stxfsr", ("g1", 8)))
    assert guest.memory.load(DATA + 8) & ~(7 << 17) == FCC_HIGH, "the word form keeps fcc1 to fcc3"
    guest.memory.write(DATA, bytes(16))
    guest.run(asm("ldxfsr", ("g1", 0)), asm("stfsr", ("g1", 8)))
    assert guest.memory.load(DATA + 8) >> 32 & ~(7 << 17) == 0


def test_ftt_is_read_once_and_not_written_by_ldfsr() -> None:
    guest = Guest(platform="t2000").set(g1=DATA, **FPU)
    assert guest.trap(asm("faddq", 0, 0, 0)) == 0x22
    guest.set(tl=0, gl=0, g1=DATA, **FPU)
    guest.run(asm("ldxfsr", ("g1", 16)))
    assert guest["fsr"] & FTT == 3 << 14, "LDFSR leaves it"
    guest.run(asm("stxfsr", ("g1", 0)), asm("stxfsr", ("g1", 8)))
    assert guest.memory.load(DATA) & FTT == 3 << 14
    assert guest.memory.load(DATA + 8) & FTT == 0, "the first store cleared it"


def test_ldxefsr_writes_ftt() -> None:
    guest = Guest(platform="m7-8").set(g1=DATA, **FPU)
    guest.memory.store(DATA, FTT | FCC0)
    guest.run(asm("ldxefsr", ("g1", 0)), asm("stxfsr", ("g1", 8)))
    assert guest.memory.load(DATA + 8) & (FTT | FCC0) == FTT | FCC0


ONE, TINY, HUGE, SNAN = 0x3FF0 << 48, 1, 0x7FEF << 48 | (1 << 48) - 1, 0x7FF0 << 48 | 1
NV, OF, UF, DZ, NX = 16, 8, 4, 2, 1
CASES = [
    ("fdivd", ONE, 0, DZ), ("fdivd", 0, 0, NV), ("fmuld", HUGE, HUGE, OF | NX), ("fmuld", TINY, TINY, UF | NX),
    ("fdivd", ONE, 0x4008 << 48, NX), ("faddd", SNAN, ONE, NV), ("faddd", ONE, ONE, 0), ("fmuld", ONE, ONE, 0),
]


@pytest.mark.parametrize(("row", "a", "b", "flags"), CASES)
def test_ieee_flags_and_their_traps(row: str, a: int, b: int, flags: int) -> None:
    word = asm(row, "d0", "d2", "d4")
    guest = Guest().set(d0=a, d2=b, d4=77, fsr=CEXC, **FPU)
    assert guest.trap(word) == 0
    assert guest["fsr"] & (AEXC | CEXC) == flags << 5 | flags, "cexc replaced, aexc gathered"
    for enabled in (NV, OF, UF, DZ, NX):
        guest = Guest().set(d0=a, d2=b, d4=77, fsr=enabled << 23 | 0b01000 << 5, **FPU)
        tt = guest.trap(word)
        assert tt == (0x21 if flags & enabled else 0)
        fsr = guest["fsr"]
        if tt:
            assert (fsr & CEXC, fsr & AEXC, fsr & FTT) == (enabled, 0b01000 << 5, 1 << 14), "one bit; aexc stays"
            assert guest["d4"] == 77
        else:
            assert fsr & CEXC == flags and fsr & AEXC == (0b01000 | flags) << 5


def test_compare_traps_leave_the_condition() -> None:
    guest = Guest().set(d0=SNAN, d2=ONE, fsr=NV << 23 | 2 << 10, **FPU)
    assert guest.trap(asm("fcmpd", 0, "d0", "d2")) == 0x21
    assert guest["fsr"] & FCC0 == 2 << 10


def test_moves_clear_cexc_only() -> None:
    guest = Guest().set(fsr=AEXC | CEXC, **FPU).run(asm("fmovd", "d0", "d2"))
    assert guest["fsr"] & (AEXC | CEXC) == AEXC
