"""The virtual disk server, driven as Linux's sunvdc drives it."""

from __future__ import annotations

import errno
import os
import random
import struct
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from driver_support import (
    ATTR,
    COPY_READ,
    COPY_WRITE,
    DESC,
    INFO,
    NACK,
    RESET,
    RING,
    RING_DATA,
    RX_STATE,
    V_CTRL,
    V_DATA,
    V_RDX,
    VER,
    DiskDriver,
    DriverGuest,
    message,
    tag,
)

from emulator.backends.file import FileDisk, create_disk
from emulator.backends.overlay import Overlay
from emulator.devices.disklabel import default_label, find_slice, parse_label
from emulator.devices.vdisk import DiskOptions, Medium, Operation, VirtualDisk
from emulator.errors import StateError

BLOCKS = 4096


@dataclass
class MemoryDisk:
    """A backend that remembers, and fails when told to."""

    data: bytearray = field(default_factory=lambda: bytearray(random.Random(7).randbytes(BLOCKS * 512)))
    read_only: bool = False
    failure: OSError | None = None
    flushed: int = 0
    log: list[str] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        if self.failure:
            raise self.failure
        assert 0 <= offset <= offset + length <= len(self.data)
        return bytes(self.data[offset : offset + length])

    def write(self, offset: int, data: bytes) -> None:
        if self.failure:
            raise self.failure
        assert 0 <= offset <= offset + len(data) <= len(self.data)
        self.log.append("write")
        self.data[offset : offset + len(data)] = data

    def flush(self) -> None:
        if self.failure:
            raise self.failure
        self.log.append("flush")

    def close(self) -> None:
        pass


def disk(backend: object | None = None, **options: object) -> tuple[DiskDriver, VirtualDisk]:
    guest = DriverGuest()
    server = VirtualDisk("vdisk0", 1, backend or MemoryDisk(), options=DiskOptions(**options))  # type: ignore[arg-type]
    guest.machine.attach(server)
    return DiskDriver(guest, 1), server


def up(backend: object | None = None, **options: object) -> tuple[DiskDriver, VirtualDisk]:
    driver, server = disk(backend, **options)
    driver.bring_up()
    return driver, server


# -- handshake


@pytest.mark.parametrize(("asked", "given"), [((1, 2), (1, 2)), ((1, 1), (1, 1)), ((1, 0), (1, 0)), ((1, 9), (1, 2))])
def test_handshake(asked: tuple[int, int], given: tuple[int, int]) -> None:
    driver, server = disk()
    attributes = driver.bring_up(asked)
    assert driver.version == given
    assert (attributes.type, attributes.medium, attributes.block, attributes.blocks) == (2, 1, 512, BLOCKS)
    assert attributes.most == 256
    assert attributes.physical == 512, "0 makes Linux give up"
    assert attributes.operations == sum(1 << n for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 17))
    assert server.running


def test_a_version_that_is_too_high_is_answered_with_ours() -> None:
    driver, _ = disk()
    driver.ldc.bind()
    driver.ldc.connect()
    for major, best in ((2, (1, 2)), (0, (0, 0))):
        driver.ldc.send(message(V_CTRL, INFO, VER, 5, struct.pack(">HHB", major, 0, 3)))
        (answer,) = driver.ldc.receive()
        assert tag(answer) == (V_CTRL, NACK, VER, 5)
        assert struct.unpack_from(">HH", answer, 8) == best
    driver.handshake()


def test_packet_mode_is_refused_and_a_ring_needs_attributes() -> None:
    driver, _ = disk()
    driver.ldc.bind()
    driver.ldc.connect()
    driver.control(VER, struct.pack(">HHB", 1, 2, 3))
    driver.ldc.send(message(V_CTRL, INFO, ATTR, driver.sid, struct.pack(">BBBxIQQQ", 1, 0, 0, 512, 0, 0, 256)))
    driver.one(env=ATTR, stype=NACK)
    driver.ldc.send(message(V_CTRL, INFO, RING, driver.sid, struct.pack(">QIIHHIQQ", 0, 8, 336, 1, 0, 1, 0, 8192)))
    assert driver.ldc.call(RX_STATE)[3] == RESET


