"""Address space identifiers: who may use them, what they reach, which sizes they take (UA2005, chapter 10)."""

from __future__ import annotations

import pytest
from asm_support import asm
from guest_support import CP, DATA, IE_TTE, MORE, PEF, PRIV, E, Guest, P, V, W

A_TYPE, ATOMIC_TYPE, PRIV_ACTION_TYPE, UNALIGNED_TYPE = 0xA, 0xB, 0xC, 0xE
FPU = {"fprs": 4, "pstate": PRIV | PEF}
BYTES = bytes(range(0x11, 0x11 + 64))
BIG, LITTLE = int.from_bytes(BYTES[:8], "big"), int.from_bytes(BYTES[:8], "little")


def load(asi: int, name: str = "ldxa", rd: str = "g2") -> int:
    return asm(name, ("g1", "g0", asi), rd)


def store(asi: int, name: str = "stxa", rd: str = "g2") -> int:
    return asm(name, rd, ("g1", "g0", asi))


def ready(**regs: int) -> Guest:
    """%g1 at DATA, which holds BYTES."""
    guest = Guest()
    guest.memory.write(DATA, BYTES)
    return guest.set(g1=DATA, **regs)


# -- privilege and existence

USER_ASIS = {
    *range(0x80, 0x84), *range(0x88, 0x8C), 0xB0, *range(0xC0, 0xC6), *range(0xC8, 0xCE), *range(0xD0, 0xD4),
    *range(0xD8, 0xDC), 0xE2, 0xE3, 0xEA, 0xEB, *range(0xF0, 0xF4), *range(0xF8, 0xFC),
}
PRIV_ASIS = {
    0x04, 0x0C, 0x10, 0x11, 0x18, 0x19, 0x14, 0x1C, 0x15, 0x1D, 0x16, 0x17, 0x1E, 0x1F, 0x20, 0x21, 0x22, 0x2A, 0x23,
    0x2B, 0x24, 0x2C, 0x25, 0x26, 0x2E, 0x27, 0x2F,
}
VIS_ONLY = {a for a in USER_ASIS if 0xC0 <= a <= 0xDF or (a & 0xF6) == 0xF0} | {0x16, 0x17, 0x1E, 0x1F}
TWIN = {0x22, 0x23, 0x24, 0x26, 0x27, 0x2A, 0x2B, 0x2C, 0x2E, 0x2F, 0xE2, 0xE3, 0xEA, 0xEB}
MRU = {0xF2, 0xF3, 0xFA, 0xFB}
REGISTERS = {0x20: 0x00, 0x21: 0x08, 0x25: 0x3C0, 0xB0: 0x00}


def probe(asi: int) -> int:
    """A load, or where the ASI has none a store, of the kind the ASI is for."""
    if asi in TWIN:
        return load(asi, "ldda", "g2")
    if asi in MRU or 0xC0 <= asi <= 0xCF:
        return store(asi, "stdfa", "d0") if asi not in MRU else store(asi)
    return load(asi, "lddfa", "d0") if asi in VIS_ONLY else load(asi)


@pytest.mark.parametrize("asi", range(256), ids=lambda asi: f"{asi:02x}")
def test_existence_and_privilege(asi: int) -> None:
    exists = asi in USER_ASIS | PRIV_ASIS
    address = REGISTERS.get(asi, DATA)
    guest = ready(**FPU)
    expected = 0 if exists else 0x37 if 0x30 <= asi < 0x80 else 0x30
    assert guest.trap(probe(asi), g1=address) == expected
    if expected == 0x30:
        assert guest.dfault.type == A_TYPE and guest.dfault.address == address
    guest = ready(fprs=4, pstate=PEF)
    assert guest.trap(probe(asi), g1=address) == (0x37 if asi < 0x80 else 0 if exists else 0x30)
    if asi < 0x80:
        assert guest.dfault.type == PRIV_ACTION_TYPE


