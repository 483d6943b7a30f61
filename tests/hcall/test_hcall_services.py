"""SOFT_STATE_*, watchdog, reboot data, MACH_SUSPEND, RNG_* (UltraSPARC VM Specification 3.0)."""

from __future__ import annotations

import pytest
from asm_support import HERE, asm, code, ta
from guest_support import CODE, DATA, EBADALIGN, EBADTRAP, EINVAL, ENORADDR, ENOTSUPPORTED, EOK, Guest

from emulator import Machine, StopReason
from emulator.errors import ConfigError, StrandError

WATCHDOG, SOFT_SET, SOFT_GET, REBOOT_GET, REBOOT_SET, SUSPEND = 0x05, 0x70, 0x71, 0x171, 0x172, 0x181
RNG_CTL_READ, RNG_DATA = 0x131, 0x134
CORE, SOFT, RNG, REBOOT = 1, 3, 0x104, 0x110
ENOACCESS = 10
OUTSIDE = 1 << 40
MASK64 = (1 << 64) - 1


def guest_with(*groups: tuple[int, int, int], **options: object) -> Guest:
    guest = Guest(**options)  # type: ignore[arg-type]
    for group, major, minor in groups:
        assert guest.hcall(0, group, major, minor, trap=0xFF)[:2] == (EOK, minor)
    return guest


def copy_of(guest: Guest) -> Guest:
    """The same guest in another machine, through its state image."""
    other = Guest()
    other.machine.load(guest.machine.save())
    assert other.machine.digest() == guest.machine.digest()
    return other


# -- versions


@pytest.mark.parametrize(("group", "major", "minor"), [(SOFT, 1, 0), (RNG, 1, 0), (RNG, 2, 0), (REBOOT, 1, 0)])
def test_groups_are_negotiated(group: int, major: int, minor: int) -> None:
    guest = Guest()
    calls = {SOFT: SOFT_GET, RNG: RNG_DATA, REBOOT: REBOOT_GET}
    assert guest.hcall(3, group, trap=0xFF)[0] == EINVAL
    assert guest.hcall(calls[group], DATA, 0)[0] == EBADTRAP
    assert guest.hcall(0, group, 3, 0, trap=0xFF)[:2] == (ENOTSUPPORTED, 0)
    assert guest.hcall(0, group, major, 9, trap=0xFF)[:2] == (EOK, minor)
    assert guest.hcall(3, group, trap=0xFF)[:3] == (EOK, major, minor)
    assert guest.hcall(calls[group], DATA, 0)[0] == EOK
    other = copy_of(guest)
    assert other.hcall(calls[group], DATA, 0)[0] == EOK
    other.machine.reset()
    other.strand.start(CODE)
    assert other.hcall(calls[group], DATA, 0)[0] == EBADTRAP


# -- soft state


def test_soft_state() -> None:
    guest = guest_with((SOFT, 1, 0))
    assert (guest.machine.soft_state.normal, guest.machine.soft_state.text) == (False, "")
    guest.memory.write(DATA, b"Linux booting\0 and what is behind"[:32])
    assert guest.hcall(SOFT_SET, 1, DATA)[0] == EOK
    assert (guest.machine.soft_state.normal, guest.machine.soft_state.text) == (True, "Linux booting")
    guest.memory.write(DATA + 0x40, b"\xff" * 32)
    assert copy_of(guest).machine.soft_state == guest.machine.soft_state
    assert guest.hcall(SOFT_GET, DATA + 0x40)[:2] == (EOK, 1)
    assert guest.memory.read(DATA + 0x40, 32) == b"Linux booting".ljust(32, b"\0")
    guest.machine.reset()
    assert (guest.machine.soft_state.normal, guest.machine.soft_state.text) == (False, "")


@pytest.mark.parametrize(("function", "args", "status"), [
    (SOFT_SET, (0, DATA), EINVAL), (SOFT_SET, (3, DATA), EINVAL), (SOFT_SET, (1 << 32 | 1, DATA), EINVAL),
    (SOFT_SET, (1, DATA + 8), EBADALIGN), (SOFT_SET, (1, OUTSIDE), ENORADDR), (SOFT_SET, (1, MASK64 - 31), ENORADDR),
    (SOFT_SET, (1, DATA + 0x100), EINVAL), (SOFT_GET, (DATA + 16,), EBADALIGN), (SOFT_GET, (OUTSIDE,), ENORADDR),
])  # fmt: skip
def test_soft_state_errors(function: int, args: tuple[int, ...], status: int) -> None:
    guest = guest_with((SOFT, 1, 0))
    guest.memory.write(DATA + 0x100, b"x" * 32)  # without its NUL
    assert guest.hcall(function, *args)[0] == status
    assert (guest.machine.soft_state.normal, guest.machine.soft_state.text) == (False, "")


