"""Memory that is taken away, and what the guest keeps there (UltraSPARC VM Specification 3.0)."""

from __future__ import annotations

import pytest
from asm_support import asm
from guest_support import CP, DATA, ENORADDR, EOK, MASK64, PRIV, Guest, V, W, X

from emulator.errors import AddressError, BusyError

PAGE, MIB = 8192, 1 << 20
HIGH, HIGH_PA = 0x8000_0000, 0x1_0000_0000
TX_QCONF, RX_QCONF, SET_MAP, MAPIN, UNMAP = 0xE0, 0xE4, 0xEA, 0xED, 0xEE
QCONF, TSB_CTX0, FAULT_AREA, MEM_SCRUB, MEM_SYNC = 0x14, 0x20, 0x26, 0x31, 0x32
TTRACE_CONF, DUMP_UPDATE, NCS_QCONF = 0x90, 0x94, 0x111
P_W = 1 << 8 | W
R_, W_, CPR, CPW = 1 << 4, 1 << 5, 1 << 9, 1 << 10


def guest_with_high(**options: object) -> Guest:
    guest = Guest(**options)  # type: ignore[arg-type]
    guest.machine.add_memory(HIGH, HIGH_PA, 8 * MIB)
    return guest


def busy(guest: Guest, ra: int, size: int = PAGE) -> str:
    """Why memory cannot be removed; nothing has changed then."""
    before = guest.machine.digest()
    with pytest.raises(BusyError) as error:
        guest.machine.remove_memory(ra, size)
    assert guest.machine.digest() == before
    return str(error.value)


def free(guest: Guest, ra: int, size: int = PAGE) -> None:
    guest.machine.remove_memory(ra, size)
    assert guest.hcall(MEM_SYNC, ra, size)[0] == ENORADDR


def test_a_hole_is_no_real_address_for_calls() -> None:
    guest = guest_with_high()
    assert guest.hcall(MEM_SYNC, HIGH, 8 * MIB)[:2] == (EOK, 8 * MIB)
    guest.machine.remove_memory(HIGH + 4 * MIB, PAGE)
    assert guest.hcall(MEM_SYNC, HIGH, 8 * MIB)[0] == ENORADDR
    assert guest.hcall(MEM_SYNC, HIGH, 4 * MIB)[0] == EOK
    assert guest.hcall(MEM_SCRUB, HIGH + 4 * MIB - PAGE, 2 * PAGE)[0] == ENORADDR
    assert guest.hcall(MEM_SCRUB, HIGH + 4 * MIB + PAGE, PAGE)[0] == EOK
    assert guest.hcall(QCONF, 0x3C, HIGH + 4 * MIB, 128)[0] == ENORADDR
    assert guest.map(0x400000, V | CP | P_W | HIGH + 4 * MIB) == ENORADDR


def test_a_load_from_what_was_removed_traps() -> None:
    """From the soft TLB, by a page that a TTE of the guest still maps."""
    guest = guest_with_high().mmu_on()
    guest.memory.store(HIGH + 0x40, 0x1234)
    assert guest.map(0x800000, V | CP | P_W | HIGH) == EOK
    assert guest.trap(asm("ldx", ("g1", 0x40), "g2"), g1=0x800000) == 0
    assert guest["g2"] == 0x1234
    guest.machine.remove_memory(HIGH, PAGE)
    assert guest.trap(asm("ldx", ("g1", 0x40), "g2"), g1=0x800000) == 0x30
    assert guest.dfault.address == 0x800040
    guest.set(tl=0).machine.add_memory(HIGH, HIGH_PA, PAGE)
    assert guest.set(pstate=PRIV).trap(asm("ldx", ("g1", 0x40), "g2"), g1=0x800000) == 0
    assert guest["g2"] == 0


def test_stores_cannot_follow_an_old_translation() -> None:
    """The strand had write permission; other memory stands behind the physical address by now."""
    guest = guest_with_high().mmu_on()
    assert guest.map(0x800000, V | CP | P_W | HIGH) == EOK
    guest.set(g1=0x800000, g2=7).run(asm("stx", "g2", ("g1", 0)), asm("stx", "g2", ("g1", 8)))
    guest.machine.remove_memory(HIGH, PAGE)
    guest.machine.add_memory(HIGH + 16 * MIB, HIGH_PA, PAGE)
    assert guest.trap(asm("stx", "g2", ("g1", 0))) == 0x30
    assert guest.memory.read(HIGH + 16 * MIB, PAGE) == bytes(PAGE)


# -- what keeps memory


@pytest.mark.parametrize(("call", "what"), [(TX_QCONF, "transmit queue"), (RX_QCONF, "receive queue")])
def test_queues_of_channels(call: int, what: str) -> None:
    guest = guest_with_high()
    assert guest.hcall(0, 0x101, 1, 0, trap=0xFF)[0] == EOK
    guest.machine.add_channel(3)
    assert guest.hcall(call, 3, HIGH + 2 * PAGE, 256)[0] == EOK  # two pages
    assert f"the {what} of channel 3 is there" in busy(guest, HIGH + 3 * PAGE)
    assert what in busy(guest, HIGH, 8 * MIB)
    free(guest, HIGH + PAGE)
    free(guest, HIGH + 4 * PAGE)
    assert guest.hcall(call, 3, 0, 0)[0] == EOK
    free(guest, HIGH + 2 * PAGE, 2 * PAGE)