@pytest.mark.parametrize("asi", [0xB0, *sorted(MRU)], ids=hex)
def test_asis_that_came_with_the_t4(asi: int) -> None:
    for platform, tt in (("t3-1", 0x30), ("t4-1", 0)):
        guest = Guest(platform=platform)
        assert guest.trap(store(asi), g1=REGISTERS.get(asi, DATA)) == tt


# -- which operation on which kind (source: UA2005, chapter 10; other combinations are data_access_exception 0x0a)

WRONG = [
    ("store to no-fault primary", store(0x82)), ("store to no-fault secondary", store(0x83)),
    ("FP store to no-fault", store(0x82, "stdfa", "d0")), ("atomic on no-fault", load(0x82, "swapa")),
    ("word load of a scratchpad", load(0x20, "lduwa")), ("byte store to a scratchpad", store(0x20, "stba")),
    ("atomic on a scratchpad", asm("casxa", "g1", 0x20, "g2", "g3")), ("word load of a context", load(0x21, "lduwa")),
    ("word load of a queue register", load(0x25, "lduwa")), ("integer load of a twin ASI", load(0xE2)),
    ("word load of a twin ASI", load(0x22, "lduwa")), ("FP load of a twin ASI", load(0xE2, "lddfa", "d0")),
    ("FP store to a block-init ASI", store(0xE2, "stdfa", "d0")), ("quad load by ldxa", load(0x26)),
    ("store to quad load", store(0x26)), ("twin load of MRU block-init", load(0xF2, "ldda")),
    ("integer load of a block ASI", load(0xF0)), ("integer store to a block ASI", store(0xF0)),
    ("single load of a block ASI", load(0xF0, "ldfa", "f0")),
    ("load of a partial store ASI", load(0xC0, "lddfa", "d0")),
    ("integer load of a short ASI", load(0xD0)), ("block commit load", load(0xE0, "lddfa", "d0")),
    ("block commit store, illegal on the T series", store(0xE0, "stdfa", "d0")),
    ("swap on a block ASI", load(0xF0, "swapa")),
    ("ldstub on a block-init ASI", load(0xE2, "ldstuba")),
]


@pytest.mark.parametrize(("why", "word"), WRONG, ids=[row[0] for row in WRONG])
def test_wrong_operation_is_an_invalid_asi(why: str, word: int) -> None:
    guest = ready(**FPU)
    assert guest.trap(word, g1=0x3C0 if "register" in why else DATA) == 0x30, why
    assert guest.dfault.type == A_TYPE


@pytest.mark.parametrize("name", ["swapa", "ldstuba", "casa", "casxa"])
def test_atomics_reach_real_memory_but_no_devices(name: str) -> None:
    def word(asi: int) -> int:
        return asm(name, "g1", asi, "g2", "g3") if name.startswith("cas") else load(asi, name, "g3")

    for asi in (0x14, 0x1C, 0x80, 0x81, 0x04, 0x10, 0x11):
        assert ready().trap(word(asi)) == 0, hex(asi)
    guest = ready()
    assert guest.trap(word(0x15)) == 0x30
    assert guest.dfault.type == ATOMIC_TYPE


# -- byte order


@pytest.mark.parametrize("asi", [0x04, 0x10, 0x11, 0x14, 0x15, 0x80, 0x81, 0x82, 0x83], ids=hex)
@pytest.mark.parametrize(("name", "size"), [("lduba", 1), ("lduha", 2), ("lduwa", 4), ("ldxa", 8), ("ldsha", 2)])
def test_little_endian_twins(asi: int, name: str, size: int) -> None:
    assert ready().run(load(asi, name))["g2"] == BIG >> 64 - 8 * size
    assert ready().run(load(asi + 8, name))["g2"] == LITTLE & ((1 << 8 * size) - 1)


