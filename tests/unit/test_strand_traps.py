"""Traps of a strand: which one, what it saves, where it goes, how it returns (UA2005, 12)."""

from __future__ import annotations

import pytest
from asm_support import NOP, asm, ta
from guest_support import AM, CLE, CODE, DATA, EOK, IE, MORE, PEF, PRIV, TABLE, TLE, Guest

from emulator import StopReason, StrandState

MM = 0x40  # PSTATE.MM = 1
USER = 0
DZM = 1 << 24  # FSR.TEM
FPU = {"fprs": 4, "pstate": PRIV | PEF}
ONE = 0x3FF0000000000000
LDX = asm("ldx", ("g1", 0), "g2")


# -- entry


def test_entry_saves_state_and_sets_the_new_one() -> None:
    guest = Guest().set(gl=1, ccr=0xA5, asi=0x82, pstate=PRIV | IE | MM | TLE, cwp=3)
    assert guest.trap(NOP, ta(5)) == 0x105
    assert guest["tstate1"] == 1 << 40 | 0xA5 << 32 | 0x82 << 24 | (PRIV | IE | MM | TLE) << 8 | 3
    assert (guest["tpc1"], guest["tnpc1"]) == (CODE + 4, CODE + 8)
    assert guest["pstate"] == PRIV | PEF | MM | TLE | CLE, "IE and AM off, CLE from TLE"
    assert (guest["tl"], guest["gl"], guest["cwp"]) == (1, 2, 3)
    assert (guest["ccr"], guest["asi"]) == (0xA5, 0x82), "not changed by the trap itself"


def test_entry_without_tle_clears_cle_and_am() -> None:
    guest = Guest()
    assert guest.trap(ta(1), pstate=PRIV | CLE | AM) == 0x101
    assert guest["pstate"] == PRIV | PEF


def test_second_level_uses_the_upper_half_and_its_own_registers() -> None:
    guest = Guest()
    guest.memory.write(TABLE + 32 * 0x105, asm("sub", "g0", 1, "g0").to_bytes(4, "big") + ta(6).to_bytes(4, "big"))
    guest.run(ta(5))
    assert (guest["tl"], guest["gl"]) == (2, 2)
    assert guest["pc"] == TABLE + 0x4000 + 32 * 0x106
    assert (guest["tt1"], guest["tt2"]) == (0x105, 0x106)
    assert (guest["tpc1"], guest["tpc2"]) == (CODE, TABLE + 32 * 0x105 + 4)


def test_globals_follow_gl_which_saturates() -> None:
    guest = Guest()
    for level in range(3):
        guest.set(gl=level, g1=100 + level)
    guest.set(gl=0)
    assert guest.trap(ta(0)) == 0x100
    assert guest["g1"] == 101
    guest.set(gl=2, tl=1)
    assert guest.trap(ta(0)) == 0x100
    assert (guest["gl"], guest["g1"]) == (2, 102)


def test_trap_in_a_delay_slot_keeps_the_branch_target() -> None:
    guest = Guest()
    assert guest.trap(asm("ba", 0, 0x40), ta(2)) == 0x102
    assert (guest["tpc1"], guest["tnpc1"]) == (CODE + 4, CODE + 0x40)


def test_am_masks_the_saved_addresses() -> None:
    guest = Guest()
    guest.load(asm("jmpl", "g1", 0, "g0"), NOP)
    guest.set(g1=0xFFFF_FFFF_0001_0020, pstate=PRIV | AM)
    guest.memory.write(0x10020, ta(1).to_bytes(4, "big"))
    guest.strand.run(10)
    assert guest.tt == 0x101
    assert (guest["tpc1"], guest["tnpc1"]) == (0x10020, 0x10024)


def test_trap_base_ignores_its_low_bits() -> None:
    guest = Guest()
    guest.set(g1=TABLE | 0x7FFF).run(asm("wrpr_tba", "g1", 0))
    assert guest["tba"] == TABLE


# -- DONE and RETRY


