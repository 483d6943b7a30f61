"""INTR_* and VINTR_*, device mondos of the console, error reports (UltraSPARC VM Specification 3.0; FWARC 2009/655)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from asm_support import asm, ta
from guest_support import CODE, DATA, EBADTRAP, EINVAL, ENOCPU, ENOTSUPPORTED, EOK, IE, MORE, PRIV, Guest

from emulator import ErrorAttribute, ErrorKind, ErrorReport, StopReason
from emulator.errors import StrandError

TO_SYSINO, GET_ON, SET_ON, GET_STATE, SET_STATE, GET_TARGET, SET_TARGET = range(0xA0, 0xA7)
V_GET_COOKIE, V_SET_COOKIE, V_GET_ON, V_SET_ON, V_GET_STATE, V_SET_STATE, V_GET_TARGET, V_SET_TARGET = range(0xA7, 0xAF)
QCONF, GETCHAR, YIELD, MONDO_SEND = 0x14, 0x60, 0x12, 0x42
CONSOLE = 0x111
VDEV, INO = 0x100, 0x11
IDLE, RECEIVED, DELIVERED = 0, 1, 2
DEV, RESUMABLE, NONRESUMABLE = 0x3D, 0x3E, 0x3F
COOKIE = (1 << 64) - 0x1234_5678
MASK64 = (1 << 64) - 1


def pointer(guest: Guest, queue: int, tail: int) -> int:
    """Head (0) or tail (1) of a queue of the current strand, as the guest reads it."""
    saved = guest["pc"], guest["pstate"]
    guest.set(g1=0x3C0 + 16 * (queue - 0x3C) + 8 * tail, pstate=PRIV)
    guest.run(asm("ldxa", ("g1", "g0", 0x25), "g2"), at=0x30000)
    value = guest["g2"]
    guest.set(pc=saved[0], pstate=saved[1])
    return value


def set_head(guest: Guest, queue: int, value: int) -> None:
    saved = guest["pc"], guest["pstate"]
    guest.set(g1=0x3C0 + 16 * (queue - 0x3C), g2=value, pstate=PRIV)
    guest.run(asm("stxa", "g2", ("g1", "g0", 0x25)), at=0x30000)
    guest.set(pc=saved[0], pstate=saved[1])


def with_queue(entries: int = 4, queue: int = DEV, **options: object) -> Guest:
    guest = Guest(**options)  # type: ignore[arg-type]
    for strand in guest.machine.strands:
        guest.number = strand.number
        assert guest.hcall(QCONF, queue, MORE + 0x1000 * strand.number, entries)[0] == EOK
    guest.number = 0
    return guest


def console_on(guest: Guest, cpu: int = 0) -> Guest:
    """As Linux does: target, idle, enable."""
    assert guest.hcall(SET_TARGET, CONSOLE, cpu)[0] == EOK
    assert guest.hcall(SET_STATE, CONSOLE, IDLE)[0] == EOK
    assert guest.hcall(SET_ON, CONSOLE, 1)[0] == EOK
    return guest


def mondos(guest: Guest, queue: int = DEV) -> list[int]:
    """Word 0 of every entry between head and tail of a queue of 4."""
    base = MORE + 0x1000 * guest.number
    head, tail = (pointer(guest, queue, which) for which in (0, 1))
    return [guest.memory.load(base + at % 256) for at in range(head, tail + 256 * (tail < head), 64)]


# -- the calls


def test_numbers() -> None:
    guest = Guest()
    assert guest.hcall(TO_SYSINO, VDEV, INO)[:2] == (EOK, CONSOLE)
    for handle, devino in ((VDEV, 0x10), (VDEV, 0x111), (0x200, 0), (0, CONSOLE), (MASK64, INO), (VDEV, MASK64)):
        assert guest.hcall(TO_SYSINO, handle, devino)[0] == EINVAL


def test_both_sets_of_calls_reach_one_source() -> None:
    guest = Guest(strands=2)
    for setter, getter, value in ((SET_ON, GET_ON, 1), (SET_STATE, GET_STATE, 2), (SET_TARGET, GET_TARGET, 1)):
        assert guest.hcall(getter, CONSOLE)[:2] == (EOK, 0)
        assert guest.hcall(setter, CONSOLE, value)[0] == EOK
        assert guest.hcall(getter, CONSOLE)[:2] == (EOK, value)
        assert guest.hcall(getter + 8, VDEV, INO)[:2] == (EOK, value)
        assert guest.hcall(setter + 8, VDEV, INO, 0)[0] == EOK
        assert guest.hcall(getter, CONSOLE)[:2] == (EOK, 0)


@pytest.mark.parametrize("sysino", [0, 0x10, 0x110, 0x112, 0x200, 0xFFE, 0xFFF, 0x1111, 1 << 32 | CONSOLE, MASK64])
def test_unknown_sources(sysino: int) -> None:
    guest = Guest()
    for call in (GET_ON, SET_ON, GET_STATE, SET_STATE, GET_TARGET, SET_TARGET):
        assert guest.hcall(call, sysino, 0)[0] == EINVAL
    for call in range(V_GET_COOKIE, V_SET_TARGET + 1):
        assert guest.hcall(call, sysino & ~0xFF, sysino & 0xFF, 0)[0] == EINVAL


@pytest.mark.parametrize(("call", "value", "status"), [
    (SET_ON, 2, EINVAL), (SET_ON, MASK64, EINVAL), (SET_STATE, 3, EINVAL), (SET_STATE, 1 << 32, EINVAL),
    (SET_TARGET, 2, ENOCPU), (SET_TARGET, 1 << 32, ENOCPU), (SET_TARGET, MASK64, ENOCPU),
])  # fmt: skip
def test_values_out_of_range(call: int, value: int, status: int) -> None:
    guest = Guest(strands=2)
    assert guest.hcall(call, CONSOLE, value)[0] == status
    assert guest.hcall(call + 8, VDEV, INO, value)[0] == status
    assert guest.hcall(call - 1, CONSOLE)[:2] == (EOK, 0)


def test_cookies() -> None:
    guest = Guest()
    assert guest.hcall(V_GET_COOKIE, VDEV, INO)[:2] == (EOK, 0)
    for cookie in (1, 2047):
        assert guest.hcall(V_SET_COOKIE, VDEV, INO, cookie)[0] == EINVAL
    for cookie in (2048, COOKIE):
        assert guest.hcall(V_SET_COOKIE, VDEV, INO, cookie)[0] == EOK
        assert guest.hcall(V_GET_COOKIE, VDEV, INO)[:2] == (EOK, cookie)
    assert guest.hcall(V_SET_ON, VDEV, INO, 1)[0] == EOK
    assert guest.hcall(V_SET_COOKIE, VDEV, INO, 0)[0] == EOK
    assert guest.hcall(V_GET_ON, VDEV, INO)[:2] == (EOK, 0), "disabled with its cookie"
    assert guest.hcall(V_SET_COOKIE, VDEV, INO, COOKIE)[0] == EOK
    guest.machine.reset()
    guest.strand.start(CODE)
    assert guest.hcall(V_GET_COOKIE, VDEV, INO)[:2] == (EOK, 0)


def test_versions() -> None:
    guest = Guest()
    assert guest.hcall(3, 2, trap=0xFF)[0] == EINVAL, "not negotiated, and yet the calls are there"
    for major in (2, 3):
        assert guest.hcall(0, 2, major, 0, trap=0xFF)[0] == ENOTSUPPORTED
    assert guest.hcall(0, 2, 1, 0, trap=0xFF)[:2] == (EOK, 0)
    assert guest.hcall(GET_ON, CONSOLE)[0] == EOK
    assert guest.hcall(0xAF, VDEV, INO)[0] == EBADTRAP


# -- delivery


def test_console_input_interrupts_once_until_idle() -> None:
    guest = console_on(with_queue())
    guest.machine.console.feed(b"ab")
    assert mondos(guest) == [CONSOLE]
    assert guest.memory.read(MORE + 8, 56) == bytes(56)
    guest.machine.console.feed(b"c")
    assert mondos(guest) == [CONSOLE], "not again before it is idle"
    assert guest.hcall(GET_STATE, CONSOLE)[:2] == (EOK, DELIVERED)
    assert guest.hcall(GETCHAR)[:2] == (EOK, ord("a"))
    assert guest.hcall(SET_STATE, CONSOLE, IDLE)[0] == EOK
    assert mondos(guest) == [CONSOLE, CONSOLE], "input is left"
    for _ in range(2):
        assert guest.hcall(GETCHAR)[0] == EOK
    assert guest.hcall(SET_STATE, CONSOLE, IDLE)[0] == EOK
    assert mondos(guest) == [CONSOLE, CONSOLE]
    assert guest.hcall(GET_STATE, CONSOLE)[:2] == (EOK, IDLE)


def test_the_mondo_traps_and_carries_the_cookie() -> None:
    guest = console_on(with_queue())
    assert guest.hcall(V_SET_COOKIE, VDEV, INO, COOKIE)[0] == EOK
    guest.machine.console.feed(b"a")
    assert mondos(guest) == [COOKIE]
    assert guest.trap(asm("or", "g0", 1, "l0"), pstate=PRIV | IE, pil=15) == 0x7D


def test_input_that_waits_is_delivered_when_the_source_is_enabled() -> None:
    guest = with_queue()
    guest.machine.console.feed(b"a")
    assert mondos(guest) == []
    assert guest.hcall(SET_ON, CONSOLE, 1)[0] == EOK
    assert mondos(guest) == [CONSOLE]
    assert guest.hcall(SET_ON, CONSOLE, 0)[0] == EOK
    assert guest.hcall(SET_STATE, CONSOLE, IDLE)[0] == EOK
    assert mondos(guest) == [CONSOLE], "disabled"


def test_received_holds_the_next_one_back() -> None:
    guest = console_on(with_queue())
    assert guest.hcall(SET_STATE, CONSOLE, RECEIVED)[0] == EOK
    guest.machine.console.feed(b"a")
    assert mondos(guest) == []


@pytest.mark.parametrize("event", ["break_", "hangup"])
def test_break_and_hangup_interrupt(event: str) -> None:
    guest = console_on(with_queue())
    getattr(guest.machine.console, event)()
    assert mondos(guest) == [CONSOLE]
    assert guest.hcall(GETCHAR)[:2] == (EOK, MASK64 if event == "break_" else MASK64 - 1)
    assert guest.hcall(SET_STATE, CONSOLE, IDLE)[0] == EOK
    assert mondos(guest) == [CONSOLE], "once"


def test_target_strand_wakes_from_yield() -> None:
    guest = console_on(with_queue(strands=2), cpu=1)
    for strand in guest.machine.strands:
        guest.number = strand.number
        guest.set(o5=YIELD).load(ta(0x80))
    assert guest.machine.run(1000).reason is StopReason.IDLE
    guest.machine.strands[1]["pstate"] = PRIV | IE
    done = guest.machine.strands[0].insns
    guest.machine.console.feed(b"a")
    for strand in guest.machine.strands:
        assert strand["waiting"] == 0
    guest.machine.run(30_000)  # a turn is 10 000
    assert guest.machine.strands[1]["tt1"] == 0x7D
    assert guest.machine.strands[0]["tl"] == 0
    assert guest.machine.strands[0].insns > done


def test_call_of_one_strand_interrupts_another() -> None:
    """Strand 0 enables the source in the middle of a run while strand 1 sleeps: it wakes in time."""
    guest = with_queue(strands=2)
    assert guest.hcall(SET_TARGET, CONSOLE, 1)[0] == EOK
    guest.machine.console.feed(b"a")
    guest.number = 1
    guest.set(o5=YIELD, pstate=PRIV | IE).load(ta(0x80))
    assert guest.strand.run(100).reason is StopReason.IDLE
    guest.number = 0
    guest.set(o5=SET_ON, o0=CONSOLE, o1=1).load(ta(0x80))
    guest.machine.run(30_000)
    assert guest.machine.strands[1]["tt1"] == 0x7D


def full(**options: object) -> Guest:
    """A queue of 2 (room for 1) that holds a mondo, and console input that finds no room."""
    guest = console_on(with_queue(2, **options))
    guest.machine.console.feed(b"ab")
    assert guest.hcall(SET_STATE, CONSOLE, IDLE)[0] == EOK
    assert guest.hcall(GET_STATE, CONSOLE)[:2] == (EOK, IDLE), "no room: not delivered"
    return guest


def test_full_queue_is_tried_again_when_its_head_moves() -> None:
    guest = full()
    set_head(guest, DEV, 64)
    assert guest.hcall(GET_STATE, CONSOLE)[:2] == (EOK, DELIVERED)
    assert (pointer(guest, DEV, 0), pointer(guest, DEV, 1)) == (64, 0)
    assert guest.memory.load(MORE + 64) == CONSOLE


def test_full_queue_goes_through_a_state_image() -> None:
    guest = full()
    other = Guest()
    other.machine.load(guest.machine.save())
    assert other.machine.digest() == guest.machine.digest()
    for each in (guest, other):
        set_head(each, DEV, 64)
        assert each.hcall(GET_STATE, CONSOLE)[:2] == (EOK, DELIVERED)
    assert other.machine.digest() == guest.machine.digest()


def test_head_of_another_queue_or_strand_changes_nothing() -> None:
    guest = full(strands=2)
    set_head(guest, 0x3C, 0)
    guest.number = 1
    set_head(guest, DEV, 0)
    guest.number = 0
    assert guest.hcall(GET_STATE, CONSOLE)[:2] == (EOK, IDLE)
    set_head(guest, DEV, 64)
    assert guest.hcall(GET_STATE, CONSOLE)[:2] == (EOK, DELIVERED)


def test_queue_that_comes_late_gets_the_mondo() -> None:
    guest = console_on(Guest())
    guest.machine.console.feed(b"a")
    assert guest.hcall(GET_STATE, CONSOLE)[:2] == (EOK, IDLE)
    assert guest.hcall(QCONF, DEV, MORE, 4)[0] == EOK
    assert mondos(guest) == [CONSOLE]


def test_other_target_for_a_full_queue() -> None:
    guest = full(strands=2)
    assert guest.hcall(SET_TARGET, CONSOLE, 1)[0] == EOK
    assert guest.hcall(GET_STATE, CONSOLE)[:2] == (EOK, DELIVERED)
    assert guest.memory.load(MORE + 0x1000) == CONSOLE


# -- error reports

REPORT = ErrorReport(kind=ErrorKind.UNCORRECTED, attributes=ErrorAttribute.MEMORY | ErrorAttribute.USER_MODE,
                     address=0x4000, size_bytes=64)  # fmt: skip


def test_resumable_report() -> None:
    guest = with_queue(4, RESUMABLE, strands=2)
    assert guest.machine.report_error(1, REPORT) == 1
    guest.number = 1
    entry = [guest.memory.load(MORE + 0x1000 + 8 * n) for n in range(8)]
    assert entry[0] == 1
    assert entry[1] == guest["stick"]
    assert entry[2:] == [1 << 32 | 1 << 24 | 2, 0x4000, 64 << 32 | 1 << 16, 0, 0, 0]
    assert pointer(guest, RESUMABLE, 1) == 64
    assert guest.trap(asm("or", "g0", 1, "l0"), pstate=PRIV | IE, pil=15) == 0x7E


def test_every_field_has_its_place() -> None:
    guest = with_queue(4, RESUMABLE)
    report = ErrorReport(kind=ErrorKind.SHUTDOWN, attributes=ErrorAttribute.SHUTDOWN, grace_seconds=300,
                         asi=0x25, asr=25)  # fmt: skip
    guest.machine.report_error(0, report)
    assert guest.memory.read(MORE + 0x10, 4) == b"\0\0\0\4"
    assert guest.memory.read(MORE + 0x14, 4) == b"\0\0\0\x20"
    assert guest.memory.load(MORE + 0x18) == MASK64
    assert guest.memory.read(MORE + 0x24, 8) == bytes.fromhex("0000 012c 25 00 8019")


@pytest.mark.parametrize("kind", [ErrorKind.PRECISE, ErrorKind.DEFERRED])
def test_nonresumable_report_traps_without_interrupts_enabled(kind: ErrorKind) -> None:
    guest = with_queue(4, NONRESUMABLE)
    assert guest.machine.report_error(0, replace(REPORT, kind=kind)) == 1
    assert guest.memory.read(MORE + 0x13, 1) == bytes([kind.value])
    assert guest.trap(asm("or", "g0", 1, "l0"), pstate=PRIV) == 0x7F


def test_full_error_queue() -> None:
    guest = with_queue(4, RESUMABLE)
    handles = [guest.machine.report_error(0, REPORT) for _ in range(5)]
    assert handles == [1, 2, 3, None, None]
    attributes = [guest.memory.load(MORE + 64 * n + 0x10) & 1 << 31 for n in range(4)]
    assert attributes == [0, 0, 1 << 31, 0], "the last one that fits says so"
    set_head(guest, RESUMABLE, 128)
    other = Guest()
    other.machine.load(guest.machine.save())
    assert other.machine.report_error(0, REPORT) == 4, "handles are unique"
    assert other.memory.load(MORE + 192) == 4


def test_reports_nobody_can_take() -> None:
    guest = Guest(strands=2)
    assert guest.machine.report_error(0, REPORT) is None
    with pytest.raises(StrandError):
        guest.machine.report_error(2, REPORT)
    guest = with_queue(4, RESUMABLE, strands=2)
    assert guest.hcall(0x11, 1)[0] == EOK
    assert guest.machine.report_error(1, REPORT) is None, "stopped"


def test_mondo_send_is_not_an_interrupt_source() -> None:
    """A CPU mondo leaves the device queue alone."""
    guest = with_queue(strands=2)
    guest.number = 1
    assert guest.hcall(QCONF, 0x3C, MORE + 0x4000, 4)[0] == EOK
    guest.number = 0
    guest.memory.write(DATA, b"\0\1")
    assert guest.hcall(MONDO_SEND, 1, DATA, DATA + 0x400)[0] == EOK
    guest.number = 1
    assert mondos(guest) == []


def test_interrupts_do_not_depend_on_how_a_run_is_cut() -> None:
    """Strand 1 sleeps in CPU_YIELD with interrupts on and takes the mondos; strand 0 ends them and counts."""
    digests = set()
    for cut in (5000, 777, 61):
        guest = console_on(with_queue(16, strands=2), cpu=1)
        arguments = [asm("or", "g0", value, name) for name, value in (("o0", CONSOLE), ("o1", IDLE), ("o5", SET_STATE))]
        guest.load(*arguments, ta(0x80), asm("add", "g3", 1, "g3"), asm("ba", 0, -20), asm("or", "g0", 0, "g0"))
        guest.number = 1
        guest.set(o5=YIELD, pstate=PRIV).load(ta(0x80), asm("ba", 0, -4), asm("add", "g3", 1, "g3"), at=0x14000)
        for letter in b"abc":
            guest.machine.console.feed(bytes([letter]))
            left = 5000
            while left:
                left -= guest.machine.run(min(cut, left)).insns
        assert pointer(guest, DEV, 1) > 0
        guest.set(g1=0, g2=0)
        digests.add(guest.machine.digest())
    assert len(digests) == 1