# -- watchdog


def test_watchdog_bites_at_its_time_and_once() -> None:
    guest = Guest()
    second = guest.machine.cpu.tick_hz
    assert guest.hcall(WATCHDOG, 1)[:2] == (EOK, 0), "rounded up to a second"
    assert guest.machine.watchdog_ms == 1000
    guest.load()
    start = guest["tick"]
    guest.set(tick_cmpr=start + 2 * second, o5=0x12).load(ta(0x80), at=CODE)  # yield: idle time passes at once
    stop = guest.machine.run(1000)
    assert stop.reason is StopReason.EXPIRED
    assert start + second - 8 <= guest["tick"] <= start + second
    assert guest.machine.watchdog_ms == 0
    assert guest.machine.run(1000).reason is StopReason.BUDGET


def test_watchdog_bites_a_strand_at_work() -> None:
    """No sooner and no later however the run is cut, and in another machine."""
    ends = set()
    for cut in (1 << 20, 7777):
        guest = Guest()
        assert guest.hcall(WATCHDOG, 1000)[0] == EOK
        ticks = guest.machine.cpu.tick_hz - 100_000
        guest.set(tick_cmpr=guest["tick"] + ticks, o5=0x12).load(ta(0x80))
        guest = copy_of(guest)
        for _ in range(1000):
            stop = guest.machine.run(cut)
            if stop.reason is not StopReason.BUDGET:
                break
        assert stop.reason is StopReason.EXPIRED
        ends.add((guest["tick"], guest.machine.insns, guest.machine.digest()))
    assert len(ends) == 1


def test_watchdog_patted_and_turned_off() -> None:
    guest = Guest()
    assert guest.hcall(WATCHDOG, 5000)[:2] == (EOK, 0)
    assert guest.hcall(WATCHDOG, 2001)[:2] == (EOK, 5000)
    assert guest.hcall(WATCHDOG, 0)[:2] == (EOK, 3000)
    assert guest.machine.watchdog_ms == 0
    guest.set(o5=0x12).load(ta(0x80))
    assert guest.machine.run(100).reason is StopReason.IDLE


def test_watchdog_set_in_the_middle_of_a_run_counts() -> None:
    guest = Guest()
    guest.set(o5=WATCHDOG, o0=1000)
    guest.load(ta(0x80), asm("or", "g0", 0x12, "o5"), ta(0x80))
    assert guest.machine.run(1 << 22).reason is StopReason.EXPIRED


def test_watchdog_errors() -> None:
    guest = Guest()
    assert guest.hcall(WATCHDOG, 31_536_000_000)[0] == EOK
    for ms in (31_536_000_001, 1 << 63, MASK64):
        assert guest.hcall(WATCHDOG, ms)[0] == EINVAL
    assert guest.machine.watchdog_ms == 31_536_000_000
    assert guest.hcall(0, CORE, 1, 0, trap=0xFF)[0] == EOK
    assert guest.hcall(WATCHDOG, 0)[0] == EBADTRAP


# -- reboot data


def test_reboot_data_survives_a_reset() -> None:
    guest = guest_with((REBOOT, 1, 0))
    guest.memory.write(DATA, bytes(range(256)) * 2)
    assert guest.hcall(REBOOT_GET, 0, 0)[:2] == (EOK, 0)
    assert guest.hcall(REBOOT_SET, DATA, 512)[0] == EOK
    guest.machine.reset()
    assert guest.machine.strands[0].state.name == "STOPPED"
    guest.strand.start(CODE)
    assert guest.hcall(0, REBOOT, 1, 0, trap=0xFF)[0] == EOK
    guest = copy_of(guest)
    assert guest.machine.reboot_data == bytes(range(256)) * 2
    assert guest.hcall(REBOOT_GET, DATA + 0x1000, 511)[:2] == (EINVAL, 512)
    assert guest.memory.read(DATA + 0x1000, 512) == bytes(512)
    assert guest.hcall(REBOOT_GET, 0, 0)[:2] == (EOK, 512)
    assert guest.hcall(REBOOT_GET, DATA + 0x1000, 600)[:2] == (EOK, 512)
    assert guest.memory.read(DATA + 0x1000, 513) == bytes(range(256)) * 2 + b"\0"
    assert guest.hcall(REBOOT_SET, 8, 0)[0] == EOK
    assert guest.machine.reboot_data == b""


def test_reboot_data_from_the_client() -> None:
    guest = guest_with((REBOOT, 1, 0))
    guest.machine.reboot_data = b"boot disk1 -s"
    assert guest.hcall(REBOOT_GET, DATA, 16)[:2] == (EOK, 13)
    assert guest.memory.read(DATA, 13) == b"boot disk1 -s"
    with pytest.raises(ConfigError, match="512"):
        guest.machine.reboot_data = bytes(513)


