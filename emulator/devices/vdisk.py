"""The virtual disk server: a backend of the host as a disk of the guest.

A client registers a ring of descriptors; the server does what each one asks for, writes the status into it, marks it
done and acknowledges it. READ, WRITE and FLUSH of a backend that is a file go through C, many at once and in order of
completion (`emulator.devices.datapath`); everything else is done here, while the guest stands still, after all that was
asked for before. What goes wrong is a status of the request: a client hangs where data are refused with a NACK (Linux
ignores it).

::

    attributes   8 mode, 9 type, 10 medium, 12 block size (4), 16 operations (8), 24 blocks (8), 32 largest transfer in
                 blocks (8), 40 physical block size (4)
    request      0 id (8), 8 operation, 9 slice, 12 status (4), 16 block (8), 24 bytes (8), 32 cookies (4), 40 cookies
    descriptor   8 bytes of state, then the request; in band: tag, sequence (8), handle (8), request

Sources: UltraSPARC Virtual Machine Specification 3.0, chapter 28 (virtual disk protocol); Linux 6.1,
drivers/block/sunvdc.c and arch/sparc/include/asm/vio.h.
"""

from __future__ import annotations

import enum
import errno
import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace

from emulator.backends.file import BLOCK, Backend, looks_like_iso
from emulator.channel import Channel
from emulator.devices import vio
from emulator.devices.datapath import DataPath, DiskCounters, Stop, Terms
from emulator.devices.disklabel import (
    GEOMETRY_BYTES,
    LABEL_BLOCKS,
    VTOC_BYTES,
    Geometry,
    Label,
    all_slices,
    default_label,
    find_slice,
    read_label,
)
from emulator.devices.diskrequest import (
    CHANGING,
    EINVAL,
    EIO,
    ENOTSUP,
    ENXIO,
    EROFS,
    REQUEST,
    UNSUPPORTED,
    Operation,
    Request,
    RequestError,
)
from emulator.devices.held import HeldServer
from emulator.devices.state import Fields, Json
from emulator.devices.vio import ProtocolError, Ring, RingData, Tag, read_behind, write_behind
from emulator.errors import AddressError, ChannelError

MAX_TRANSFER = 1 << 20
"""Bytes of a request at most, whatever a client asks for."""
MAX_ENTRIES = 1024
"""Descriptors of a ring: so much can be asked for with one message. Linux and Solaris have 512."""
WHOLE = 0xFF
"""Slice number of the whole disk."""
DISK_TYPE, SLICE_TYPE = 2, 1
DEVID_FABRICATED = 3
_ACCESS_ALLOWED = 1
_REQUEST_AT = 8  # in a descriptor
_IN_BAND_AT = 24
_STATUS_AT = 12  # in a request
_CD_BYTES = 900 << 20  # a larger image is a DVD's


# Errors a host may give -> numbers of Solaris, which every client knows; the first 34 are the same everywhere.
_STATUS = {errno.EDQUOT: 49, errno.EOPNOTSUPP: 48, errno.ETIMEDOUT: 145, errno.ESTALE: 151}


def guest_status(error: OSError) -> int:
    """An error of the host as a guest's status; EIO where it has no number a guest would know."""
    number = error.errno or errno.EIO
    return number if 0 < number <= 34 else _STATUS.get(number, errno.EIO)




class Medium(enum.IntEnum):
    """What the disk claims to be; of a CD or DVD Linux makes a read-only disk."""

    FIXED = 1
    CD = 2
    DVD = 3


@dataclass(frozen=True, kw_only=True)
class DiskOptions:
    """How a disk is shown to its guest."""

    slice: bool = False
    """One slice without a table, instead of a disk with eight."""
    medium: Medium | None = None
    """None: a CD or DVD where the backend holds a CD image and is read-only, fixed otherwise."""
    write_through: bool = False
    """Every write is on stable storage before it is acknowledged: for guests that never flush (Linux 6.1)."""
    device_id: bytes = b""
    """Identity the guest sees (Solaris); empty: made from the name."""


