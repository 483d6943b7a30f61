"""LDC_MAPIN, LDC_UNMAP, LDC_REVOKE: shared pages at addresses of their own (UltraSPARC VM Specification 3.0)."""

from __future__ import annotations

import pytest
from asm_support import asm
from guest_support import (
    CODE,
    CP,
    DATA,
    EBADALIGN,
    EBADPGSZ,
    EBADTRAP,
    EINVAL,
    ENOMAP,
    ENORADDR,
    EOK,
    ETOOMANY,
    MASK64,
    MORE,
    Guest,
    V,
    W,
    X,
)  # fmt: skip

ECHANNEL, ENOACCESS = 16, 10
MAPIN, UNMAP, REVOKE, SET_MAP = 0xED, 0xEE, 0xEF, 0xEA
R_, W_, X_, CPR, CPW = 1 << 4, 1 << 5, 1 << 6, 1 << 9, 1 << 10
TABLE_A, PAGE_A, OTHER = MORE, 0x200000, 0x300000
FIRST = 1 << 38
STRIDE = {"t5120": 1 << 28, "t5-2": 1 << 31, "t7-1": 1 << 34}


def pair(*, platform: str = "t5-2", minor: int = 1) -> Guest:
    """Channels 2 and 3 are one; channel 2 exports pages, table entry n: see `export`."""
    guest = Guest(platform=platform)
    assert guest.hcall(0, 0x101, 1, minor, trap=0xFF)[:2] == (EOK, minor)
    guest.machine.connect_channels(2, 3)
    assert guest.hcall(SET_MAP, 2, TABLE_A, 16)[0] == EOK
    return guest


def export(guest: Guest, entry: int, ra: int, rights: int, code: int = 0) -> None:
    guest.memory.store(TABLE_A + 16 * entry, ra | rights | code)
    guest.memory.store(TABLE_A + 16 * entry + 8, 0)


def load(guest: Guest, ra: int) -> int:
    """A load by real address; the trap type where it traps, -1."""
    guest.set(g1=ra, g2=0, mmu_enabled=0, pstate=4, tl=0)
    tt = guest.trap(asm("ldx", ("g1", 0), "g2"))
    return guest["g2"] if tt == 0 else -tt


def store(guest: Guest, ra: int, value: int) -> int:
    return guest.set(mmu_enabled=0, pstate=4, tl=0).trap(asm("stx", "g2", ("g1", 0)), g1=ra, g2=value)


@pytest.mark.parametrize("platform", STRIDE)
def test_a_page_of_the_other_end(platform: str) -> None:
    guest = pair(platform=platform)
    export(guest, 3, PAGE_A, R_ | W_ | CPR)
    guest.memory.store(PAGE_A + 0x18, 0x1234)
    assert load(guest, FIRST) == -0x30
    status, ra, rights = guest.hcall(MAPIN, 3, 3 << 13 | 0x18)[:3]
    assert (status, ra, rights) == (EOK, FIRST + 0x18, (R_ | W_ | CPR) >> 4)
    assert load(guest, ra) == 0x1234
    assert store(guest, ra + 8, 0x5678) == 0
    assert guest.memory.load(PAGE_A + 0x20) == 0x5678
    entry, cookie = guest.memory.load(TABLE_A + 48), guest.memory.load(TABLE_A + 56)
    assert (entry, cookie != 0) == (1 << 56 | PAGE_A | R_ | W_ | CPR, True)
    # a second time: another place, one cookie
    assert guest.hcall(MAPIN, 3, 3 << 13)[:2] == (EOK, FIRST + STRIDE[platform])
    assert guest.memory.load(TABLE_A + 56) == cookie
    assert load(guest, FIRST + STRIDE[platform] + 0x18) == 0x1234
    assert load(guest, FIRST + 8192) == -0x30  # beyond the page
    assert guest.hcall(UNMAP, FIRST)[0] == EOK
    assert load(guest, FIRST + 0x18) == -0x30
    assert guest.memory.load(TABLE_A + 48) >> 56 == 1
    assert guest.hcall(UNMAP, FIRST)[0] == ENOMAP
    assert guest.hcall(UNMAP, FIRST + STRIDE[platform])[0] == EOK
    assert (guest.memory.load(TABLE_A + 48), guest.memory.load(TABLE_A + 56)) == (PAGE_A | R_ | W_ | CPR, 0)


def test_version_1_0_does_not_have_them() -> None:
    guest = pair(minor=0)
    assert {guest.hcall(call, 3, 0)[0] for call in (MAPIN, UNMAP, REVOKE)} == {EBADTRAP}


