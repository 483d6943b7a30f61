"""Suspend, resume, and the oracle of a migration: what the guest must not lose, and what it may notice."""

from __future__ import annotations

import pytest
from labos_support import MODES, PROMPT, Lab

from emulator import Machine, StopReason
from emulator.mdesc import build, plain_resources

STICK_OFF = 1 << 63


def suspended(lab: Lab) -> None:
    lab.type("suspend")
    assert lab.settle().reason is StopReason.SUSPEND
    assert lab.machine.suspended and lab.soft_state == "Solaris suspended"


def moved(lab: Lab, *, lost_seconds: int = 0, **options: object) -> Lab:
    """The same guest in another machine."""
    old = lab.machine
    other = Lab(boot=False, memory=f"{old.memory.size_bytes >> 20}M", vcpus=len(old.strands), **options)
    other.machine.load(later(old, lost_seconds))
    old.close()
    return other


def later(machine: Machine, seconds: int) -> bytes:
    """The state of a machine whose TICK, and with it STICK and TOD, ran on while nothing else did."""
    state, tick = machine.save(), machine.strands[0]["tick"]
    assert state.count(tick.to_bytes(8, "little")) == 1
    return state.replace(tick.to_bytes(8, "little"), (tick + seconds * machine.platform.clock_hz).to_bytes(8, "little"))


@pytest.mark.parametrize("vcpus", [1, 2, 8])
def test_suspend_and_resume(vcpus: int) -> None:
    lab = Lab(vcpus=vcpus)
    lab.command("dirty 50000 2M")
    lab.command("spin 2")
    for _ in range(3):
        suspended(lab)
        lab.machine.resume()
        lab.expect(PROMPT)
        assert lab.soft_state == "Solaris running" and lab.machine.soft_state.normal
        assert lab.command("dirty check").endswith("256 pages, 0 wrong\n")
    lab.command("spin stop")
    assert lab.command("run check", budget=1_000_000_000) == "check: ok\n"


def test_all_strands_are_at_rest_while_it_is_suspended() -> None:
    lab = Lab(vcpus=4)
    lab.command("spin 3")
    suspended(lab)
    assert all(strand["pstate"] & 2 == 0 and strand["pstate"] & 4 for strand in lab.machine.strands)


def test_refused() -> None:
    lab = Lab()
    suspended(lab)
    lab.machine.resume(9)
    assert lab.expect(PROMPT) == f"suspend: status 9\n{PROMPT}"
    assert lab.soft_state == "Solaris running"
    assert lab.command("run check") == "check: ok\n"


def test_another_machine_with_another_clock_and_description() -> None:
    """The clock goes on where it stood, so it is late by the time that was lost; the description is read again."""
    lab = Lab(vcpus=2, platform="t4-1", cpu_arch="migration-class1", tod_seconds=1_000_000)
    assert lab.command("sleep 100") == ""
    suspended(lab)
    other = moved(lab, lost_seconds=500, platform="t4-1", cpu_arch="migration-class1", tod_seconds=1_000_000)
    machine = other.machine
    target = build(
        machine.platform, plain_resources(machine.platform, 2, machine.memory.size_bytes, cpu_arch="generic")
    )
    machine.machine_description = target
    machine.resume()
    other.expect(PROMPT)
    before = int(other.command("date +%s"))
    assert 1_000_100 <= before <= 1_000_101
    assert other.command("isainfo -v").splitlines()[1].split() == ["asi_blk_init", "vis2", "vis", "popc"]
    assert other.command("sleep 50") == ""
    assert int(other.command("date +%s")) - before in (50, 51)
    assert other.command("run check") == "check: ok\n"


def test_programs_do_not_see_counters_jump() -> None:
    """After a resume user reads of TICK and STICK trap, and the kernel gives them its own clock."""
    lab = Lab(vcpus=2)
    before = int(lab.command("run clock"))
    suspended(lab)
    other = moved(lab, lost_seconds=500)
    other.machine.resume()
    other.expect(PROMPT)
    after = int(other.command("run clock"))
    assert before < after < before + 100_000_000
    assert other.machine.strands[0]["stick"] & ~STICK_OFF > 500_000_000_000


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("vcpus", [1, 3])
def test_saved_while_it_writes_and_loaded_elsewhere(mode: str, vcpus: int) -> None:
    lab = Lab(mode=mode, vcpus=vcpus)
    lab.command("dirty 200000 4M")
    lab.machine.run(7_654_321)
    lab.machine.console.read()
    state, digest = lab.machine.save(), lab.machine.digest()
    other = Lab(boot=False, vcpus=vcpus, mode=mode)
    other.machine.load(state)
    assert other.machine.digest() == digest
    results = []
    for each in (lab, other):
        each.machine.run(5_000_000)
        results.append((each.command("dirty check"), each.command("dirty stop"), each.command("dirty check")))
    assert results[0] == results[1]
    assert results[0][2].endswith("512 pages, 0 wrong\n")
    assert int(results[0][2].split()[1]) > 1000
    assert lab.machine.digest() == other.machine.digest()


@pytest.mark.parametrize("word", [0, 4, 1023])
def test_dirty_check_finds_a_page_that_is_wrong(word: int) -> None:
    """One word that is not what it must be, in the head of a page or in a stamp."""
    lab = Lab(vcpus=1, memory="16M")
    lab.command("dirty 1000000 1M")
    lab.command("sleep 1", budget=4_000_000_000)
    lab.command("dirty stop")
    assert lab.command("dirty check").endswith("128 pages, 0 wrong\n")
    memory = lab.machine.memory
    pages = [ra for ra in range(0, memory.size_bytes, 8192) if is_stamped(memory.read(ra, 8192))]
    assert len(pages) == 128
    memory.store(pages[7] + 8 * word, memory.load(pages[7] + 8 * word) ^ 1)
    text = lab.command("dirty check")
    assert text.endswith("128 pages, 1 wrong\n") and f"at 0x{pages[7]:x} is wrong" in text


def test_dirty_check_finds_an_old_page() -> None:
    """The whole page as it was some rounds ago: good stamps, and too few of them."""
    lab = Lab(vcpus=1, memory="16M")
    lab.command("dirty 100000 64K")
    lab.command("sleep 1", budget=4_000_000_000)
    memory = lab.machine.memory
    page = next(ra for ra in range(0, memory.size_bytes, 8192) if is_stamped(memory.read(ra, 8192)))
    old = memory.read(page, 8192)
    lab.command("sleep 1", budget=4_000_000_000)
    lab.command("dirty stop")
    assert lab.command("dirty check").endswith(" 0 wrong\n")
    memory.write(page, old)
    assert lab.command("dirty check").endswith("8 pages, 1 wrong\n")


def is_stamped(page: bytes) -> bool:
    """Is the first slot a stamp: number, address, their exclusive or, complement of the number?"""
    words = [int.from_bytes(page[at : at + 8], "big") for at in range(32, 64, 8)]
    number, address, both, complement = words
    return address != 0 and both == number ^ address and complement == number ^ (1 << 64) - 1


def test_the_machine_that_resumes_is_the_only_one() -> None:
    lab = Lab(vcpus=2)
    suspended(lab)
    copy = Lab(boot=False, vcpus=2)
    assert isinstance(copy.machine, Machine)
    copy.machine.load(lab.machine.save())
    copy.machine.resume()
    copy.expect(PROMPT)
    assert copy.command("run check") == "check: ok\n"
    assert lab.machine.suspended
