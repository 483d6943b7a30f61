"""MACH_DESC: the machine description on its way to the guest (UltraSPARC VM Specification 3.0)."""

from __future__ import annotations

import pytest
from asm_support import asm, ta
from guest_support import CODE, DATA, EBADALIGN, EINVAL, ENORADDR, ENOTSUPPORTED, EOK, FAST, MORE, Guest
from mdesc_support import t5_domain

from emulator import Machine
from emulator.errors import ConfigError, StateError
from emulator.mdesc import MdescError, build, decode, encode, plain_resources

MACH_DESC, API_SET_VERSION, DEVINO2SYSINO = 1, 0, 0xA0
INTR = 2  # API group
END = 4 << 20  # of the guest's memory
OUTSIDE = 1 << 40


def described(guest: Guest) -> bytes:
    return encode(guest.machine.machine_description)


def test_size_from_a_probe() -> None:
    """Linux's first call: (0, 0). The status is EINVAL and the size stands in ret1 all the same."""
    guest = Guest()
    assert guest.hcall(MACH_DESC, 0, 0) == (EINVAL, len(described(guest)), 1, 1, 1)


def test_guest_reads_its_description() -> None:
    """A guest that probes, then reads with the size it was told: all in its own instructions."""
    guest = Guest(strands=3, platform="t4-1", cpu_arch="migration-class1")
    blob = described(guest)
    guest.memory.write(MORE - 16, bytes([0xAA]) * (len(blob) + 32))
    guest.set(o0=0, o1=0, o5=MACH_DESC, g1=MORE).run(ta(FAST), asm("or", "g1", 0, "o0"), ta(FAST))
    assert (guest["o0"], guest["o1"], guest["o5"]) == (EOK, len(blob), MACH_DESC)
    assert guest.memory.read(MORE, len(blob)) == blob
    assert guest.memory.read(MORE - 16, 16) == guest.memory.read(MORE + len(blob), 16) == bytes([0xAA]) * 16
    md = decode(guest.memory.read(MORE, len(blob)))
    assert [md[index].get("id") for index in md.find("cpu")] == [0, 1, 2]
    assert md.node("mblock").properties == {"base": 0, "size": END}
    assert md.node("platform").get("name") == "ORCL,SPARC-T4-1"
    server = guest.machine.platform
    assert md == build(server, plain_resources(server, 3, END, cpu_arch="migration-class1"))


def test_lengths_and_addresses() -> None:
    guest = Guest()
    size = len(described(guest))
    last = END - size  # a multiple of 16, as the size is one
    cases = [
        ((DATA, size), EOK), ((DATA, size + 1), EOK), ((DATA, (1 << 64) - 1), EOK), ((last, size), EOK),
        ((DATA, size - 1), EINVAL), ((OUTSIDE, size - 1), EINVAL),
    ]  # fmt: skip
    for args, status in cases:
        assert guest.hcall(MACH_DESC, *args)[:2] == (status, size), args
    wrong = [
        ((DATA + 8, size), EBADALIGN), ((1, 0), EBADALIGN), ((OUTSIDE + 8, 0), EBADALIGN), ((OUTSIDE, size), ENORADDR),
        ((last + 16, size), ENORADDR), (((1 << 64) - 16, size), ENORADDR), ((DATA | 1 << 63, size), ENORADDR),
    ]  # fmt: skip
    for args, status in wrong:
        assert guest.hcall(MACH_DESC, *args) == (status, args[1], 1, 1, 1), args


def test_a_failed_call_writes_nothing() -> None:
    guest = Guest()
    size = len(described(guest))
    last = END - size + 16
    guest.memory.write(last, bytes([0x55]) * (END - last))
    guest.memory.write(DATA, bytes([0x55]) * size)
    assert guest.hcall(MACH_DESC, last, size)[0] == ENORADDR
    assert guest.hcall(MACH_DESC, DATA, size - 1)[0] == EINVAL
    assert guest.memory.read(last, END - last) == bytes([0x55]) * (END - last)
    assert guest.memory.read(DATA, size) == bytes([0x55]) * size