def test_little_endian_stores_pairs_and_atomics() -> None:
    value = 0x0102030405060708
    assert ready(g2=value).run(store(0x88)).memory.read(DATA, 8) == value.to_bytes(8, "little")
    assert ready(g2=value).run(store(0x88, "stwa")).memory.read(DATA, 8) == b"\x08\x07\x06\x05" + BYTES[4:8]
    guest = ready().run(load(0x88, "ldda"))
    assert (guest["g2"], guest["g3"]) == (LITTLE & 0xFFFFFFFF, LITTLE >> 32), "word by word"
    guest = ready(g2=0x01020304, g3=0x05060708).run(store(0x88, "stda"))
    assert guest.memory.read(DATA, 8) == b"\x04\x03\x02\x01\x08\x07\x06\x05"
    guest = ready(g2=0x01020304).run(load(0x88, "swapa"))
    assert guest["g2"] == LITTLE & 0xFFFFFFFF and guest.memory.read(DATA, 4) == b"\x04\x03\x02\x01"
    guest = ready(g2=LITTLE, g3=value).run(asm("casxa", "g1", 0x88, "g2", "g3"))
    assert guest["g3"] == LITTLE and guest.memory.read(DATA, 8) == value.to_bytes(8, "little")
    guest = ready(g2=LITTLE & 0xFFFFFFFF, g3=value).run(asm("casa", "g1", 0x88, "g2", "g3"))
    assert guest["g3"] == LITTLE & 0xFFFFFFFF and guest.memory.read(DATA, 4) == b"\x08\x07\x06\x05"


def test_current_little_endian_is_for_implicit_accesses_only() -> None:
    cle = PRIV | 0x200
    assert ready(pstate=cle).run(asm("ldx", ("g1", 0), "g2"))["g2"] == LITTLE
    assert ready(pstate=cle).run(load(0x80))["g2"] == BIG
    assert ready(pstate=cle).run(load(0x88))["g2"] == LITTLE
    assert ready(pstate=cle).run(asm("swap", ("g1", 0), "g2"))["g2"] == LITTLE & 0xFFFFFFFF
    guest = ready(pstate=cle, g2=1).run(asm("stw", "g2", ("g1", 0)))
    assert guest.memory.read(DATA, 4) == b"\1\0\0\0"


def test_asi_register_names_the_asi_when_i_is_1() -> None:
    assert ready(asi=0x88).run(asm("ldxa", ("g1", 0), "g2"))["g2"] == LITTLE
    assert ready(asi=0x14).run(asm("casxa", "g1", None, "g2", "g3"))["g3"] == BIG
    assert ready(asi=0x20, pstate=0).trap(asm("ldxa", ("g1", 0), "g2")) == 0x37


@pytest.mark.parametrize("name", ["ldx", "ldxa", "swap", "casxa"])
def test_tte_ie_inverts_every_data_access(name: str) -> None:
    words = {
        "ldx": asm("ldx", ("g1", 0), "g2"), "ldxa": load(0x88), "swap": asm("swap", ("g1", 0), "g2"),
        "casxa": asm("casxa", "g1", 0x80, "g3", "g2"),
    }
    guest = ready(g3=LITTLE, g2=7).mmu_on()
    assert guest.map(0x800000, V | CP | P | W | IE_TTE | DATA) == 0
    guest.set(g1=0x800000).run(words[name], words[name] if name == "ldx" else 0x01000000)
    assert guest["g2"] == {"ldx": LITTLE, "ldxa": BIG, "swap": LITTLE & 0xFFFFFFFF, "casxa": LITTLE}[name]


# -- twin loads


@pytest.mark.parametrize("asi", sorted(TWIN), ids=hex)
def test_twin_load(asi: int) -> None:
    order = "little" if asi & 8 else "big"
    guest = ready().run(load(asi, "ldda"))
    assert guest["g2"] == int.from_bytes(BYTES[:8], order)
    assert guest["g3"] == int.from_bytes(BYTES[8:16], order)
    guest = ready()
    assert guest.trap(load(asi, "ldda"), g1=DATA + 8) == 0x34, "16 bytes"
    assert guest.dfault.type == UNALIGNED_TYPE and guest.dfault.address == DATA + 8
    assert ready().trap(load(asi, "ldda", "g3")) == 0x10


