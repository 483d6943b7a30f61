"""The virtual I/O protocol: message tags, the handshake of a server, descriptor rings in the peer's memory.

::

    tag       0 type   1 subtype   2 what (2)   4 session id (4)
    server    VERSION INFO -> ACK or NACK, ATTRIBUTES INFO -> ACK, RING INFO -> ACK with an ident, RDX INFO -> ACK

An answer is the message itself with another subtype and the values agreed upon.

Sources: UltraSPARC Virtual Machine Specification 3.0, chapter 28 (virtual I/O); Linux 6.1, arch/sparc/kernel/viohs.c.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from emulator.channel import Channel
from emulator.devices.device import ChannelDevice
from emulator.devices.ldc_link import Link, Mode
from emulator.devices.state import Fields, Json
from emulator.errors import AddressError, ChannelError, EmulatorError, StateError

CTRL, DATA = 0x01, 0x02
INFO, ACK, NACK = 0x01, 0x02, 0x04
VERSION, ATTRIBUTES, RING, RING_GONE, RDX = 0x0001, 0x0002, 0x0003, 0x0004, 0x0005
PACKET, DESCRIPTOR, RING_DATA = 0x0040, 0x0041, 0x0042
NETWORK, SWITCH, DISK, DISK_SERVER = 0x01, 0x02, 0x03, 0x04
PACKET_MODE, DESCRIPTOR_MODE, RING_MODE, RING_MODE_BIT = 0x01, 0x02, 0x03, 0x04
"""How data go. From version 1.2 of networks on the field is a mask, and rings are the bit 4."""
ACTIVE, STOPPED = 1, 2
FREE, READY, ACCEPTED, DONE = 1, 2, 3, 4
"""States of a descriptor, byte 0 of it."""
MESSAGE_BYTES = 56
REGISTRATION_BYTES = 64
"""Of a registration that Linux can receive: with two cookies."""
MAX_COOKIES = 24
"""Cookies of a ring: what Linux may send."""
MAX_ENTRIES, MAX_ENTRY_BYTES = 1 << 16, 4096
MAX_RING_BYTES = 16 << 20
_M64 = (1 << 64) - 1
_M32 = (1 << 32) - 1
_TAG = struct.Struct(">BBHI")
_RING = struct.Struct(">8xQIIHHI")
_RING_DATA = struct.Struct(">8xQQIIB")


class ProtocolError(EmulatorError):
    """The guest broke the virtual I/O protocol. Raised and caught inside devices: the session ends."""

    code = "vio"


@dataclass(frozen=True)
class Tag:
    """The first eight bytes of every message."""

    type: int
    subtype: int
    what: int
    session: int

    @classmethod
    def of(cls, message: bytes) -> Tag:
        """The tag of a message. Raises ProtocolError for one that is too short."""
        if len(message) < _TAG.size:
            raise ProtocolError(f"a message of {len(message)} bytes")
        return cls(*_TAG.unpack_from(message))

    def message(self, body: bytes = b"", *, size: int = MESSAGE_BYTES) -> bytes:
        """Tag and body, filled up with zeros to `size`."""
        return (_TAG.pack(self.type, self.subtype, self.what, self.session) + body).ljust(size, b"\0")


def answer(message: bytes, subtype: int, *, session: int | None = None, body: bytes | None = None) -> bytes:
    """A message turned into its answer: another subtype, and where given another session id and body."""
    tag = Tag.of(message)
    own = tag.session if session is None else session
    return Tag(tag.type, subtype, tag.what, own).message(message[8:] if body is None else body)


@dataclass(frozen=True)
class Cookie:
    """A run of bytes that the peer exports."""

    address: int
    size: int


def read_cookies(data: bytes) -> tuple[Cookie, ...]:
    """Cookies out of 16 bytes each."""
    return tuple(Cookie(*pair) for pair in struct.iter_unpack(">QQ", data))


def read_behind(channel: Channel, cookies: tuple[Cookie, ...], length: int) -> bytes:
    """`length` bytes behind cookies.

    Raises AddressError where they are not all there, ChannelError without the right.
    """
    parts = []
    for cookie in cookies:
        count = min(cookie.size, length)
        if count:
            parts.append(channel.read(cookie.address, count))
            length -= count
    if length:
        raise AddressError(f"the cookies are {length} bytes short")
    return b"".join(parts)


def write_behind(channel: Channel, cookies: tuple[Cookie, ...], data: bytes) -> None:
    """As `read_behind`, the other way."""
    at = 0
    for cookie in cookies:
        count = min(cookie.size, len(data) - at)
        if count:
            channel.write(cookie.address, data[at : at + count])
            at += count
    if at < len(data):
        raise AddressError(f"the cookies are {len(data) - at} bytes short")


@dataclass(frozen=True)
class Ring:
    """A descriptor ring in the peer's memory, as it was registered."""

    ident: int
    entries: int
    entry_bytes: int
    cookies: tuple[Cookie, ...]

    def __post_init__(self) -> None:
        if not 1 <= self.entries <= MAX_ENTRIES or not 8 <= self.entry_bytes <= MAX_ENTRY_BYTES:
            raise ProtocolError(f"a ring of {self.entries} descriptors of {self.entry_bytes} bytes")
        size = self.entries * self.entry_bytes
        if not 1 <= len(self.cookies) <= MAX_COOKIES or size > MAX_RING_BYTES:
            raise ProtocolError(f"a ring of {size} bytes behind {len(self.cookies)} cookies")
        if sum(cookie.size for cookie in self.cookies) < size:
            raise ProtocolError("the cookies of a ring are too short for it")

    @classmethod
    def registered(cls, message: bytes, ident: int) -> Ring:
        """The ring of a registration. Raises ProtocolError."""
        if len(message) < _RING.size:
            raise ProtocolError("a registration that is too short")
        _, entries, entry_bytes, _, _, count = _RING.unpack_from(message)
        if count > MAX_COOKIES or len(message) < _RING.size + 16 * count:
            raise ProtocolError(f"a registration of {len(message)} bytes with {count} cookies")
        return cls(ident, entries, entry_bytes, read_cookies(message[_RING.size : _RING.size + 16 * count]))

    def check(self, index: int) -> int:
        """An index of the ring. Raises ProtocolError."""
        if not 0 <= index < self.entries:
            raise ProtocolError(f"descriptor {index} of a ring of {self.entries}")
        return index

    def following(self, index: int) -> int:
        """The index after one."""
        return (index + 1) % self.entries

    def before(self, index: int) -> int:
        """The index before one."""
        return (index - 1) % self.entries

    def _runs(self, index: int, offset: int, length: int) -> tuple[Cookie, ...]:
        """The cookies behind `length` bytes of a descriptor."""
        skip = self.check(index) * self.entry_bytes + offset
        runs = []
        for cookie in self.cookies:
            if skip >= cookie.size:
                skip -= cookie.size
                continue
            runs.append(Cookie((cookie.address + skip) & _M64, min(cookie.size - skip, length)))
            length -= runs[-1].size
            skip = 0
            if not length:
                break
        return tuple(runs)

    def read_many(self, channel: Channel, index: int, most: int) -> bytes:
        """Whole descriptors from one on, up to the end of the ring, `most` at most, in one piece where they lie so.

        Raises ProtocolError, AddressError, ChannelError.
        """
        count = min(most, self.entries - self.check(index))
        size = count * self.entry_bytes
        one = self.cookies[0]
        if len(self.cookies) == 1 and one.size >= (index + count) * self.entry_bytes:
            return channel.read((one.address + index * self.entry_bytes) & _M64, size)
        return read_behind(channel, self._runs(index, 0, size), size)

    def read(self, channel: Channel, index: int, length: int) -> bytes:
        """The first bytes of a descriptor. Raises ProtocolError, AddressError, ChannelError."""
        return read_behind(channel, self._runs(index, 0, length), length)

    def write(self, channel: Channel, index: int, offset: int, data: bytes) -> None:
        """Write to a descriptor. Raises ProtocolError, AddressError, ChannelError."""
        one, at = self.cookies[0], self.check(index) * self.entry_bytes + offset
        if len(self.cookies) == 1 and one.size >= at + len(data):
            channel.write((one.address + at) & _M64, data)
            return
        write_behind(channel, self._runs(index, offset, len(data)), data)

    def save(self) -> dict[str, Json]:
        """For `load`."""
        cookies: list[Json] = []
        for cookie in self.cookies:
            cookies += [cookie.address, cookie.size]
        return {"ident": self.ident, "entries": self.entries, "entry": self.entry_bytes, "cookies": cookies}

    @classmethod
    def load(cls, fields: Fields) -> Ring:
        """What `save` gave. Raises StateError."""
        flat = fields.numbers("cookies", _M64, count=2 * MAX_COOKIES)
        cookies = tuple(Cookie(*pair) for pair in zip(flat[::2], flat[1::2], strict=False))
        try:
            entries, entry_bytes = fields.number("entries", _M32), fields.number("entry", _M32)
            return cls(fields.number("ident", _M64), entries, entry_bytes, cookies)
        except ProtocolError as error:
            raise StateError(f"the state of a device is damaged: {error}") from None


