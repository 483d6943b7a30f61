"""Frames on record: a file in the pcapng format, which Wireshark, tshark and tcpdump read.

Source: IETF draft-ietf-opsawg-pcapng: section header, interface description and enhanced packet blocks.
"""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_BYTE_ORDER = 0x1A2B3C4D
_ETHERNET = 1
_OPT_COMMENT_END, _OPT_NAME, _OPT_RESOLUTION, _OPT_FLAGS, _OPT_APPLICATION = 0, 2, 9, 2, 4
_NANOSECONDS = 9
INBOUND, OUTBOUND = 1, 2
"""Direction of a frame, seen from the interface it is recorded at."""


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def _block(kind: int, body: bytes) -> bytes:
    size = len(body) + 12
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


class Capture:
    """A pcapng file being written. `clock` gives nanoseconds since 1970; default: the host's time.

    Safe from several threads. A context manager.
    """

    def __init__(self, path: str | Path, *, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._interfaces = 0
        self._file: BinaryIO | None = Path(path).open("wb")  # noqa: SIM115 - closed by close()
        options = _option(_OPT_APPLICATION, b"sun4v") + _option(_OPT_COMMENT_END, b"")
        self._write(_block(_SECTION, struct.pack("<IHHq", _BYTE_ORDER, 1, 0, -1) + options))

    def _write(self, data: bytes) -> None:
        if self._file is not None:
            self._file.write(data)

    def interface(self, name: str) -> int:
        """A new Ethernet interface; returns its number for `frame`."""
        options = _option(_OPT_NAME, name.encode()) + _option(_OPT_RESOLUTION, bytes((_NANOSECONDS,)))
        body = struct.pack("<HHI", _ETHERNET, 0, 0) + options + _option(_OPT_COMMENT_END, b"")
        with self._lock:
            self._write(_block(_INTERFACE, body))
            self._interfaces += 1
            return self._interfaces - 1

    def frame(self, interface: int, frame: bytes, direction: int, *, time_ns: int | None = None) -> None:
        """Record a frame without checksum, at `time_ns`, or else at the time of the clock."""
        if self._file is None:
            return
        now = self._clock() if time_ns is None else time_ns
        head = struct.pack("<IIIII", interface, now >> 32 & 0xFFFF_FFFF, now & 0xFFFF_FFFF, len(frame), len(frame))
        options = _option(_OPT_FLAGS, struct.pack("<I", direction)) + _option(_OPT_COMMENT_END, b"")
        with self._lock:
            self._write(_block(_PACKET, head + frame + bytes(-len(frame) % 4) + options))

    def flush(self) -> None:
        """Let readers see what is recorded so far."""
        with self._lock:
            if self._file is not None:
                self._file.flush()

    def close(self) -> None:
        """Close the file; twice is fine, and later frames are not recorded."""
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._file = None

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
