"""The link protocol of logical domain channels: handshake, sequence numbers, fragments, acknowledgements.

A `Link` is one end. It does no input or output: packets of 64 bytes go in one by one through `receive`, which
returns what happened, and come out of `take`. Whoever owns it moves packets between the link and a channel
(`emulator.devices.port.ChannelPort`).

::

    packet   0 type   1 stype   2 ctrl   3 env   4 seqid (4)   8 payload: 56 bytes, unreliable
                                                              12 ackid (4)   16 payload: 48 bytes, stream
    env      of data: 0x40 first of a message, 0x80 last, length; of RTS and RTR the mode

The end that starts sends VERS, RTS, RDX; the other answers VERS, RTR. Data packets and RDX count in `seqid`. A
packet out of sequence ends the link in every mode: nobody sends again, both ends start anew.

Sources: UltraSPARC Virtual Machine Specification 3.0, chapters 26 and 27; what a peer does in practice: Linux 6.1,
arch/sparc/kernel/ldc.c.
"""

from __future__ import annotations

import enum
import struct
from collections import deque
from dataclasses import dataclass

from emulator.channel import PACKET_BYTES
from emulator.devices.state import Fields, Json
from emulator.errors import ChannelError

CTRL, DATA, ERR = 0x01, 0x02, 0x10
INFO, ACK, NACK = 0x01, 0x02, 0x04
VERS, RTS, RTR, RDX = 0x01, 0x02, 0x03, 0x04
START, STOP, LENGTH = 0x40, 0x80, 0x3F
VERSION = (1, 0)
MAX_MESSAGE = 4096
"""Bytes of a message: what Linux and Solaris take on a stream channel."""
WINDOW = 256
"""Packets of a stream that may wait for an acknowledgement: a peer that never sends one gets no more."""
_MASK = 0xFFFF_FFFF


class Mode(enum.IntEnum):
    """How packets are framed; the number goes over the link in RTS and RTR."""

    RAW = 0
    """No headers, no handshake: a message is a packet of 64 bytes."""
    UNRELIABLE = 1
    """No acknowledgements: virtual disks and networks."""
    STREAM = 3
    """Acknowledged: domain services."""


class LinkState(enum.Enum):
    """How far the handshake is."""

    DOWN = "down"
    """Waits for VERS, or for `start`."""
    VERSION_SENT = "version-sent"
    VERSION = "version"
    """A version is agreed; waits for RTS, or for RTR."""
    ANSWERED = "answered"
    """RTR sent; waits for RDX."""
    UP = "up"


@dataclass(frozen=True)
class Up:
    """The handshake is complete: messages may go."""


@dataclass(frozen=True)
class Message:
    """A whole message."""

    data: bytes


@dataclass(frozen=True)
class Lost:
    """The link is down again: by the peer that starts anew, or by its mistake (`why` says which)."""

    why: str
    mistake: bool
    """True: the peer has to be told by a reset of the channel."""


Event = Up | Message | Lost


def starts_handshake(packet: bytes) -> bool:
    """Is this the first packet of a handshake?"""
    return packet[:3] == bytes((CTRL, INFO, VERS))