@pytest.mark.parametrize(("name", "goes_to"), [("done", CODE + 0x28), ("retry", CODE + 0x20)])
def test_return_restores_everything(name: str, goes_to: int) -> None:
    guest = Guest()
    tstate = 2 << 40 | 0x5A << 32 | 0x83 << 24 | (PRIV | PEF | MM | CLE) << 8 | 4
    guest.set(tl=1, gl=1, tpc1=CODE + 0x20, tnpc1=CODE + 0x28, tstate1=tstate, asi=0x80)
    guest.load(asm(name))
    guest.strand.step()
    assert guest["pc"] == goes_to
    assert guest["npc"] == CODE + (0x28 if name == "retry" else 0x2C)
    got = tuple(guest[r] for r in ("tl", "gl", "ccr", "asi", "pstate", "cwp"))
    assert got == (0, 2, 0x5A, 0x83, PRIV | PEF | MM | CLE, 4)


def test_return_to_am_masks_the_address_it_goes_to() -> None:
    guest = Guest().set(tl=1, tpc1=0xF_0001_0020, tnpc1=0xF_0001_0024, tstate1=(PRIV | AM) << 8)
    guest.load(asm("retry"))
    guest.strand.step()
    assert (guest["pc"], guest["npc"]) == (0x10020, 0x10024)


@pytest.mark.parametrize("name", ["done", "retry"])
def test_return_at_level_0_is_illegal(name: str) -> None:
    assert Guest().trap(asm(name)) == 0x10
    assert Guest().trap(asm(name), pstate=USER) == 0x11, "but privileged first"


def test_done_in_a_delay_slot_forgets_the_branch() -> None:
    guest = Guest().set(tl=1, tpc1=CODE + 0x40, tnpc1=CODE + 0x44, tstate1=PRIV << 8)
    guest.load(asm("ba", 0, 0x80), asm("done"))
    guest.strand.run(2)
    assert (guest["pc"], guest["npc"], guest["tl"]) == (CODE + 0x44, CODE + 0x48, 0)


# -- a trap at MAXTL


@pytest.mark.parametrize(("word", "tt"), [(0, 0x10), (ta(7), 0x107), (asm("ldx", ("g0", 1), "g1"), 0x34)])
def test_trap_at_the_last_level_stops_the_strand_readably(word: int, tt: int) -> None:
    guest = Guest().set(tl=2, tt1=0x68, tt2=0x31, g3=0x1234_5678_9ABC)
    stop = guest.run_to_stop(NOP, word)
    assert (stop.reason, stop.trap_type, stop.strand) == (StopReason.WATCHDOG, tt, 0)
    assert guest.strand.state is StrandState.ERROR
    assert guest["pc"] == CODE + 4, "precise: stands at the instruction"
    report = guest.strand.print()
    for text in ("tl 1: tt 068", "tl 2: tt 031", "0000123456789abc", "000000000001000"):
        assert text in report
    assert guest.machine.run(10).reason is StopReason.IDLE, "an error strand does not run on"


def test_report_without_fault_area_stops_the_strand() -> None:
    guest = Guest(area=False)
    stop = guest.run_to_stop(asm("ldx", ("g0", 4), "g1"))
    assert (stop.reason, stop.trap_type) == (StopReason.WATCHDOG, 0x34)
    assert guest["tl"] == 0


# -- which trap: (why, tt, words, registers)