# -- block-init stores

NEXT_WORD = asm("add", "g1", 8, "g1")
INIT = [0x22, 0x23, 0x27, 0x2A, 0x2B, 0x2F, 0xE2, 0xE3, 0xEA, 0xEB, *sorted(MRU)]


@pytest.mark.parametrize("asi", INIT, ids=hex)
def test_block_init_store_clears_the_line_from_its_start(asi: int) -> None:
    value = 0x0102030405060708
    data = value.to_bytes(8, "little" if asi & 8 else "big")
    guest = ready(g2=value).run(store(asi))
    assert guest.memory.read(DATA, 64) == data + bytes(56)
    guest = ready(g2=value).run(store(asi), NEXT_WORD, store(asi))
    assert guest.memory.read(DATA, 64) == data * 2 + bytes(48), "other offsets are plain stores"
    guest = ready(g2=value).run(NEXT_WORD, store(asi))
    assert guest.memory.read(DATA, 64) == BYTES[:8] + data + BYTES[16:]


def test_block_init_store_of_a_byte_needs_only_its_own_alignment() -> None:
    guest = ready(g2=0xAB).set(g1=DATA + 3)
    assert guest.trap(store(0xE2, "stba")) == 0
    assert guest.memory.read(DATA, 64) == b"\0\0\0\xab" + bytes(60)
    assert ready().set(g1=DATA + 4).trap(store(0xE2)) == 0x34


def test_block_init_store_drops_decoded_code() -> None:
    guest = Guest().set(g1=MORE, g2=0x81C3E008 << 32 | 0x86102007, g3=0)  # retl ; mov 7, %g3
    guest.memory.write(MORE, bytes.fromhex("81c3e008 86102001"))  # retl ; mov 1, %g3
    call = asm("call", MORE - 0x10000)
    guest.run(call, 0x01000000, store(0xE2), asm("call", MORE - 0x1000C), 0x01000000)
    assert guest["g3"] == 7


# -- block loads and stores


@pytest.mark.parametrize("asi", [0x16, 0x17, 0x1E, 0x1F, 0xF0, 0xF1, 0xF8, 0xF9], ids=hex)
@pytest.mark.parametrize("first", [0, 16, 32, 48])
def test_block_load_and_store(asi: int, first: int) -> None:
    order = "little" if asi & 8 else "big"
    guest = ready(**FPU).run(load(asi, "lddfa", f"d{first}"))
    for n in range(8):
        assert guest[f"d{first + 2 * n}"] == int.from_bytes(BYTES[8 * n : 8 * n + 8], order)
    assert guest["fprs"] == 4 | (1 if first < 32 else 2)
    guest.set(g1=MORE).run(store(asi, "stdfa", f"d{first}"))
    assert guest.memory.read(MORE, 64) == BYTES


def test_block_operand_rules() -> None:
    for name in ("lddfa", "stdfa"):
        make = load if name == "lddfa" else store
        assert ready(**FPU).trap(make(0xF0, name, "d8")) == 0x10, "registers of eight"
        guest = ready(**FPU)
        assert guest.trap(make(0xF0, name, "d0"), g1=DATA + 8) == 0x34, "64 bytes"
        assert guest.dfault.type == UNALIGNED_TYPE
        assert ready(fprs=0).trap(make(0xF0, name, "d0")) == 0x20


# -- partial stores


