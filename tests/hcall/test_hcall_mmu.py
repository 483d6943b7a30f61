"""MMU_* hypercalls: arguments, errors, effects on the calling strand (UltraSPARC VM Specification 3.0)."""

from __future__ import annotations

import pytest
from asm_support import HERE, NOP, asm, code, ta
from guest_support import (
    CODE,
    CP,
    DATA,
    EBADALIGN,
    EBADPGSZ,
    EBADTSB,
    EINVAL,
    ENOMAP,
    ENORADDR,
    ENOTSUPPORTED,
    EOK,
    ETOOMANY,
    MORE,
    PRIV,
    Guest,
    P,
    V,
    W,
    X,
)

(TSB_CTX0, TSB_CTXNON0, DEMAP_PAGE, DEMAP_CTX, DEMAP_ALL, MAP_PERM, AREA_CONF, ENABLE, UNMAP_PERM, CTX0_INFO,
 CTXNON0_INFO, AREA_INFO) = range(0x20, 0x2C)
MAP, UNMAP = 0x83, 0x84
OUTSIDE = 1 << 40
VA = 0x1_4000_0000
PAGE = V | CP | P | W | X | DATA
LDX = asm("ldx", ("g1", 0), "g2")
JUMP = [asm("jmpl", "g1", 0, "g0"), NOP]
TSB = MORE + 0x10000
DESCRIPTORS = MORE


def ready(**options: object) -> Guest:
    guest = Guest(**options).mmu_on()  # type: ignore[arg-type]
    guest.memory.store(DATA, 0xD0D0)
    guest.memory.store(MORE, 0xE0E0)
    guest.memory.write(DATA + 0x100, code(HERE))
    return guest


def back(guest: Guest) -> Guest:
    """Level 0 again after a trap."""
    return guest.set(tl=0, gl=0, pstate=PRIV)


def loads(guest: Guest, va: int = VA, asi: int = 0x80) -> int:
    """Trap type of a load, 0 for none; the guest is at level 0 afterwards."""
    tt = guest.trap(asm("ldxa", ("g1", "g0", asi), "g2"), g1=va)
    value = guest["g2"]
    back(guest).set(g2=value)
    return tt


def fetches(guest: Guest, va: int = VA + 0x100) -> int:
    tt = guest.trap(*JUMP, g1=va)
    back(guest)
    return tt


def descriptor(base: int = TSB, *, index: int = 0, assoc: int = 1, entries: int = 512, ctx: int = 0xFFFFFFFF,
               mask: int = 1) -> bytes:
    words = (index << 48 | assoc << 32 | entries, ctx << 32 | mask, base, 0)
    return b"".join(word.to_bytes(8, "big") for word in words)


# -- MMU_MAP_ADDR, MMU_UNMAP_ADDR


@pytest.mark.parametrize(("args", "status"), [
    ((VA, 0, PAGE, 3), EOK), ((VA, 0x1FFF, PAGE, 1), EOK), ((VA, 0x2000, PAGE, 3), EINVAL), ((VA, 0, PAGE, 0), EINVAL),
    ((VA, 0, PAGE, 4), EINVAL), ((VA, 0, PAGE & ~V, 3), EINVAL), ((VA, 0, PAGE | 1, 3), EOK),
    ((VA, 0, PAGE | 7, 3), EBADPGSZ),
    ((VA, 0, PAGE | 8, 3), EBADPGSZ), ((VA, 0, PAGE | OUTSIDE, 3), ENORADDR), ((VA, 1 << 32, PAGE, 3), EINVAL),
])
def test_map_arguments(args: tuple[int, ...], status: int) -> None:
    guest = ready()
    assert guest.hcall(0, *args, trap=MAP)[0] == status
    assert loads(guest) == (0 if status == EOK and args[1] == 0 else 0x68)


@pytest.mark.parametrize(("flags", "data", "fetch"), [(1, 0, 0x64), (2, 0x68, 0), (3, 0, 0)])
def test_map_and_unmap_by_flags(flags: int, data: int, fetch: int) -> None:
    guest = ready()
    assert guest.hcall(0, VA, 0, PAGE, flags, trap=MAP)[0] == EOK
    assert (loads(guest), fetches(guest)) == (data, fetch)
    guest = ready()
    assert guest.hcall(0, VA, 0, PAGE, 3, trap=MAP)[0] == EOK
    assert (loads(guest), fetches(guest)) == (0, 0)
    assert guest.hcall(0, VA, 0, flags, trap=UNMAP)[0] == EOK
    assert (loads(guest), fetches(guest)) == (0 if data else 0x68, 0 if fetch else 0x64)


