"""RNG_*, with and without control of the unit, versions 1 and 2; Linux's self-test of it (n2-drv.c)."""

from __future__ import annotations

import struct

import pytest
from guest_support import DATA, EBADALIGN, EBADTRAP, EINVAL, ENORADDR, EOK, EWOULDBLOCK, MASK64, Guest

GET_CONTROL, CTL_READ, CTL_WRITE, READ_DIAG, READ = range(0x130, 0x135)
ENOACCESS, EIO = 10, 11
UNCONFIGURED, CONFIGURED, HEALTHCHECK, ERROR = range(4)
OUTSIDE = 1 << 40
SHIFT_REGISTER = 8


def guest_of(major: int, *, control: bool, platform: str = "t5-2") -> Guest:
    guest = Guest(platform=platform, rng_control=control)
    assert guest.hcall(0, 0x104, major, 0, trap=0xFF)[:2] == (EOK, 0)
    return guest


def write(guest: Guest, state: int, words: tuple[int, ...] = (1, 2, 4, 7), timeout: int = 0, unit: int = 0) -> int:
    guest.memory.write(DATA, struct.pack(">4Q", *words))
    return guest.hcall(CTL_WRITE, DATA, state, timeout, unit)[0]


@pytest.mark.parametrize("major", [1, 2])
def test_a_guest_without_control(major: int) -> None:
    """Linux passes nonsense on purpose: ENOACCESS comes first."""
    guest = guest_of(major, control=False)
    assert guest.hcall(CTL_READ, 0, MASK64)[0] == ENOACCESS
    assert guest.hcall(CTL_WRITE, 3, 9, 9, 9)[0] == guest.hcall(READ_DIAG, OUTSIDE, 3, 9)[0] == ENOACCESS
    assert guest.hcall(GET_CONTROL)[0] == (ENOACCESS if major == 1 else EBADTRAP)
    guest.memory.write(DATA, bytes(16))
    assert guest.hcall(READ, DATA)[:2] == guest.hcall(READ, DATA + 8)[:2] == (EOK, 0)
    assert guest.memory.load(DATA) not in (0, guest.memory.load(DATA + 8))
    assert (guest.hcall(READ, DATA + 4)[0], guest.hcall(READ, OUTSIDE)[0]) == (EBADALIGN, ENORADDR)


def test_control_in_version_2() -> None:
    guest = guest_of(2, control=True)
    assert guest.hcall(GET_CONTROL)[0] == EBADTRAP
    assert guest.hcall(READ, DATA)[0] == EIO
    assert guest.hcall(CTL_READ, 0, 0) == (EOK, UNCONFIGURED, 0, 0, 0)
    assert write(guest, CONFIGURED) == EOK
    assert guest.hcall(CTL_READ, DATA + 64, 0) == (EOK, CONFIGURED, 0, 0, 0)
    assert guest.memory.read(DATA + 64, 32) == struct.pack(">4Q", 1, 2, 4, 7)
    assert guest.hcall(READ, DATA)[0] == EOK
    assert write(guest, ERROR) == EOK
    assert guest.hcall(READ, DATA)[0] == ENOACCESS
    assert write(guest, UNCONFIGURED) == EOK
    assert guest.hcall(READ, DATA)[0] == EIO
    for status, args in ((EBADALIGN, (DATA + 4, 1, 0, 0)), (EINVAL, (DATA, 1, 0, 1)), (EINVAL, (DATA, 4, 0, 0)),
                         (ENORADDR, (OUTSIDE, 1, 0, 0)), (ENORADDR, (0x3FFFE8, 0, 0, 0))):
        assert guest.hcall(CTL_WRITE, *args)[0] == status
    assert write(guest, CONFIGURED, (1, 2, 4, 1 << 28)) == EINVAL
    for status, args in ((EBADALIGN, (4, 0)), (EINVAL, (DATA, 1)), (ENORADDR, (OUTSIDE, 0)), (EINVAL, (0, MASK64))):
        assert guest.hcall(CTL_READ, *args)[0] == status
    for status, args in ((EBADALIGN, (DATA + 4, 8, 0)), (EBADALIGN, (DATA, 12, 0)), (EINVAL, (DATA, 0, 0)),
                         (EINVAL, (DATA, (128 << 10) + 8, 0)), (EINVAL, (DATA, 8, 1)), (ENORADDR, (0x3FFFF8, 16, 0))):
        assert guest.hcall(READ_DIAG, *args)[0] == status