SYNCHRONOUS = [
    ("illtrap", 0x10, [0], {}),
    ("a word no chip knows", 0x10, [0x81B03FE0], {}),
    ("rdhpr", 0x10, [asm("rdhpr_hver", "g1")], {}),
    ("rdhpr, user", 0x10, [asm("rdhpr_hver", "g1")], {"pstate": USER}),
    ("rdpr %ver", 0x10, [asm("rdpr_ver", "g1")], {}),
    ("rdpr %ver, user", 0x11, [asm("rdpr_ver", "g1")], {"pstate": USER}),
    ("rdpr %fq", 0x10, [0x93538000 | 0x4000], {}),
    ("wrpr %tick", 0x10, [asm("wrpr_tick", "g0", 0)], {}),
    ("wrpr %tick, user", 0x11, [asm("wrpr_tick", "g0", 0)], {"pstate": USER}),
    ("wr %stick", 0x10, [asm("wrstick", "g0", 0)], {}),
    ("sir", 0x10, [asm("sir", 0)], {}),
    ("rdpr %tpc at TL 0", 0x10, [asm("rdpr_tpc", "g1")], {}),
    ("wrpr %tt at TL 0", 0x10, [asm("wrpr_tt", "g0", 0)], {}),
    ("quad load", 0x10, [asm("ldqf", ("g0", 0), 0)], {"fprs": 4}),
    ("odd rd of ldd", 0x10, [asm("ldd", ("g1", 0), "g3")], {}),
    ("prefetch function 5", 0x10, [asm("prefetch", ("g0", 0), 5)], {}),
    ("prefetch function 15", 0x10, [asm("prefetch", ("g0", 0), 15)], {}),
    ("prefetch function 20 of no address", 0, [asm("prefetch", ("g1", 0), 20)], {"g1": 1 << 60}),
    ("rdpr, user", 0x11, [asm("rdpr_pstate", "g1")], {"pstate": USER}),
    ("wrpr, user", 0x11, [asm("wrpr_pil", "g0", 0)], {"pstate": USER}),
    ("rd %softint, user", 0x11, [asm("rdsoftint", "g1")], {"pstate": USER}),
    ("wr %stick_cmpr, user", 0x11, [asm("wrstick_cmpr", "g0", 0)], {"pstate": USER}),
    ("saved, user", 0x11, [asm("saved")], {"pstate": USER}),
    ("allclean, user", 0x11, [asm("allclean")], {"pstate": USER}),
    ("FPop with FPRS.FEF off", 0x20, [asm("faddd", "d0", "d2", "d4")], {"pstate": PRIV | PEF}),
    ("FPop with PSTATE.PEF off", 0x20, [asm("faddd", "d0", "d2", "d4")], {"fprs": 4}),
    ("alignaddr with the FPU off", 0x20, [asm("alignaddr", "g1", "g2", "g3")], {}),
    ("rd %gsr with the FPU off", 0x20, [asm("rdgsr", "g1")], {}),
    ("edge8 needs no FPU", 0, [asm("edge8cc", "g1", "g2", "g3")], {}),
    ("lddf with the FPU off", 0x20, [asm("lddf", ("g1", 0), "d0")], {}),
    ("1 / 0 with DZM", 0x21, [asm("fdivd", "d0", "d2", "d4")], {**FPU, "fsr": DZM, "d0": ONE}),
    ("1 / 0 without", 0, [asm("fdivd", "d0", "d2", "d4")], {**FPU, "d0": ONE}),
    ("quad FPop", 0x10, [asm("faddq", 0, 0, 0)], FPU),
    ("tagged add of 1", 0x23, [asm("taddcctv", "g1", 0, "g2")], {"g1": 1}),
    ("division by zero", 0x28, [asm("udivx", "g1", 0, "g2")], {"g1": 1}),
    ("load, address 4", 0x34, [asm("ldx", ("g0", 4), "g2")], {}),
    ("lduw, address 2", 0x34, [asm("lduw", ("g0", 2), "g2")], {}),
    ("ldd, address 4", 0x34, [asm("ldd", ("g0", 4), "g2")], {}),
    ("swap, address 2", 0x34, [asm("swap", ("g0", 2), "g2")], {}),
    ("casxa, address 4", 0x34, [asm("casxa", "g1", 0x80, "g2", "g3")], {"g1": DATA + 4}),
    ("jmpl to 2", 0x34, [asm("jmpl", "g0", 2, "g1")], {}),
    ("lddf, address 4", 0x35, [asm("lddf", ("g0", 4), "d0")], FPU),
    ("lddf, address 2", 0x34, [asm("lddf", ("g0", 2), "d0")], FPU),
    ("stdf, address 4", 0x36, [asm("stdf", "d0", ("g0", 4))], FPU),
    ("stdf, address 1", 0x34, [asm("stdf", "d0", ("g0", 1))], FPU),
    ("ldf, address 2", 0x34, [asm("ldf", ("g0", 2), "f0")], FPU),
    ("privileged ASI, user", 0x37, [asm("ldxa", ("g1", "g0", 0x14), "g2")], {"pstate": USER, "g1": DATA}),
    ("no memory there", 0x30, [LDX], {"g1": 1 << 40}),
    ("no memory to fetch from", 0x08, [asm("jmpl", "g1", 0, "g0"), NOP], {"g1": 1 << 40}),
]


@pytest.mark.parametrize(("why", "tt", "words", "regs"), SYNCHRONOUS, ids=[row[0] for row in SYNCHRONOUS])
def test_synchronous_traps(why: str, tt: int, words: list[int], regs: dict[str, int]) -> None:
    guest = Guest()
    assert guest.trap(*words, **regs) == tt, why