def test_rights_are_kept() -> None:
    guest = pair()
    for n, rights in enumerate((R_, W_, R_ | W_ | X_, X_)):
        export(guest, n, PAGE_A + 8192 * n, rights)
        guest.memory.store(PAGE_A + 8192 * n, 0x0300_0000_0100_0000)
    places = [guest.hcall(MAPIN, 3, n << 13)[1] for n in range(4)]
    assert [load(guest, ra) for ra in places] == [0x0300_0000_0100_0000, -0x30, 0x0300_0000_0100_0000, -0x30]
    assert guest.dfault.type == 4
    assert [store(guest, ra, 1) for ra in places] == [0x6C, 0, 0, 0x6C]
    assert load(guest, places[1]) == -0x30  # also after a store that went through
    assert store(guest, places[0], 1) == 0x6C  # also after a load that did
    guest.memory.write(PAGE_A + 8192 * 2, bytes.fromhex("0100000030800000"))  # nop; ba,a .
    guest.memory.write(PAGE_A + 8192 * 3, bytes.fromhex("0100000030800000"))
    for place, tt in ((places[2], 0), (places[3], 0), (places[0], 8)):
        guest.set(pc=place, npc=place + 4, mmu_enabled=0, pstate=4, tl=0)
        guest.strand.run(8)
        assert guest.tt == tt
        if tt == 0:
            assert guest["pc"] == place + 4
        guest.set(tl=0)


def test_rights_of_an_atomic() -> None:
    guest = pair()
    for n, rights in enumerate((R_, W_, R_ | W_)):
        export(guest, n, PAGE_A + 8192 * n, rights)
        ra = guest.hcall(MAPIN, 3, n << 13)[1]
        guest.set(mmu_enabled=0, pstate=4, tl=0)
        assert guest.trap(asm("ldstub", ("g1", 0), "g2"), g1=ra) == (0x6C, 0x30, 0)[n]


def test_through_a_translation() -> None:
    """MMU_MAP_ADDR takes the address; another hypercall's argument it is not."""
    guest = pair()
    export(guest, 0, PAGE_A, R_ | W_)
    ra = guest.hcall(MAPIN, 3, 0)[1]
    guest.mmu_on()
    assert guest.map(0x4000_0000, V | CP | W | ra) == EOK
    guest.memory.store(PAGE_A, 99)
    assert guest.set(pstate=4).trap(asm("ldx", ("g1", 0), "g2"), g1=0x4000_0000) == 0
    assert guest["g2"] == 99
    assert guest.hcall(0x62, ra, 8)[0] == guest.hcall(0x14, 0x3C, ra, 8)[0] == ENORADDR
    assert guest.hcall(UNMAP, ra)[0] == EOK
    assert guest.set(tl=0, pstate=4).trap(asm("ldx", ("g1", 0), "g2"), g1=0x4000_0000) == 0x30
    assert guest.map(0x4000_0000, V | CP | W | ra) == ENORADDR


@pytest.mark.parametrize(("channel", "cookie", "entry", "status"), [
    (4, 0, PAGE_A | R_, ECHANNEL), (MASK64, 0, PAGE_A | R_, ECHANNEL), (3, 16 << 13, PAGE_A | R_, ENOMAP),
    (3, 0, 0, ENOMAP), (3, 0, PAGE_A, ENOMAP), (3, 0, PAGE_A | CPR | CPW, ENOACCESS),
    (3, 8 << 60, PAGE_A | R_, EBADPGSZ),
    (3, 1 << 60, PAGE_A | R_, EBADPGSZ), (3, 0, PAGE_A | R_ | 3, EBADPGSZ), (3, 0, 1 << 40 | R_, ENORADDR),
    (3, 1 << 60, PAGE_A + 8192 | R_ | 1, EBADALIGN), (3, 3 << 60, 0x400000 | R_ | 3, ENORADDR),
    (3, 7 << 60, R_ | 7, EBADPGSZ), (2, 0, PAGE_A | R_, ENOMAP),
])  # fmt: skip
def test_map_in_errors(channel: int, cookie: int, entry: int, status: int) -> None:
    guest = pair()
    export(guest, 0, entry, 0)
    assert guest.hcall(MAPIN, channel, cookie)[0] == status
    assert guest.memory.load(TABLE_A) == entry


def test_a_large_page() -> None:
    guest = pair()
    export(guest, 0, 0, R_ | W_, 3)
    status, ra, rights = guest.hcall(MAPIN, 3, 3 << 60 | 0x300000)[:3]
    assert (status, ra, rights) == (EOK, FIRST + 0x300000, 3)
    guest.memory.store(0x300000, 7)
    assert (load(guest, ra), load(guest, FIRST + DATA), load(guest, FIRST + 0x400000)) == (7, 0, -0x30)


@pytest.mark.parametrize(("ra", "status"), [
    (0, ENORADDR), (FIRST - 8192, ENORADDR), (FIRST + 1024 * STRIDE["t5-2"], ENORADDR), (MASK64, ENORADDR),
    (FIRST + 8, EBADALIGN), (FIRST + STRIDE["t5-2"], ENOMAP),
])  # fmt: skip
def test_unmap_errors(ra: int, status: int) -> None:
    guest = pair()
    export(guest, 0, PAGE_A, R_)
    assert guest.hcall(MAPIN, 3, 0)[0] == EOK
    assert guest.hcall(UNMAP, ra)[0] == status