@pytest.mark.parametrize("args", [(VA, 0, 0), (VA, 0, 4), (VA, 0x2000, 3)])
def test_unmap_errors(args: tuple[int, ...]) -> None:
    guest = ready()
    assert guest.map(VA, PAGE) == EOK
    assert guest.hcall(0, *args, trap=UNMAP)[0] == EINVAL
    assert loads(guest) == 0


def test_map_replaces_the_entry_of_its_page() -> None:
    guest = ready()
    assert guest.map(VA, PAGE) == EOK
    assert loads(guest) == 0 and guest["g2"] == 0xD0D0
    assert guest.map(VA, PAGE ^ DATA ^ MORE) == EOK
    assert loads(guest) == 0 and guest["g2"] == 0xE0E0
    assert fetches(guest, VA) == 0x10, "fetches see the new page too: 0xe0e0 is no instruction"


# -- demaps: nothing stale


def filled() -> Guest:
    """VA in contexts 0, 5 and 6, all in the soft TLB; the primary context is 5, the secondary 6."""
    guest = ready()
    for context, ra in ((0, DATA), (5, MORE), (6, 0x300000)):
        assert guest.map(VA, PAGE ^ DATA ^ ra, context=context) == EOK
    guest.contexts(5, 6)
    assert present(guest) == (0, 0, 0)
    return guest


def present(guest: Guest) -> tuple[int, int, int]:
    """Trap types of loads in context 0, 5, 6."""
    return (loads(guest, asi=0x04), loads(guest, asi=0x80), loads(guest, asi=0x81))


@pytest.mark.parametrize(("function", "args", "left"), [
    (DEMAP_PAGE, (0, 0, VA, 5, 1), (0, 0x68, 0)), (DEMAP_PAGE, (0, 0, VA + 0x1FF8, 5, 3), (0, 0x68, 0)),
    (DEMAP_PAGE, (0, 0, VA, 0, 3), (0x68, 0, 0)), (DEMAP_PAGE, (0, 0, VA, 5, 2), (0, 0, 0)),
    (DEMAP_PAGE, (0, 0, VA + 0x2000, 5, 3), (0, 0, 0)), (DEMAP_PAGE, (0, 0, VA, 9, 3), (0, 0, 0)),
    (DEMAP_CTX, (0, 0, 6, 3), (0, 0, 0x68)), (DEMAP_CTX, (0, 0, 5, 2), (0, 0, 0)), (DEMAP_CTX, (0, 0, 0, 1),
    (0x68, 0, 0)),
    (DEMAP_ALL, (0, 0, 1), (0x68, 0x68, 0x68)), (DEMAP_ALL, (0, 0, 2), (0, 0, 0)),
])
def test_demaps(function: int, args: tuple[int, ...], left: tuple[int, int, int]) -> None:
    guest = filled()
    assert guest.hcall(function, *args)[0] == EOK
    guest.map(CODE, V | CP | X | CODE, context=5)
    assert present(guest) == left


@pytest.mark.parametrize(("function", "args", "status"), [
    (DEMAP_PAGE, (1, 0, VA, 0, 3), ENOTSUPPORTED), (DEMAP_PAGE, (0, 1, VA, 0, 3), ENOTSUPPORTED),
    (DEMAP_PAGE, (0, 0, VA, 0x2000, 3), EINVAL), (DEMAP_PAGE, (0, 0, VA, 0, 0), EINVAL),
    (DEMAP_PAGE, (0, 0, VA, 0, 4), EINVAL), (DEMAP_CTX, (1, 0, 0, 3), ENOTSUPPORTED),
    (DEMAP_CTX, (0, 0, 0x2000, 3), EINVAL),
    (DEMAP_CTX, (0, 0, 0, 0), EINVAL), (DEMAP_ALL, (1, 1, 3), ENOTSUPPORTED), (DEMAP_ALL, (0, 0, 0), EINVAL),
    (DEMAP_ALL, (0, 0, 7), EINVAL),
])
def test_demap_errors(function: int, args: tuple[int, ...], status: int) -> None:
    guest = filled()
    assert guest.hcall(function, *args)[0] == status
    assert present(guest) == (0, 0, 0)


