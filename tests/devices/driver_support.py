"""The guest's end of virtual devices, scripted: what Linux's drivers do, hypercall by hypercall, on a bare strand.

Written from Linux 6.1 (ldc.c, viohs.c, sunvdc.c, sunvnet_common.c, ds.c) and not from our own servers: queues and
map tables are real ones in guest memory, sequence numbers are checked as strictly as Linux does.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from guest_support import EOK, Guest

TX_QCONF, TX_QINFO, TX_STATE, TX_TAIL, RX_QCONF, RX_QINFO, RX_STATE, RX_HEAD = range(0xE0, 0xE8)
SET_MAP, COPY = 0xEA, 0xEC
DOWN, UP, RESET = 0, 1, 2
ENTRIES = 128
COPY_READ, COPY_WRITE = 1 << 9, 1 << 10
PAGE = 8192
QUEUES, TABLES, PAGES = 0x100000, 0x180000, 0x200000
CTRL, DATA = 1, 2
INFO, ACK, NACK = 1, 2, 4
VERS, RTS, RTR, RDX = 1, 2, 3, 4
START, STOP = 0x40, 0x80


class LinkError(AssertionError):
    """The other end did what Linux does not accept."""


class DriverGuest(Guest):
    """A guest whose hypercalls run on the machine with its devices, and which gives out pages to export."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        assert self.hcall(0, 0x101, 1, 0, trap=0xFF)[:2] == (EOK, 0)
        self._next_page = PAGES

    def step(self) -> None:
        self.machine.run(1)

    def pages(self, count: int) -> int:
        """Real address of fresh zeroed pages."""
        at = self._next_page
        self._next_page += count * PAGE
        assert self._next_page <= 0x400000
        return at


