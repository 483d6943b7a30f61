"""Memory, time of day, console and exit hypercalls (UltraSPARC VM Specification 3.0)."""

from __future__ import annotations

import pytest
from asm_support import NOP, ta
from guest_support import (
    DATA,
    EBADALIGN,
    EINVAL,
    ENORADDR,
    EOK,
    EWOULDBLOCK,
    MASK64,
    MORE,
    Guest,
)

from emulator import StopReason

MACH_EXIT, MACH_SIR, MEM_SCRUB, MEM_SYNC, TOD_GET, TOD_SET = 0x00, 0x02, 0x31, 0x32, 0x50, 0x51
GETCHAR, PUTCHAR, READ, WRITE = 0x60, 0x61, 0x62, 0x63
OUTSIDE, END = 1 << 40, 4 << 20


def call(guest: Guest, function: int, *args: int) -> StopReason:
    """Run into a call that stops the machine; its budget is plenty."""
    guest.set(o5=function, **{f"o{n}": value for n, value in enumerate(args)})
    return guest.run_to_stop(ta(0x80), NOP, budget=10).reason


# -- memory


@pytest.mark.parametrize(("args", "status"), [
    ((DATA, 0), EINVAL), ((DATA + 64, 8192), EBADALIGN), ((DATA, 100), EBADALIGN), ((OUTSIDE, 8192), ENORADDR),
    ((END - 8192, 16384), ENORADDR), ((MASK64 - 8191, 8192), ENORADDR), ((DATA, MASK64 - 8191), ENORADDR),
])
def test_memory_range_errors(args: tuple[int, int], status: int) -> None:
    for function in (MEM_SCRUB, MEM_SYNC):
        guest = Guest()
        guest.memory.write(DATA, b"\x5a" * 16384)
        assert guest.hcall(function, *args)[0] == status
        assert guest.memory.read(DATA, 16384) == b"\x5a" * 16384


def test_scrub_clears_and_sync_does_not() -> None:
    guest = Guest()
    guest.memory.write(DATA, b"\x5a" * 32768)
    assert guest.hcall(MEM_SYNC, DATA + 8192, 16384)[:2] == (EOK, 16384)
    assert guest.memory.read(DATA, 32768) == b"\x5a" * 32768
    guest.machine.dirty_harvest()
    assert guest.hcall(MEM_SCRUB, DATA + 8192, 16384)[:2] == (EOK, 16384)
    assert guest.memory.read(DATA, 32768) == b"\x5a" * 8192 + bytes(16384) + b"\x5a" * 8192
    assert {(DATA >> 13) + 1, (DATA >> 13) + 2} <= set(guest.machine.dirty_harvest())


# -- time of day


def test_time_of_day_is_kept_by_the_domain() -> None:
    guest = Guest(tod_seconds=1_000_000)
    assert guest.hcall(TOD_GET)[:2] == (EOK, 1_000_000)
    assert guest.hcall(TOD_SET, 5_000)[0] == EOK
    assert guest.hcall(TOD_GET)[:2] == (EOK, 5_000)
    guest.set(o5=0x12, stick_cmpr=guest["stick"] + 3 * guest.machine.cpu.stick_hz)  # CPU_YIELD for three seconds
    guest.load(ta(0x80))
    guest.machine.run(5)
    assert guest.hcall(TOD_GET)[:2] == (EOK, 5_003)


# -- console


def test_putchar() -> None:
    guest = Guest()
    for value, status in ((0, EOK), (255, EOK), (MASK64, EOK), (256, EINVAL), (MASK64 - 1, EINVAL), (1 << 32, EINVAL)):
        assert guest.hcall(PUTCHAR, value)[0] == status
    assert guest.machine.console.read() == b"\0\xff", "BREAK is no character"


def test_getchar() -> None:
    guest = Guest()
    assert guest.hcall(GETCHAR)[:2] == (EWOULDBLOCK, 1)
    guest.machine.console.feed(b"a\xff")
    assert guest.hcall(GETCHAR)[:2] == (EOK, ord("a"))
    assert guest.hcall(GETCHAR)[:2] == (EOK, 0xFF)
    guest.machine.console.break_()
    assert guest.hcall(GETCHAR)[:2] == (EOK, MASK64)
    assert guest.hcall(GETCHAR)[0] == EWOULDBLOCK
    guest.machine.console.feed(b"z")
    guest.machine.console.hangup()
    assert guest.hcall(GETCHAR)[:2] == (EOK, ord("z")), "what came before it"
    assert guest.hcall(GETCHAR)[:2] == (EOK, MASK64 - 1)


def test_read() -> None:
    guest = Guest()
    assert guest.hcall(READ, DATA, 100)[0] == EWOULDBLOCK, "never EOK with nothing"
    guest.machine.console.feed(b"hello")
    for args in ((OUTSIDE, 10), (END - 4, 8), (DATA, MASK64)):
        assert guest.hcall(READ, *args)[0] == ENORADDR
    assert guest.hcall(READ, DATA + 1, 3)[:2] == (EOK, 3)
    assert guest.hcall(READ, DATA + 4, 100)[:2] == (EOK, 2)
    assert guest.memory.read(DATA, 7) == b"\0hello\0"
    guest.machine.console.break_()
    assert guest.hcall(READ, DATA, 100)[:2] == (EOK, MASK64)
    guest.machine.console.hangup()
    assert guest.hcall(READ, DATA, 100)[:2] == (EOK, MASK64 - 1)


def test_write() -> None:
    guest = Guest()
    guest.memory.write(DATA, b"over and out")
    for args in ((OUTSIDE, 10), (END - 4, 8), (DATA, MASK64)):
        assert guest.hcall(WRITE, *args)[0] == ENORADDR
    assert guest.hcall(WRITE, DATA + 5, 7)[:2] == (EOK, 7)
    assert guest.machine.console.read() == b"and out"


def test_large_writes_are_taken_in_parts() -> None:
    guest = Guest()
    text = bytes(n % 251 for n in range(20_000))
    guest.memory.write(MORE, text)
    done = 0
    while done < len(text):
        status, n, *_ = guest.hcall(WRITE, MORE + done, len(text) - done)
        assert status == EOK and n >= 1
        done += n
    assert guest.machine.console.read() == text


@pytest.mark.parametrize(("function", "args"), [(PUTCHAR, (ord("!"),)), (WRITE, (DATA, 1))])
def test_full_console_stops_the_machine_and_the_call_runs_again(function: int, args: tuple[int, ...]) -> None:
    guest = Guest()
    guest.memory.write(DATA, b"!")
    for _ in range(16):
        assert guest.hcall(WRITE, MORE, 4096)[:2] == (EOK, 4096)
    before = guest.machine.insns
    assert call(guest, function, *args) is StopReason.CONSOLE
    assert guest["pc"] == 0x10000 and guest.machine.insns == before, "not completed"
    assert len(guest.machine.console.read()) == 65536
    guest.strand.step()
    assert guest["o0"] == EOK and guest.machine.console.read() == b"!"


# -- the machine


def test_exit_and_reset() -> None:
    guest = Guest(strands=2)
    guest.set(o5=MACH_EXIT, o0=0x1_0000_0005)
    stop = guest.run_to_stop(ta(0x80))
    assert (stop.reason, stop.exit_code) == (StopReason.EXIT, 0x1_0000_0005)
    assert {strand.state.name for strand in guest.machine.strands} == {"STOPPED"}
    assert call(Guest(), MACH_SIR) is StopReason.RESET