def test_demap_of_a_page_inside_a_large_one_takes_all_of_it() -> None:
    guest = ready()
    assert guest.map(VA, V | CP | P | W | X | 3) == EOK
    assert loads(guest, VA + DATA) == 0 and loads(guest, VA + MORE) == 0
    assert guest.hcall(DEMAP_PAGE, 0, 0, VA + DATA, 0, 3)[0] == EOK
    assert loads(guest, VA + MORE) == 0x68


def test_demap_makes_the_tsb_visible() -> None:
    guest = ready()
    guest.memory.write(DESCRIPTORS, descriptor())
    assert guest.hcall(TSB_CTX0, 1, DESCRIPTORS)[0] == EOK
    at = TSB + 16 * (VA >> 13 & 511)
    guest.memory.store(at, VA >> 22)
    guest.memory.store(at + 8, PAGE)
    assert loads(guest) == 0 and guest["g2"] == 0xD0D0
    guest.memory.store(at + 8, 0)
    assert guest.hcall(DEMAP_PAGE, 0, 0, VA, 0, 3)[0] == EOK
    assert loads(guest) == 0x31


def test_demap_takes_the_running_code_away() -> None:
    guest = ready()
    assert guest.map(VA, PAGE) == EOK
    words = [asm("or", "g0", 1, "g3"), ta(0x80), asm("or", "g0", 2, "g3")]
    guest.memory.write(DATA, code(*words, HERE))
    guest.set(pc=VA, g3=0, o5=DEMAP_ALL, o0=0, o1=0, o2=3)
    guest.strand.run(20)
    assert guest.tt == 0x64
    assert guest["tpc1"] == VA + 8
    assert back(guest)["g3"] == 1


def test_calls_act_on_the_calling_strand_only() -> None:
    guest = ready(strands=2)
    guest.number = 1
    guest.mmu_on()
    assert guest.map(VA, PAGE) == EOK
    assert loads(guest) == 0
    guest.number = 0
    assert guest.hcall(DEMAP_ALL, 0, 0, 3)[0] == EOK
    assert loads(guest) == 0x68
    guest.number = 1
    assert loads(guest) == 0


# -- permanent mappings


@pytest.mark.parametrize(("args", "status"), [
    ((VA, 0, PAGE, 3), EOK), ((VA, 1, PAGE, 3), EINVAL), ((VA, 0, PAGE, 0), EINVAL), ((VA, 0, PAGE, 4), EINVAL),
    ((VA, 0, PAGE & ~V, 3), EINVAL), ((VA, 0, PAGE | 7, 3), EBADPGSZ), ((VA, 0, PAGE | 15, 3), EBADPGSZ),
    ((VA, 0, PAGE | OUTSIDE, 3), ENORADDR), ((DATA, 0, PAGE, 3), EINVAL), ((0, 0, V | CP | 5, 3), EINVAL),
])
def test_permanent_arguments(args: tuple[int, ...], status: int) -> None:
    guest = ready()
    assert guest.hcall(MAP_PERM, *args)[0] == status
    assert loads(guest) == (0 if status == EOK else 0x68)


def test_instruction_and_data_merge_into_one() -> None:
    guest = ready()
    for n in range(7):
        assert guest.hcall(MAP_PERM, VA + 0x2000 * n, 0, PAGE, 1)[0] == EOK
        assert guest.hcall(MAP_PERM, VA + 0x2000 * n, 0, PAGE, 2)[0] == EOK
        assert guest.hcall(MAP_PERM, VA + 0x2000 * n, 0, PAGE, 2)[0] == EINVAL, "identical repeat"
    assert guest.hcall(MAP_PERM, VA, 0, PAGE ^ W, 1)[0] == EINVAL, "another TTE there"
    assert guest.hcall(MAP_PERM, VA + 0x2000 * 7, 0, PAGE, 3)[0] == ETOOMANY, "8 with the one of the 1:1 mapping"
    assert loads(guest, VA + 0x2000 * 6) == 0 and fetches(guest, VA + 0x2000 * 6 + 0x100) == 0
    assert guest.hcall(UNMAP_PERM, VA, 0, 3)[0] == EOK
    assert guest.hcall(MAP_PERM, VA + 0x2000 * 7, 0, PAGE, 3)[0] == EOK, "room again"


def test_another_tte_does_not_merge() -> None:
    guest = ready()
    assert guest.hcall(MAP_PERM, VA, 0, PAGE, 1)[0] == EOK
    assert guest.hcall(MAP_PERM, VA, 0, PAGE ^ W, 2)[0] == EINVAL
    assert (loads(guest), fetches(guest)) == (0, 0x64)


