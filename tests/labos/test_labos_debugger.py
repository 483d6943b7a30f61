"""Debugger, panic and error reports: what the kernel does when something is wrong, and what it says of itself."""

from __future__ import annotations

import re

import pytest
from labos_support import DEBUGGER, MODES, PROMPT, Lab

from emulator import StopReason
from emulator.guest import StrandState
from emulator.hypervisor import ErrorAttribute, ErrorKind, ErrorReport


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("vcpus", [1, 4])
def test_break_stops_everything_until_go(mode: str, vcpus: int) -> None:
    lab = Lab(mode=mode, vcpus=vcpus)
    lab.command("dirty 100000 1M")
    assert lab.interrupt() == "\nWelcome to the labos debugger: BREAK on cpu0\n[0]> "
    assert lab.soft_state == "Solaris debugging" and not lab.machine.soft_state.normal
    assert written(lab)
    lab.machine.run(20_000_000)
    assert not written(lab)
    lab.type("go")
    lab.machine.run(3_000_000)
    assert lab.soft_state == "Solaris running"
    lab.machine.console.read()
    assert lab.command("dirty check").endswith("128 pages, 0 wrong\n")


def written(lab: Lab) -> list[int]:
    """Pages outside the kernel's image written since the last look."""
    image = range(0x400000 // 8192, 0x800000 // 8192)
    return [page for page in lab.machine.dirty_harvest() if page not in image]


def test_its_commands() -> None:
    lab = Lab()
    lab.interrupt()
    registers = lab.debugger("regs")
    assert re.search(r"%pc 0x000000000040[0-9a-f]{4}  %npc", registers) and "%tt 0x7d" in registers
    trace = lab.debugger("bt").splitlines()
    assert re.fullmatch(r"  #0  0x0000000000[0-9a-f]{6}  sp 0x[0-9a-f]{16}  scheduler_idle\+0x[0-9a-f]+", trace[0])
    assert "  kernel_boot+0x" in trace[1]
    assert lab.debugger("mem 0x400000 2") == "0x0000000000400000: 7f454c4602020100 0000000000000000\n"
    stamp = 0x0123456789ABCDEF
    lab.machine.memory.store(0xA00008, stamp)
    assert lab.debugger("mem 0xffff800000a00008 1") == f"0xffff800000a00008: {stamp:016x}\n"
    assert lab.debugger("mem 0 1") == "0x0000000000000000: ----------------\n"
    assert lab.debugger("mem 0xffffc00000000000 1").endswith(" ----------------\n")
    assert lab.debugger("mem") == "usage: mem ADDRESS [WORDS]\n"
    assert lab.debugger("what").startswith("regs | bt | mem")
    lab.machine.console.break_()  # changes nothing
    lab.settle()
    lab.type("go")
    lab.settle()
    assert lab.command("echo on") == "on\n"


def test_by_command_and_twice() -> None:
    lab = Lab(vcpus=3)
    for _ in range(2):
        lab.type("debug")
        assert "Welcome to the labos debugger: command on cpu" in lab.expect(DEBUGGER)
        assert lab.soft_state == "Solaris debugging"
        lab.type("go")
        assert lab.expect(PROMPT).endswith(PROMPT)
        assert lab.soft_state == "Solaris running"
    assert lab.command("run check") == "check: ok\n"


def test_halt_from_the_debugger() -> None:
    lab = Lab()
    lab.interrupt()
    lab.type("halt")
    stop = lab.settle()
    assert (stop.reason, stop.exit_code) == (StopReason.EXIT, 0)


@pytest.mark.parametrize("vcpus", [1, 4])
def test_panic(vcpus: int) -> None:
    lab = Lab(vcpus=vcpus)
    lab.type("panic oops")
    stop = lab.settle()
    assert stop.reason is StopReason.RESET
    assert lab.soft_state == "Solaris panicking" and not lab.machine.soft_state.normal
    assert re.search(r"\npanic\[cpu\d+\]/thread=shell: oops\n(  #\d+ .*\n)+rebooting\.\.\.\n$", lab.seen)
    assert re.findall(r"  (\w+)\+0x", lab.seen)[2:] == ["command_panic", "shell_run", "shell_thread", "thread_begin"]
    others = [strand for strand in lab.machine.strands if strand.number != stop.strand]
    assert all(strand.state is StrandState.STOPPED for strand in others)


def test_panic_under_the_debugger() -> None:
    """With -k the person looks first."""
    lab = Lab(args="-k")
    lab.type("panic")
    assert lab.expect(DEBUGGER)
    assert lab.soft_state == "Solaris panicking"
    assert "  #0 " in lab.debugger("bt")
    lab.type("reboot")
    assert lab.settle().reason is StopReason.RESET


def test_trap_in_the_kernel_panics() -> None:
    """A jump to where no code is."""
    lab = Lab(vcpus=1)
    strand = lab.machine.strands[0]
    strand["pc"], strand["npc"] = 0x123400, 0x123404
    lab.type("echo")
    assert lab.settle().reason is StopReason.RESET
    assert "panic[cpu0]/thread=idle: instruction access MMU miss (0x9) at pc 0x123400" in lab.seen
    assert lab.soft_state == "Solaris panicking"


def test_trap_in_a_trap_panics() -> None:
    """A stack that is none cannot take the window a trap needs."""
    lab = Lab(vcpus=1)
    strand = lab.machine.strands[0]
    strand["o6"] = 0x300001
    strand["cansave"], strand["canrestore"] = 0, 6
    lab.type("echo")
    assert lab.settle().reason is StopReason.RESET
    assert "and in its handler" in lab.seen


MEMORY = ErrorAttribute.MEMORY


def test_resumable_errors_are_said_and_survived() -> None:
    lab = Lab()
    report = ErrorReport(kind=ErrorKind.UNCORRECTED, attributes=MEMORY, address=0x1234000, size_bytes=64)
    for _ in range(100):  # more than the queue holds at once
        assert lab.machine.report_error(1, report)
        lab.machine.run(200_000)
    text = lab.machine.console.read().decode().replace("\r", "")
    assert text == "Resumable error on cpu 1: memory, address 0x1234000, size 0x40\n" * 100
    assert lab.command("run check") == "check: ok\n"


def test_nonresumable_error_ends_the_program_it_hit() -> None:
    lab = Lab(vcpus=2)
    lab.command("spin 1")
    strand = next(s for s in lab.machine.strands if not s["pstate"] & 4)
    kind = ErrorKind.PRECISE
    lab.machine.report_error(strand.number, ErrorReport(kind=kind, attributes=MEMORY, address=0x5000000, size_bytes=8))
    lab.machine.run(5_000_000)
    text = lab.machine.console.read().decode().replace("\r", "")
    said, ended = text.splitlines()
    assert said == f"Nonresumable error on cpu {strand.number}: memory, address 0x5000000, size 0x8"
    assert ended.startswith("spin[1]: nonresumable error at pc 0x2")
    assert "spin" not in lab.command("ps")


def test_nonresumable_error_in_the_kernel_panics() -> None:
    lab = Lab(vcpus=2)
    lab.machine.report_error(0, ErrorReport(kind=ErrorKind.DEFERRED, attributes=ErrorAttribute.CPU))
    assert lab.settle().reason is StopReason.RESET
    assert "nonresumable error in the kernel" in lab.seen


def test_shutdown_request() -> None:
    """The platform asks: the domain ends by itself after the grace period."""
    lab = Lab()
    report = ErrorReport(kind=ErrorKind.SHUTDOWN, attributes=ErrorAttribute.SHUTDOWN, grace_seconds=10)
    lab.machine.report_error(0, report)
    lab.machine.report_error(0, report)
    stop = lab.settle()
    assert (stop.reason, stop.exit_code) == (StopReason.EXIT, 0)
    assert lab.seen.count("shutdown requested by the platform in 10 seconds\n") == 1
