"""Translation: mappings, TSB walk, contexts, failures and their reports (see csrc/strand/mmu.h)."""

from __future__ import annotations

import pytest
from asm_support import HERE, NOP, asm
from guest_support import (
    AM,
    AREA,
    CP,
    DATA,
    EBADPGSZ,
    EOK,
    IE_TTE,
    MORE,
    NFO,
    PRIV,
    E,
    Fault,
    Guest,
    P,
    V,
    W,
    X,
)

LDX, STX = asm("ldx", ("g1", 0), "g2"), asm("stx", "g2", ("g1", 0))
SWAP = asm("swap", ("g1", 0), "g2")
JUMP = [asm("jmpl", "g1", 0, "g0"), NOP]
VA = 0x1_4000_0000  # 256 MB aligned, far from the 1:1 mapping
DESCRIPTORS, TSB, TSB2 = MORE + 0x8000, MORE + 0x10000, MORE + 0x20000  # 512 entries of 16 bytes are 8 KB
ENTRIES = 512
USER_BITS = V | CP | W | X
ANY_CONTEXT = 0xFFFFFFFF


def load(asi: int) -> int:
    return asm("ldxa", ("g1", "g0", asi), "g2")


def store(asi: int) -> int:
    return asm("stxa", "g2", ("g1", "g0", asi))


def ready(**options: object) -> Guest:
    """MMU on; DATA and MORE hold values that tell them apart."""
    guest = Guest(**options).mmu_on()  # type: ignore[arg-type]
    guest.memory.store(DATA, 0xD0D0)
    guest.memory.store(MORE, 0xE0E0)
    return guest


def descriptor(base: int, *, index: int = 0, mask: int = 1, ctx: int = ANY_CONTEXT, entries: int = ENTRIES) -> bytes:
    head = index << 48 | 1 << 32 | entries
    return b"".join(word.to_bytes(8, "big") for word in (head, ctx << 32 | mask, base, 0))


def set_tsbs(guest: Guest, *descriptors: bytes, user: bool = False) -> int:
    guest.memory.write(DESCRIPTORS, b"".join(descriptors))
    return guest.hcall(0x21 if user else 0x20, len(descriptors), DESCRIPTORS)[0]


def tsb_entry(guest: Guest, va: int, tte: int, *, base: int = TSB, ctx: int = 0, index: int = 0, tag: int = 0) -> None:
    """`tag`: bits to flip in the tag."""
    at = base + 16 * ((va >> 13 + 3 * index) & (ENTRIES - 1))
    guest.memory.store(at, (ctx << 48 | va >> 22 & ((1 << 42) - 1)) ^ tag)
    guest.memory.store(at + 8, tte)


def with_tsb(va: int, tte: int, *, ctx: int = 0, tag: int = 0, index: int = 0, **fields: int) -> Guest:
    guest = ready()
    assert set_tsbs(guest, descriptor(TSB, index=index, mask=1 << index, **fields)) == EOK
    tsb_entry(guest, va, tte, ctx=ctx, tag=tag, index=index)
    return guest


# -- page sizes: 8K 64K 512K 4M 32M 256M 2G 16G


@pytest.mark.parametrize("size", range(8))
@pytest.mark.parametrize("how", ["permanent", "mapped", "tsb"])
def test_page_sizes(size: int, how: str) -> None:
    guest = ready(platform="m7-8")
    page = 8192 << 3 * size
    va = 0x40 << 34
    tte = V | CP | P | W | size | 0x3FE000  # RA bits below the page size are ignored
    if not guest.machine.cpu.page_sizes >> size & 1:
        assert guest.map(va, tte) == EBADPGSZ
        return
    if how == "permanent":
        assert guest.hcall(0x25, va, 0, tte, 3)[0] == EOK
    elif how == "mapped":
        assert guest.map(va, tte) == EOK
    else:
        assert set_tsbs(guest, descriptor(TSB, ctx=ANY_CONTEXT)) == EOK
        for at in (va + (DATA % page), va + page - 8192):
            tsb_entry(guest, at, tte)
    base = 0x3FE000 & ~(page - 1) if page <= 0x400000 else 0
    inside = (MORE if page >= 0x400000 else 8) % page & ~7
    guest.memory.store(base + inside, 0x5150 + size)
    if how == "tsb":
        tsb_entry(guest, va + inside, tte)
    assert guest.trap(LDX, g1=va + inside) == 0
    assert guest["g2"] == 0x5150 + size
    for outside in (va + page, va - 8):
        missed = ready_copy(guest).trap(LDX, g1=outside)
        assert missed == (0x31 if how == "tsb" else 0x68)