@pytest.mark.parametrize(
    ("entries", "size", "count", "cookies"),
    [
        (0, 336, 1, [(0, 8192)]), (1 << 17, 336, 1, [(0, 1 << 40)]), (16, 56, 1, [(0, 8192)]),
        (16, 336, 0, []), (16, 336, 25, []), (16, 336, 1, [(0, 16 * 336 - 1)]), (16, 1 << 31, 1, [(0, 1 << 60)]),
        (65536, 4096, 1, [(0, 1 << 40)]), (16, 336, 1 << 31, [(0, 8192)]),
    ],
)  # fmt: skip
def test_rings_that_cannot_be(entries: int, size: int, count: int, cookies: list[tuple[int, int]]) -> None:
    driver, server = disk()
    driver.ldc.bind()
    driver.ldc.connect()
    driver.control(VER, struct.pack(">HHB", 1, 2, 3))
    driver.control(ATTR, struct.pack(">BBBxIQQQ", 3, 0, 0, 512, 0, 0, 256))
    body = struct.pack(">QIIHHI", 0, entries, size, 1, 0, count) + b"".join(struct.pack(">QQ", *c) for c in cookies)
    driver.ldc.send(message(V_CTRL, INFO, RING, driver.sid, body))
    driver.one(env=RING, stype=NACK)
    assert not server.running
    driver.register()
    driver.control(V_RDX, b"")
    assert driver.request(Operation.READ, size=512)[0] == 0


def test_a_second_handshake_and_a_ring_taken_back() -> None:
    driver, server = up()
    first = driver.ident
    driver.handshake()
    assert driver.ident > first, "the old ring is not taken for the new one"
    assert driver.request(Operation.READ, size=512)[0] == 0
    driver.control(4, struct.pack(">Q", driver.ident))
    assert not server.running
    driver.register()
    driver.control(V_RDX, b"")
    driver.at = 0
    assert driver.request(Operation.READ, size=512)[0] == 0


# -- data


def test_reads_and_writes() -> None:
    backend = MemoryDisk()
    driver, server = up(backend)
    chance = random.Random(20130326)
    for _ in range(100):
        size = 512 * chance.randint(1, 100)
        block = chance.randrange(BLOCKS - size // 512 + 1)
        if chance.random() < 0.5:
            status, data = driver.request(Operation.READ, block=block, size=size, rights=COPY_WRITE)
            assert (status, data) == (0, bytes(backend.data[block * 512 : block * 512 + size]))
        else:
            data = chance.randbytes(size)
            assert driver.request(Operation.WRITE, block=block, data=data, rights=COPY_READ)[0] == 0
            assert backend.data[block * 512 : block * 512 + size] == data
    assert server.counters.reads + server.counters.writes == 100


def test_buffers_in_pieces() -> None:
    """Cookies in any order, with offsets, of pages with and without the right."""
    backend = MemoryDisk()
    driver, _ = up(backend)
    (one, _size), (two, _size) = (
        driver.ldc.export(driver.buffer + n, 8192, COPY_WRITE)[0] for n in (8192, 24576 + 512)
    )
    status, _ = driver.request(
        Operation.READ, block=3, size=3584, cookies=[(two, 1024), (one + 512, 2048), (two + 4096, 9999)]
    )
    assert status == 0
    memory = driver.guest.memory
    assert memory.read(driver.buffer + 24576 + 512, 1024) == backend.data[1536:2560]
    assert memory.read(driver.buffer + 8192 + 512, 2048) == backend.data[2560:4608]
    assert memory.read(driver.buffer + 24576 + 4608, 512) == backend.data[4608:5120]


@pytest.mark.parametrize(
    ("block", "size", "cookies", "status"),
    [
        (BLOCKS, 512, None, 5), (BLOCKS - 1, 1024, None, 5), ((1 << 64) - 1, 512, None, 5), (1 << 55, 512, None, 5),
        (0, 511, None, 22), (0, 257 * 512, None, 22), (0, 1 << 63, [(0, 1 << 63)], 22), (0, 512, [], 5),
        (0, 512, [(0, 511)], 5), (0, 512, [(1 << 59, 512)], 5), (0, 512, [((1 << 64) - 512, 512)], 5),
        (0, 1024, [((1 << 60) - 512, 1024)], 5), (0, 512, [(0, 0)] * 18, 5),
    ],
)  # fmt: skip
def test_requests_that_fail(block: int, size: int, cookies: list[tuple[int, int]] | None, status: int) -> None:
    driver, server = up()
    if cookies is None and size > 8192 * 16:
        cookies = [(0, size)]
    if cookies is not None:
        driver.guest.memory.write(driver.buffer, bytes(512))
        driver.fill(driver.at, Operation.READ, block, size, cookies, 0xFF)
        driver.trigger(driver.at)
        assert driver.finished(driver.at) == status
        driver.at += 1
    else:
        assert driver.request(Operation.READ, block=block, size=size)[0] == status
    assert server.counters.errors == 1
    assert driver.request(Operation.READ, size=512)[0] == 0, "the session goes on"


def test_buffers_without_the_right() -> None:
    driver, _ = up()
    assert driver.request(Operation.READ, size=512, rights=COPY_READ)[0] == 5
    assert driver.request(Operation.WRITE, data=bytes(512), rights=COPY_WRITE)[0] == 5


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (errno.EIO, 5),
        (errno.ENOSPC, 28),
        (errno.EROFS, 30),
        (errno.EDQUOT, 49),
        (errno.EOVERFLOW, 5),
        (0, 5),
        (errno.ESTALE, 151),
    ],
)
def test_errors_of_the_host_reach_the_guest(number: int, status: int) -> None:
    backend = MemoryDisk()
    driver, _ = up(backend)
    backend.failure = OSError(number, "by order")
    assert driver.request(Operation.READ, size=512)[0] == status
    assert driver.request(Operation.WRITE, data=bytes(512))[0] == status
    assert driver.request(Operation.FLUSH)[0] == status
    backend.failure = None
    assert driver.request(Operation.READ, size=512)[0] == 0