def test_map_tables_and_pages_mapped_in() -> None:
    guest = guest_with_high()
    assert guest.hcall(0, 0x101, 1, 1, trap=0xFF)[0] == EOK
    guest.machine.connect_channels(2, 3)
    assert guest.hcall(SET_MAP, 2, HIGH, 1024)[0] == EOK
    assert "the map table of channel 2" in busy(guest, HIGH + PAGE)
    large = HIGH + 4 * MIB
    guest.memory.store(HIGH + 16, large | R_ | W_ | CPR | 3)  # a page of 4 MiB
    status, ra, _ = guest.hcall(MAPIN, 3, 3 << 60 | 1 << 22)[:3]
    assert status == EOK
    assert "a page that channel 2 has mapped in" in busy(guest, large + 3 * MIB)
    free(guest, HIGH + 2 * MIB)
    assert guest.hcall(UNMAP, ra)[0] == EOK
    free(guest, large + 3 * MIB)
    assert guest.hcall(MAPIN, 3, 3 << 60 | 1 << 22)[0] == ENORADDR  # no longer all of it
    guest.machine.add_memory(large + 3 * MIB, HIGH_PA + 7 * MIB, PAGE)
    assert guest.hcall(MAPIN, 3, 3 << 60 | 1 << 22)[0] == EOK  # whole again, in one piece


def test_a_host_that_copies_finds_no_memory() -> None:
    """A page that the guest exports to the client does not keep it: each copy looks."""
    guest = guest_with_high()
    assert guest.hcall(0, 0x101, 1, 0, trap=0xFF)[0] == EOK
    channel = guest.machine.add_channel(3)
    assert guest.hcall(SET_MAP, 3, DATA, 16)[0] == EOK
    guest.memory.store(DATA + 16, HIGH | CPR | CPW)
    assert channel.read(1 << 13, 8) == bytes(8)
    guest.machine.remove_memory(HIGH, PAGE)
    with pytest.raises(AddressError):
        channel.read(1 << 13, 8)


@pytest.mark.parametrize(("queue", "what"), [(0x3C, "cpu mondo"), (0x3D, "device mondo"), (0x3E, "resumable error")])
def test_queues_of_strands(queue: int, what: str) -> None:
    guest = guest_with_high()
    assert guest.hcall(QCONF, queue, HIGH, 256)[0] == EOK
    assert f"the {what} queue of cpu 0" in busy(guest, HIGH + PAGE)
    assert guest.hcall(QCONF, queue, 0, 0)[0] == EOK
    free(guest, HIGH + PAGE)


def test_tsbs_fault_areas_trace_and_dump_buffers() -> None:
    guest = guest_with_high()
    words = (1 << 32 | 512, 1, HIGH, 0)
    for n, word in enumerate(words):
        guest.memory.store(DATA + 8 * n, word)
    assert guest.hcall(TSB_CTX0, 1, DATA)[0] == EOK
    assert guest.hcall(FAULT_AREA, HIGH + 2 * PAGE)[0] == EOK
    assert guest.hcall(TTRACE_CONF, HIGH + 3 * PAGE, 128)[0] == EOK
    assert guest.hcall(DUMP_UPDATE, HIGH + 4 * PAGE, PAGE)[0] == EOK
    kept = ("a TSB of cpu 0", "", "the fault status area", "the trap trace buffer", "the crash dump buffer")
    for page, what in enumerate(kept):
        if what:
            assert what in busy(guest, HIGH + page * PAGE)
        else:
            free(guest, HIGH + page * PAGE)
    guest.machine.reset()
    guest.machine.remove_memory(HIGH + 2 * PAGE, 3 * PAGE)  # a reset forgets all of them


def test_queues_of_crypto_units() -> None:
    guest = guest_with_high(platform="t5120")
    assert guest.hcall(0, 0x103, 2, 1, trap=0xFF)[0] == EOK
    status, handle = guest.hcall(NCS_QCONF, 1, HIGH, 16)[:2]
    assert status == EOK
    assert "the queue of crypto unit" in busy(guest, HIGH)
    assert guest.hcall(NCS_QCONF, 1, handle, 0)[0] == EOK
    free(guest, HIGH)


def test_poisoned_memory_that_comes_back_is_sound() -> None:
    guest = guest_with_high()
    guest.machine.poison(HIGH + 64)
    guest.machine.remove_memory(HIGH, PAGE)
    guest.machine.add_memory(HIGH, HIGH_PA, PAGE)
    guest.set(g1=HIGH, mmu_enabled=0, pstate=PRIV)
    assert guest.trap(asm("ldx", ("g1", 64), "g2")) == 0
    assert guest["g2"] == 0


def test_addresses_up_to_the_end_of_64_bits_are_looked_at_soundly() -> None:
    guest = guest_with_high()
    for ra in (1 << 46, (1 << 63) - PAGE, MASK64 & ~(PAGE - 1)):
        assert guest.hcall(MEM_SYNC, ra, PAGE)[0] == ENORADDR
        assert guest.map(0x400000, V | CP | X | (ra & 0x00FF_FFFF_FFFF_E000)) == ENORADDR
