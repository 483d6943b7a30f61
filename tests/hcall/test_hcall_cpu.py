"""CPU_* hypercalls, API versions and the calling convention (UltraSPARC VM Specification 3.0)."""

from __future__ import annotations

import pytest
from asm_support import HERE, NOP, asm, code, ta
from guest_support import (
    CODE,
    DATA,
    EBADALIGN,
    EBADTRAP,
    ECPUERROR,
    EINVAL,
    ENOCPU,
    ENORADDR,
    ENOTSUPPORTED,
    EOK,
    EWOULDBLOCK,
    IE,
    MORE,
    PRIV,
    Guest,
)

from emulator import StopReason, StrandState

START, STOP, YIELD, POKE, QCONF, QINFO, MYID, STATE, SET_RTBA, GET_RTBA = range(0x10, 0x1A)
MONDO_SEND, TICK_NPT, STICK_NPT = 0x42, 0x182, 0x183
OUTSIDE = 1 << 40
CORE = 1
SPIN = 0x18000  # where other strands go round and round
LIST, MONDO = DATA, DATA + 0x400


def api(guest: Guest, function: int, *args: int) -> tuple[int, int, int, int, int]:
    return guest.hcall(function, *args, trap=0xFF)


def newest(**options: object) -> Guest:
    """A guest that negotiated CORE 1.6, with every strand but the first standing still at SPIN."""
    guest = Guest(**options)  # type: ignore[arg-type]
    assert api(guest, 0, CORE, 1, 6)[:2] == (EOK, 6)
    guest.memory.write(SPIN, code(HERE))
    for strand in guest.machine.strands[1:]:
        strand["pc"] = SPIN
    return guest


# -- calling convention


def test_other_registers_survive_a_call() -> None:
    names = [f"{s}{n}" for s in "gli" for n in range(8) if (s, n) != ("g", 0)]
    names += ["o2", "o3", "o4", "o6", "o7", "y", "ccr", "asi", "gl", "pil", "cwp", "fprs"]
    guest = Guest().set(gl=1, cwp=3)
    guest.set(**{name: 1 + n % 2 for n, name in enumerate(names) if name not in ("gl", "cwp")}, o5=MYID)
    guest.set(**{name: 1000 + n for n, name in enumerate(names) if name[0] in "gli" and name[1] in "01234567"})
    before = {name: guest[name] for name in names}
    guest.run(ta(0x80))
    assert {name: guest[name] for name in names} == before
    assert (guest["o0"], guest["o1"], guest["o5"]) == (EOK, 0, MYID)


def test_return_from_a_call_in_a_delay_slot() -> None:
    guest = Guest().set(o5=MYID, o1=5)
    guest.load(asm("ba", 0, 0x40), ta(0x80))
    guest.strand.run(2)
    assert (guest["pc"], guest["npc"], guest["o1"]) == (CODE + 0x40, CODE + 0x44, 0)


@pytest.mark.parametrize(("trap", "function"), [(0x80, 0x03), (0x80, 0x1FF), (0x80, 1 << 32 | 0x16), (0x81, 0),
                                                 (0x86, 0), (0xFE, 0), (0xFF, 4), (0x80, 0x111)])
def test_unknown_calls_change_only_the_status(trap: int, function: int) -> None:
    assert Guest().hcall(function, 11, 12, 13, 14, 15, trap=trap) == (EBADTRAP, 12, 13, 14, 15)


def test_call_at_a_trap_level_and_with_interrupts_pending() -> None:
    guest = Guest().set(tl=2, gl=2, o5=MYID, o1=9)
    guest.load(ta(0x80))
    guest.strand.step()
    assert (guest["o0"], guest["o1"], guest["tl"]) == (EOK, 0, 2)


# -- API versions


def test_versions_at_start() -> None:
    guest = Guest()
    assert api(guest, 3, 0)[:3] == (EOK, 1, 0)
    assert api(guest, 3, CORE)[:3] == (EOK, 1, 1)


