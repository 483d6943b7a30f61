"""Ethernet frames on a stream socket: four bytes of length, the most significant first, then the frame.

What QEMU's ``-netdev stream`` and ``-netdev socket`` and what passt speak.

Sources: QEMU, net/socket.c and net/stream.c (NET_BUFSIZE); passt(1).
"""

from __future__ import annotations

import struct

from emulator.errors import EmulatorError

LENGTH = struct.Struct(">I")
MAX_LENGTH = 4096 + 65536
"""NET_BUFSIZE: a peer of ours may be configured for frames that no switch of ours passes on."""


class FramingError(EmulatorError):
    """A peer has sent a length that cannot be: where its next frame begins is not known any more."""

    code = "framing"


class Deframer:
    """Finds the frames in what comes. Holds at most one frame that is not complete."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are complete now. Raises FramingError; then the connection is of no use any more."""
        data = self._rest + data if self._rest else data
        view = memoryview(data)
        frames: list[bytes] = []
        begin, end = 0, len(data)
        while end - begin >= LENGTH.size:
            size: int = LENGTH.unpack_from(view, begin)[0]
            if not 0 < size <= MAX_LENGTH:
                raise FramingError(f"a frame of {size} bytes: 1 to {MAX_LENGTH} are possible")
            if end - begin - LENGTH.size < size:
                break
            begin += LENGTH.size
            frames.append(bytes(view[begin : begin + size]))
            begin += size
        self._rest = bytes(view[begin:])
        return frames


def enframe(frame: bytes) -> bytes:
    """A frame as it is sent."""
    return LENGTH.pack(len(frame)) + frame
