"""TTRACE_* and DUMP_BUF_* (UltraSPARC VM Specification 3.0)."""

from __future__ import annotations

import pytest
from asm_support import ta
from guest_support import DATA, EBADALIGN, EINVAL, ENORADDR, EOK, MORE, Guest

CONF, INFO, ENABLE, FREEZE, DUMP, DUMP_INFO = range(0x90, 0x96)
ADD = 0x85
OUTSIDE = 1 << 40
MASK64 = (1 << 64) - 1


def add(guest: Guest, *args: int) -> int:
    return guest.hcall(0, *args, trap=ADD)[0]


def traced(entries: int = 4, **options: object) -> Guest:
    guest = Guest(**options)  # type: ignore[arg-type]
    guest.memory.write(MORE, b"\xff" * 0x200)
    assert guest.hcall(CONF, MORE, entries)[:2] == (EOK, entries)
    return guest


def control(guest: Guest) -> tuple[int, int]:
    return guest.memory.load(MORE), guest.memory.load(MORE + 8)


def test_entries_go_round_behind_the_control_block() -> None:
    guest = traced()
    assert guest.hcall(INFO)[:3] == (EOK, MORE, 4)
    assert guest.memory.read(MORE, 64) == bytes(8) + (64).to_bytes(8, "big") + bytes(48)
    assert guest.hcall(ENABLE, 1)[:2] == (EOK, 0)
    for n, place in enumerate((0x40, 0x80, 0xC0, 0x40)):
        assert add(guest, 0x5500 + n, 1, 2, 3, n) == EOK
        assert control(guest) == (place, 0x40 if place == 0xC0 else place + 0x40)
        assert guest.memory.load(MORE + place) == 0xFF << 56 | 0x5500 + n
        assert [guest.memory.load(MORE + place + 32 + 8 * k) for k in range(4)] == [1, 2, 3, n]
    assert guest.memory.read(MORE + 0x100, 8) == b"\xff" * 8


def test_an_entry_tells_of_the_trap() -> None:
    guest = traced()
    assert guest.hcall(ENABLE, 1)[0] == EOK
    guest.set(tl=1, gl=1, tt1=0x68, tpc1=0x1234, tstate1=0x8000_1600, o0=7, o1=8)
    guest.run(ta(ADD))
    assert guest.memory.read(MORE + 0x40, 8) == bytes.fromhex("ff00 0101 0068 0007")
    assert guest.memory.load(MORE + 0x48) == guest["tstate1"] != 0
    assert 0 < guest["tick"] - guest.memory.load(MORE + 0x50) < 100
    assert guest.memory.load(MORE + 0x58) == 0x1234


def test_off_and_frozen() -> None:
    guest = traced(strands=2)
    assert (add(guest, 1), control(guest)) == (EOK, (0, 64))
    assert guest.hcall(ENABLE, 1)[:2] == (EOK, 0)
    guest.number = 1
    assert guest.hcall(CONF, MORE + 0x1000, 2)[0] == EOK
    assert guest.hcall(FREEZE, 1)[:2] == (EOK, 0)
    guest.number = 0
    assert (add(guest, 1), control(guest)) == (EOK, (0, 64))
    other = Guest(strands=2)
    other.machine.load(guest.machine.save())
    assert other.hcall(FREEZE, 0)[:2] == (EOK, 1)
    assert (add(other, 1), control(other)) == (EOK, (64, 128))
    assert other.hcall(ENABLE, 0)[:2] == (EOK, 1)
    assert (add(other, 1), control(other)) == (EOK, (64, 128))


def test_no_buffer() -> None:
    guest = Guest()
    assert guest.hcall(INFO)[:3] == (EOK, 0, 0)
    assert [guest.hcall(ENABLE, 1)[0], guest.hcall(FREEZE, 1)[0], add(guest, 1)] == [EINVAL] * 3
    guest = traced()
    assert guest.hcall(CONF, 3, 0)[:2] == (EOK, 0)
    assert guest.hcall(INFO)[:3] == (EOK, 0, 0)
    assert add(guest, 1) == EINVAL


@pytest.mark.parametrize(("function", "args", "status"), [
    (CONF, (MORE, 1), EINVAL), (CONF, (MORE, (1 << 20) + 1), EINVAL), (CONF, (MORE, MASK64), EINVAL),
    (CONF, (MORE + 32, 2), EBADALIGN), (CONF, (OUTSIDE, 2), ENORADDR), (CONF, (MASK64 - 63, 2), ENORADDR),
    (ENABLE, (2,), EINVAL), (FREEZE, (MASK64,), EINVAL),
])  # fmt: skip
def test_trace_errors(function: int, args: tuple[int, ...], status: int) -> None:
    guest = traced()
    assert guest.hcall(function, *args)[0] == status
    assert guest.hcall(INFO)[:3] == (EOK, MORE, 4)


def test_dump_buffer() -> None:
    guest = Guest()
    assert guest.hcall(DUMP_INFO)[:3] == (EOK, 0, 0)
    assert guest.hcall(DUMP, DATA, 8192)[:2] == (EOK, 8192)
    for args, status in (((DATA, 8191), EINVAL), ((DATA + 8, 8192), EBADALIGN), ((OUTSIDE, 8192), ENORADDR),
                         ((DATA, MASK64), ENORADDR)):  # fmt: skip
        assert guest.hcall(DUMP, *args)[:2] == (status, 8192)
    other = Guest()
    other.machine.load(guest.machine.save())
    assert other.hcall(DUMP_INFO)[:3] == (EOK, DATA, 8192)
    assert other.hcall(DUMP, 1, 0)[0] == EOK
    assert other.hcall(DUMP_INFO)[:3] == (EOK, 0, 0)