class Ldc:
    """A channel as ldc.c drives it. `payload_at`: 8 unreliable, 16 stream."""

    def __init__(self, guest: DriverGuest, number: int, *, mode: int = 1) -> None:
        self.guest, self.number, self.mode = guest, number, mode
        self.payload_at = 8 if mode == 1 else 16
        self.tx, self.rx = QUEUES + number * 0x4000, QUEUES + number * 0x4000 + 0x2000
        self.table, self.mapped = TABLES + number * 0x4000, 0
        self.sent = self.received = 0
        self.stray: list[bytes] = []
        self.acked: list[int] = []

    def call(self, function: int, *args: int) -> tuple[int, ...]:
        return self.guest.hcall(function, self.number, *args)

    # -- queues

    def bind(self) -> None:
        """ldc_bind and ldc_iommu_init."""
        self.guest.memory.write(self.table, bytes(0x4000))
        self.mapped = 0
        assert self.call(SET_MAP, self.table, 1024)[0] == EOK
        for conf, base in ((TX_QCONF, self.tx), (RX_QCONF, self.rx)):
            assert self.call(conf, 0, 0)[0] == EOK
            assert self.call(conf, base, ENTRIES)[0] == EOK
        self.sent = self.received = 0
        if self.call(TX_STATE)[3] == RESET:  # of before, and reported once
            assert self.call(RX_STATE)[3] == UP

    def unbind(self) -> None:
        assert self.call(TX_QCONF, 0, 0)[0] == EOK
        assert self.call(RX_QCONF, 0, 0)[0] == EOK

    def put(self, *packets: bytes) -> None:
        """Packets at the tail, all handed over at once."""
        tail = self.call(TX_STATE)[2]
        for packet in packets:
            assert len(packet) == 64
            self.guest.memory.write(self.tx + tail, packet)
            tail = (tail + 64) % (64 * ENTRIES)
        assert self.call(TX_TAIL, tail)[0] == EOK

    def get(self) -> list[bytes]:
        """All packets that wait. Raises LinkError where the channel reports a reset."""
        status, head, tail, state, _ = self.call(RX_STATE)
        if status != EOK or state != UP:
            raise LinkError(f"state {state}")
        found = []
        while head != tail:
            found.append(self.guest.memory.read(self.rx + head, 64))
            head = (head + 64) % (64 * ENTRIES)
        assert self.call(RX_HEAD, head)[0] == EOK
        return found

    # -- link

    def control(self, stype: int, ctrl: int, *, env: int = 0, seq: int = 0, payload: bytes = b"") -> bytes:
        return (struct.pack(">BBBBI", CTRL, stype, ctrl, env, seq) + payload).ljust(64, b"\0")

    def connect(self) -> None:
        """ldc_connect: VERS, RTS, RDX from this end, with the numbers Linux uses."""
        self.put(self.control(INFO, VERS, payload=struct.pack(">HH", 1, 0)))
        assert self.get() == [self.control(ACK, VERS, payload=struct.pack(">HH", 1, 0))]
        self.put(self.control(INFO, RTS, env=self.mode))
        (answer,) = self.get()
        assert answer[:4] == bytes((CTRL, INFO, RTR, self.mode)), answer.hex()
        self.sent = struct.unpack_from(">I", answer, 4)[0]
        self.received = 0
        self.sent += 1
        self.put(self.control(INFO, RDX, seq=self.sent, payload=struct.pack(">II", 0, self.received)))

    def accept(self) -> None:
        """The other end starts, as with domain services."""
        (vers,) = self.get()
        assert vers == self.control(INFO, VERS, payload=struct.pack(">HH", 1, 0))
        self.put(self.control(ACK, VERS, payload=struct.pack(">HH", 1, 0)))
        (rts,) = self.get()
        assert rts[:4] == bytes((CTRL, INFO, RTS, self.mode))
        self.sent = self.received = struct.unpack_from(">I", rts, 4)[0]
        self.put(self.control(INFO, RTR, env=self.mode))
        (rdx,) = self.get()
        assert rdx[:3] == bytes((CTRL, INFO, RDX))
        self._sequence(rdx)

    def _sequence(self, packet: bytes) -> None:
        seq = struct.unpack_from(">I", packet, 4)[0]
        if seq != self.received + 1:
            raise LinkError(f"sequence {seq} after {self.received}")
        self.received = seq

    def packets(self, message: bytes) -> list[bytes]:
        """A message cut up, as write_nonraw does."""
        room, out = 64 - self.payload_at, []
        for at in range(0, len(message), room):
            piece = message[at : at + room]
            env = len(piece) | (START if at == 0 else 0) | (STOP if at + room >= len(message) else 0)
            self.sent += 1
            head = struct.pack(">BBBBI", DATA, INFO, 0, env, self.sent).ljust(self.payload_at, b"\0")
            out.append((head + piece).ljust(64, b"\0"))
        return out

    def send(self, message: bytes) -> None:
        self.put(*self.packets(message))

    def receive(self) -> list[bytes]:
        """All whole messages that wait; stream messages are acknowledged, one by one."""
        messages, partial = [], None
        for packet in self.get():
            self._sequence(packet)
            if packet[1] & ACK:
                self.acked.append(struct.unpack_from(">I", packet, 12)[0])
            if packet[0] != DATA or not packet[1] & INFO:
                continue
            env = packet[3]
            if bool(env & START) != (partial is None):
                raise LinkError("fragment out of turn")
            partial = (partial or b"") + packet[self.payload_at : self.payload_at + (env & 0x3F)]
            if env & STOP:
                messages.append(partial)
                partial = None
                if self.mode == 3:
                    self.acknowledge()
        assert partial is None
        return messages

    def acknowledge(self) -> None:
        """send_data_ack."""
        self.sent += 1
        head = struct.pack(">BBBBIII", DATA, ACK, 0, 0, self.sent, 0, self.received)
        self.put(head.ljust(64, b"\0"))

    # -- exports

    def export(self, ra: int, size: int, rights: int) -> list[tuple[int, int]]:
        """Map pages from `ra` on; the cookies for `size` bytes (one: indexes follow one another)."""
        first, offset = self.mapped, ra % PAGE
        for n in range((offset + size + PAGE - 1) // PAGE):
            self.guest.memory.store(self.table + 16 * self.mapped, (ra - offset + n * PAGE) | rights)
            self.mapped += 1
            assert self.mapped <= 1024
        return [(first * PAGE + offset, size)]

    def copy(self, out: int, cookie: int, ra: int, size: int) -> None:
        """LDC_COPY of the other end's memory."""
        status, copied, *_ = self.call(COPY, out, cookie, ra, size)
        assert (status, copied) == (EOK, size), (status, copied)


# -- virtual I/O

V_CTRL, V_DATA = 1, 2
VER, ATTR, RING, RING_GONE, V_RDX = 1, 2, 3, 4, 5
PKT, DESC, RING_DATA, MCAST, LINK = 0x40, 0x41, 0x42, 0x101, 0x103
READY, DONE = 2, 4


def message(type_: int, stype: int, env: int, sid: int, body: bytes = b"") -> bytes:
    return (struct.pack(">BBHI", type_, stype, env, sid) + body).ljust(56, b"\0")


def tag(data: bytes) -> tuple[int, int, int, int]:
    kind: tuple[int, int, int, int] = struct.unpack_from(">BBHI", data)
    return kind


@dataclass
class DiskAttributes:
    type: int
    medium: int
    block: int
    operations: int
    blocks: int
    most: int
    physical: int


class DiskDriver:
    """sunvdc: handshake, a ring of descriptors with 18 cookies, requests."""

    COOKIES, ENTRY = 18, 48 + 18 * 16

    def __init__(self, guest: DriverGuest, number: int, *, entries: int = 16, sid: int = 0x1234) -> None:
        self.guest, self.ldc, self.entries, self.sid = guest, Ldc(guest, number), entries, sid
        self.ring = guest.pages((entries * self.ENTRY + PAGE - 1) // PAGE)
        self.buffer = guest.pages(16)
        self.at = self.seq = 0
        self.version: tuple[int, int] = (0, 0)

    def bring_up(self, version: tuple[int, int] = (1, 2)) -> DiskAttributes:
        """probe: link, handshake."""
        self.ldc.bind()
        self.ldc.connect()
        return self.handshake(version)

    def one(self, *, env: int, stype: int = ACK) -> bytes:
        """The one answer that waits; it carries the client's id."""
        (answer,) = self.ldc.receive()
        assert tag(answer) == (V_CTRL, stype, env, self.sid), answer.hex()
        return answer

    def control(self, env: int, body: bytes) -> bytes:
        self.ldc.send(message(V_CTRL, INFO, env, self.sid, body))
        return self.one(env=env)

    def handshake(self, version: tuple[int, int] = (1, 2)) -> DiskAttributes:
        answer = self.control(VER, struct.pack(">HHB", *version, 3))
        major, minor, kind = struct.unpack_from(">HHB", answer, 8)
        assert kind == 4
        self.version = (major, minor)
        answer = self.control(ATTR, struct.pack(">BBBxIQQQ", 3, 0, 0, 512, 0, 0, 256))
        mode, *rest = struct.unpack_from(">BBBxIQQQI", answer, 8)
        assert mode == 3
        self.register()
        self.control(V_RDX, b"")
        self.at = self.seq = 0
        return DiskAttributes(*rest)

    def register(self) -> None:
        size = self.entries * self.ENTRY
        self.guest.memory.write(self.ring, bytes(size))
        cookies = self.ldc.export(self.ring, size, COPY_READ | COPY_WRITE)
        body = struct.pack(">QIIHHI", 0, self.entries, self.ENTRY, 1, 0, len(cookies))
        answer = self.control(RING, body + b"".join(struct.pack(">QQ", *cookie) for cookie in cookies))
        self.ident = struct.unpack_from(">Q", answer, 8)[0]
        assert self.ident

    def fill(self, index: int, op: int, block: int, size: int, cookies: list[tuple[int, int]], slice_: int) -> None:
        """Write a descriptor; it is ready last."""
        head = struct.pack(">BB6xQBBHIQQII", 1, 1, self.seq, op, slice_, 0, 0xFFFFFFFF, block, size, len(cookies), 0)
        at = self.ring + index * self.ENTRY
        self.guest.memory.write(at, head + b"".join(struct.pack(">QQ", *cookie) for cookie in cookies))
        self.guest.memory.write(at, bytes((READY,)))

    def trigger(self, start: int, end: int | None = None) -> None:
        body = struct.pack(">QQIIB", self.seq, self.ident, start, start if end is None else end, 1)
        self.ldc.send(message(V_DATA, INFO, RING_DATA, self.sid, body))
        self.seq += 1

    def finished(self, index: int) -> int:
        """Status of a descriptor that must be done, with the one ACK for it."""
        (answer,) = self.ldc.receive()
        assert tag(answer) == (V_DATA, ACK, RING_DATA, self.sid)
        ident, start, end = struct.unpack_from(">QII", answer, 16)
        assert (ident, start, end) == (self.ident, index, index)
        raw = self.guest.memory.read(self.ring + index * self.ENTRY, self.ENTRY)
        assert raw[0] == DONE
        return int(struct.unpack_from(">I", raw, 0x14)[0])

    def request(
        self, op: int, *, block: int = 0, data: bytes = b"", size: int = 0, slice_: int = 0xFF,
        rights: int = COPY_READ | COPY_WRITE, cookies: list[tuple[int, int]] | None = None,
    ) -> tuple[int, bytes]:  # fmt: skip
        """A request as __send_request makes it: status, and what is in the buffer afterwards."""
        size = size or len(data)
        before = self.ldc.mapped
        self.guest.memory.write(self.buffer, data.ljust(size, b"\xee"))
        if cookies is None:
            cookies = self.ldc.export(self.buffer, size, rights) if size else []
        index = self.at
        self.at = (self.at + 1) % self.entries
        self.fill(index, op, block, size, cookies, slice_)
        self.trigger(index)
        status = self.finished(index)
        self.ldc.mapped = before
        return status, self.guest.memory.read(self.buffer, size) if size else b""


class NetDriver:
    """sunvnet: handshake with an id at each side, a ring to send from, LDC_COPY out of the switch's ring."""

    ENTRY = 48

    def __init__(self, guest: DriverGuest, number: int, mac: int, *, entries: int = 16, sid: int = 0x77) -> None:
        self.guest, self.ldc, self.mac, self.entries, self.sid = guest, Ldc(guest, number), mac, entries, sid
        self.ring = guest.pages(1)
        self.buffers = guest.pages(entries // 4)
        self.scratch = guest.pages(1)
        self.peer_sid = 0
        self.produced = 0
        self.cookies: list[tuple[int, int]] = []

    def control(self, env: int, body: bytes, *, stype: int = INFO) -> None:
        self.ldc.send(message(V_CTRL, stype, env, self.sid, body))

    def answers(self) -> list[bytes]:
        """Messages that wait; vio_validate_sid drops those of another session."""
        found = self.ldc.receive()
        for each in found:
            type_, stype, env, sid = tag(each)
            if (type_, stype, env) == (V_CTRL, INFO, VER):
                self.peer_sid = sid
            elif sid != self.peer_sid:
                raise LinkError(f"session {sid:#x} instead of {self.peer_sid:#x}")
        return found

    def acknowledge(self, data: bytes, body: bytes | None = None) -> None:
        type_, _, env, _ = tag(data)
        self.ldc.send(message(type_, ACK, env, self.sid, data[8:] if body is None else body))

    def bring_up(self, version: tuple[int, int] = (1, 8), *, mode: int = 4, mtu: int = 65553, updates: int = 0) -> None:
        self.ldc.bind()
        self.ldc.connect()
        self.handshake(version, mode=mode, mtu=mtu, updates=updates)

    def handshake(self, version: tuple[int, int], *, mode: int, mtu: int, updates: int = 0) -> None:
        self.control(VER, struct.pack(">HHB", *version, 1))
        info, ack = self.answers()
        assert tag(info)[:3] == (V_CTRL, INFO, VER)
        assert tag(ack)[:3] == (V_CTRL, ACK, VER)
        assert info[8:12] == ack[8:12], "one version in both"
        self.version = struct.unpack_from(">HH", ack, 8)
        self.acknowledge(info)
        options = 1 if self.version >= (1, 6) else 0
        self.control(ATTR, struct.pack(">BBHBBHQQ", mode, 1, 0, updates, options, 0, self.mac, mtu))
        ack, info = self.answers()
        assert tag(ack)[:3] == (V_CTRL, ACK, ATTR), ack.hex()
        assert tag(info)[:3] == (V_CTRL, INFO, ATTR)
        self.mtu = min(struct.unpack_from(">Q", ack, 24)[0], struct.unpack_from(">Q", info, 24)[0])
        self.peer_mac = struct.unpack_from(">Q", info, 16)[0]
        self.acknowledge(info)
        if mode != 1:
            self.register()
        self.control(V_RDX, b"")
        rdx, *self.early = self.answers()
        assert tag(rdx)[:3] == (V_CTRL, ACK, V_RDX)
        self.produced, self.next_seq = 0, 1

    def register(self) -> None:
        self.guest.memory.write(self.ring, bytes(PAGE))
        cookies = self.ldc.export(self.ring, self.entries * self.ENTRY, COPY_READ | COPY_WRITE)
        self.slots = [
            self.ldc.export(self.buffers + 2048 * n, 2048, COPY_READ | COPY_WRITE)[0] for n in range(self.entries)
        ]
        body = struct.pack(">QIIHHI", 0, self.entries, self.ENTRY, 1, 0, len(cookies))
        self.control(RING, body + b"".join(struct.pack(">QQ", *cookie) for cookie in cookies))
        info, ack = self.answers()
        assert tag(info)[:3] == (V_CTRL, INFO, RING)
        assert tag(ack)[:3] == (V_CTRL, ACK, RING)
        _, self.their_entries, self.their_entry, _, _, count = struct.unpack_from(">QIIHHI", info, 8)
        assert count <= 2
        self.their_ring = struct.unpack_from(">Q", info, 32)[0]
        self.acknowledge(info, (0x99).to_bytes(8, "big") + info[16:])
        self.ident = struct.unpack_from(">Q", ack, 8)[0]

    def put(self, frame: bytes) -> None:
        """A frame in the next descriptor."""
        n = self.produced % self.entries
        self.guest.memory.write(self.buffers + 2048 * n, bytes(6) + frame)
        size = (len(frame) + 6 + 7) & ~7
        at = self.ring + n * self.ENTRY
        self.guest.memory.write(at, struct.pack(">BB6xIIQQ", 1, 0, len(frame), 1, self.slots[n][0], size))
        self.guest.memory.write(at, bytes((READY,)))
        self.produced += 1

    def trigger(self, start: int) -> None:
        body = struct.pack(">QQIIB", self.next_seq, self.ident, start % self.entries, 0xFFFFFFFF, 0)
        self.next_seq += 1
        self.ldc.send(message(V_DATA, INFO, RING_DATA, self.sid, body))

    def send(self, *frames: bytes) -> list[bytes]:
        """Send frames with one trigger; messages that came besides the STOPPED answer."""
        start = self.produced
        for frame in frames:
            self.put(frame)
        self.trigger(start)
        others = []
        stopped = None
        for answer in self.answers():
            if tag(answer)[:3] == (V_DATA, ACK, RING_DATA):
                stopped = struct.unpack_from(">QIIB", answer, 16)
            else:
                others.append(answer)
        assert stopped == (self.ident, start % self.entries, (self.produced - 1) % self.entries, 2)
        for n in range(start, self.produced):
            assert self.guest.memory.read(self.ring + n % self.entries * self.ENTRY, 1) == bytes((DONE,))
        return others

    def receive(self, messages: list[bytes] | None = None) -> list[bytes]:
        """Frames that the switch has announced, taken out of its ring and acknowledged as vnet_walk_rx does."""
        frames = []
        queue = list(self.answers() if messages is None else messages)
        while queue:
            data = queue.pop(0)
            assert tag(data)[:3] == (V_DATA, INFO, RING_DATA), data.hex()
            seq, ident, start, end = struct.unpack_from(">QQII", data, 8)
            assert (ident, end) == (0x99, 0xFFFFFFFF)
            self.rx_seq = getattr(self, "rx_seq", 0) + 1
            assert seq == self.rx_seq, "a gap: Linux would drop it"
            index, last = start, (start - 1) % self.their_entries
            for _ in range(self.their_entries):
                frame = self.take(index)
                if frame is None:
                    break
                frames.append(frame)
                index, last = (index + 1) % self.their_entries, index
            body = struct.pack(">QQIIB", seq, 0x99, start, last, 2)
            self.ldc.send(message(V_DATA, ACK, RING_DATA, self.sid, body))
            queue += self.answers()
        return frames

    def take(self, index: int) -> bytes | None:
        """One descriptor and its frame by LDC_COPY; the descriptor is written back."""
        entry = self.their_ring + index * self.their_entry
        self.ldc.copy(0, entry, self.scratch, self.their_entry)
        raw = self.guest.memory.read(self.scratch, self.their_entry)
        if raw[0] != READY:
            return None
        size, count, cookie, room = struct.unpack_from(">IIQQ", raw, 8)
        assert count == 1
        assert room >= size + 6
        assert 60 <= size <= self.mtu
        self.ldc.copy(0, cookie, self.scratch + 64, (size + 6 + 7) & ~7)
        frame = self.guest.memory.read(self.scratch + 64 + 6, size)
        self.guest.memory.write(self.scratch, bytes((DONE,)))
        self.ldc.copy(1, entry, self.scratch, self.their_entry)
        return frame


class ServicesDriver:
    """ds.c: waits for the link, says hello, registers, answers."""

    def __init__(self, guest: DriverGuest, number: int) -> None:
        self.guest, self.ldc = guest, Ldc(guest, number, mode=3)
        self.handles: dict[str, int] = {}

    @staticmethod
    def message(kind: int, payload: bytes) -> bytes:
        return struct.pack(">II", kind, len(payload)) + payload

    def bring_up(self, names: tuple[str, ...]) -> list[bytes]:
        self.ldc.bind()
        self.ldc.accept()
        self.ldc.send(self.message(0, struct.pack(">HH", 1, 0)))
        (answer,) = self.ldc.receive()
        kind, size = struct.unpack_from(">II", answer)
        assert (kind, size) == (1, len(answer) - 8), "trailing bytes would be read as the next message"
        return [self.register(n, name) for n, name in enumerate(names)]

    def register(self, index: int, name: str) -> bytes:
        """The name stands at byte 24, behind four bytes of padding, and has no NUL."""
        handle = self.handles[name] = index << 32 | 0xABC + index
        self.ldc.send(self.message(3, struct.pack(">QHH4x", handle, 1, 0) + name.encode()))
        (answer,) = self.ldc.receive()
        return answer

    def data(self, name: str, body: bytes) -> None:
        self.ldc.send(self.message(9, self.handles[name].to_bytes(8, "big") + body))

    def requests(self) -> list[tuple[str, bytes]]:
        """(service, body) of the data messages that wait."""
        found = []
        for each in self.ldc.receive():
            kind, size, handle = struct.unpack_from(">IIQ", each)
            assert (kind, size) == (9, len(each) - 8)
            found.append((next(n for n, h in self.handles.items() if h >> 32 == handle >> 32), each[16:]))
        return found