def test_quad_of_the_t1_is_unimplemented() -> None:
    guest = Guest(platform="t2000")
    assert guest.trap(asm("faddq", 0, 0, 0), **FPU, fsr=0x3FF) == 0x22
    assert guest["fsr"] & 0x1C3FF == 3 << 14 | 0x3FF, "ftt 3; aexc and cexc as they were"


# -- priorities (3.2): (the higher one, tt, words, registers)

ODD = {"g1": DATA + 1}
PRIORITIES = [
    ("illegal over privileged opcode", 0x10, [asm("wrpr_tba", "g0", 0) ^ (5 ^ 17) << 25], {"pstate": USER}),
    ("illegal over misaligned", 0x10, [asm("ldd", ("g1", 0), "g3")], ODD),
    ("illegal over invalid ASI", 0x10, [asm("ldda", ("g1", "g0", 0x01), "g3")], ODD),
    ("FPU off over misaligned", 0x20, [asm("lddf", ("g1", 0), "d0")], ODD),
    ("FPU off over privileged action", 0x20, [asm("lddfa", ("g1", "g0", 0x14), "d0")], {"pstate": USER}),
    ("fill over misaligned", 0xC0, [asm("return", "g0", 2)], {}),
    ("misaligned over privileged action", 0x34, [asm("ldxa", ("g1", "g0", 0x14), "g2")], {"pstate": USER, **ODD}),
    ("misaligned store over privileged action", 0x34, [asm("stxa", "g2", ("g1", "g0", 0x14))], {"pstate": USER, **ODD}),
    ("misaligned over invalid ASI", 0x34, [asm("ldxa", ("g1", "g0", 0x01), "g2")], ODD),
    ("LDDF misaligned over invalid ASI", 0x35, [asm("lddfa", ("g1", "g0", 0x01), "d0")],
     {"g1": DATA + 4, **FPU}),
    ("misaligned over no memory", 0x34, [LDX], {"g1": 1 << 40 | 1}),
    ("privileged action over invalid ASI", 0x37, [asm("ldxa", ("g1", "g0", 0x01), "g2")], {"pstate": USER, "g1": 0}),
    ("privileged action over no memory", 0x37, [asm("ldxa", ("g1", "g0", 0x14), "g2")],
     {"pstate": USER, "g1": 1 << 40}),
]


@pytest.mark.parametrize(("why", "tt", "words", "regs"), PRIORITIES, ids=[row[0] for row in PRIORITIES])
def test_priorities(why: str, tt: int, words: list[int], regs: dict[str, int]) -> None:
    assert Guest().trap(*words, **regs) == tt, why


# -- Tcc


@pytest.mark.parametrize(
    ("pstate", "number", "tt"),
    [(USER, 0, 0x100), (USER, 0x7F, 0x17F), (USER, 0x80, 0x100), (USER, 0xFF, 0x17F), (PRIV, 0x7F, 0x17F)],
)
def test_trap_numbers(pstate: int, number: int, tt: int) -> None:
    assert Guest().trap(ta(number), pstate=pstate) == tt
    assert Guest().trap(asm("ta_icc", "g1", "g2"), pstate=pstate, g1=number - 5, g2=5) == tt


def test_privileged_trap_from_0x80_is_a_hypercall() -> None:
    guest = Guest()
    assert guest.trap(ta(0x81), o0=3) == 0
    assert guest["o0"] == 7, "EBADTRAP"
    assert Guest().trap(asm("ta_icc", "g1", 0x10), g1=0x1000) == 0x110, "8 bits of the sum count"


def test_conditional_trap_looks_at_its_condition() -> None:
    assert Guest().trap(asm("te_icc", "g0", 1), ccr=0x04) == 0x101
    assert Guest().trap(asm("te_icc", "g0", 1), ccr=0x40) == 0
    assert Guest().trap(asm("te_xcc", "g0", 1), ccr=0x40) == 0x101
    assert Guest().trap(asm("tn_icc", "g0", 1), ccr=0xFF) == 0


# -- disrupting traps (3.5)


@pytest.mark.parametrize("level", range(1, 16))
def test_interrupt_levels_against_pil(level: int) -> None:
    for pil, taken in ((level, False), (level - 1, True), (0, True), (15, False)):
        guest = Guest()
        tt = guest.trap(NOP, pstate=PRIV | IE, softint=1 << level, pil=pil)
        assert tt == (0x40 + level if taken else 0), (level, pil)