def test_many_descriptors_by_one_message_are_acknowledged_in_order() -> None:
    driver, _ = up()
    for index in range(5):
        (cookie,) = driver.ldc.export(driver.buffer + 512 * index, 512, COPY_WRITE)
        driver.fill(index, Operation.READ, index, 512, [cookie], 0xFF)
    driver.trigger(0, 4)
    answers = [struct.unpack_from(">II", each, 24) for each in driver.ldc.receive()]
    assert answers == [(n, n) for n in range(5)]
    for index in range(5, 8):
        driver.fill(index, Operation.FLUSH, 0, 0, [], 0xFF)
    driver.trigger(5, 0xFFFFFFFF)
    answers = [struct.unpack_from(">IIB", each, 24) for each in driver.ldc.receive()]
    assert answers == [(5, 5, 1), (6, 6, 1), (7, 7, 1), (5, 7, 2)]


@pytest.mark.parametrize(
    ("ident", "start", "end"), [(9, 0, 0), (None, 16, 16), (None, 0, 16), (None, 0xFFFFFFFF, 0), (None, 3, 3)]
)
def test_messages_about_no_descriptors_are_refused(ident: int | None, start: int, end: int) -> None:
    driver, _ = up()
    body = struct.pack(">QQIIB", 1, driver.ident if ident is None else ident, start, end, 1)
    driver.ldc.send(message(V_DATA, INFO, RING_DATA, driver.sid, body))
    (answer,) = driver.ldc.receive()
    assert tag(answer) == (V_DATA, NACK, RING_DATA, driver.sid)
    assert driver.request(Operation.READ, size=512)[0] == 0


def test_a_ring_that_is_gone_ends_the_session() -> None:
    driver, server = up()
    driver.guest.memory.write(driver.ldc.table, bytes(16))
    driver.trigger(0)
    assert driver.ldc.call(RX_STATE)[3] == RESET
    assert not server.running
    driver.bring_up()
    assert driver.request(Operation.READ, size=512)[0] == 0


def test_descriptors_in_band() -> None:
    backend = MemoryDisk()
    driver, _ = disk(backend)
    driver.ldc.bind()
    driver.ldc.connect()
    driver.control(VER, struct.pack(">HHB", 1, 2, 3))
    driver.control(ATTR, struct.pack(">BBBxIQQQ", 2, 0, 0, 512, 0, 0, 256))
    driver.control(V_RDX, b"")
    ((address, _),) = driver.ldc.export(driver.buffer, 1024, COPY_WRITE)
    request = struct.pack(">QBBHIQQIIQQ", 1, Operation.READ, 0xFF, 0, 0xFFFF, 2, 1024, 1, 0, address, 1024)
    driver.ldc.send(message(V_DATA, INFO, DESC, driver.sid, struct.pack(">QQ", 1, 0x55) + request))
    (answer,) = driver.ldc.receive()
    assert tag(answer)[:3] == (V_DATA, 2, DESC)
    assert struct.unpack_from(">QQ", answer, 8) == (1, 0x55)
    assert struct.unpack_from(">I", answer, 24 + 12)[0] == 0
    assert driver.guest.memory.read(driver.buffer, 1024) == backend.data[1024:2048]