class VirtualDisk(HeldServer):
    """A disk of a guest. Does not close the backend."""

    versions = ((1, 2),)
    kind = vio.DISK_SERVER
    _path: DataPath | None = None  # from when it is attached
    _lendable = True
    _slices: tuple[tuple[int, int], ...] | None = None  # as C knows them; it notices itself that they may have changed

    def __init__(self, name: str, number: int, backend: Backend, *, options: DiskOptions | None = None) -> None:
        self._backend = backend
        self.options = options or DiskOptions()
        self._counters = DiskCounters()  # of what is not done in C
        self._cached = not self.options.write_through
        self._geometry: Geometry | None = None  # set by the guest
        super().__init__(name, number)

    def connect(self, open_channel: Callable[[int], Channel]) -> None:
        """Take hold of the channel."""

        def opened(number: int) -> Channel:
            channel = open_channel(number)
            self._path = DataPath(channel, guest_status)
            return channel

        super().connect(opened)

    # -- what the disk is

    @property
    def backend(self) -> Backend:
        """What is behind it. Before another takes its place, requests for this one are brought to an end."""
        return self._backend

    @backend.setter
    def backend(self, backend: Backend) -> None:
        self.drain()
        if self._path is not None:
            self._path.close()
        self._backend = backend
        self._slices = None

    @property
    def counters(self) -> DiskCounters:
        """What it has done."""
        return self._counters if self._path is None else self._counters + self._path.counters

    @property
    def blocks(self) -> int:
        """Size in blocks of 512 bytes."""
        return self._backend.size_bytes // BLOCK

    @property
    def medium(self) -> Medium:
        """Fixed, CD or DVD."""
        if self.options.medium is not None:
            return self.options.medium
        if not self._backend.read_only or not looks_like_iso(self._backend):
            return Medium.FIXED
        return Medium.CD if self._backend.size_bytes <= _CD_BYTES else Medium.DVD

    @property
    def operations(self) -> int:
        """Mask of what can be asked for."""
        barred = UNSUPPORTED | (CHANGING if self._backend.read_only else set())
        if self.options.slice:
            barred = barred | {Operation.SET_VTOC, Operation.SET_GEOMETRY, Operation.SET_EFI, Operation.GET_DEVID}
        return sum(1 << op for op in Operation if op not in barred)

    # -- session

    def control_attributes(self, tag: Tag, data: bytes) -> None:
        """Tell the disk's size and kind; only rings and descriptors in band are spoken."""
        if tag.subtype != vio.INFO:
            return
        mode, block_size, most = data[8], *struct.unpack_from(">I16xQ", data, 12)
        if mode not in (vio.RING_MODE, vio.DESCRIPTOR_MODE):
            self.send(vio.answer(data, vio.NACK))
            return
        limit = MAX_TRANSFER // BLOCK
        asked = most * block_size // BLOCK
        self._in_band = mode == vio.DESCRIPTOR_MODE
        self._limit = min(asked or limit, limit)
        try:
            medium = self.medium
        except OSError:
            medium = Medium.FIXED
        kind = SLICE_TYPE if self.options.slice else DISK_TYPE
        self.agreed = True
        body = struct.pack(
            ">BBBxIQQQI", mode, kind, medium, BLOCK, self.operations, self.blocks, self._limit, BLOCK
        )  # fmt: skip
        self.send(vio.answer(data, vio.ACK, body=body))

    def clear(self) -> None:
        """Forget the session, and the requests that are on their way."""
        super().clear()
        if self._path is not None:
            self._path.close()
        self._in_band = False
        self._limit = MAX_TRANSFER // BLOCK

    def check_ring(self, ring: Ring, options: int) -> None:
        """A descriptor must hold a request with a cookie."""
        if ring.entries > MAX_ENTRIES:
            raise ProtocolError(f"a ring of {ring.entries} requests")
        if self._in_band or ring.entry_bytes < _REQUEST_AT + REQUEST.size + 16:
            raise ProtocolError(f"descriptors of {ring.entry_bytes} bytes cannot hold a request")

    @property
    def ready(self) -> bool:
        """With descriptors in band there is no ring."""
        return self.agreed and (self._in_band or self.ring is not None)

    def control_ring_gone(self, tag: Tag, data: bytes) -> None:
        """The client takes its ring back: what it has asked for before is done before."""
        self._settle()
        super().control_ring_gone(tag, data)
        if self.ring is None and self._path is not None:
            self._path.close()

    def identity(self) -> object:
        """Size, kind, whether it may be written."""
        return self._backend.size_bytes, self._backend.read_only, self.options

    def set_online(self, online: bool) -> None:
        """What the guest has asked for is done before the service goes."""
        if not online:
            self.drain()
        super().set_online(online)

    # -- requests on their way

    def service(self, number: int) -> None:
        """What C leaves to us: all but plain requests."""
        self._take_back()
        super().service(number)
        self._lend()

    def _lend(self) -> None:
        """Let C serve plain requests and their answers without us, as long as nothing else happens."""
        path, counts = self._path, self.link.counts
        if path is None or not path.is_open or not self._lendable or self.ring is None or self._pending:
            return
        if counts is not None and self.running and self.online:
            self._lendable = path.lend(self.ring.ident, self.session, counts)

    def _take_back(self) -> None:
        """Before anything is done with the link here."""
        if self._path is not None and self._path.lent:
            received, sent, whole = self._path.take_back()
            self.link.go_on(received, sent)
            if not whole:
                self.drop_link("the ring is gone")

    def poll(self) -> None:
        """Answer what the host has done meanwhile."""
        if self._path is None or not self._path.is_open or self._path.serves:
            return
        self._deliver()
        self._lend()

    def _deliver(self) -> None:
        self._take_back()
        try:
            self._finish()
        except (ProtocolError, AddressError, ChannelError) as error:
            self.drop_link(str(error))
        self.flush()

    def drain(self) -> None:
        """Wait for all requests on their way, and answer them. No byte moves between disk and guest afterwards."""
        self._take_back()
        if self._path is not None and self._path.is_open:
            self._path.wait()
            self._deliver()

    def quiet(self) -> None:
        """Wait for requests on their way; the guest does not hear of them. For a machine that ends."""
        if self._path is not None and self._path.is_open:
            self._path.close()

    def reconsider(self) -> None:
        """What its backend is may have changed: the next request looks anew at how it is served."""
        self.drain()
        if self._path is not None:
            self._path.close()

    def _settle(self) -> None:
        """As `drain`, in the middle of a message."""
        if self._path is not None and self._path.is_open:
            self._path.wait()
            self._finish()

    def _finish(self) -> None:
        """Acknowledge what is done. Raises AddressError where the ring is gone."""
        if self._path is None or self.ring is None:
            return
        for sequence, index in self._path.finish():
            reply = RingData(sequence, self.ring.ident, index, index, vio.ACTIVE)
            self.send(reply.message(vio.ACK, self.session))

    # -- data

    def data(self, tag: Tag, data: bytes) -> None:
        """Requests in the ring, or one in the message."""
        if tag.subtype != vio.INFO:
            return
        if tag.what == vio.RING_DATA and self.ring is not None:
            self._ring_data(self.ring, RingData.of(data))
        elif tag.what == vio.DESCRIPTOR and self._in_band and len(data) >= _IN_BAND_AT + REQUEST.size:
            status = self.perform(data[_IN_BAND_AT:])
            reply = bytearray(vio.answer(data, vio.ACK))
            struct.pack_into(">I", reply, _IN_BAND_AT + _STATUS_AT, status)
            self.send(bytes(reply))
        else:
            self.send(vio.answer(data[: vio.MESSAGE_BYTES], vio.NACK))

    def _ring_data(self, ring: Ring, asked: RingData) -> None:
        """Descriptors from `start` to `end`, or all that are ready from `start` on; at most once round."""
        if asked.ident != ring.ident or asked.start >= ring.entries:
            self.send(asked.message(vio.NACK, self.session))
            return
        whole = asked.end == RingData.OPEN
        if not whole and asked.end >= ring.entries:
            self.send(asked.message(vio.NACK, self.session))
            return
        count = ring.entries if whole else (asked.end - asked.start) % ring.entries + 1
        served = self._serve(ring, asked, count)
        index = (asked.start + served) % ring.entries
        if whole:
            self._settle()
            reply = replace(asked, end=ring.before(index), state=vio.STOPPED)
            self.send(reply.message(vio.ACK, self.session))
        elif served < count:
            self.send(replace(asked, start=index, end=index).message(vio.NACK, self.session))

    def _serve(self, ring: Ring, asked: RingData, count: int) -> int:
        """At most `count` descriptors as long as they are ready; how many they were."""
        served, index = 0, asked.start
        while served < count:
            if self._path is not None and self._path.is_new(self._backend, ring, self._terms):
                self._settle()
            if self._path is not None and self._path.open(self._backend, ring, self._terms):
                taken, stop = self._path.take(index, count - served, asked.seq)
                self._finish()
                served, index = served + taken, (index + taken) % ring.entries
                if stop in (Stop.ALL, Stop.NOT_READY):
                    break
                self._settle()
                if stop is Stop.FULL:
                    continue
            if not self._descriptor(ring, index, asked):
                break
            served, index = served + 1, ring.following(index)
        return served

    @property
    def _terms(self) -> Terms:
        return Terms(self._limit, not self._cached, self.options.slice, self._slices)

    def _descriptor(self, ring: Ring, index: int, asked: RingData) -> bool:
        """Serve a descriptor. False: it is not ready."""
        raw = ring.read(self.channel, index, ring.entry_bytes)
        if raw[0] != vio.READY:
            return False
        status = self.perform(raw[_REQUEST_AT:])
        ring.write(self.channel, index, _REQUEST_AT + _STATUS_AT, status.to_bytes(4, "big"))
        ring.write(self.channel, index, 0, bytes((vio.DONE,)))
        if raw[1]:
            reply = replace(asked, start=index, end=index, state=vio.ACTIVE)
            self.send(reply.message(vio.ACK, self.session))
        return True

    def perform(self, raw: bytes) -> int:
        """Do what a request asks for; returns its status, 0 where all is well."""
        try:
            self._perform(Request.of(raw))
            return 0
        except RequestError as error:
            status = error.status
        except OSError as error:
            status = guest_status(error)
        except (AddressError, ChannelError):
            status = EIO  # the guest's buffer is not where it says
        self._counters.errors += 1
        return status

    def _perform(self, request: Request) -> None:
        """Raises RequestError, OSError; AddressError or ChannelError for the guest's buffer."""
        if request.operation not in tuple(Operation) or not self.operations >> request.operation & 1:
            changing = self._backend.read_only and request.operation in CHANGING
            raise RequestError(EROFS if changing else ENOTSUP)
        if request.size > MAX_TRANSFER:
            raise RequestError(EINVAL)
        handlers: dict[int, Callable[[Request], None]] = {
            Operation.READ: self._read, Operation.WRITE: self._write, Operation.FLUSH: self._flush,
            Operation.GET_WCE: self._get_wce, Operation.SET_WCE: self._set_wce,
            Operation.GET_VTOC: self._get_vtoc, Operation.SET_VTOC: self._set_vtoc,
            Operation.GET_GEOMETRY: self._get_geometry, Operation.SET_GEOMETRY: self._set_geometry,
            Operation.GET_DEVID: self._get_devid, Operation.GET_EFI: self._get_efi, Operation.SET_EFI: self._set_efi,
            Operation.GET_ACCESS: self._get_access, Operation.GET_CAPACITY: self._get_capacity,
        }  # fmt: skip
        if handler := handlers.get(request.operation):
            handler(request)

    # -- buffers of the guest

    def _give(self, request: Request, data: bytes) -> None:
        """Put a result in the guest's buffer, as much as it says it has."""
        data = data[: request.size]
        if data:
            write_behind(self.channel, request.cookies, data)

    def _get(self, request: Request, size: int) -> bytes:
        if request.size < size:
            raise RequestError(EINVAL)
        return read_behind(self.channel, request.cookies, size)

    def _place(self, request: Request) -> tuple[int, int]:
        """Byte offset and length of a transfer. Raises RequestError where it is not all on the disk, or slice."""
        start, blocks = 0, self.blocks
        if request.slice != WHOLE and not self.options.slice:
            self._set_slices(all_slices(self._backend))
            part = find_slice(self._backend, request.slice)
            if part is None:
                raise RequestError(ENXIO)
            start, blocks = part.start, part.blocks
        elif request.slice not in (WHOLE, 0):
            raise RequestError(ENXIO)
        if request.size % BLOCK or request.size > self._limit * BLOCK:
            raise RequestError(EINVAL)
        if request.block + request.size // BLOCK > blocks:
            raise RequestError(EIO)
        return (start + request.block) * BLOCK, request.size

    def _set_slices(self, slices: tuple[tuple[int, int], ...] | None) -> None:
        """What C is to know of slices with the next request; nothing is on its way now."""
        self._slices = slices
        if self._path is not None:
            self._path.renew()

    # -- operations

    def _read(self, request: Request) -> None:
        offset, length = self._place(request)
        self._counters.reads += 1
        write_behind(self.channel, request.cookies, self._backend.read(offset, length))

    def _write(self, request: Request) -> None:
        offset, length = self._place(request)
        data = read_behind(self.channel, request.cookies, length)
        self._counters.writes += 1
        self._store(offset, data)

    def _store(self, offset: int, data: bytes) -> None:
        if offset < LABEL_BLOCKS * BLOCK:
            self._set_slices(None)
        self._backend.write(offset, data)
        if not self._cached:
            self._backend.flush()

    def _flush(self, request: Request) -> None:
        self._counters.flushes += 1
        self._backend.flush()

    def _get_wce(self, request: Request) -> None:
        self._give(request, int(self._cached).to_bytes(4, "big"))

    def _set_wce(self, request: Request) -> None:
        """Turn the write cache on or off; before it goes off, what is in it is written."""
        cached = any(self._get(request, 4)) and not self.options.write_through
        if self._cached and not cached:
            self._backend.flush()
        self._cached = cached

    def _label(self) -> Label:
        if self.options.slice:
            label = default_label(self.blocks)
            whole = replace(label.slices[2], tag=0, flags=0, blocks=self.blocks)
            return replace(label, slices=(whole, *label.slices[1:]))
        label = read_label(self._backend) or default_label(self.blocks)
        return replace(label, geometry=self._geometry) if self._geometry else label

    def _get_vtoc(self, request: Request) -> None:
        self._give(request, self._label().pack_vtoc())

    def _set_vtoc(self, request: Request) -> None:
        label = self._label().with_vtoc(self._get(request, VTOC_BYTES))
        if label is None or any(part.start + part.blocks > self.blocks for part in label.slices):
            raise RequestError(EINVAL)
        self._store(0, label.pack())

    def _get_geometry(self, request: Request) -> None:
        self._give(request, self._label().geometry.pack())

    def _set_geometry(self, request: Request) -> None:
        """Kept until the next label is written with it, as on the real server."""
        geometry = Geometry.unpack(self._get(request, GEOMETRY_BYTES))
        if not geometry.cylinder_blocks or geometry.cylinders * geometry.cylinder_blocks > self.blocks:
            raise RequestError(EINVAL)
        self._geometry = geometry

    def _get_devid(self, request: Request) -> None:
        ident = self.options.device_id or hashlib.sha256(self.name.encode()).digest()[:16]
        self._give(request, struct.pack(">HHI", 0, DEVID_FABRICATED, len(ident)) + ident)

    def _efi_range(self, request: Request) -> tuple[int, int]:
        block, length = struct.unpack(">QQ", self._get(request, 16))
        if length > request.size - 16 or block + -(-length // BLOCK) > self.blocks:
            raise RequestError(EINVAL)
        return block * BLOCK, length

    def _get_efi(self, request: Request) -> None:
        offset, length = self._efi_range(request)
        data = self._backend.read(offset, length)
        self._give(request, struct.pack(">QQ", offset // BLOCK, length) + data)

    def _set_efi(self, request: Request) -> None:
        offset, length = self._efi_range(request)
        self._store(offset, self._get(request, 16 + length)[16:])

    def _get_access(self, request: Request) -> None:
        self._give(request, _ACCESS_ALLOWED.to_bytes(8, "big"))

    def _get_capacity(self, request: Request) -> None:
        self._give(request, struct.pack(">IIQ", BLOCK, 0, self.blocks))

    # -- state

    def save(self) -> bytes:
        """State of link and session; nothing is on its way then."""
        self.drain()
        return super().save()

    def load(self, state: bytes) -> None:
        """Take over what `save` gave. Raises StateError."""
        self._take_back()
        super().load(state)

    def save_session(self) -> dict[str, Json]:
        """The disk's contents are not part of a machine's state."""
        return super().save_session() | {
            "in_band": self._in_band,
            "limit": self._limit,
            "cached": self._cached,
            "geometry": None if self._geometry is None else self._geometry.pack().hex(),
        }

    def load_session(self, fields: Fields) -> None:
        """Take over what `save_session` gave."""
        super().load_session(fields)
        self._in_band = fields.flag("in_band")
        self._limit = fields.number("limit", MAX_TRANSFER // BLOCK)
        self._cached = fields.flag("cached") and not self.options.write_through
        self.running = fields.flag("running") and self.version is not None and self.ready
        self._geometry = None
        if "geometry" in fields:
            geometry = Geometry.unpack(fields.data("geometry", GEOMETRY_BYTES).ljust(GEOMETRY_BYTES, b"\0"))
            self._geometry = geometry if geometry.cylinder_blocks else None