@dataclass(frozen=True)
class RingData:
    """A message about descriptors: those from `start` to `end` are ready, or are done."""

    seq: int
    ident: int
    start: int
    end: int
    state: int

    OPEN = _M32
    """`end` of a message about all that are ready."""

    @classmethod
    def of(cls, message: bytes) -> RingData:
        """Read a message. Raises ProtocolError."""
        if len(message) < _RING_DATA.size:
            raise ProtocolError("a ring message that is too short")
        return cls(*_RING_DATA.unpack_from(message))

    def message(self, subtype: int, session: int) -> bytes:
        """As a message."""
        body = _RING_DATA.pack(self.seq & _M64, self.ident, self.start, self.end, self.state)[8:]
        return Tag(DATA, subtype, RING_DATA, session).message(body)


class VioServer(ChannelDevice):
    """The server's side of a session, until data flow. Subclasses have the attributes and the data.

    `versions`: one (major, minor) for each major, the largest first.
    """

    versions: tuple[tuple[int, int], ...] = ()

    def __init__(self, name: str, number: int) -> None:
        super().__init__(name, number, Link(Mode.UNRELIABLE))
        self._idents = 0
        self.clear()

    def clear(self) -> None:
        """Forget the session."""
        self.version: tuple[int, int] | None = None
        self.peer_session = 0
        self.agreed = False  # on the attributes
        self.ring: Ring | None = None
        self.running = False

    def link_lost(self, why: str) -> None:
        """The session is over."""
        self.clear()

    def at_least(self, major: int, minor: int) -> bool:
        """Is the version agreed upon this one, or a later one?"""
        return self.version is not None and self.version >= (major, minor)

    @property
    def session(self) -> int:
        """The session id of what this side sends: a server mirrors the client's."""
        return self.peer_session

    def send(self, message: bytes) -> None:
        """Send a message."""
        self.link.send(message)

    def message(self, data: bytes) -> None:
        """Handle a message; one that breaks the protocol, or a ring that is gone, ends the session."""
        try:
            tag = Tag.of(data)
            if tag.type == CTRL:
                self.control(tag, data)
            elif tag.type == DATA and self.running:
                self.data(tag, data)
            elif tag.type != DATA:
                raise ProtocolError(f"a message of type {tag.type:#x}")
        except (ProtocolError, AddressError, ChannelError) as error:
            self.drop_link(str(error))

    def control(self, tag: Tag, data: bytes) -> None:
        """A message of the handshake. Raises ProtocolError."""
        data = data.ljust(MESSAGE_BYTES, b"\0")
        if tag.what == VERSION:
            self.control_version(tag, data)
        elif self.version is None:
            raise ProtocolError(f"message {tag.what:#x} before a version is agreed")
        elif tag.what == ATTRIBUTES:
            self.control_attributes(tag, data)
        elif tag.what == RING:
            self.control_ring(tag, data)
        elif tag.what == RING_GONE:
            self.control_ring_gone(tag, data)
        elif tag.what == RDX:
            self.control_rdx(tag, data)
        else:
            self.control_other(tag, data)

    def control_version(self, tag: Tag, data: bytes) -> None:
        """Agree on the largest minor version of a major one, or offer another major one."""
        if tag.subtype != INFO:
            return
        major, minor, kind = struct.unpack_from(">HHB", data, 8)
        self.clear()
        self.peer_session = tag.session
        best = next((v for v in self.versions if v[0] <= major), (0, 0))
        if best[0] != major or not major:
            self.send(answer(data, NACK, session=self.session, body=struct.pack(">HHB", *best, kind)))
            return
        self.version = (major, min(minor, best[1]))
        self.version_agreed(data)

    def version_agreed(self, data: bytes) -> None:
        """Acknowledge the version."""
        assert self.version is not None
        self.send(answer(data, ACK, session=self.session, body=struct.pack(">HHB", *self.version, self.kind)))

    kind = DISK_SERVER
    """Device class, as this side calls itself."""

    def control_attributes(self, tag: Tag, data: bytes) -> None:
        """Answer the client's attributes, and set `agreed`. Raises ProtocolError."""
        raise NotImplementedError

    def control_ring(self, tag: Tag, data: bytes) -> None:
        """Register the client's ring."""
        if tag.subtype != INFO:
            return
        if not self.agreed or self.ring is not None:
            raise ProtocolError("a ring is registered out of turn")
        try:
            ring = Ring.registered(data, self._idents + 1)
            self.check_ring(ring, struct.unpack_from(">H", data, 24)[0])
        except ProtocolError:
            self.send(answer(data, NACK, session=self.session))
            return
        self._idents += 1
        self.ring = ring
        self.ring_registered(data)

    def check_ring(self, ring: Ring, options: int) -> None:
        """Refuse a ring with a ProtocolError."""

    def ring_registered(self, data: bytes) -> None:
        """Acknowledge the ring under its ident."""
        assert self.ring is not None
        body = self.ring.ident.to_bytes(8, "big") + data[16:REGISTRATION_BYTES]  # Linux reads no more
        self.send(answer(data, ACK, session=self.session, body=body))

    def control_ring_gone(self, tag: Tag, data: bytes) -> None:
        """The client takes its ring back."""
        if tag.subtype != INFO:
            return
        known = self.ring is not None and self.ring.ident == int.from_bytes(data[8:16], "big")
        if known:
            self.ring = None
            self.running = False
        self.send(answer(data, ACK if known else NACK, session=self.session))

    def control_rdx(self, tag: Tag, data: bytes) -> None:
        """Ready for data."""
        if tag.subtype != INFO:
            return
        if not self.ready:
            raise ProtocolError("ready for data out of turn")
        self.send(answer(data, ACK, session=self.session))
        self.start()

    @property
    def ready(self) -> bool:
        """Is all agreed that data need?"""
        return self.ring is not None

    def start(self) -> None:
        """Data may flow."""
        self.running = True

    def control_other(self, tag: Tag, data: bytes) -> None:
        """A message of one kind of device: not known to others."""
        self.send(answer(data, NACK, session=self.session))

    def data(self, tag: Tag, data: bytes) -> None:
        """A message about data. Raises ProtocolError, AddressError, ChannelError: the session ends."""
        raise NotImplementedError

    def save_session(self) -> dict[str, Json]:
        """What was agreed."""
        return {
            "version": None if self.version is None else list(self.version),
            "peer_session": self.peer_session,
            "agreed": self.agreed,
            "ring": None if self.ring is None else self.ring.save(),
            "running": self.running,
            "idents": self._idents,
        }

    def load_session(self, fields: Fields) -> None:
        """Take over what `save_session` gave."""
        self.clear()
        if "version" in fields:
            major, minor = (*fields.numbers("version", 0xFFFF, count=2), 0, 0)[:2]
            self.version = (major, minor)
        self.peer_session = fields.number("peer_session", _M32)
        self.agreed = fields.flag("agreed")
        self.ring = Ring.load(fields.fields("ring")) if "ring" in fields else None
        self._idents = fields.number("idents", _M64)
        self.running = fields.flag("running") and self.version is not None and self.ready