# -- caches


def test_flush_and_the_write_cache() -> None:
    backend = MemoryDisk()
    driver, _ = up(backend)
    assert driver.request(Operation.WRITE, data=bytes(512))[0] == 0
    assert backend.log == ["write"]
    assert driver.request(Operation.FLUSH)[0] == 0
    assert backend.log == ["write", "flush"]
    assert driver.request(Operation.GET_WCE, size=8)[1][:4] == bytes((0, 0, 0, 1))
    assert driver.request(Operation.SET_WCE, data=bytes(8))[0] == 0
    assert driver.request(Operation.WRITE, data=bytes(512))[0] == 0
    assert backend.log == ["write", "flush", "flush", "write", "flush"]
    assert driver.request(Operation.GET_WCE, size=8)[1][:4] == bytes(4)


def test_write_through() -> None:
    backend = MemoryDisk()
    driver, _ = up(backend, write_through=True)
    assert driver.request(Operation.WRITE, data=bytes(512))[0] == 0
    assert driver.request(Operation.SET_WCE, data=b"\1" * 8)[0] == 0
    assert driver.request(Operation.WRITE, data=bytes(512))[0] == 0
    assert backend.log == ["write", "flush", "write", "flush"]


def test_flush_reaches_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a backend that Python serves; tests/devices/test_disk_path.py has the others."""
    synced = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    monkeypatch.setattr(FileDisk, "fd", None)
    create_disk(tmp_path / "d", 1 << 20)
    with FileDisk(tmp_path / "d") as backend:
        driver, _ = up(backend)
        assert driver.request(Operation.WRITE, block=5, data=b"\x5a" * 512)[0] == 0
        assert synced == []
        assert driver.request(Operation.FLUSH)[0] == 0
        assert len(synced) == 1
    assert (tmp_path / "d").read_bytes()[2560:3072] == b"\x5a" * 512


# -- read-only, media, slices, labels


def test_read_only() -> None:
    backend = MemoryDisk(read_only=True)
    driver, server = disk(backend)
    attributes = driver.bring_up()
    for op in (Operation.WRITE, Operation.SET_VTOC, Operation.SET_EFI, Operation.SET_GEOMETRY):
        assert not attributes.operations >> op & 1
        assert driver.request(op, data=bytes(512))[0] == 30
    assert driver.request(Operation.READ, size=512) == (0, bytes(backend.data[:512]))
    assert backend.log == []
    assert server.medium is Medium.FIXED


@pytest.mark.parametrize("op", [Operation.SCSI, Operation.SET_ACCESS, 0, 0x12, 0x3F, 0xFF])
def test_unsupported_operations(op: int) -> None:
    driver, _ = up()
    assert driver.request(op, data=bytes(512))[0] == 48


def test_media() -> None:
    iso = MemoryDisk(read_only=True)
    iso.data[0x8001:0x8006] = b"CD001"
    assert disk(iso)[0].bring_up().medium == Medium.CD
    iso.read_only = False
    assert disk(iso)[0].bring_up().medium == Medium.FIXED, "a CD image that is written is a disk"
    assert disk(MemoryDisk(), medium=Medium.DVD)[0].bring_up().medium == Medium.DVD


def test_a_disk_without_a_label_gets_one_by_the_guest() -> None:
    backend = MemoryDisk(bytearray(BLOCKS * 512))
    driver, _ = up(backend)
    label = default_label(BLOCKS)
    status, vtoc = driver.request(Operation.GET_VTOC, size=336)
    assert (status, vtoc) == (0, label.pack_vtoc())
    assert not any(backend.data), "it is not written unasked"
    _, geometry = driver.request(Operation.GET_GEOMETRY, size=24)
    ncyl, acyl, bcyl, heads, sectors = struct.unpack_from(">5H", geometry)
    assert (ncyl + acyl) * heads * sectors <= BLOCKS
    assert bcyl == 0
    cylinder = heads * sectors
    wanted = bytearray(vtoc)
    struct.pack_into(">HHIQQ", wanted, 144, 2, 0, 0, cylinder, cylinder)
    assert driver.request(Operation.SET_VTOC, data=bytes(wanted))[0] == 0
    assert driver.request(Operation.GET_VTOC, size=336) == (0, bytes(wanted))
    on_disk = parse_label(bytes(backend.data[:512]))
    assert on_disk is not None
    assert (on_disk.slices[0].start, on_disk.slices[0].blocks) == (cylinder, cylinder)
    backend.data[cylinder * 512 :] = random.Random(1).randbytes(len(backend.data) - cylinder * 512)
    status, data = driver.request(Operation.READ, block=1, size=1024, slice_=0)
    assert (status, data) == (0, bytes(backend.data[(cylinder + 1) * 512 : (cylinder + 3) * 512]))
    assert driver.request(Operation.READ, block=cylinder - 1, size=1024, slice_=0)[0] == 5, "not past the slice"
    assert driver.request(Operation.READ, block=0, size=512, slice_=1)[0] == 6, "an empty slice"
    assert driver.request(Operation.READ, block=0, size=512, slice_=9)[0] == 6


@pytest.mark.parametrize("change", [(1, 1008), (0, BLOCKS + 1), (1008 * 3, 1008 * 2), (1 << 63, 0), (0, (1 << 64) - 1)])
def test_labels_that_cannot_be(change: tuple[int, int]) -> None:
    driver, _ = up(MemoryDisk(bytearray(BLOCKS * 512)))
    vtoc = bytearray(driver.request(Operation.GET_VTOC, size=336)[1])
    struct.pack_into(">QQ", vtoc, 152, *change)
    assert driver.request(Operation.SET_VTOC, data=bytes(vtoc))[0] == 22
    assert driver.request(Operation.SET_VTOC, data=bytes(vtoc[:328]))[0] == 22, "too short"


def test_geometry_set_by_the_guest_goes_with_the_next_label() -> None:
    driver, _ = up(MemoryDisk(bytearray(BLOCKS * 512)))
    wanted = struct.pack(">11H", 60, 2, 0, 4, 16, 1, 0, 5400, 62, 0, 0)
    assert driver.request(Operation.SET_GEOMETRY, data=wanted.ljust(24, b"\0"))[0] == 0
    assert driver.request(Operation.GET_GEOMETRY, size=24)[1][:22] == wanted
    too_large = struct.pack(">11H", 60000, 2, 0, 255, 255, 1, 0, 5400, 62, 0, 0)
    assert driver.request(Operation.SET_GEOMETRY, data=too_large.ljust(24, b"\0"))[0] == 22
    assert driver.request(Operation.SET_GEOMETRY, data=bytes(24))[0] == 22


def test_efi() -> None:
    backend = MemoryDisk(bytearray(BLOCKS * 512))
    driver, _ = up(backend)
    header = bytearray(512)
    header[:8] = b"EFI PART"
    struct.pack_into("<QII", header, 72, 2, 4, 128)
    entries = bytearray(512)
    entries[128:144] = bytes(range(16))
    struct.pack_into("<QQ", entries, 128 + 32, 100, 199)
    for block, data in ((1, header), (2, entries)):
        body = struct.pack(">QQ", block, 512) + data
        assert driver.request(Operation.SET_EFI, data=body)[0] == 0
    status, data = driver.request(Operation.GET_EFI, data=struct.pack(">QQ", 1, 512) + bytes(512))
    assert (status, data[16:]) == (0, bytes(header))
    backend.data[100 * 512 :] = random.Random(2).randbytes(len(backend.data) - 51200)
    assert find_slice(backend, 0) is None
    status, data = driver.request(Operation.READ, block=99, size=512, slice_=1)
    assert (status, data) == (0, bytes(backend.data[199 * 512 : 200 * 512]))
    assert driver.request(Operation.READ, block=100, size=512, slice_=1)[0] == 5
    for block, length in ((BLOCKS, 512), ((1 << 64) - 1, 512), (0, 1 << 40), (1, 513)):
        body = struct.pack(">QQ", block, length) + bytes(512)
        assert driver.request(Operation.GET_EFI, data=body)[0] == 22
        assert driver.request(Operation.SET_EFI, data=body)[0] == 22


def test_identity_access_capacity_reset() -> None:
    driver, _ = up(device_id=b"serial-0123456789")
    _, data = driver.request(Operation.GET_DEVID, size=64)
    assert data[:25] == struct.pack(">HHI", 0, 3, 17) + b"serial-0123456789"
    assert driver.request(Operation.GET_DEVID, size=8)[1] == struct.pack(">HHI", 0, 3, 17), "as much as there is room"
    assert driver.request(Operation.GET_ACCESS, size=8)[1] == (1).to_bytes(8, "big")
    assert driver.request(Operation.GET_CAPACITY, size=16)[1] == struct.pack(">IIQ", 512, 0, BLOCKS)
    assert driver.request(Operation.RESET)[0] == 0


def test_a_single_slice() -> None:
    backend = MemoryDisk()
    driver, _ = disk(backend, slice=True)
    attributes = driver.bring_up()
    assert attributes.type == 1
    assert driver.request(Operation.READ, block=7, size=512, slice_=0) == (0, bytes(backend.data[3584:4096]))
    assert driver.request(Operation.READ, block=7, size=512, slice_=1)[0] == 6
    _, vtoc = driver.request(Operation.GET_VTOC, size=336)
    assert struct.unpack_from(">QQ", vtoc, 152) == (0, BLOCKS)
    assert driver.request(Operation.SET_VTOC, data=vtoc)[0] == 48


# -- resets and state


def test_the_guest_starts_anew_at_any_time() -> None:
    driver, server = disk()
    steps = (
        driver.ldc.bind, driver.ldc.connect, driver.handshake, lambda: driver.request(Operation.READ, size=512),
    )  # fmt: skip
    for until in range(len(steps)):
        driver.ldc.bind()
        for step in steps[: until + 1]:
            step()
        driver.ldc.unbind()
        assert not server.link.up
        assert not server.running
    driver.bring_up()
    driver.guest.machine.reset()
    assert not server.link.up


def test_state_in_the_middle_of_a_session() -> None:
    backend = MemoryDisk()
    driver, server = up(backend)
    driver.request(Operation.SET_GEOMETRY, data=struct.pack(">11H", 60, 2, 0, 4, 16, 1, 0, 5400, 62, 0, 0) + bytes(2))
    (cookie,) = driver.ldc.export(driver.buffer, 512, COPY_WRITE)
    driver.fill(driver.at, Operation.READ, 3, 512, [cookie], 0xFF)
    state = driver.guest.machine.save()
    digest = driver.guest.machine.digest()
    other, twin = disk(backend)
    other.guest.machine.load(state)
    assert other.guest.machine.digest() == digest
    assert twin.save() == server.save()
    other.ldc.__dict__.update({**driver.ldc.__dict__, "guest": other.guest})
    for name in ("at", "seq", "ident", "buffer", "ring"):
        setattr(other, name, getattr(driver, name))
    for each in (driver, other):
        each.trigger(each.at)
        assert each.finished(each.at) == 0
        assert each.guest.memory.read(each.buffer, 512) == backend.data[1536:2048]
    assert other.guest.machine.digest() == driver.guest.machine.digest()


def test_state_of_other_devices_is_refused() -> None:
    driver, server = up()
    state = driver.guest.machine.save()
    with pytest.raises(StateError, match="vdisk0"):
        DriverGuest().machine.load(state)
    guest = DriverGuest()
    guest.machine.attach(VirtualDisk("other", 1, MemoryDisk()))
    with pytest.raises(StateError, match="other"):
        guest.machine.load(state)
    good = server.save()
    for bad in (b"", b"[]", b"{}", good[:-5], good.replace(b'"running":true', b'"running":1'), b"[" * 100000,
                good.replace(b'"entries":16', b'"entries":-1'), good.replace(b'"up"', b'"sideways"')):  # fmt: skip
        with pytest.raises(StateError):
            server.load(bad)


def test_an_overlay_as_a_disk(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.write_bytes(random.Random(3).randbytes(BLOCKS * 512))
    before = base.read_bytes()
    backend = Overlay(FileDisk(base, read_only=True))
    driver, _ = up(backend)
    assert driver.request(Operation.WRITE, block=9, data=b"\xab" * 1024)[0] == 0
    assert (
        driver.request(Operation.READ, block=8, size=2048)[1] == before[4096:4608] + b"\xab" * 1024 + before[5632:6144]
    )
    assert base.read_bytes() == before
    backend.close()