class Link:
    """One end of a link. `initiator`: this end starts the handshake when the peer is there."""

    def __init__(self, mode: Mode, *, initiator: bool = False, max_message: int = MAX_MESSAGE) -> None:
        self.mode = mode
        self.initiator = initiator
        self.max_message = max_message
        self.payload_at = {Mode.RAW: 0, Mode.UNRELIABLE: 8, Mode.STREAM: 16}[mode]
        self._clear()

    def _clear(self) -> None:
        self.state = LinkState.DOWN
        self._sent = 0  # seqid of the last sequenced packet, each way
        self._received = 0
        self._offered = VERSION
        self._out: deque[bytearray] = deque()
        self._partial: bytearray | None = None
        self._unacked: deque[int] = deque()
        self._ack_due = False

    @property
    def up(self) -> bool:
        """True while messages may go."""
        return self.state is LinkState.UP

    @property
    def backlog(self) -> int:
        """Packets that wait to be taken."""
        return len(self._out)

    @property
    def counts(self) -> tuple[int, int] | None:
        """Sequence numbers, received and sent, of a link that is up and where nothing waits; None: it is not so."""
        quiet = self.up and not self._out and self._partial is None and not self._unacked and not self._ack_due
        return (self._received, self._sent) if quiet else None

    def go_on(self, received: int, sent: int) -> None:
        """Somebody else has handled whole packets meanwhile, and these are the numbers now."""
        self._received, self._sent = received, sent

    # -- beginnings and ends

    def start(self, *, present: bool) -> list[Event]:
        """The peer has configured its queue anew (`present`), or taken it away: everything so far is forgotten."""
        events: list[Event] = [Lost("the peer has started anew", False)] if self.up else []
        self._clear()
        if not present:
            return events
        if self.mode is Mode.RAW:
            self.state = LinkState.UP
            events.append(Up())
        elif self.initiator:
            self._send_version(INFO, VERSION)
            self.state = LinkState.VERSION_SENT
        return events

    def fail(self, why: str) -> list[Event]:
        """End the link, as for a mistake of the peer that a higher layer found."""
        self._clear()
        return [Lost(why, True)]

    # -- sending

    def send(self, message: bytes) -> bool:
        """Put a message in the queue, in fragments. False where the link is not up: the message is dropped.

        Raises ChannelError for one that is empty or too long.
        """
        if not 1 <= len(message) <= self.max_message:
            raise ChannelError(f"a message has 1 to {self.max_message} bytes, not {len(message)}")
        if not self.up:
            return False
        if self.mode is Mode.RAW:
            self._out.append(bytearray(message[:PACKET_BYTES].ljust(PACKET_BYTES, b"\0")))
            return True
        room = PACKET_BYTES - self.payload_at
        for at in range(0, len(message), room):
            piece = message[at : at + room]
            env = len(piece) | (START if at == 0 else 0) | (STOP if at + room >= len(message) else 0)
            packet = bytearray(PACKET_BYTES)
            packet[:4] = DATA, INFO, 0, env
            packet[self.payload_at : self.payload_at + len(piece)] = piece
            self._out.append(packet)
        return True

    def take(self, room: int) -> bytes:
        """At most `room` packets that are ready to go, one after the other.

        Acknowledgements ride on data where there is some, and go alone otherwise.
        """
        packets: list[bytearray] = []
        while self._out and len(packets) < room and len(self._unacked) < WINDOW:
            packet = self._out.popleft()
            data = packet[0] == DATA
            if self.mode is not Mode.RAW and (data or packet[2] == RDX):
                self._stamp(packet)
            if self.mode is Mode.STREAM and data:
                self._unacked.append(self._sent)
                if self._ack_due:
                    packet[1] |= ACK
                    self._acknowledge(packet)
            packets.append(packet)
        if self._ack_due and len(packets) < room:
            packet = bytearray(PACKET_BYTES)
            packet[:4] = DATA, ACK, 0, 0
            self._stamp(packet)
            self._acknowledge(packet)
            packets.append(packet)
        return b"".join(packets)

    def _stamp(self, packet: bytearray) -> None:
        self._sent = (self._sent + 1) & _MASK
        struct.pack_into(">I", packet, 4, self._sent)

    def _acknowledge(self, packet: bytearray) -> None:
        struct.pack_into(">I", packet, 12, self._received)
        self._ack_due = False

    def _control(self, stype: int, ctrl: int, *, env: int = 0, seqid: int = 0, payload: bytes = b"") -> None:
        packet = bytearray(PACKET_BYTES)
        struct.pack_into(">BBBBI", packet, 0, CTRL, stype, ctrl, env, seqid)
        packet[8 : 8 + len(payload)] = payload
        self._out.append(packet)

    def _send_version(self, stype: int, version: tuple[int, int]) -> None:
        self._offered = version
        self._control(stype, VERS, payload=struct.pack(">HH", *version))

    # -- receiving

    def receive(self, packet: bytes) -> list[Event]:
        """What a packet of the peer brings about."""
        if self.mode is Mode.RAW:
            return [Message(packet)] if self.up else []
        kind = packet[0]
        if kind == CTRL:
            return self._receive_control(packet)
        if not self.up:
            return []  # of a session that is over
        if kind == DATA:
            return self._receive_data(packet)
        return self.fail(f"a packet of type {kind:#x}")

    def _receive_control(self, packet: bytes) -> list[Event]:
        stype, ctrl = packet[1], packet[2]
        if ctrl == VERS:
            return self._receive_version(stype, *struct.unpack_from(">HH", packet, 8))
        if self.state is LinkState.DOWN:
            return []
        env, seqid = packet[3], struct.unpack_from(">I", packet, 4)[0]
        handler = {RTS: self._receive_rts, RTR: self._receive_rtr, RDX: self._receive_rdx}.get(ctrl)
        if stype != INFO or handler is None:
            return self.fail(f"a control packet {ctrl:#x} of subtype {stype:#x}")
        return handler(env, seqid)

    def _receive_version(self, stype: int, major: int, minor: int) -> list[Event]:
        events: list[Event] = []
        if stype == INFO:
            if self.state not in (LinkState.DOWN, LinkState.VERSION_SENT):
                if self.up:
                    events.append(Lost("the peer has started anew", False))
                self._clear()
            if major != VERSION[0]:
                self._control(NACK, VERS, payload=struct.pack(">HH", *(VERSION if major > VERSION[0] else (0, 0))))
                return events
            self._control(ACK, VERS, payload=struct.pack(">HH", major, min(minor, VERSION[1])))
            if self.state is LinkState.DOWN:
                self.state = LinkState.VERSION
            return events
        if self.state is not LinkState.VERSION_SENT:
            return []
        if stype == ACK and (major, minor) == self._offered:
            self.state = LinkState.VERSION
            self._control(INFO, RTS, env=self.mode)
            return []
        return self.fail("no version in common")

    def _receive_rts(self, env: int, seqid: int) -> list[Event]:
        if self.state is not LinkState.VERSION or env != self.mode:
            return self.fail("a request to send out of turn, or of another mode")
        self._sent = self._received = seqid  # a peer continues from the number in RTR, whichever it is
        self._control(INFO, RTR, env=self.mode, seqid=seqid)
        self.state = LinkState.ANSWERED
        return []

    def _receive_rtr(self, env: int, seqid: int) -> list[Event]:
        if self.state not in (LinkState.VERSION, LinkState.ANSWERED) or env != self.mode or not self.initiator:
            return self.fail("ready to receive out of turn, or in another mode")
        self._received = seqid
        self._control(INFO, RDX)
        self.state = LinkState.UP
        return [Up()]

    def _receive_rdx(self, _env: int, seqid: int) -> list[Event]:
        if self.state not in (LinkState.ANSWERED, LinkState.UP) or not self._in_sequence(seqid):
            return self.fail("ready for data exchange out of turn")
        if self.up:
            return []
        self.state = LinkState.UP
        return [Up()]

    def _in_sequence(self, seqid: int) -> bool:
        if seqid != (self._received + 1) & _MASK:
            return False
        self._received = seqid
        return True

    def _receive_data(self, packet: bytes) -> list[Event]:
        stype, env, seqid = packet[1], packet[3], struct.unpack_from(">I", packet, 4)[0]
        if not self._in_sequence(seqid):
            return self.fail(f"packet {seqid} where {(self._received + 1) & _MASK} was due")
        if stype & NACK or not stype & (INFO | ACK):
            return self.fail("the peer refused a packet")
        if stype & ACK and self.mode is Mode.STREAM and not self._acknowledged(struct.unpack_from(">I", packet, 12)[0]):
            return self.fail("an acknowledgement of what was never sent")
        if not stype & INFO:
            return []
        return self._assemble(env, packet)

    def _acknowledged(self, ackid: int) -> bool:
        """Drop what is acknowledged, up to and with `ackid`. False: that was not sent."""
        if (self._sent - ackid) & _MASK >= 1 << 31:
            return False
        while self._unacked and (ackid - self._unacked[0]) & _MASK < 1 << 31:
            self._unacked.popleft()
        return True

    def _assemble(self, env: int, packet: bytes) -> list[Event]:
        length = env & LENGTH
        if bool(env & START) == (self._partial is not None):
            return self.fail("a fragment out of turn")
        if length > PACKET_BYTES - self.payload_at:
            return self.fail(f"a fragment of {length} bytes")
        if self._partial is None:
            self._partial = bytearray()
        self._partial += packet[self.payload_at : self.payload_at + length]
        if len(self._partial) > self.max_message:
            return self.fail("a message that is too long")
        if not env & STOP:
            return []
        message, self._partial = bytes(self._partial), None
        self._ack_due = self.mode is Mode.STREAM
        return [Message(message)] if message else []

    # -- state

    def save(self) -> dict[str, Json]:
        """Everything but the mode, which the owner knows."""
        return {
            "state": self.state.value,
            "sent": self._sent,
            "received": self._received,
            "offered": list(self._offered),
            "out": [packet.hex() for packet in self._out],
            "partial": None if self._partial is None else self._partial.hex(),
            "unacked": list(self._unacked),
            "ack_due": self._ack_due,
        }

    def load(self, fields: Fields) -> None:
        """Take over what `save` gave. Raises StateError."""
        self._clear()
        try:
            self.state = LinkState(fields.text("state"))
            self._out.extend(bytearray.fromhex(str(packet)) for packet in fields.items("out"))
        except ValueError:
            raise fields.wrong("link") from None
        if any(len(packet) != PACKET_BYTES for packet in self._out):
            raise fields.wrong("out")
        self._sent, self._received = fields.number("sent", _MASK), fields.number("received", _MASK)
        major, minor = (*fields.numbers("offered", 0xFFFF, count=2), 0, 0)[:2]
        self._offered = (major, minor)
        self._partial = bytearray(fields.data("partial", self.max_message)) if "partial" in fields else None
        self._unacked.extend(fields.numbers("unacked", _MASK, count=WINDOW))
        self._ack_due = fields.flag("ack_due") and self.mode is Mode.STREAM