@pytest.mark.parametrize(("group", "major", "minor", "result"), [
    (CORE, 1, 0, (EOK, 0)), (CORE, 1, 1, (EOK, 1)), (CORE, 1, 6, (EOK, 6)), (CORE, 1, 99, (EOK, 6)),
    (CORE, 1, 1 << 40, (EOK, 6)), (0, 1, 0, (EOK, 0)), (0, 1, 7, (EOK, 0)), (CORE, 2, 0, (ENOTSUPPORTED, 0)),
    (0, 3, 1, (ENOTSUPPORTED, 0)), (0x7777, 1, 0, (EINVAL, 1)), (1 << 32, 1, 0, (EINVAL, 1)),
])
def test_set_version(group: int, major: int, minor: int, result: tuple[int, int]) -> None:
    guest = Guest()
    if result[0] == EOK:
        assert api(guest, 0, group, major, minor)[:2] == result
        assert api(guest, 3, group)[:3] == (EOK, major, result[1])
    else:
        assert api(guest, 0, group, major, minor)[0] == result[0]
        assert api(guest, 3, CORE)[:3] == (EOK, 1, 1), "as it was"


def test_major_0_gives_the_group_back() -> None:
    guest = Guest()
    assert api(guest, 0, CORE, 0, 0)[0] == EOK
    assert guest.hcall(MYID)[0] == EBADTRAP
    assert guest.hcall(0, trap=0x84)[0] == EBADTRAP, "hyper-fast calls are CORE's too"
    assert api(guest, 3, CORE)[0] == EINVAL
    assert api(guest, 0, CORE, 1, 1)[:2] == (EOK, 1)
    assert guest.hcall(MYID)[0] == EOK


def test_get_version_of_an_unknown_group() -> None:
    assert api(Guest(), 3, 0x7777)[0] == EINVAL


@pytest.mark.parametrize(("function", "minor"), [
    (STOP, 1), (0x62, 1), (0x63, 1), (TICK_NPT, 2), (STICK_NPT, 2), (POKE, 6),
])
def test_calls_need_their_minor_version(function: int, minor: int) -> None:
    guest = Guest()
    assert api(guest, 0, CORE, 1, minor - 1)[0] == EOK
    assert guest.hcall(function, 5000)[0] == EBADTRAP
    assert api(guest, 0, CORE, 1, minor)[0] == EOK
    assert guest.hcall(function, 5000)[0] != EBADTRAP


def test_core_trap_console_and_exit() -> None:
    guest = Guest()
    assert api(guest, 1, ord("x"))[0] == EOK
    assert guest.machine.console.read() == b"x"
    guest.set(o5=2, o0=7)
    assert guest.run_to_stop(ta(0xFF)).exit_code == 7


# -- CPU_START, CPU_STOP, CPU_STATE


def stopped() -> Guest:
    """Strand 1 stopped, strands 2 and 3 going round."""
    guest = newest(strands=4)
    assert guest.hcall(STOP, 1)[0] == EOK
    return guest


@pytest.mark.parametrize(("args", "status"), [
    ((4, CODE, 0), ENOCPU), ((1 << 32 | 1, CODE, 0), ENOCPU), ((0, CODE, 0), EINVAL), ((2, CODE, 0), EINVAL),
    ((1, OUTSIDE, 0), ENORADDR), ((1, CODE, OUTSIDE), ENORADDR), ((1, CODE + 2, 0), EBADALIGN),
    ((1, CODE, 0x80), EBADALIGN),
])
def test_start_errors(args: tuple[int, ...], status: int) -> None:
    guest = stopped()
    assert guest.hcall(START, *args, 0x77)[0] == status
    assert guest.hcall(STATE, 1)[:2] == (EOK, 1)


def test_start_leaves_the_documented_state() -> None:
    guest = stopped()
    other = guest.machine.strands[1]
    assert guest.hcall(START, 1, CODE + 0x100, 0x4100, 0xABCD)[0] == EOK
    assert guest.hcall(STATE, 1)[:2] == (EOK, 2)
    expected = {
        "pc": CODE + 0x100, "npc": CODE + 0x104, "o0": 0xABCD, "tba": 0x4100 & ~0x7FFF, "rtba": 0x4100, "pstate": PRIV,
        "tl": 0, "gl": 0, "pil": 15, "cwp": 0, "cansave": 6, "cleanwin": 6, "canrestore": 0, "otherwin": 0, "wstate": 0,
        "asi": 0x14, "fprs": 0, "gsr": 0, "softint": 0, "tick_cmpr": 1 << 63, "stick_cmpr": 1 << 63, "mmu_enabled": 0,
        "fault_area": 0, "g1": 0, "o1": 0, "l3": 0, "i0": 0, "ccr": 0, "y": 0, "context0": 0, "context1": 0,
    }
    got = {name: other[name] for name in expected}
    got["tba"] &= ~0x7FFF
    assert got == expected