def test_control_in_version_1_is_taken_first() -> None:
    guest = guest_of(1, control=True, platform="t5120")
    assert write(guest, CONFIGURED) == EIO
    assert guest.hcall(READ_DIAG, DATA, 64)[0] == EIO
    assert guest.hcall(CTL_READ, 0) == (EOK, UNCONFIGURED, 0, 1, 1)
    assert guest.hcall(GET_CONTROL)[0] == EOK
    assert write(guest, CONFIGURED) == EOK
    assert write(guest, CONFIGURED, (1, 2, 4, 1 << 25)) == EINVAL
    assert guest.hcall(READ_DIAG, DATA, 64)[:2] == (EOK, 0)
    other = Guest(platform="t5120", rng_control=True)
    other.machine.load(guest.machine.save())
    assert other.hcall(READ_DIAG, DATA, 64)[0] == EOK
    other.machine.reset()
    other.strand.start(0x10000)
    assert other.hcall(0, 0x104, 1, 0, trap=0xFF)[0] == EOK
    assert (other.hcall(READ, DATA)[0], other.hcall(READ_DIAG, DATA, 64)[0]) == (EOK, EIO)


def test_the_unit_wants_time() -> None:
    guest = guest_of(2, control=True)
    assert write(guest, CONFIGURED, timeout=1000) == EOK
    status, left = guest.hcall(READ, DATA)[:2]
    assert (status, 0 < left <= 1000) == (EWOULDBLOCK, True)
    assert write(guest, CONFIGURED) == EWOULDBLOCK
    status, left = guest.hcall(READ_DIAG, DATA, 8, 0)[:2]
    assert (status, 0 <= left - guest.hcall(CTL_READ, 0, 0)[2] <= 2) == (EWOULDBLOCK, True)
    guest.run(budget=10_000)
    assert guest.hcall(READ, DATA)[:2] == (EOK, 0)
    assert write(guest, CONFIGURED, timeout=MASK64) == EOK  # negative: no time
    assert guest.hcall(READ, DATA)[:2] == (EOK, 0)


def advance(value: int, count: int) -> int:
    for _ in range(count):
        value = (value << 1 & MASK64) ^ (0x231D_CEE9_1262_B8A3 if value >> 63 else 0)
    return value


@pytest.mark.parametrize(("platform", "noout", "wait", "shift", "expected"), [
    ("t5120", 2 << 4, 38859 - 2, 9, 0xB882_0C7B_D387_E32C), ("t5-2", 7 << 4, 38859 - 2, 12, 0xB882_0C7B_D387_E32C),
    ("t7-1", 7 << 4, 64, 12, MASK64),
])  # fmt: skip
def test_the_self_test_of_linux(platform: str, noout: int, wait: int, shift: int, expected: int) -> None:
    """n2rng_control_selftest: seven words of eight are what it expects of the chip."""
    guest = guest_of(2, control=True, platform=platform)
    assert write(guest, HEALTHCHECK, (noout, noout, noout, noout | SHIFT_REGISTER | wait << shift)) == EOK
    assert guest.hcall(READ_DIAG, DATA + 0x100, 64, 0)[0] == EOK
    assert [guest.memory.load(DATA + 0x100 + 8 * n) for n in range(8)] == [expected] * 8
    assert expected in (MASK64, advance(MASK64, wait + 1))
    assert write(guest, HEALTHCHECK, (noout, noout, noout, noout | SHIFT_REGISTER | 1 | wait << shift)) == EOK
    assert guest.hcall(READ_DIAG, DATA + 0x100, 8192, 0)[0] == EOK
    assert len({guest.memory.load(DATA + 0x100 + 8 * n) for n in range(1024)}) == 1024
