"""The switch's end of a guest's virtual network: handshake, rings both ways, packets in band.

The guest registers the ring it sends from; this side registers one in memory it exports, and the guest copies frames
out of it. Both sides introduce themselves; the order below leads Linux to one completed handshake::

    guest  VERSION INFO 1.8          switch  VERSION INFO 1.6, then ACK 1.6
    guest  ACK, ATTRIBUTES INFO      switch  ACK, ATTRIBUTES INFO
    guest  ACK, RING INFO            switch  RING INFO, then ACK
    guest  ACK, RDX INFO             switch  ACK

    exported   128 descriptors of 48 bytes, from the next multiple of 8192 on a buffer for each
    descriptor state, ack, 6 zeros, size (4), cookies (4), cookie (16), cookie (16)
    buffer     6 bytes that do not count, the frame

One message says that descriptors are ready; until the peer answers that it has STOPPED, it goes on by itself.

Sources: UltraSPARC Virtual Machine Specification 3.0, chapter 28 (virtual network protocol); Linux 6.1,
drivers/net/ethernet/sun/sunvnet_common.c.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from emulator.channel import Channel, NetPort
from emulator.devices import vio
from emulator.devices.netpath import Lane, NetPath
from emulator.devices.state import Fields, Json
from emulator.devices.switch import BROADCAST, HEADER, LEAST_FRAME, MAX_FRAME, MAX_GROUPS, Port, mac_bytes
from emulator.devices.vio import ProtocolError, Ring, RingData, Tag, read_behind
from emulator.errors import AddressError, ChannelError, ConfigError

MULTICAST, LINK = 0x0101, 0x0103
LINK_DOWN, LINK_UP = 1, 2
SKIP = 6
"""Bytes of a buffer before the frame, so that what follows its header is aligned."""
RING_ENTRIES, ENTRY_BYTES = 128, 48
PAGE = 8192
DEFAULT_MTU = 1518
"""Largest frame without its checksum: 1500 bytes, header and a VLAN tag."""
PLAIN_MTU = 1514
LEAST_MTU = 68 + HEADER
MAX_COOKIES = 16
"""Cookies of a frame that are looked at."""
TX_RING = 1
ETHERNET_ADDRESS = 1
LINK_UPDATES, LINK_UPDATES_AGREED = 1, 2
GROUPS_A_MESSAGE = 7
_DESCRIPTOR = struct.Struct(">BB6xII")
_COUNT = (1 << 64) - 1
_DONE = bytes((vio.DONE,))
BATCHES = 8
"""Of frames that are taken from C in a row; between them the machine looks whether it was kicked."""
AT_ONCE = 16
"""Descriptors that are read in one piece."""


class VnetPort(vio.VioServer):
    """A guest's port of a switch.

    `port` is the place in the switch; `address` the MAC address that this end has (``remote-mac-address`` of the
    guest's port); `mtu` the largest frame it takes.
    """

    versions = ((1, 6),)
    kind = vio.SWITCH

    def __init__(self, name: str, number: int, port: Port, *, address: int, mtu: int = DEFAULT_MTU) -> None:
        if not DEFAULT_MTU <= mtu <= MAX_FRAME:
            raise ConfigError(f"the largest frame has {DEFAULT_MTU} to {MAX_FRAME} bytes, not {mtu}")
        self.port = port
        self.address = int.from_bytes(mac_bytes(address), "big")
        self.own_mtu = mtu
        self.slot_bytes = -(-(mtu + SKIP) // 64) * 64
        self.link_is_up = True
        self._sessions = 0
        self._path: NetPath | None = None
        super().__init__(name, number)

    @property
    def export_bytes(self) -> int:
        """Size of the exported memory."""
        return PAGE + -(-RING_ENTRIES * self.slot_bytes // PAGE) * PAGE

    def connect(self, open_channel: Callable[[int], Channel]) -> None:
        """Export the ring, and show the channel up."""
        channel = open_channel(self.number)
        channel.export(self.export_bytes)
        if channel.in_real_time:
            waiting, self.port.core = self.port.pending, NetPort()
            self.port.restore(waiting)
            self._path = NetPath(channel, self.port.core)
        super().connect(lambda _: channel)

    @property
    def session(self) -> int:
        """Both sides have ids of their own."""
        return (self.number << 16 | self._sessions & 0xFFFF) & 0xFFFF_FFFF

    def clear(self) -> None:
        """Forget the session, and the frames for it."""
        super().clear()
        self._sessions += 1
        self.packets = False  # in band, without rings
        self.mtu = self.own_mtu
        self.peer_address = 0
        self._wants_link = False
        self._told: bool | None = None  # link state that the guest knows
        self._out_ident: int | None = None  # what the guest calls our ring
        self._next = self._first = 0  # descriptor to fill, oldest one that is not taken back
        self._seq = 1
        self._busy = False  # the guest works on our ring and has not said that it stopped
        self.port.groups.clear()
        self.port.discard()

    # -- a session that C serves

    def service(self, number: int) -> None:
        """The guest has sent something: frames that have no flow, or what C does not know."""
        if self._path is not None and self._path.lent and self._serve_lane(self._path):
            return
        self._take_back()
        super().service(number)

    def _serve_lane(self, path: NetPath) -> bool:
        """Hand out frames. False: a message is ours."""
        self.unfinished = False
        for _ in range(BATCHES):
            some = self._hand_out(path)
            if not path.serve():
                return True
            if not some and not self._hand_out(path):
                return False
        self.unfinished = True
        return True

    def _hand_out(self, path: NetPath) -> bool:
        """Frames to the switch. False: there were none."""
        some = False
        for frame in path.frames():
            self._switch(frame)
            some = True
        return some

    def _lend(self) -> None:
        """Let C serve the rings, as long as nothing else happens."""
        path, counts, ring = self._path, self.link.counts, self.ring
        if path is None or path.lent or counts is None or ring is None or self._out_ident is None or self.packets:
            return
        if self.running and self.online and not self._pending:
            received, sent = counts
            path.lend(Lane(
                ring.ident, self._out_ident, self._seq, self.session, received, sent, self.mtu, self.slot_bytes,
                self._next, self._first, self._busy,
            ), ring)  # fmt: skip

    def _take_back(self) -> None:
        """Before anything is done with the session here."""
        path = self._path
        if path is None or not path.lent:
            return
        some = True
        while some:
            path.finish()
            some = self._hand_out(path)
        lane = path.take_back()
        self.link.go_on(lane.received, lane.sent)
        self._seq, self._next, self._first, self._busy = lane.sequence, lane.next, lane.first, bool(lane.busy)
        if lane.broken:
            self.drop_link("the ring is gone")
        elif lane.due:
            self._say_ready()

    def drain(self) -> None:
        """Nothing moves by itself from here on."""
        self._take_back()

    def save(self) -> bytes:
        """State of link and session."""
        self._take_back()
        return super().save()

    def load(self, state: bytes) -> None:
        """Take over what `save` gave. Raises StateError."""
        self._take_back()
        super().load(state)

    def set_online(self, online: bool) -> None:
        """The switch's service goes, or comes back."""
        if online != self.online:
            self._take_back()
        super().set_online(online)

    # -- handshake

    def version_agreed(self, data: bytes) -> None:
        """Introduce this side first: the guest learns the id that all other messages carry."""
        assert self.version is not None
        own = Tag(vio.CTRL, vio.INFO, vio.VERSION, self.session)
        self.send(own.message(struct.pack(">HHB", *self.version, self.kind)))
        super().version_agreed(data)

    def control_attributes(self, tag: Tag, data: bytes) -> None:
        """Agree on mode and MTU, then send this side's attributes."""
        if tag.subtype == vio.NACK:
            raise ProtocolError("the guest refuses the switch's attributes")
        if tag.subtype != vio.INFO:
            return
        mode, kind, _, updates, _, address, mtu = struct.unpack_from(">BBHBBxxQQ", data, 8)
        packets = self._packet_mode(mode)
        agreed = self._agree_mtu(mtu)
        if packets is None or agreed is None or kind != ETHERNET_ADDRESS:
            self.send(vio.answer(data, vio.NACK, session=self.session))
            return
        self.packets, self.mtu = packets, agreed
        self.peer_address = address & (1 << 48) - 1
        self._wants_link = self.at_least(1, 5) and updates == LINK_UPDATES
        self.agreed = True
        reply = LINK_UPDATES_AGREED if self._wants_link else 0
        self.send(vio.answer(data, vio.ACK, session=self.session, body=self._attributes(mode, address, reply)))
        own = Tag(vio.CTRL, vio.INFO, vio.ATTRIBUTES, self.session)
        self.send(own.message(self._attributes(mode, self.address, 0)))

    def _attributes(self, mode: int, address: int, updates: int) -> bytes:
        if self.at_least(1, 2):
            mode = vio.PACKET_MODE if self.packets else vio.RING_MODE_BIT
        options = TX_RING if self.at_least(1, 6) else 0
        return struct.pack(">BBHBBHQQ", mode, ETHERNET_ADDRESS, 0, updates, options, 0, address, self.mtu)

    def _packet_mode(self, mode: int) -> bool | None:
        """Packets in band (True) or rings, out of what the guest offers; None: neither."""
        if not self.at_least(1, 2):
            return {vio.RING_MODE: False, vio.PACKET_MODE: True}.get(mode)
        if mode & vio.RING_MODE_BIT:
            return False
        return True if mode & vio.PACKET_MODE else None

    def _agree_mtu(self, mtu: int) -> int | None:
        if not self.at_least(1, 3):
            return PLAIN_MTU if mtu == PLAIN_MTU else None
        if not self.at_least(1, 4):
            return DEFAULT_MTU if mtu == DEFAULT_MTU else None
        return min(mtu, self.own_mtu) if mtu >= LEAST_MTU else None

    def check_ring(self, ring: Ring, options: int) -> None:
        """A descriptor must hold a cookie; only rings to send from are spoken."""
        if self.packets or ring.entry_bytes < _DESCRIPTOR.size + 16:
            raise ProtocolError(f"descriptors of {ring.entry_bytes} bytes cannot hold a frame")
        if self.at_least(1, 6) and not options & TX_RING:
            raise ProtocolError("a ring that is not to send from")

    def control_ring(self, tag: Tag, data: bytes) -> None:
        """The guest's ring, or what it says to ours."""
        if tag.subtype == vio.ACK:
            self._out_ident = int.from_bytes(data[8:16], "big")
        elif tag.subtype == vio.NACK:
            raise ProtocolError("the guest refuses the switch's ring")
        else:
            super().control_ring(tag, data)

    def ring_registered(self, data: bytes) -> None:
        """Offer the ring of this side before the answer: then the guest ends the handshake."""
        size = RING_ENTRIES * ENTRY_BYTES
        self.channel.set_exported(0, bytes((vio.FREE, *bytes(ENTRY_BYTES - 1))) * RING_ENTRIES)
        own = Tag(vio.CTRL, vio.INFO, vio.RING, self.session)
        body = struct.pack(">QIIHHIQQ", 0, RING_ENTRIES, ENTRY_BYTES, TX_RING, 0, 1, 0, size)
        self.send(own.message(body))
        super().ring_registered(data)

    @property
    def ready(self) -> bool:
        """Both rings, or packets in band."""
        return self.agreed and (self.packets or (self.ring is not None and self._out_ident is not None))

    def start(self) -> None:
        """Frames may flow: the switch knows from here on who is behind the port."""
        super().start()
        self._seq = 1
        if self.port.switch is not None:
            self.port.switch.learn(self.port, mac_bytes(self.peer_address))
        if self._wants_link:
            self._tell_link()

    def control_other(self, tag: Tag, data: bytes) -> None:
        """Multicast groups; answers to link states."""
        if tag.what == MULTICAST and tag.subtype == vio.INFO:
            accepted = self._change_groups(data)
            self.send(vio.answer(data, vio.ACK if accepted else vio.NACK, session=self.session))
        elif tag.subtype == vio.INFO:
            super().control_other(tag, data)

    def _change_groups(self, data: bytes) -> bool:
        add, count = data[8], data[9]
        if count > GROUPS_A_MESSAGE:
            return False
        groups = {data[10 + 6 * n : 16 + 6 * n] for n in range(count)}
        if not all(group[0] & 1 for group in groups):
            return False
        if not add:
            self.port.groups -= groups
            return True
        if len(self.port.groups | groups) > MAX_GROUPS:
            return False
        self.port.groups |= groups
        return True

    def set_link(self, up: bool) -> None:
        """The physical link behind the switch: guests that asked for it are told; frames do not depend on it."""
        self.link_is_up = up
        if self._wants_link and self._told is not up:
            self._take_back()
        if self.running and self._wants_link and self._told is not up:
            self._tell_link()
            self.flush()

    def _tell_link(self) -> None:
        state = LINK_UP if self.link_is_up else LINK_DOWN
        self._told = self.link_is_up
        self.send(Tag(vio.CTRL, vio.INFO, LINK, self.session).message(state.to_bytes(4, "big")))

    # -- frames of the guest

    def data(self, tag: Tag, data: bytes) -> None:
        """Descriptors are ready, ours are done, or a frame in band."""
        if tag.what == vio.PACKET and tag.subtype == vio.INFO:
            self._switch(data[16:])
        elif tag.what != vio.RING_DATA:
            self.send(vio.answer(data[: vio.MESSAGE_BYTES], vio.NACK, session=self.session))
        elif tag.subtype == vio.ACK:
            self._taken(RingData.of(data))
        elif tag.subtype == vio.INFO and self.ring is not None:
            self._ring_data(self.ring, RingData.of(data))

    def _ring_data(self, ring: Ring, asked: RingData) -> None:
        """Frames from `start` on, as long as descriptors are ready; at most once round."""
        if asked.ident != ring.ident or asked.start >= ring.entries:
            self.send(asked.message(vio.NACK, self.session))
            return
        index, last = asked.start, ring.before(asked.start)
        left, size = ring.entries, ring.entry_bytes
        while left:
            # many in one piece: nobody changes them in between, the guest stands still (docs/internals)
            some = ring.read_many(self.channel, index, min(left, AT_ONCE))
            ready = 0
            while ready < len(some) // size and some[ready * size] == vio.READY:
                self._switch_descriptor(some[ready * size : (ready + 1) * size])
                ring.write(self.channel, index, 0, _DONE)
                index, last = ring.following(index), index
                ready += 1
            left -= ready
            if ready * size < len(some):
                break
        reply = RingData(asked.seq, ring.ident, asked.start, last, vio.STOPPED)
        self.send(reply.message(vio.ACK, self.session))

    def _switch_descriptor(self, raw: bytes) -> None:
        """The frame of a descriptor; one that cannot be read is dropped, as on a wire."""
        _, _, size, count = _DESCRIPTOR.unpack_from(raw)
        room = (len(raw) - _DESCRIPTOR.size) // 16
        if not HEADER <= size <= self.mtu or count > min(room, MAX_COOKIES):
            self.port.counters.dropped += 1
            return
        cookies = vio.read_cookies(raw[_DESCRIPTOR.size : _DESCRIPTOR.size + 16 * count])
        try:
            if count == 1 and cookies[0].size >= SKIP + size:
                self._switch(self.channel.read(cookies[0].address, SKIP + size)[SKIP:])
            else:
                self._switch(read_behind(self.channel, cookies, SKIP + size)[SKIP:])
        except (AddressError, ChannelError):
            self.port.counters.dropped += 1

    def _switch(self, frame: bytes) -> None:
        if HEADER <= len(frame) <= self.mtu:
            self.port.send(frame)
        else:
            self.port.counters.dropped += 1

    # -- frames to the guest

    def poll(self) -> None:
        """Move frames from the inbox to the ring, as many as find room."""
        self.port.awake()
        if self._path is not None and self._path.lent:
            return
        if not self.running:
            self.port.discard()  # nobody listens
        elif self.packets:
            self._send_packets()
        else:
            self._send_ring()
        self._lend()

    def _send_packets(self) -> None:
        while not self.blocked and (frame := self._take()):
            tag = Tag(vio.DATA, vio.INFO, vio.PACKET, self.session)
            self.send(tag.message(self._seq.to_bytes(8, "big") + frame))
            self._seq = (self._seq + 1) & _COUNT
            self.flush()

    def _send_ring(self) -> None:
        put = False
        while (self._next + 1) % RING_ENTRIES != self._first and (frame := self._take()):
            self._put(frame)
            put = True
        if put and not self._busy:
            self._say_ready()

    def _take(self) -> bytes | None:
        """The next frame that fits the guest."""
        while (frame := self.port.take()) is not None:
            if len(frame) <= self.mtu:
                return frame.ljust(LEAST_FRAME, b"\0")
            self.port.counters.dropped += 1
        return None

    def _put(self, frame: bytes) -> None:
        buffer = PAGE + self._next * self.slot_bytes
        self.channel.set_exported(buffer, bytes(SKIP) + frame)
        size = -(-(SKIP + len(frame)) // 8) * 8
        descriptor = _DESCRIPTOR.pack(vio.READY, 0, len(frame), 1) + struct.pack(">QQ", buffer, size)
        self.channel.set_exported(self._next * ENTRY_BYTES, descriptor)
        self._next = (self._next + 1) % RING_ENTRIES

    def _say_ready(self) -> None:
        assert self._out_ident is not None
        said = RingData(self._seq, self._out_ident, self._first, RingData.OPEN, vio.ACTIVE)
        self._seq = (self._seq + 1) & _COUNT
        self._busy = True
        self.send(said.message(vio.INFO, self.session))
        self.flush()

    def _taken(self, said: RingData) -> None:
        """The guest is done with descriptors up to `end`; Linux names the last in `start` when it repeats itself."""
        end = said.start if said.end == RingData.OPEN else said.end
        pending = (self._next - self._first) % RING_ENTRIES
        if end >= RING_ENTRIES:
            return
        count = (end - self._first) % RING_ENTRIES + 1
        some = count <= pending
        if some:
            self._first = (end + 1) % RING_ENTRIES
        if said.state != vio.STOPPED:
            return
        self._busy = False
        if some and self._first != self._next:
            self._say_ready()

    # -- state

    def save_session(self) -> dict[str, Json]:
        """The exported memory is part of the machine's state; what the switch has learned is not."""
        return super().save_session() | {
            "sessions": self._sessions, "packets": self.packets, "mtu": self.mtu, "peer_address": self.peer_address,
            "wants_link": self._wants_link, "out_ident": self._out_ident, "next": self._next, "first": self._first,
            "seq": self._seq, "busy": self._busy, "groups": [group.hex() for group in sorted(self.port.groups)],
            "told": self._told,
        }  # fmt: skip

    def load_session(self, fields: Fields) -> None:
        """Take over what `save_session` gave."""
        super().load_session(fields)
        self._sessions = fields.number("sessions", _COUNT)
        self.packets = fields.flag("packets")
        self.mtu = fields.number("mtu", self.own_mtu, least=LEAST_MTU)
        self.peer_address = fields.number("peer_address", (1 << 48) - 1)
        self._wants_link = fields.flag("wants_link")
        self._told = fields.flag("told") if "told" in fields else None
        self._out_ident = fields.number("out_ident", _COUNT) if "out_ident" in fields else None
        self._next = fields.number("next", RING_ENTRIES - 1)
        self._first = fields.number("first", RING_ENTRIES - 1)
        self._seq = fields.number("seq", _COUNT)
        self._busy = fields.flag("busy")
        self.running = fields.flag("running") and self.version is not None and self.ready
        try:
            groups = {bytes.fromhex(str(group)) for group in fields.items("groups", MAX_GROUPS)}
        except ValueError:
            raise fields.wrong("groups") from None
        if any(len(group) != len(BROADCAST) for group in groups):
            raise fields.wrong("groups")
        self.port.groups = groups
        if self.running and self.port.switch is not None:
            self.port.switch.learn(self.port, mac_bytes(self.peer_address))
