"""User programs: what they may do, what ends them, and that none of them can harm the kernel or another."""

from __future__ import annotations

import re

import pytest
from labos_support import PROMPT, Lab

CRASHES = {
    "read": "data access MMU miss at pc {pc}, address 0x100000000",
    "write": "data access MMU miss at pc {pc}, address 0x100000000",
    "jump": "instruction access MMU miss at pc 0x100000000",
    "code": "data access protection at pc {pc}, address 0x2000",
    "align": "memory address not aligned at pc {pc}",
    "stack": "memory address not aligned at pc {pc}",
    "illegal": "illegal instruction at pc {pc}",
    "privileged": "privileged opcode at pc {pc}",
    "kernel": "data access MMU miss at pc {pc}, address 0x400000",
}


@pytest.mark.parametrize("what", CRASHES)
def test_a_fault_ends_the_program_and_nothing_else(what: str) -> None:
    lab = Lab()
    free = lab.command("mem")
    pattern = re.escape(f"crash[1]: {CRASHES[what]}\n").replace(re.escape("{pc}"), "0x2[0-9a-f]{3}")
    assert re.fullmatch(pattern, lab.command(f"run crash {what}"))
    assert lab.command("echo $?") == "137\n"
    for _ in range(20):
        lab.command(f"run crash {what}")
    assert lab.command("run check") == "check: ok\n"
    assert lab.command("mem") == free


def test_arguments_and_status() -> None:
    lab = Lab()
    assert lab.command("run hello") == "hello from process 1\n"
    assert lab.command("run hello two  words") == "hello from process 1: two words\n"
    assert lab.command("run check") == "check: ok\n"
    assert lab.command("echo $?") == "0\n"
    assert lab.command("run nothing") == "nothing: no such program\n"
    assert lab.command("run") == "usage: run PROGRAM [ARGUMENT...]\n"


def ps(lab: Lab) -> list[list[str]]:
    rows = [row.split() for row in lab.command("ps").splitlines()]
    assert rows[0] == ["TID", "PID", "STATE", "CPU", "TIME", "NAME"]
    return rows[1:]


@pytest.mark.parametrize("vcpus", [1, 2, 4])
def test_programs_share_the_cpus_with_the_shell(vcpus: int) -> None:
    """Programs that compute for ever keep nobody waiting, and each gets its turns."""
    lab = Lab(vcpus=vcpus, platform="t2000")
    assert lab.command("spin 5") == ""
    lab.machine.run(100_000_000)
    before = lab.machine.insns
    assert lab.command("echo here") == "here\n"
    assert lab.machine.insns - before < 1_000_000
    lab.machine.run(300_000_000)
    lab.machine.console.read()
    times = [float(row[4]) for row in ps(lab) if row[5] == "spin"]
    assert len(times) == 5 and min(times) > 0.01 and max(times) < 4 * min(times)
    lab.command("spin stop")
    lab.machine.run(200_000_000)
    assert [row[5] for row in ps(lab)] == ["shell"]


def test_kill() -> None:
    lab = Lab()
    lab.command("spin 2")
    assert lab.command("kill 2") == ""
    lab.machine.run(50_000_000)
    assert [row[1] for row in ps(lab) if row[5] == "spin"] == ["1"]
    assert lab.command("kill 99") == "kill: 99: no such program\n"


def test_many_programs_come_and_go() -> None:
    """Contexts, stacks and pages are used again."""
    lab = Lab(vcpus=3)
    free = lab.command("mem")
    for _ in range(40):
        assert lab.command("run hello") == "hello from process 1\n"
    assert lab.command("mem") == free


def test_more_programs_than_there_is_room_for() -> None:
    lab = Lab(memory="16M")
    answer = lab.command("spin 300", budget=500_000_000)
    started = int(re.fullmatch(r"spin: only (\d+) started\n", answer)[1])  # type: ignore[index]
    assert 20 < started < 256
    lab.command("spin stop")
    lab.machine.run(100_000_000)
    assert lab.command("run check", budget=1_000_000_000) == "check: ok\n"


def test_interrupt_key_at_the_prompt() -> None:
    lab = Lab()
    lab.machine.console.feed(b"\x03")
    assert lab.expect(PROMPT) == f"^C\n{PROMPT}"


def test_a_program_may_sleep_longer_than_the_clock_counts() -> None:
    lab = Lab(vcpus=1)
    lab.type("run check sleep")
    lab.machine.run(2_000_000)
    assert lab.machine.console.read() == b"run check sleep\r\n"
    before = lab.machine.insns
    lab.machine.run(20_000)
    days = lab.machine.strands[0]["stick"] / 1e9 / 86400
    assert days > 1 and lab.machine.insns - before <= 20_000