def test_unmap_permanent() -> None:
    guest = ready()
    assert guest.hcall(MAP_PERM, VA, 0, PAGE, 3)[0] == EOK
    assert guest.hcall(MAP_PERM, VA + 0x2000, 0, PAGE, 1)[0] == EOK
    assert (loads(guest), fetches(guest), loads(guest, VA + 0x2000)) == (0, 0, 0)
    assert guest.hcall(UNMAP_PERM, VA, 0, 2)[0] == EOK
    assert (loads(guest), fetches(guest)) == (0, 0x64)
    assert guest.hcall(UNMAP_PERM, VA, 0, 2)[0] == ENOMAP
    assert guest.hcall(UNMAP_PERM, VA, 0, 1)[0] == EOK
    assert (loads(guest), loads(guest, VA + 0x2000)) == (0x68, 0)
    errors = (((VA, 0, 3), ENOMAP), ((VA, 1, 3), EINVAL), ((VA, 0, 0), EINVAL), ((VA + 0x2000, 0, 4), EINVAL))
    for args, status in errors:
        assert guest.hcall(UNMAP_PERM, *args)[0] == status
    assert loads(guest, VA + 0x2000) == 0


def test_permanent_mappings_survive_demaps() -> None:
    guest = ready()
    assert guest.hcall(MAP_PERM, VA, 0, PAGE, 3)[0] == EOK
    for call in ((DEMAP_ALL, 0, 0, 3), (DEMAP_CTX, 0, 0, 0, 3), (DEMAP_PAGE, 0, 0, VA, 0, 3)):
        assert guest.hcall(*call)[0] == EOK
        assert (loads(guest), fetches(guest)) == (0, 0)
    assert guest.hcall(0, VA, 0, 3, trap=UNMAP)[0] == EOK
    assert loads(guest) == 0


def test_permanent_mapping_replaces_an_ordinary_one_at_once() -> None:
    guest = ready()
    assert guest.map(VA, PAGE ^ DATA ^ MORE) == EOK
    assert loads(guest) == 0 and guest["g2"] == 0xE0E0
    assert guest.hcall(MAP_PERM, VA, 0, PAGE, 3)[0] == EOK
    assert loads(guest) == 0 and guest["g2"] == 0xD0D0
    assert guest.hcall(UNMAP_PERM, VA, 0, 3)[0] == EOK
    assert loads(guest) == 0x68, "and it is gone for good"


# -- TSB configuration and its reading back


@pytest.mark.parametrize("call", [TSB_CTX0, TSB_CTXNON0])
@pytest.mark.parametrize(("fields", "status"), [
    ({}, EOK), ({"assoc": 2}, EBADTSB), ({"assoc": 0}, EBADTSB), ({"entries": 256}, EBADTSB),
    ({"entries": 768}, EBADTSB),
    ({"entries": 1 << 25}, EBADTSB), ({"mask": 0}, EBADPGSZ), ({"mask": 0x80}, EBADPGSZ), ({"mask": 1 << 9}, EBADPGSZ),
    ({"index": 1}, EINVAL), ({"index": 0, "mask": 8}, EINVAL), ({"index": 3, "mask": 8}, EOK), ({"mask": 9}, EOK),
    ({"ctx": 2}, EINVAL), ({"ctx": 0xFFFFFFFE}, EINVAL), ({"ctx": 1}, EOK), ({"base": TSB + 0x1000}, EBADALIGN),
    ({"base": TSB, "entries": 1 << 13}, EBADALIGN), ({"base": OUTSIDE}, ENORADDR),
])
def test_tsb_descriptors(call: int, fields: dict[str, int], status: int) -> None:
    guest = Guest()
    guest.memory.write(DESCRIPTORS, descriptor() + descriptor(**fields))
    assert guest.hcall(call, 2, DESCRIPTORS)[0] == status
    assert guest.hcall(call + 9, 4, DESCRIPTORS + 0x100)[:2] == (EOK, 2 if status == EOK else 0)
    if status == EOK:
        assert guest.memory.read(DESCRIPTORS + 0x100, 64) == descriptor() + descriptor(**fields)
        other = TSB_CTX0 + TSB_CTXNON0 - call
        assert guest.hcall(other + 9, 4, DESCRIPTORS + 0x100)[:2] == (EOK, 0), "the other class has none"
        assert guest.hcall(call, 0, 0)[0] == EOK
        assert guest.hcall(call + 9, 4, DESCRIPTORS + 0x100)[:2] == (EOK, 0)


