"""Frames of the remote serial protocol: ``$payload#checksum``, acknowledgements, and the interrupt character.

Source: "Debugging with GDB", appendix E (Overview, Packet Acknowledgment, Interrupts). Whatever a peer sends, a reader
keeps no more than one packet of MAX_PACKET bytes.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

MAX_PACKET = 0x4000
"""Bytes of a payload as sent, escapes included: what qSupported tells the client as PacketSize."""
INTERRUPT = 0x03
_ESCAPE, _FLIP = 0x7D, 0x20
_SPECIAL = frozenset(b"#$}*")
_HEX = frozenset(b"0123456789abcdefABCDEF")


class Mark(enum.Enum):
    """What comes beside packets."""

    ACK = "+"
    NAK = "-"
    INTERRUPT = "interrupt"
    DAMAGED = "damaged"
    """A packet with a wrong checksum, or one that is too long: it wants to be sent again, or is given up."""


class Reader:
    """Bytes of a client into payloads and marks. Bytes between packets that mean nothing are passed over."""

    def __init__(self) -> None:
        self._body: bytearray | None = None  # of the packet that has begun
        self._sum = bytearray()
        self._ending = False
        self._long = False

    def feed(self, data: bytes) -> Iterator[bytes | Mark]:
        """What these bytes complete, in order. A payload comes without its escapes."""
        for byte in data:
            found = self._byte(byte)
            if found is not None:
                yield found

    def _byte(self, byte: int) -> bytes | Mark | None:
        if self._ending:
            return self._checksum(byte)
        if byte == ord("$"):  # also where the end of the one before was lost
            self._begin()
        elif self._body is None:
            return {ord("+"): Mark.ACK, ord("-"): Mark.NAK, INTERRUPT: Mark.INTERRUPT}.get(byte)
        elif byte == ord("#"):
            self._ending = True
        elif len(self._body) < MAX_PACKET:
            self._body.append(byte)
        else:
            self._long = True
        return None

    def _begin(self) -> None:
        self._body, self._ending, self._long = bytearray(), False, False
        self._sum.clear()

    def _checksum(self, byte: int) -> bytes | Mark | None:
        self._sum.append(byte)
        if len(self._sum) < 2:
            return None
        body, told, long = bytes(self._body or b""), bytes(self._sum), self._long
        self._body, self._ending = None, False
        if long or not _HEX.issuperset(told) or int(told, 16) != sum(body) & 0xFF:
            return Mark.DAMAGED
        return unescape(body)


def unescape(body: bytes) -> bytes:
    """A payload as it was meant; an escape at its end stands for nothing."""
    out = bytearray()
    bytes_ = iter(body)
    for byte in bytes_:
        if byte != _ESCAPE:
            out.append(byte)
        elif (escaped := next(bytes_, None)) is not None:
            out.append(escaped ^ _FLIP)
    return bytes(out)


def escape(payload: bytes) -> bytes:
    """A payload as it is sent."""
    if not _SPECIAL.intersection(payload):
        return payload
    return b"".join(bytes((_ESCAPE, byte ^ _FLIP)) if byte in _SPECIAL else bytes((byte,)) for byte in payload)


def frame(payload: bytes) -> bytes:
    """A packet."""
    body = escape(payload)
    return b"$%s#%02x" % (body, sum(body) & 0xFF)
