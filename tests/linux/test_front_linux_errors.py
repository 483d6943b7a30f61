"""Errors of memory and of CPUs as Linux hears of them, struck by rules of a plan.

What it does is its own (arch/sparc/kernel/traps_64.c): a resumable report is logged; memory that fails under a program
ends that program by SIGKILL, and its page is never used again; memory that fails under the kernel is a panic.
"""

from __future__ import annotations

import re

import pytest
from guest_console import GuestConsole
from linux_guest import Linux, boot_linux

from emulator import StopReason
from emulator.faults.rules import parse_plan
from emulator.run_faults import RunFaults

pytestmark = [pytest.mark.slow, pytest.mark.nosan]
PAGE = 8192
MARK = b"s4v-poisoned-pg."
BLOCK_BYTES = 8 << 20


@pytest.fixture(scope="module")
def guest(linux: Linux) -> GuestConsole:
    """One machine for these tests in their order; the last one is its end."""
    return boot_linux(linux, append="panic=-1")


def strike(guest: GuestConsole, *rows: dict[str, object]) -> None:
    """Rules that are due at once."""
    faults = RunFaults(guest.machine, parse_plan({"fault": [{**row, "at-ms": 0} for row in rows]}), "linux")
    faults.look()
    assert faults.report()["count"] == len(rows)


def pages_of(guest: GuestConsole, mark: bytes) -> list[int]:
    """Real addresses of pages that have nothing but this mark, again and again."""
    whole, found = mark * (PAGE // len(mark)), []
    for at, size in guest.machine.memory.ranges:
        for ra in range(at, at + size, BLOCK_BYTES):
            data = bytes(guest.machine.memory.read(ra, min(BLOCK_BYTES, at + size - ra)))
            place = data.find(whole)
            while place >= 0:
                page = -(-place // PAGE) * PAGE
                turned = data[page : page + PAGE]
                if len(turned) == PAGE and turned in whole * 2:
                    found.append(ra + page)
                place = data.find(whole, max(page, place) + PAGE)
    return found


def test_resumable_errors_are_logged_and_survived(guest: GuestConsole) -> None:
    guest.command("dmesg -c > /dev/null")
    strike(guest, {"point": "memory", "action": "corrected", "ra": 0x12345678},
           {"point": "cpu", "action": "report", "cpu": 0})  # fmt: skip
    said = guest.command("dmesg")
    assert said.count("RESUMABLE ERROR: Reporting on cpu 0") == 2, said
    assert "raddr [0x0000000012345640]" in said and "size [0x40]" in said, said
    assert re.search(r"attrs \[0x00000002\] < memory ", said) and "< processor int-registers " in said, said


def test_memory_that_fails_under_a_program_ends_the_program(guest: GuestConsole) -> None:
    """A shell that looks at a long text of its own, again and again; the shell that began it is not concerned."""
    guest.command("dmesg -c > /dev/null")
    grow = f"a={MARK.decode()}; for i in 1 2 3 4 5 6 7 8 9 10 11 12; do a=$a$a; done; echo grown"
    guest.send(f"sh -c '{grow}; read x; while :; do case $a in *Q*) ;; esac; done'; echo ended $?")
    guest.expect(r"grown\r\n")
    pages = pages_of(guest, MARK)
    assert pages
    strike(guest, *({"point": "memory", "action": "uncorrected", "ra": page + 64 * 5} for page in pages))
    guest.send("")
    assert guest.expect(r"ended (\d+)\r\n")[1] == "137"
    for page in pages:  # those that it had not come to are free now, and would fail under somebody else
        guest.machine.heal(page + 64 * 5, 64)
    said = guest.command("dmesg")
    failed = re.search(r"NON-RECOVERABLE ERROR: Memory failed at (\w+)", said)
    assert failed and int(failed[1], 16) - 64 * 5 in pages, said
    assert guest.command("echo well").strip() == "well"


def test_memory_that_fails_under_the_kernel_is_a_panic(guest: GuestConsole) -> None:
    mark = b"s4v-kernels-page"
    guest.command(f"a={mark.decode()}; for i in 1 2 3 4 5 6 7 8 9 10 11; do a=$a$a; done; echo -n $a > /file; a=")
    guest.command("cat /file > /dev/null")
    strike(guest, *({"point": "memory", "action": "uncorrected", "ra": page} for page in pages_of(guest, mark)))
    guest.send("sum /file")
    guest.expect(r"NON-RESUMABLE ERROR: Reporting on cpu 0")
    guest.expect(r"Kernel panic - not syncing: Non-resumable error")
    guest.run_to_stop(StopReason.RESET)