@pytest.mark.parametrize(("function", "args", "status"), [
    (REBOOT_SET, (DATA, 513), EINVAL), (REBOOT_SET, (DATA, MASK64), EINVAL), (REBOOT_SET, (DATA + 8, 8), EBADALIGN),
    (REBOOT_SET, (OUTSIDE, 8), ENORADDR), (REBOOT_GET, (OUTSIDE, 8), ENORADDR), (REBOOT_GET, (DATA + 4, 64), EBADALIGN),
    (REBOOT_GET, (DATA, MASK64), ENORADDR), (REBOOT_GET, (DATA, 2), EINVAL),
])  # fmt: skip
def test_reboot_data_errors(function: int, args: tuple[int, int], status: int) -> None:
    guest = guest_with((REBOOT, 1, 0))
    guest.machine.reboot_data = b"abc"
    assert guest.hcall(function, *args)[0] == status
    assert guest.machine.reboot_data == b"abc"


# -- suspend


@pytest.mark.parametrize("status", [EOK, 9])
def test_suspend_and_resume_in_another_machine(status: int) -> None:
    guest = guest_with((CORE, 1, 2))
    guest.set(o5=SUSPEND, o0=77)
    guest.load(ta(0x80), asm("or", "g0", 5, "l0"))
    stop = guest.machine.run(1000)
    assert (stop.reason, stop.strand, guest.machine.suspended) == (StopReason.SUSPEND, 0, True)
    assert guest.machine.run(1000).insns == 0
    other = copy_of(guest)
    assert other.strand.run(10).reason is StopReason.SUSPEND
    other.machine.resume(status)
    assert (other.machine.suspended, guest.machine.suspended) == (False, True)
    assert other.machine.run(10).reason is StopReason.BUDGET
    assert (other["o0"], other["l0"], other["pc"]) == (status, 5, CODE + 8)


def test_suspend_stops_the_other_strands() -> None:
    guest = guest_with((CORE, 1, 2), strands=2)
    guest.memory.write(0x18000, code(HERE))
    guest.machine.strands[1]["pc"] = 0x18000
    guest.set(o5=SUSPEND).load(ta(0x80))
    assert guest.machine.run(100_000).reason is StopReason.SUSPEND
    done = guest.machine.strands[1].insns
    assert guest.machine.run(100_000).reason is StopReason.SUSPEND
    assert guest.machine.strands[1].insns == done
    guest.machine.resume()
    assert guest.machine.run(100_000).reason is StopReason.BUDGET
    assert guest.machine.strands[1].insns > done


def test_suspend_needs_core_1_2_and_resume_a_suspended_guest() -> None:
    guest = guest_with((CORE, 1, 1))
    assert guest.hcall(SUSPEND)[0] == EBADTRAP
    with pytest.raises(StrandError, match="not suspended"):
        guest.machine.resume()


# -- random numbers


def draw(guest: Guest, count: int = 4) -> list[int]:
    numbers = []
    for _ in range(count):
        assert guest.hcall(RNG_DATA, DATA)[:2] == (EOK, 0)
        numbers.append(guest.memory.load(DATA))
    return numbers


def test_random_numbers_follow_the_seed() -> None:
    first, again, other = (guest_with((RNG, 2, 0), rng_seed=seed) for seed in (1, 1, 2))
    numbers = draw(first)
    assert draw(again) == numbers
    assert len(set(numbers) | set(draw(other))) == 8
    later = Guest(rng_seed=1)
    later.machine.load(first.machine.save())
    assert draw(later) == draw(first)


def test_seeds_of_machines_that_are_not_deterministic_differ() -> None:
    numbers = []
    for _ in range(2):
        with Machine("1M") as machine:
            read = (asm("or", "g0", RNG_DATA, "o5"), asm("or", "g0", "l0", "o0"), ta(0x80))
            machine.memory.write(CODE, code(ta(0xFF), *read))
            machine.strands[0].start(CODE, arg=RNG)
            for name, value in {"o1": 2, "o2": 0, "o5": 0, "l0": 0x8000}.items():
                machine.strands[0][name] = value
            machine.run(4)
            numbers.append(machine.memory.load(0x8000))
    assert numbers[0] != numbers[1]


@pytest.mark.parametrize(("function", "args", "status"), [
    (RNG_DATA, (DATA + 4,), EBADALIGN), (RNG_DATA, (OUTSIDE,), ENORADDR), (RNG_CTL_READ, (DATA, 0), ENOACCESS),
    (0x132, (DATA, 0, 0, 0), ENOACCESS), (0x133, (DATA, 8, 0), ENOACCESS),
])  # fmt: skip
def test_random_number_errors(function: int, args: tuple[int, ...], status: int) -> None:
    assert guest_with((RNG, 2, 0)).hcall(function, *args)[0] == status