@pytest.mark.parametrize("bit", [0, 16], ids=["tick match", "stick match"])
def test_timer_matches_are_level_14(bit: int) -> None:
    assert Guest().trap(NOP, pstate=PRIV | IE, softint=1 << bit, pil=13) == 0x4E
    assert Guest().trap(NOP, pstate=PRIV | IE, softint=1 << bit, pil=14) == 0


def test_highest_level_first_and_none_without_ie() -> None:
    assert Guest().trap(NOP, pstate=PRIV | IE, softint=0xAA, pil=0) == 0x47
    assert Guest().trap(NOP, pstate=PRIV, softint=0xFFFE, pil=0) == 0


ENABLERS = [
    ("wrpr %pstate", [asm("wrpr_pstate", "g0", PRIV | IE)], {"pil": 0, "softint": 2}),
    ("wrpr %pil", [asm("wrpr_pil", "g0", 0)], {"pstate": PRIV | IE, "softint": 2}),
    ("wr %softint_set", [asm("wrsoftint_set", "g0", 2)], {"pil": 0, "pstate": PRIV | IE}),
    ("wr %softint", [asm("wrsoftint", "g0", 2)], {"pil": 0, "pstate": PRIV | IE}),
]


@pytest.mark.parametrize(("why", "words", "regs"), ENABLERS, ids=[row[0] for row in ENABLERS])
def test_interrupt_comes_right_behind_what_allows_it(why: str, words: list[int], regs: dict[str, int]) -> None:
    guest = Guest()
    assert guest.trap(NOP, *words, NOP, **regs) == 0x41, why
    assert guest["tpc1"] == CODE + 8


def test_retry_lets_a_pending_interrupt_in_first() -> None:
    guest = Guest().set(tl=1, tpc1=CODE + 0x20, tnpc1=CODE + 0x24, tstate1=(PRIV | IE) << 8, softint=2, pil=0)
    assert guest.trap(asm("retry")) == 0x41
    assert (guest["tpc1"], guest["tnpc1"]) == (CODE + 0x20, CODE + 0x24)


def queue_pending(guest: Guest, *queues: int) -> None:
    """Make queues non-empty by moving their heads off their tails."""
    for queue in queues:
        base = MORE + 0x1000 * queue
        assert guest.hcall(0x14, 0x3C + queue, base, 4)[0] == EOK
        store = asm("stxa", "g1", ("g2", "g0", 0x25))
        pstate = guest["pstate"]
        guest.set(g1=0x40, g2=0x3C0 + 16 * queue, pstate=PRIV).run(store)
        guest.set(pstate=pstate)


@pytest.mark.parametrize(("queue", "tt"), [(0, 0x7C), (1, 0x7D), (2, 0x7E)])
def test_queues_trap_under_ie_whatever_pil(queue: int, tt: int) -> None:
    for pstate, pil, expected in ((PRIV | IE, 15, tt), (PRIV | IE, 0, tt), (PRIV, 0, 0)):
        guest = Guest().set(pstate=PRIV)
        queue_pending(guest, queue)
        assert guest.trap(NOP, pstate=pstate, pil=pil) == expected


def test_nonresumable_error_cannot_be_masked_and_comes_first() -> None:
    guest = Guest().set(pstate=PRIV)
    guest.hcall(0x14, 0x3F, MORE, 4)
    assert guest.trap(asm("stxa", "g1", ("g2", "g0", 0x25)), NOP, g1=0x40, g2=0x3F0, pil=15) == 0x7F
    assert guest["tpc1"] == CODE + 4
    guest = Guest().set(pstate=PRIV)
    queue_pending(guest, 0, 1, 2)
    guest.hcall(0x14, 0x3F, MORE + 0x4000, 4)
    assert guest.trap(asm("stxa", "g1", ("g2", "g0", 0x25)), g1=0x40, g2=0x3F0) == 0x7F
    assert guest.trap(NOP, tl=0, pil=0, softint=0x8000, pstate=PRIV | IE) == 0x7F


def test_levels_then_mondos_in_order() -> None:
    guest = Guest().set(pstate=PRIV)
    queue_pending(guest, 0, 1, 2)
    assert guest.trap(NOP, pstate=PRIV | IE, pil=0, softint=2) == 0x41
    assert guest.trap(NOP, tl=0, pstate=PRIV | IE, softint=0) == 0x7C
    assert guest.hcall(0x14, 0x3C, 0, 0)[0] == EOK
    assert guest.trap(NOP, tl=0, pstate=PRIV | IE) == 0x7D