def ready_copy(guest: Guest) -> Guest:
    """Back at level 0."""
    return guest.set(tl=0, gl=0, pstate=PRIV)


# -- which trap for which failure (3.3): (why, TTE, words, trap, fault type, user)

FAILURES = [
    ("store, W=0", V | CP | P, [STX], 0x6C, 2, False),
    ("atomic, W=0", V | CP | P, [SWAP], 0x6C, 2, False),
    ("user load of a privileged page", V | CP | P | W, [LDX], 0x30, 5, True),
    ("user store to a privileged page without W", V | CP | P, [STX], 0x30, 5, True),
    ("user fetch from a privileged page", V | CP | P | X, JUMP, 0x08, 5, True),
    ("as-if-user load of a privileged page", V | CP | P | W, [load(0x10)], 0x30, 5, False),
    ("as-if-user secondary store", V | CP | P | W, [store(0x11)], 0x30, 5, False),
    ("as-if-user twin load", V | CP | P | W, [asm("ldda", ("g1", "g0", 0x22), "g2")], 0x30, 5, False),
    ("fetch, X=0", V | CP | P, JUMP, 0x08, 6, False),
    ("load of an NFO page", V | CP | P | NFO, [LDX], 0x30, 7, False),
    ("store to an NFO page", V | CP | P | W | NFO, [STX], 0x30, 7, False),
    ("fetch from an NFO page", V | CP | P | X | NFO, JUMP, 0x08, 7, False),
    ("no-fault load of a page with side effect", V | CP | P | E, [load(0x82)], 0x30, 8, False),
    ("atomic, CP=0", V | P | W, [SWAP], 0x30, 0xB, False),
    ("ldstub, CP=0", V | P | W, [asm("ldstub", ("g1", 0), "g2")], 0x30, 0xB, False),
    ("casx, CP=0", V | P | W, [asm("casxa", "g1", 0x80, "g3", "g2")], 0x30, 0xB, False),
]
FULL = {0x08, 0x30}


@pytest.mark.parametrize("first", [False, True], ids=["cold", "after a load"])
@pytest.mark.parametrize(("why", "tte", "words", "tt", "kind", "user"), FAILURES, ids=[row[0] for row in FAILURES])
def test_permission_failures(why: str, tte: int, words: list[int], tt: int, kind: int, user: bool, first: bool) -> None:
    guest = ready()
    assert guest.map(VA, tte | DATA) == EOK
    assert guest.map(0x10000, USER_BITS | 0x10000) == EOK
    if user:
        assert guest.hcall(0x28, 0, 0, 3)[0] == EOK  # code must be reachable for the user
        assert guest.map(0x40000, USER_BITS | P | 1 | 0x40000) == EOK
    if first:
        guest.trap(load(0x82) if tte & NFO else LDX, g1=VA)
        ready_copy(guest)
    guest.memory.write(AREA, bytes(0x80))
    assert guest.trap(*words, g1=VA + 0x40, pstate=0 if user else PRIV) == tt, why
    fault = guest.ifault if tt == 0x08 else guest.dfault
    assert fault == Fault(kind, VA + 0x40 if tt in FULL else VA, 0)
    other = guest.dfault if tt == 0x08 else guest.ifault
    assert other == Fault(0, 0, 0), "the other half is untouched"


def test_what_these_pages_allow() -> None:
    good = ((V | CP | P | NFO, load(0x82)), (V | CP | W, load(0x10)), (V | CP | W, store(0x11)), (V | P, LDX))
    for tte, word in good:
        guest = ready()
        assert guest.map(VA, tte | DATA) == EOK
        assert guest.trap(word, g1=VA) == 0, hex(tte)