@pytest.mark.parametrize(("asi", "lane"), [(0xC0, 1), (0xC1, 1), (0xC2, 2), (0xC3, 2), (0xC4, 4), (0xC5, 4)])
@pytest.mark.parametrize("mask", [0x00, 0x01, 0x82, 0xFF, 0x5A])
def test_partial_store(asi: int, lane: int, mask: int) -> None:
    value = 0xA0A1A2A3A4A5A6A7
    bits = "".join(str(mask >> n & 1) * lane for n in range(8 // lane))[:8]  # by significance, least first
    for little in (False, True):
        word = asm("stdfa", "d0", ("g1", "g2", asi + 8 * little))
        guest = ready(g2=mask, d0=value, **FPU).run(word)
        new, order = value.to_bytes(8, "little"), bits
        if not little:
            new, order = new[::-1], bits[::-1]
        expected = bytes(new[n] if order[n] == "1" else BYTES[n] for n in range(8))
        assert guest.memory.read(DATA, 16) == expected + BYTES[8:16]


def test_partial_store_operand_rules() -> None:
    word = asm("stdfa", "d0", ("g1", "g2", 0xC0))
    assert ready(g2=4, **FPU).trap(word) == 0, "the mask is no part of the address"
    assert ready(**FPU).trap(word, g1=DATA + 4) == 0x36
    assert ready(**FPU).trap(word, g1=DATA + 1) == 0x34
    assert ready(asi=0xC0, **FPU).trap(asm("stdfa", "d0", ("g1", 0))) == 0x10


# -- short FP loads and stores


@pytest.mark.parametrize(("asi", "size"), [(0xD0, 1), (0xD1, 1), (0xD2, 2), (0xD3, 2)])
def test_short_fp(asi: int, size: int) -> None:
    for little in (0, 8):
        order = "little" if little else "big"
        guest = ready(d4=-1, **FPU).run(load(asi + little, "lddfa", "d4"))
        assert guest["d4"] == int.from_bytes(BYTES[:size], order), "zero-extended"
        assert guest["fprs"] == 5
        guest = ready(d4=0x1122334455667788, **FPU).run(store(asi + little, "stdfa", "d4"))
        low = 0x88 if size == 1 else 0x7788
        assert guest.memory.read(DATA, 8) == low.to_bytes(size, order) + BYTES[size:8]
    assert ready(**FPU).trap(load(asi, "lddfa", "d4"), g1=DATA + 1) == (0x34 if size == 2 else 0)


# -- scratchpads


@pytest.mark.parametrize("va", range(0, 0x48, 8), ids=hex)
def test_scratchpads(va: int) -> None:
    guest = Guest().set(g1=va, g2=0x1234 + va)
    hidden = va in (0x20, 0x28, 0x40)
    assert guest.trap(store(0x20)) == (0x30 if hidden else 0)
    if hidden:
        assert guest.dfault.type == A_TYPE
        guest = Guest().set(g1=va)
        assert guest.trap(load(0x20)) == 0x30
        return
    guest.set(g2=0)
    assert guest.run(load(0x20))["g2"] == 0x1234 + va
    assert Guest().set(g1=va + 4).trap(load(0x20)) == 0x34


def test_scratchpads_are_distinct() -> None:
    guest = Guest()
    for va in (0, 8, 0x10, 0x18, 0x30, 0x38):
        guest.set(g1=va, g2=va + 1).run(store(0x20))
    for va in (0, 8, 0x10, 0x18, 0x30, 0x38):
        assert guest.set(g1=va).run(load(0x20))["g2"] == va + 1


# -- context registers


def read_context(guest: Guest, va: int) -> int:
    return guest.set(g1=va, g2=0).run(load(0x21))["g2"]


def test_context_registers_and_the_copy_to_context_1() -> None:
    guest = Guest().set(g1=0x08, g2=0x1234).run(store(0x21))
    guest.set(g1=0x10, g2=0x0567).run(store(0x21))
    assert [read_context(guest, va) for va in (0x08, 0x10, 0x108, 0x110)] == [0x1234, 0x567, 0x1234, 0x567]
    guest.set(g1=0x108, g2=0x42).run(store(0x21))
    guest.set(g1=0x110, g2=0x43).run(store(0x21))
    assert [read_context(guest, va) for va in (0x08, 0x10, 0x108, 0x110)] == [0x1234, 0x567, 0x42, 0x43]
    guest.set(g1=0x08, g2=0xFFFF_FFFF).run(store(0x21))
    assert read_context(guest, 0x08) == 0x1FFF, "13 bits"


@pytest.mark.parametrize("va", [0x00, 0x18, 0x20, 0x100, 0x118, 0x1000], ids=hex)
def test_other_context_addresses_are_invalid(va: int) -> None:
    for word in (load(0x21), store(0x21)):
        guest = Guest().set(g1=va)
        assert guest.trap(word) == 0x30
        assert guest.dfault.type == A_TYPE and guest.dfault.address == va


# -- queue registers


@pytest.mark.parametrize("queue", range(4))
def test_queue_heads_are_ours_and_tails_are_not(queue: int) -> None:
    guest = Guest()
    assert guest.hcall(0x14, 0x3C + queue, MORE, 4)[0] == 0
    head = 0x3C0 + 16 * queue
    assert guest.trap(store(0x25), g1=head + 8, g2=0x40) == 0x30
    assert guest.dfault.type == A_TYPE
    guest.set(tl=0, gl=0, pstate=PRIV, g1=head, g2=0x4C0 | 0x3F)
    guest.run(store(0x25), 0x01000000)
    guest.set(tl=2, tt1=0, tt2=0)  # no further trap for the nonresumable queue
    guest.set(tl=0, gl=0, pstate=PRIV, g1=head + 8, g2=1)
    if queue < 3:
        assert guest.run(load(0x25))["g2"] == 0, "the tail reads as it is"
        assert guest.set(g1=head).run(load(0x25))["g2"] == 0xC0, "multiple of 64, wrapped by the size"


@pytest.mark.parametrize("va", [0x3B8, 0x400, 0x0], ids=hex)
def test_other_queue_addresses_are_invalid(va: int) -> None:
    assert Guest().set(g1=va).trap(load(0x25)) == 0x30
    assert Guest().set(g1=va).trap(store(0x25)) == 0x30


def test_performance_counters() -> None:
    guest = Guest()
    for va in range(0, 0x20, 8):
        guest.set(g1=va, g2=va + 5).run(store(0xB0))
    for va in range(0, 0x20, 8):
        assert guest.set(g1=va).run(load(0xB0))["g2"] == va + 5
    assert Guest().set(g1=0x20).trap(load(0xB0)) == 0x30


def test_no_fault_loads_read_memory_and_report_as_others() -> None:
    guest = ready().mmu_on()
    assert guest.run(load(0x82))["g2"] == BIG
    assert guest.trap(load(0x82), g1=0x900000) == 0x68
    guest = ready().mmu_on()
    assert guest.map(0x800000, V | CP | P | W | E | DATA) == 0
    assert guest.trap(load(0x82), g1=0x800000) == 0x30
    assert guest.dfault.type == 8


def test_prefetch_by_asi() -> None:
    assert Guest().trap(asm("prefetcha", ("g1", "g0", 0x80), 3), g1=1 << 50) == 0
    assert Guest().trap(asm("prefetcha", ("g1", "g0", 0x14), 3), pstate=0) == 0x37
    assert Guest().trap(asm("prefetcha", ("g1", "g0", 0x14), 6), pstate=0) == 0x10, "illegal first"


@pytest.mark.parametrize("asi", [0x12, 0x13])
def test_monitor_loads_come_with_the_m7(asi: int) -> None:
    """Loads as user that MWAIT would watch; stores and older chips: invalid ASI."""
    for platform, word, expected in (("m7-8", load(asi), 0), ("m7-8", store(asi), 0x30), ("t5-2", load(asi), 0x30)):
        guest = Guest(platform=platform)
        guest.memory.write(DATA, BYTES)
        assert guest.trap(word, g1=DATA) == expected
        assert expected or guest["g2"] == BIG