def test_start_forgets_queues_mappings_and_tsbs() -> None:
    guest = newest(strands=2)
    guest.number = 1
    assert guest.hcall(QCONF, 0x3C, MORE, 4)[0] == EOK
    assert guest.hcall(0x25, 0, 0, 1 << 63 | 0x403, 1)[0] == EOK
    guest.number = 0
    assert guest.hcall(STOP, 1)[0] == EOK
    assert guest.hcall(START, 1, SPIN, 0, 0)[0] == EOK
    guest.number = 1
    assert guest.hcall(QINFO, 0x3C)[:3] == (EOK, 0, 0)
    assert guest.hcall(0x2B)[:2] == (EOK, 0)
    assert guest.hcall(0x28, 0, 0, 1)[0] == 14, "no permanent mapping is left"


@pytest.mark.parametrize(("cpu", "status"), [(9, ENOCPU), (0, EINVAL), (1, EINVAL), (2, EOK)])
def test_stop(cpu: int, status: int) -> None:
    guest = stopped()
    assert guest.hcall(STOP, cpu)[0] == status
    if status == EOK:
        assert guest.hcall(STATE, cpu)[:2] == (EOK, 1)
        assert guest.machine.strands[cpu].state is StrandState.STOPPED
        before = guest.machine.strands[cpu].insns
        guest.load()
        guest.machine.run(50_000)
        assert guest.machine.strands[cpu].insns == before


def test_state_of_an_error_strand() -> None:
    guest = newest(strands=2)
    guest.number = 1
    guest.set(tl=2)
    assert guest.run_to_stop(0, at=0x1C000).reason is StopReason.WATCHDOG
    guest.number = 0
    assert guest.hcall(STATE, 1)[:2] == (EOK, 3)
    assert guest.hcall(STATE, 2)[0] == ENOCPU
    assert guest.hcall(START, 1, CODE, 0, 0)[0] == EINVAL
    assert send(guest, [1])[0] == ECPUERROR


def test_started_strand_runs() -> None:
    guest = stopped()
    guest.memory.write(0x1E000, code(asm("stx", "o0", ("g0", 0x600)), HERE))
    guest.load()
    guest.set(o0=1, o1=0x1E000, o2=0, o3=0xFEED, o5=START)
    guest.load(ta(0x80))
    guest.machine.run(60_000)
    assert guest.memory.load(0x600) == 0xFEED


# -- CPU_MYID, real trap base


def test_myid() -> None:
    guest = newest(strands=3)
    for number in range(3):
        guest.number = number
        assert guest.hcall(MYID)[:2] == (EOK, number)


def test_rtba() -> None:
    guest = Guest()
    assert guest.hcall(GET_RTBA)[:2] == (EOK, 0)
    assert guest.hcall(SET_RTBA, 0x12300)[:2] == (EOK, 0)
    assert guest.hcall(SET_RTBA, 0x45600)[:2] == (EOK, 0x12300)
    assert guest.hcall(SET_RTBA, 0x80)[0] == EBADALIGN
    assert guest.hcall(SET_RTBA, OUTSIDE)[0] == ENORADDR
    tba = guest["tba"]
    assert guest.hcall(GET_RTBA)[:2] == (EOK, 0x45600) and guest["tba"] == tba


# -- queues


@pytest.mark.parametrize("queue", range(0x3C, 0x40))
def test_qconf_and_qinfo(queue: int) -> None:
    guest = Guest()
    assert guest.hcall(QINFO, queue)[:3] == (EOK, 0, 0)
    assert guest.hcall(QCONF, queue, MORE, 8)[0] == EOK
    assert guest.hcall(QINFO, queue)[:3] == (EOK, MORE, 8)
    for other in {0x3C, 0x3D, 0x3E, 0x3F} - {queue}:
        assert guest.hcall(QINFO, other)[:3] == (EOK, 0, 0)
    assert guest.hcall(QCONF, queue, 0x123, 0)[0] == EOK, "the base is ignored"
    assert guest.hcall(QINFO, queue)[:3] == (EOK, 0, 0)