def test_misses_with_and_without_tsbs() -> None:
    for tsb, data_tt, fetch_tt, kind in ((False, 0x68, 0x64, 1), (True, 0x31, 0x09, 3)):
        guest = ready()
        if tsb:
            assert set_tsbs(guest, descriptor(TSB)) == EOK
        for word in (LDX, STX, SWAP, load(0x82)):
            assert ready_copy(guest).trap(word, g1=VA + 0x128) == data_tt
            assert guest.dfault == Fault(kind, VA, 0), "page-aligned, context apart"
        assert ready_copy(guest).trap(*JUMP, g1=VA + 0x128) == fetch_tt
        assert guest.ifault == Fault(kind, VA, 0)
        assert guest["tpc1"] == VA + 0x128


def test_tsb_class_follows_the_context() -> None:
    guest = ready()
    assert set_tsbs(guest, descriptor(TSB)) == EOK
    guest.contexts(5, 9)
    assert guest.trap(load(0x10), g1=VA) == 0x68, "context 5 has no TSB"
    assert guest.dfault == Fault(1, VA, 5)
    assert ready_copy(guest).trap(load(0x11), g1=VA) == 0x68
    assert guest.dfault == Fault(1, VA, 9)
    assert ready_copy(guest).trap(load(0x04), g1=VA) == 0x31, "nucleus"
    assert guest.dfault == Fault(3, VA, 0)


def test_reserved_parts_of_the_fault_area_are_never_written() -> None:
    guest = ready()
    guest.memory.write(AREA, b"\xee" * 0x80)
    guest.trap(LDX, g1=VA)
    ready_copy(guest).trap(*JUMP, g1=VA)
    for at in (0x18, 0x58):
        assert guest.memory.read(AREA + at, 0x28) == b"\xee" * 0x28


def test_real_address_without_memory() -> None:
    guest = ready()
    assert guest.trap(load(0x14), g1=1 << 40) == 0x30
    assert guest.dfault == Fault(4, 1 << 40, 0)
    assert ready_copy(guest).set(mmu_enabled=0).trap(*JUMP, g1=1 << 40) == 0x08
    assert guest.ifault == Fault(4, 1 << 40, 0)
    guest = ready()
    assert set_tsbs(guest, descriptor(TSB)) == EOK
    tsb_entry(guest, VA, V | CP | P | W | X | 1 << 40)
    assert guest.trap(LDX, g1=VA + 8) == 0x30
    assert guest.dfault == Fault(0x10, VA + 8, 0)
    assert ready_copy(guest).trap(*JUMP, g1=VA + 8) == 0x08
    assert guest.ifault == Fault(0x10, VA + 8, 0)


@pytest.mark.parametrize(("word", "tt", "context"), [
    (LDX, 0x34, 6), (STX, 0x34, 6), (load(0x11), 0x34, 9), (load(0x04), 0x34, 0), (store(0x81), 0x34, 9),
    (load(0x14), 0x34, 0), (asm("lddf", ("g1", 0), "d0"), 0x35, 6), (asm("stdf", "d0", ("g1", 0)), 0x36, 6),
    (asm("lddfa", ("g1", "g0", 0x81), "d0"), 0x35, 9), (asm("swapa", ("g3", "g0", 0x81), "g2"), 0x34, 9),
    (asm("casxa", "g1", 0x11, "g2", "g2"), 0x34, 9),
])
def test_misaligned_accesses_report_type_address_and_context(word: int, tt: int, context: int) -> None:
    guest = ready().contexts(6, 9).set(fprs=4)
    swap = word >> 19 & 0x3F == 0x1F
    assert guest.trap(word, g1=VA + 0x124, g3=VA + 0x122, pstate=PRIV | 16) == tt
    assert guest.dfault == Fault(0xE, VA + (0x122 if swap else 0x124), context)


def test_misaligned_jump_reports_its_target() -> None:
    guest = ready()
    assert guest.trap(*JUMP, g1=VA + 2) == 0x34
    assert guest.dfault == Fault(0xE, VA + 2, 0)
    assert guest["tpc1"] == 0x10000


