"""A time server at a network of a real server: a host of its own on the wire, which answers ARP and SNTP (RFC 5905)."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

ERA = 2_208_988_800
"""Seconds from 1900 to 1970."""
MAC = bytes.fromhex("020000000066")


class TimeServer:
    """`path`: the socket of the network, as QEMU's `-netdev stream` takes it. `now`: its time, seconds from 1970."""

    def __init__(self, path: Path, address: str, *, now: Callable[[], float]) -> None:
        self._now = now
        self._address = socket.inet_aton(address)
        self._wire = socket.socket(socket.AF_UNIX)
        self._wire.connect(str(path))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """It is switched off."""
        self._wire.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._wire.close()

    def _serve(self) -> None:
        file = self._wire.makefile("rb")
        while header := file.read(4):
            frame = file.read(int.from_bytes(header, "big"))
            answer = self._answer(frame)
            if answer:
                answer = answer.ljust(60, b"\0")
                self._wire.sendall(len(answer).to_bytes(4, "big") + answer)

    def _answer(self, frame: bytes) -> bytes:
        kind = frame[12:14]
        if kind == b"\x08\x06" and frame[20:22] == b"\0\1" and frame[38:42] == self._address:
            return frame[6:12] + MAC + kind + frame[14:20] + b"\0\2" + MAC + self._address + frame[22:32]
        asked = frame[42:90]
        if kind == b"\x08\0" and frame[30:34] == self._address and frame[23] == 17 and frame[36:38] == b"\0\x7b":
            now = self._now()
            stamp = struct.pack(">II", int(now) + ERA, int(now % 1 * (1 << 32)))
            body = bytes((0x24, 2, 0, 0xEC)) + bytes(12) + stamp + asked[40:48] + stamp + stamp
            udp = struct.pack(">HHHH", 123, int.from_bytes(frame[34:36], "big"), 8 + len(body), 0) + body
            head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0) + self._address + frame[26:30]
            return frame[6:12] + MAC + kind + head[:10] + checksum(head) + head[12:] + udp
        return b""


def checksum(data: bytes) -> bytes:
    """Of an IP header (RFC 1071)."""
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return (~((total & 0xFFFF) + (total >> 16)) & 0xFFFF).to_bytes(2, "big")
