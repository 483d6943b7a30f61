"""Cpus that come and go, under load; and processors that are told what to do by others all the time."""

from __future__ import annotations

import random

import pytest
from labos_support import Lab

from emulator.guest import StrandState


def online(lab: Lab) -> set[int]:
    rows = [row.split("\t") for row in lab.command("psrinfo").splitlines()]
    return {int(row[0]) for row in rows if row[1] == "on-line"}


def test_offline_and_online() -> None:
    lab = Lab(vcpus=4)
    assert lab.command("psradm -f 2") == ""
    assert online(lab) == {0, 1, 3}
    assert lab.machine.strands[2].state is StrandState.STOPPED
    assert lab.command("psradm -f 2") == ""
    assert lab.command("psradm -n 2") == ""
    assert online(lab) == {0, 1, 2, 3}
    assert lab.machine.strands[2].state is StrandState.RUNNING


def test_the_boot_cpu_goes_too_with_console_and_timers() -> None:
    lab = Lab(vcpus=3)
    for cpu in (0, 2):
        assert lab.command(f"psradm -f {cpu}") == ""
    assert online(lab) == {1}
    assert lab.command("psradm -f 1") == "psradm: processor 1: the last CPU cannot be unconfigured\n"
    assert lab.command("sleep 3") == ""
    assert lab.command("run check") == "check: ok\n"
    assert lab.command("psradm -n 0") == ""
    assert lab.command("psradm -f 1") == ""
    assert online(lab) == {0}
    assert lab.command("run check") == "check: ok\n"


def test_no_such_cpu() -> None:
    lab = Lab(vcpus=2)
    assert lab.command("psradm -f 7") == "psradm: processor 7: CPU is not in the machine description\n"
    assert lab.command("psradm -n 7") == "psradm: processor 7: CPU is not in the machine description\n"
    assert lab.command("psradm -n 4096") == "psradm: processor 4096: CPU is not in the machine description\n"
    assert lab.command("psradm -x 1").startswith("usage: ")


@pytest.mark.parametrize("seed", [1, 2])
def test_under_load(seed: int) -> None:
    """Programs run, stamps are written, and cpus come and go in any order: nothing is lost."""
    print("seed", seed)
    chance = random.Random(seed)
    lab = Lab(vcpus=5)
    lab.command("spin 4")
    lab.command("dirty 20000 1M")
    there = set(range(5))
    for _ in range(25):
        cpu = chance.randrange(5)
        if cpu in there and len(there) > 1:
            assert lab.command(f"psradm -f {cpu}", budget=1_000_000_000) == ""
            there.remove(cpu)
        elif cpu not in there:
            assert lab.command(f"psradm -n {cpu}", budget=1_000_000_000) == ""
            there.add(cpu)
        lab.machine.run(chance.randrange(1, 3_000_000))
        lab.machine.console.read()
    assert online(lab) == there
    assert lab.command("dirty check", budget=1_000_000_000).endswith("128 pages, 0 wrong\n")
    assert sum("spin" in row for row in lab.command("ps").splitlines()) == 4
    lab.command("spin stop")
    assert lab.command("run check", budget=1_000_000_000) == "check: ok\n"


def test_a_suspend_with_a_cpu_missing() -> None:
    lab = Lab(vcpus=3)
    lab.command("psradm -f 1")
    lab.type("suspend")
    lab.settle()
    assert lab.machine.suspended
    lab.machine.resume()
    lab.expect("# ")
    assert online(lab) == {0, 2}
    assert lab.command("psradm -n 1") == ""
    assert lab.command("run check") == "check: ok\n"