@pytest.mark.parametrize("size", range(8, 16))
def test_reserved_page_sizes_in_a_tsb(size: int) -> None:
    guest = with_tsb(VA, V | CP | P | W | X | size)
    assert guest.trap(LDX, g1=VA + 8) == 0x30
    assert guest.dfault == Fault(0xF, VA + 8, 0)


@pytest.mark.parametrize(("platform", "bits"), [("t2000", 48), ("t5-2", 52), ("m8-8", 54)])
def test_va_hole(platform: str, bits: int) -> None:
    guest = ready(platform=platform)
    inside = 1 << bits - 1
    for va in (inside, (1 << 64) - inside - 8, 1 << 63):
        assert ready_copy(guest).trap(LDX, g1=va) == 0x30
        assert guest.dfault == Fault(9, va, 0)
        assert ready_copy(guest).trap(*JUMP, g1=va) == 0x08
        assert guest.ifault == Fault(9, va, 0)
    for va in (inside - 8, -inside, -8):
        assert ready_copy(guest).trap(LDX, g1=va) == 0x68


# -- what an access is checked as


def test_address_masking() -> None:
    guest = ready()
    assert guest.trap(LDX, g1=0xABC_0000_0000 | DATA, pstate=PRIV | AM) == 0
    assert guest["g2"] == 0xD0D0
    assert guest.trap(LDX, g1=0xABC_4000_0008, pstate=PRIV | AM) == 0x68
    assert guest.dfault.address == 0x4000_0000, "the masked address is reported"
    guest = ready()
    assert guest.trap(asm("casxa", "g1", 0x80, "g3", "g2"), g1=1 << 40 | DATA, pstate=PRIV | AM) == 0
    assert guest["g2"] == 0xD0D0


def test_nucleus_is_implicit_above_level_0() -> None:
    guest = ready()
    assert guest.map(VA, V | CP | P | W | DATA) == EOK
    assert guest.map(VA, V | CP | P | W | MORE, context=7) == EOK
    guest.contexts(7, 7)
    assert guest.set(g1=VA).run(LDX)["g2"] == 0xE0E0
    for word, value in ((load(0x80), 0xE0E0), (LDX, 0xD0D0)):
        guest.set(tl=1, tt1=0).load(word)
        guest.strand.step()
        assert guest["g2"] == value, "ASI 0x80 is primary at any level"


def test_primary_secondary_nucleus() -> None:
    guest = ready()
    for context, ra in ((0, 0x300000), (3, 0x302000), (4, 0x304000)):
        guest.memory.store(ra, context + 0x100)
        assert guest.map(VA, USER_BITS | ra, context=context) == EOK
    guest.contexts(3, 4)
    for asi, context in ((0x80, 3), (0x81, 4), (0x04, 0), (0x10, 3), (0x11, 4), (0x82, 3), (0x83, 4)):
        assert guest.set(g1=VA).run(load(asi))["g2"] == context + 0x100, hex(asi)
    assert guest.set(g1=0x302000).run(load(0x14))["g2"] == 0x103, "real"


def test_second_context_registers_match_too() -> None:
    guest = ready()
    assert guest.map(VA, USER_BITS | DATA, context=0x33) == EOK
    guest.set(g1=0x108, g2=0x33).run(store(0x21))
    assert guest.set(g1=VA).run(LDX)["g2"] == 0xD0D0


def test_code_of_two_contexts_at_one_address() -> None:
    guest = ready()
    for context, value in ((1, 11), (2, 22)):
        ra = 0x300000 + 0x2000 * context
        guest.memory.write(ra, b"".join(w.to_bytes(4, "big") for w in (asm("or", "g0", value, "g2"), HERE)))
        assert guest.map(VA, USER_BITS | ra, context=context) == EOK
    for context, value in ((1, 11), (2, 22), (1, 11)):
        guest.contexts(context, context).set(pc=VA).strand.run(5)
        assert guest["g2"] == value


# -- TSB walk