@pytest.mark.parametrize(("args", "status"), [
    ((0x3B, MORE, 8), EINVAL), ((0x40, MORE, 8), EINVAL), ((1 << 32 | 0x3C, MORE, 8), EINVAL),
    ((0x3C, MORE, 3), EINVAL), ((0x3C, MORE, 1), EINVAL), ((0x3C, 0, 1 << 20), EINVAL),
    ((0x3C, MORE + 64, 2), EBADALIGN),
    ((0x3C, MORE + 0x100, 8), EBADALIGN), ((0x3C, MORE + 1, 2), EBADALIGN), ((0x3C, OUTSIDE, 2), ENORADDR),
    ((0x3C, MORE + 0x80, 2), EOK),
])
def test_qconf_errors(args: tuple[int, ...], status: int) -> None:
    guest = Guest()
    assert guest.hcall(QCONF, *args)[0] == status
    assert guest.hcall(QINFO, 0x3B)[0] == EINVAL
    assert guest.hcall(QINFO, 0x3C)[2] == (2 if status == EOK else 0)


# -- CPU_MONDO_SEND


def send(guest: Guest, cpus: list[int], *, data: int = MONDO) -> tuple[int, list[int]]:
    """Status, and the list as the call left it."""
    guest.memory.write(LIST, b"".join(cpu.to_bytes(2, "big") for cpu in cpus))
    guest.memory.write(MONDO, bytes(range(64)))
    status = guest.hcall(MONDO_SEND, len(cpus), LIST, data)[0]
    left = guest.memory.read(LIST, 2 * len(cpus))
    return status, [int.from_bytes(left[n : n + 2], "big") for n in range(0, len(left), 2)]


def receivers(entries: int = 4) -> Guest:
    """Four strands; 1 to 3 have a CPU mondo queue at MORE + number * 0x1000."""
    guest = newest(strands=4)
    for number in (1, 2, 3):
        guest.number = number
        assert guest.hcall(QCONF, 0x3C, MORE + 0x1000 * number, entries)[0] == EOK
    guest.number = 0
    return guest


DONE = 0xFFFF


def test_mondo_arrives_and_traps() -> None:
    guest = receivers()
    assert send(guest, [2]) == (EOK, [DONE])
    assert guest.memory.read(MORE + 0x2000, 64) == bytes(range(64))
    other = guest.machine.strands[2]
    other["pstate"] = PRIV | IE
    other.run(5)
    assert (other["tl"], other["tt1"], other["tpc1"]) == (1, 0x7C, SPIN)
    assert guest.machine.strands[1]["tl"] == 0


@pytest.mark.parametrize(("cpus", "status", "left"), [
    ([1, 2, 3], EOK, [DONE, DONE, DONE]), ([1, 9], ENOCPU, [DONE, 9]), ([9, 1], ENOCPU, [9, DONE]),
    ([0, 3], EINVAL, [0, DONE]), ([DONE, 2], EOK, [DONE, DONE]), ([DONE, DONE], EOK, [DONE, DONE]),
])
def test_delivered_ids_are_overwritten_even_on_errors(cpus: list[int], status: int, left: list[int]) -> None:
    assert send(receivers(), cpus) == (status, left)


def test_full_queue_would_block_until_its_head_moves() -> None:
    guest = receivers(2)
    assert send(guest, [1, 3]) == (EOK, [DONE, DONE])
    assert send(guest, [1]) == (EWOULDBLOCK, [1])
    assert guest.hcall(MONDO_SEND, 1, LIST, MONDO)[0] == EWOULDBLOCK
    guest.number = 1
    guest.set(g1=0x3C0, g2=0x40).run(asm("stxa", "g2", ("g1", "g0", 0x25)), at=0x1C000)
    guest.number = 0
    assert send(guest, [1]) == (EOK, [DONE])


def test_mondo_to_a_strand_without_queue_would_block() -> None:
    assert send(newest(strands=2), [1]) == (EWOULDBLOCK, [1])