def test_the_limit() -> None:
    guest = pair()
    export(guest, 0, PAGE_A, R_)
    for n in range(1024):
        assert guest.hcall(MAPIN, 3, 0)[:2] == (EOK, FIRST + n * STRIDE["t5-2"])
    assert guest.hcall(MAPIN, 3, 0)[0] == ETOOMANY
    assert guest.hcall(UNMAP, FIRST + 5 * STRIDE["t5-2"])[0] == EOK
    assert guest.hcall(MAPIN, 3, 0)[1] == FIRST + 5 * STRIDE["t5-2"]


def test_revocation() -> None:
    guest = pair()
    for n in range(2):
        export(guest, n, PAGE_A + 8192 * n, R_)
    first, second = guest.hcall(MAPIN, 3, 0)[1], guest.hcall(MAPIN, 3, 0)[1]
    kept = guest.hcall(MAPIN, 3, 1 << 13)[1]
    cookie = guest.memory.load(TABLE_A + 8)
    for args, status in (((4, 0, cookie), ECHANNEL), ((3, 0, cookie), ENOMAP), ((2, 2 << 13, cookie), ENOMAP),
                         ((2, 0, cookie + 1), EINVAL), ((2, 0, 0), EINVAL), ((2, 9 << 60, cookie), EBADPGSZ)):
        assert guest.hcall(REVOKE, *args)[0] == status
    assert load(guest, first) == load(guest, second) == 0
    assert guest.hcall(REVOKE, 2, 0, cookie)[0] == EOK
    assert load(guest, first) == load(guest, second) == -0x30
    assert load(guest, kept) == 0
    assert (guest.memory.load(TABLE_A), guest.memory.load(TABLE_A + 8)) == (PAGE_A | R_, 0)
    assert guest.hcall(REVOKE, 2, 0, cookie)[0] == ENOMAP
    assert guest.hcall(MAPIN, 3, 0)[1] == first
    assert guest.memory.load(TABLE_A + 8) not in (0, cookie)  # an old cookie does not revoke what is new


def test_memory_of_the_client() -> None:
    guest = pair()
    channel = guest.machine.add_channel(5)
    assert guest.hcall(MAPIN, 5, 0)[0] == ENOMAP
    channel.export(16384)
    channel.set_exported(8192, bytes.fromhex("00000000deadbeef"))
    assert guest.hcall(MAPIN, 5, 1 << 60)[0] == EBADPGSZ
    assert guest.hcall(MAPIN, 5, 16384)[0] == ENOMAP
    status, ra, rights = guest.hcall(MAPIN, 5, 8192)[:3]
    assert (status, ra, rights & 7) == (EOK, FIRST, 3)
    assert load(guest, ra) == 0xDEADBEEF
    assert store(guest, ra + 16, 5) == 0
    assert channel.exported(8192 + 16, 8) == (5).to_bytes(8, "big")
    guest.set(pc=ra, npc=ra + 4, mmu_enabled=0, pstate=4, tl=0)
    guest.strand.run(4)
    assert guest.tt == 8
    guest.set(tl=0)
    assert guest.hcall(REVOKE, 5, 8192, 1)[0] == ENOMAP
    channel.export(8192)  # anew: what was mapped in is gone
    assert load(guest, ra) == -0x30
    ra = guest.hcall(MAPIN, 5, 0)[1]
    assert load(guest, ra) == 0
    guest.machine.remove_channel(5)
    assert load(guest, ra) == -0x30


def test_map_ins_go_with_the_state() -> None:
    guest = pair()
    channel = guest.machine.add_channel(5)
    channel.export(8192)
    export(guest, 1, PAGE_A, R_)
    places = [guest.hcall(MAPIN, 3, 1 << 13)[1], guest.hcall(MAPIN, 5, 0)[1]]
    assert store(guest, places[1], 0x77) == 0
    assert load(guest, places[0]) == 0
    other = Guest()
    other.machine.load(guest.machine.save())
    assert other.machine.digest() == guest.machine.digest()
    assert other.machine.channel(5).exported(0, 8) == (0x77).to_bytes(8, "big")
    other.memory.store(PAGE_A, 3)
    assert [load(other, ra) for ra in places] == [3, 0x77]
    assert store(other, places[0], 1) == 0x6C
    cookie = other.memory.load(TABLE_A + 24)
    assert other.hcall(REVOKE, 2, 1 << 13, cookie)[0] == EOK
    assert load(other, places[0]) == -0x30
    other.machine.reset()
    other.strand.start(CODE)
    other.set(tba=0x40000)
    other.hcall(0x26, 0x60000)
    assert load(other, places[1]) == -0x30


def test_reset_and_x_right() -> None:
    """Code of a page that is mapped in runs by its own bytes: stores to the page itself change it."""
    guest = pair()
    export(guest, 0, PAGE_A, R_ | X_)
    ra = guest.hcall(MAPIN, 3, 0)[1]
    for value in (11, 22):
        guest.memory.write(PAGE_A, asm("or", "g0", value, "g3").to_bytes(4, "big") + bytes.fromhex("30800000"))
        guest.set(pc=ra, npc=ra + 4, mmu_enabled=0, pstate=4, tl=0, g3=0)
        guest.strand.run(6)
        assert guest["g3"] == value
    assert X  # the right of the entry, not of a TTE: the MMU is off