def test_tsb_match_and_its_conditions() -> None:
    good = V | CP | P | W | X | DATA
    assert with_tsb(VA, good).trap(LDX, g1=VA) == 0
    assert with_tsb(VA, good & ~V).trap(LDX, g1=VA) == 0x31
    for bit in range(42, 48):
        assert with_tsb(VA, good, tag=1 << bit).trap(LDX, g1=VA) == 0x31, f"reserved tag bit {bit}"
    for bit in (0, 20, 41):
        assert with_tsb(VA, good, tag=1 << bit).trap(LDX, g1=VA) == 0x31, f"VA tag bit {bit}"
    for bit in (48, 60):
        assert with_tsb(VA, good, tag=1 << bit).trap(LDX, g1=VA) == 0x31, f"context bit {bit}"


def test_tsb_fetch() -> None:
    guest = with_tsb(VA, V | CP | P | X | DATA)
    guest.memory.write(DATA, b"".join(w.to_bytes(4, "big") for w in (asm("or", "g0", 77, "g2"), HERE)))
    assert guest.trap(*JUMP, g1=VA) == 0
    assert (guest["g2"], guest["pc"]) == (77, VA + 4)


def test_tsb_entry_smaller_than_the_index_size_is_none() -> None:
    assert with_tsb(VA, V | CP | P | W | DATA | 1, index=1).trap(LDX, g1=VA) == 0
    assert with_tsb(VA, V | CP | P | W | DATA, index=1).trap(LDX, g1=VA) == 0x31


def test_tsb_entry_of_a_size_that_is_not_in_the_mask_matches() -> None:
    assert with_tsb(VA, V | CP | P | W | 3).trap(LDX, g1=VA) == 0, "Linux puts 64K pages into its 8K TSB"


def test_large_page_ignores_low_tag_bits() -> None:
    base = 5 << 28
    guest = ready()
    assert set_tsbs(guest, descriptor(TSB, index=3, mask=8)) == EOK
    inside = base + (37 << 22)
    tsb_entry(guest, inside, V | CP | P | W | 5, index=3)
    at = TSB + 16 * ((inside >> 22) & (ENTRIES - 1))
    guest.memory.store(at, base >> 22)
    assert guest.trap(LDX, g1=inside) == 0x30, "translated: RA 37 * 4M is beyond memory"
    assert guest.dfault.type == 0x10


@pytest.mark.parametrize(("ctx", "tag_ctx", "tt"), [
    (ANY_CONTEXT, 6, 0), (ANY_CONTEXT, 0, 0x31), (ANY_CONTEXT, 7, 0x31), (0, 0, 0), (0, 6, 0x31), (1, 0, 0),
])
def test_context_index_forms(ctx: int, tag_ctx: int, tt: int) -> None:
    """-1: the tag holds the context; 0..n: the tag's context is 0 and any current one matches."""
    guest = ready()
    assert set_tsbs(guest, descriptor(TSB, ctx=ctx), user=True) == EOK
    tsb_entry(guest, VA, USER_BITS | DATA, ctx=tag_ctx)
    guest.contexts(6, 6)
    assert guest.trap(load(0x10), g1=VA) == tt


def test_several_tsbs_in_order() -> None:
    guest = ready()
    assert set_tsbs(guest, descriptor(TSB), descriptor(TSB2, index=3, mask=8)) == EOK
    tsb_entry(guest, VA + 0x400000, V | CP | P | W | 3, base=TSB2, index=3)
    assert guest.set(g1=VA + 0x400000 + DATA).run(LDX)["g2"] == 0xD0D0, "the second one"
    tsb_entry(guest, VA + 0x400000 + DATA, V | CP | P | W | MORE)
    guest.hcall(0x24, 0, 0, 3)
    assert guest.run(LDX)["g2"] == 0xE0E0, "the first one comes first"
    assert set_tsbs(guest) == EOK
    guest.hcall(0x24, 0, 0, 3)
    assert guest.trap(LDX) == 0x68, "none left"