@pytest.mark.parametrize(("args", "status"), [
    ((1, LIST + 1, MONDO), EBADALIGN), ((1, LIST, MONDO + 32), EBADALIGN), ((1, OUTSIDE, MONDO), ENORADDR),
    ((1, LIST, OUTSIDE), ENORADDR),
])
def test_mondo_argument_errors(args: tuple[int, ...], status: int) -> None:
    guest = receivers()
    guest.memory.write(LIST, b"\0\1")
    assert guest.hcall(MONDO_SEND, *args)[0] == status
    assert guest.memory.read(LIST, 2) == b"\0\1"


# -- CPU_YIELD and CPU_POKE


def yielding(guest: Guest, **regs: int) -> StopReason:
    """Why the run of a strand that yields came to an end."""
    guest.set(o5=YIELD, o0=99, **regs)
    guest.load(ta(0x80), NOP)
    return guest.strand.run(50).reason


def test_yield_sleeps_until_something_could_trap() -> None:
    assert yielding(Guest()) is StopReason.IDLE
    guest = Guest()
    assert yielding(guest) is StopReason.IDLE
    assert (guest["waiting"], guest["pc"]) == (1, CODE + 4)


@pytest.mark.parametrize(("regs", "awake"), [
    ({"softint": 2, "pil": 0}, True), ({"softint": 2, "pil": 1}, False), ({"softint": 0x8000, "pil": 14}, True),
    ({"softint": 1 << 16, "pil": 15}, True), ({"stick_cmpr": 0, "pil": 15}, True), ({"tick_cmpr": 0, "pil": 15}, True),
    ({"softint": 0x8000, "pil": 15}, False),
])
def test_yield_returns_at_once_when_something_waits(regs: dict[str, int], awake: bool) -> None:
    guest = Guest()
    reason = yielding(guest, pstate=PRIV, **regs)
    assert reason is (StopReason.BUDGET if awake else StopReason.IDLE)
    assert guest["o0"] == EOK


def test_yield_until_the_timer() -> None:
    guest = Guest().set(pstate=PRIV, pil=15)
    guest.load(ta(0x80), asm("rdstick", "l0"))
    guest.set(o5=YIELD, stick_cmpr=guest["stick"] + 1_000_000)
    assert guest.machine.run(50).reason is StopReason.BUDGET
    assert guest["l0"] >= guest["stick_cmpr"], "time has moved on to the match"
    assert guest["l0"] < guest["stick_cmpr"] + 10


def test_mondo_ends_a_yield() -> None:
    guest = receivers()
    guest.number = 1
    assert yielding(guest) is StopReason.IDLE
    guest.number = 0
    assert send(guest, [1]) == (EOK, [DONE])
    assert guest.machine.strands[1]["waiting"] == 0


@pytest.mark.parametrize(("cpu", "status"), [(7, ENOCPU), (0, EINVAL), (1, EOK)])
def test_poke(cpu: int, status: int) -> None:
    assert newest(strands=2).hcall(POKE, cpu)[0] == status


def test_poke_ends_a_yield_or_the_next_one() -> None:
    guest = newest(strands=2)
    guest.number = 1
    assert yielding(guest) is StopReason.IDLE
    guest.number = 0
    assert guest.hcall(POKE, 1)[0] == EOK
    assert guest.machine.strands[1]["waiting"] == 0
    assert guest.hcall(POKE, 1)[0] == EOK, "now it is not yielding"
    guest.number = 1
    assert yielding(guest) is StopReason.BUDGET
    assert yielding(guest) is StopReason.IDLE, "one poke, one return"


# -- no privilege trap


@pytest.mark.parametrize(("function", "asr"), [(TICK_NPT, "rdtick"), (STICK_NPT, "rdstick")])
def test_npt(function: int, asr: str) -> None:
    guest = newest()
    assert guest.hcall(function, 2)[0] == EINVAL
    assert guest.trap(asm(asr, "g1"), pstate=0) == 0 and guest["g1"] >> 63 == 0
    guest.set(pstate=PRIV)
    assert guest.hcall(function, 1)[0] == EOK
    assert guest.trap(asm(asr, "g1")) == 0 and guest["g1"] >> 63 == 1, "bit 63 shows it"
    assert guest.trap(asm(asr, "g1"), pstate=0) == 0x37
    assert guest.dfault.type == 0xC
    guest.set(tl=0, gl=0, pstate=PRIV)
    assert guest.hcall(function, 0)[0] == EOK
    assert guest.trap(asm(asr, "g1"), pstate=0) == 0 and guest["g1"] >> 63 == 0