@pytest.mark.parametrize(("platform", "most"), [("t2000", 2), ("t5-2", 4)])
def test_tsb_arguments(platform: str, most: int) -> None:
    guest = Guest(platform=platform)
    guest.memory.write(DESCRIPTORS, descriptor() * 5)
    assert guest.hcall(TSB_CTX0, most, DESCRIPTORS)[0] == EOK
    assert guest.hcall(TSB_CTX0, most + 1, DESCRIPTORS)[0] == EINVAL
    assert guest.hcall(TSB_CTX0, 1 << 32 | 1, DESCRIPTORS)[0] == EINVAL
    assert guest.hcall(TSB_CTX0, 1, DESCRIPTORS + 4)[0] == EBADALIGN
    assert guest.hcall(TSB_CTX0, 1, OUTSIDE)[0] == ENORADDR
    assert guest.hcall(CTX0_INFO, most - 1, DESCRIPTORS + 0x100)[0] == EINVAL, "too little room"
    assert guest.hcall(CTX0_INFO, most, DESCRIPTORS + 0x104)[0] == EBADALIGN
    assert guest.hcall(CTX0_INFO, most, OUTSIDE)[0] == ENORADDR
    assert guest.hcall(CTX0_INFO, most, DESCRIPTORS + 0x100)[:2] == (EOK, most)
    assert guest.hcall(CTXNON0_INFO, 0, DESCRIPTORS + 0x100)[:2] == (EOK, 0)


# -- fault area, MMU_ENABLE


def test_fault_area() -> None:
    guest = Guest(area=False)
    assert guest.hcall(AREA_INFO)[:2] == (EOK, 0)
    for ra, status in ((0x20, EBADALIGN), (0, ENORADDR), (OUTSIDE, ENORADDR), (4 * 1024 * 1024 - 64, ENORADDR)):
        assert guest.hcall(AREA_CONF, ra)[0] == status
        assert guest.hcall(AREA_INFO)[:2] == (EOK, 0)
    assert guest.hcall(AREA_CONF, MORE)[:2] == (EOK, 0)
    assert guest.hcall(AREA_CONF, MORE + 0x40)[:2] == (EOK, MORE)
    assert guest.hcall(AREA_INFO)[:2] == (EOK, MORE + 0x40)
    assert guest.trap(asm("ldx", ("g0", 4), "g1")) == 0x34
    assert guest.memory.load(MORE + 0x40 + 0x48) == 4


def enable(guest: Guest, flag: int, target: int) -> Guest:
    guest.set(o5=ENABLE, o0=flag, o1=target, o2=77)
    guest.load(ta(0x80), asm("or", "g0", 5, "g4"))
    guest.strand.step()
    return guest


def test_enable_goes_on_at_a_virtual_address_and_disable_at_a_real_one() -> None:
    guest = ready().set(mmu_enabled=0)
    assert guest.map(VA, PAGE) == EOK
    enable(guest, 1, VA + 0x100)
    assert (guest["pc"], guest["npc"], guest["mmu_enabled"], guest["o0"]) == (VA + 0x100, VA + 0x104, 1, EOK)
    assert (guest["o1"], guest["o2"]) == (VA + 0x100, 77)
    guest.strand.run(3)
    assert (guest.tt, guest["pc"]) == (0, VA + 0x100)
    enable(guest, 0, DATA + 0x100)
    assert (guest["pc"], guest["mmu_enabled"]) == (DATA + 0x100, 0)


@pytest.mark.parametrize(("on", "flag", "target", "status"), [
    (0, 0, CODE, EINVAL), (1, 1, CODE, EINVAL), (0, 2, CODE, EINVAL), (0, 1, CODE + 2, EBADALIGN),
    (1, 0, CODE + 1, EBADALIGN), (1, 0, OUTSIDE, ENORADDR),
])
def test_enable_errors(on: int, flag: int, target: int, status: int) -> None:
    guest = enable(ready().set(mmu_enabled=on), flag, target)
    assert (guest["o0"], guest["mmu_enabled"], guest["pc"]) == (status, on, CODE + 4)


def test_mappings_may_be_made_before_the_mmu_is_on() -> None:
    guest = Guest()
    assert guest.hcall(MAP_PERM, VA, 0, PAGE, 3)[0] == EOK
    guest.memory.write(DATA + 0x100, code(asm("or", "g0", 9, "g3"), HERE))
    enable(guest, 1, VA + 0x100).strand.run(3)
    assert guest["g3"] == 9