def test_tsb_index_wraps_at_its_entries() -> None:
    guest = ready()
    assert set_tsbs(guest, descriptor(TSB)) == EOK
    for n in (0, 1):
        va = VA + n * ENTRIES * 8192
        tsb_entry(guest, va, V | CP | P | W | (DATA, MORE)[n])
        assert guest.set(g1=va).run(LDX)["g2"] == (0xD0D0, 0xE0E0)[n]


def test_permission_gained_in_the_tsb_counts_after_the_protection_trap() -> None:
    guest = with_tsb(VA, V | CP | P | DATA)
    assert guest.trap(STX, g1=VA) == 0x6C
    tsb_entry(guest, VA, V | CP | P | W | DATA)
    assert ready_copy(guest).trap(STX, g1=VA, g2=99) == 0
    assert guest.memory.load(DATA) == 99


# -- permanent mappings and entries of MMU_MAP_ADDR


def test_permanent_mapping_matches_context_0_of_any_kind() -> None:
    guest = ready()
    assert guest.hcall(0x25, VA, 0, USER_BITS | DATA, 3)[0] == EOK
    for asi in (0x80, 0x81, 0x04, 0x10, 0x11):
        assert guest.set(g1=VA).run(load(asi))["g2"] == 0xD0D0, hex(asi)
    guest.contexts(0, 8)
    assert guest.trap(load(0x11), g1=VA) == 0x68
    assert guest.dfault == Fault(1, VA, 8)


def test_permanent_mapping_of_data_is_none_for_fetches() -> None:
    guest = ready()
    assert guest.hcall(0x25, VA, 0, V | CP | P | X | DATA, 1)[0] == EOK
    assert guest.trap(LDX, g1=VA) == 0
    assert guest.trap(*JUMP, g1=VA) == 0x64
    guest = ready()
    assert guest.hcall(0x25, VA, 0, V | CP | P | X | DATA, 2)[0] == EOK
    assert guest.trap(LDX, g1=VA) == 0x68


def test_order_permanent_mapped_tsb() -> None:
    guest = with_tsb(VA, V | CP | P | W | 0x300000)
    guest.memory.store(0x300000, 0xF0F0)
    assert guest.set(g1=VA).run(LDX)["g2"] == 0xF0F0
    assert guest.map(VA, V | CP | P | W | DATA) == EOK
    assert guest.run(LDX)["g2"] == 0xD0D0
    assert guest.hcall(0x25, VA, 0, V | CP | P | W | MORE, 3)[0] == EOK
    assert guest.run(LDX)["g2"] == 0xE0E0


def test_mapped_entries_may_go_but_never_mislead() -> None:
    guest = ready()
    for n in range(100):
        guest.memory.store(0x200000 + 0x2000 * n, n)
        assert guest.map(VA + 0x2000 * n, V | CP | P | W | (0x200000 + 0x2000 * n)) == EOK
    for n in range(100):
        tt = ready_copy(guest).trap(LDX, g1=VA + 0x2000 * n)
        assert tt in (0, 0x68)
        if n == 99:
            assert tt == 0
        if tt == 0:
            assert guest["g2"] == n


def test_larger_mapping_replaces_the_smaller_ones_in_it() -> None:
    guest = ready()
    assert guest.map(VA + DATA, V | CP | P | W | MORE) == EOK
    assert guest.set(g1=VA + DATA).run(LDX)["g2"] == 0xE0E0
    assert guest.map(VA, V | CP | P | W | 3) == EOK
    assert guest.run(LDX)["g2"] == 0xD0D0


@pytest.mark.parametrize("access", [LDX, STX, SWAP])
def test_ie_page_is_written_and_read_the_other_way_round(access: int) -> None:
    guest = ready()
    assert guest.map(VA, V | CP | P | W | IE_TTE | DATA) == EOK
    guest.memory.write(DATA, bytes(range(8)))
    guest.set(g1=VA, g2=0x0102030405060708).run(access)
    if access == LDX:
        assert guest["g2"] == 0x0706050403020100
    elif access == STX:
        assert guest.memory.read(DATA, 8) == bytes(range(8, 0, -1))
    else:
        assert guest.memory.read(DATA, 8) == b"\x08\x07\x06\x05\4\5\6\7" and guest["g2"] == 0x03020100