def test_pages_written_are_dirty() -> None:
    guest = Guest()
    guest.machine.dirty_harvest()
    assert guest.hcall(MACH_DESC, MORE, 1 << 20)[0] == EOK
    pages = set(guest.machine.dirty_harvest())
    assert set(range(MORE // 8192, (MORE + len(described(guest)) - 1) // 8192 + 1)) <= pages


def test_description_over_code_is_seen() -> None:
    """The copy is a store to memory: code decoded from there is dropped."""
    guest = Guest()
    code_page = CODE + 0x1000
    guest.set(g2=0).run(asm("or", "g0", 7, "g2"), at=code_page)
    assert guest["g2"] == 7
    assert guest.hcall(MACH_DESC, code_page, 1 << 20)[0] == EOK
    guest.set(g2=0, pc=code_page)
    guest.strand.run(1)
    assert guest["g2"] == 0
    assert guest.tt == 0x10, "0x00010000 is ILLTRAP"


def test_interrupts_of_the_description_exist() -> None:
    """The inos of console and channel endpoints are sources that the hypervisor knows under these handles."""
    md = t5_domain()
    guest = Guest(machine_description=md)
    devices, channels = (md.node(name).get("cfg-handle") for name in ("virtual-devices", "channel-devices"))
    assert isinstance(devices, int) and isinstance(channels, int)
    assert guest.hcall(API_SET_VERSION, INTR, 1, 0, trap=0xFF)[0] == EOK
    console = md.node("virtual-device", name="console").get("ino")
    assert isinstance(console, int)
    assert guest.hcall(DEVINO2SYSINO, devices, console)[0] == EOK
    for endpoint in (md[index] for index in md.find("channel-endpoint")):
        number, inos = endpoint.get("id"), [endpoint.get(name) for name in ("tx-ino", "rx-ino")]
        assert isinstance(number, int)
        before = [guest.hcall(DEVINO2SYSINO, channels, ino)[0] for ino in inos]  # type: ignore[arg-type]
        guest.machine.add_channel(number)
        after = [guest.hcall(DEVINO2SYSINO, channels, ino)[0] for ino in inos]  # type: ignore[arg-type]
        assert (before, after) == ([EINVAL, EINVAL], [EOK, EOK])


# -- a description of one's own


def test_own_description() -> None:
    md = t5_domain()
    machine = Machine("4M", strands=3, machine_description=md)
    assert machine.machine_description == md
    newer = t5_domain(generation=8)
    machine.machine_description = newer
    assert machine.machine_description.generation == 8
    assert machine.machine_description == newer


def test_no_description() -> None:
    guest = Guest()
    guest.machine._core.set_md(b"")
    assert guest.hcall(MACH_DESC, 0, 0)[:2] == (ENOTSUPPORTED, 0)
    assert guest.hcall(MACH_DESC, 8, 0)[0] == EBADALIGN
    with pytest.raises(MdescError):
        _ = guest.machine.machine_description


def test_too_large_for_the_core() -> None:
    machine = Machine("4M")
    before = machine.machine_description
    with pytest.raises(ConfigError, match="too large"):
        machine._core.set_md(bytes((64 << 20) + 16))
    assert machine.machine_description == before


# -- state


def test_description_is_part_of_the_state() -> None:
    source, target = (Machine("4M", deterministic=True) for _ in range(2))
    assert source.digest() == target.digest()
    source.machine_description = t5_domain(generation=99)
    assert source.digest() != target.digest()
    target.load(source.save())
    assert target.machine_description.generation == 99
    assert target.digest() == source.digest()


def test_a_state_whose_description_is_cut_off() -> None:
    machine, other = (Machine("4M", deterministic=True) for _ in range(2))
    machine.machine_description = t5_domain()
    state, blob = machine.save(), encode(t5_domain())
    at = state.index(blob)
    assert int.from_bytes(state[at - 8 : at], "little") == len(blob)
    for size in (len(blob) + 1, 1 << 40, (1 << 64) - 1, (64 << 20) + 1):
        with pytest.raises(StateError):
            other.load(state[: at - 8] + size.to_bytes(8, "little") + state[at:])
    for end in (at - 8, at - 1, at, at + len(blob) - 1):
        with pytest.raises(StateError):
            other.load(state[:end])
