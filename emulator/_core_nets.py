"""Ports and sessions of virtual networks in C (`s4v_netport_*`, `s4v_net_*` in csrc/sun4v.h)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from emulator._core_cffi import ffi, lib
from emulator.errors import ChannelError, CoreError

_MOST_FRAME = 16022
_ROOM = 1 << 18
_LENGTH = struct.Struct("=I")
LANE = (
    "ident", "out_ident", "sequence", "session", "received", "sent", "mtu", "slot_bytes", "next", "first", "busy",
    "due", "broken",
)  # fmt: skip
COUNTERS = ("in_frames", "in_bytes", "out_frames", "out_bytes", "dropped")


def _frames(data: memoryview) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        (size,) = _LENGTH.unpack_from(data, at)
        yield bytes(data[at + _LENGTH.size : at + _LENGTH.size + size])
        at += _LENGTH.size + size


class NetPort:
    """Frames that wait for a guest, and flows of frames that come from it. Safe from several threads."""

    def __init__(self) -> None:
        raw = lib.s4v_netport_new()
        if raw == ffi.NULL:
            raise CoreError("the host has not enough memory for a port")
        self.raw = ffi.gc(raw, lib.s4v_netport_close)

    def put(self, frame: bytes, *, front: bool = False, most: int) -> bool:
        """Let a frame wait, where fewer than `most` do. True: the guest's machine has been told."""
        status = lib.s4v_netport_put(self.raw, frame, len(frame), front, most)
        if status < 0:
            raise CoreError("a frame that is too large, or the host has no memory for it")
        return int(status) == 2

    def take(self) -> bytes | None:
        """The oldest frame."""
        buffer = ffi.new("char[]", _MOST_FRAME)
        size = lib.s4v_netport_take(self.raw, buffer, _MOST_FRAME)
        return None if size < 0 else bytes(ffi.buffer(buffer, size))

    def __len__(self) -> int:
        return int(lib.s4v_netport_waiting(self.raw))

    def all(self) -> tuple[bytes, ...]:
        """The frames that wait, which stay."""
        room = _ROOM
        while True:
            buffer = ffi.new("char[]", room)
            wanted = int(lib.s4v_netport_list(self.raw, buffer, room))
            if wanted <= room:
                return tuple(_frames(memoryview(ffi.buffer(buffer, wanted))))
            room = 2 * wanted

    def clear(self) -> None:
        """No frames wait."""
        lib.s4v_netport_clear(self.raw)

    def counted(self) -> dict[str, int]:
        """COUNTERS of the flows since the last call."""
        raw = ffi.new("s4v_net_counters *")
        lib.s4v_netport_counted(self.raw, raw)
        return {name: int(getattr(raw, name)) for name in COUNTERS}

    @property
    def generation(self) -> int:
        """Changes whenever flows are forgotten."""
        return int(lib.s4v_netport_generation(self.raw))

    def forget(self) -> None:
        """Forget all flows."""
        lib.s4v_netport_forget(self.raw)

    def flow(self, generation: int, addresses: bytes, most: int, to: NetPort) -> None:
        """Frames with these addresses, of at most so many bytes, go straight to another port for a second."""
        lib.s4v_netport_flow(self.raw, generation, addresses, most, to.raw)


class NetCalls:
    """Mixed into `Core`; `_machine` is its machine, while it does not run."""

    _machine: Any

    def net_lend(
        self, channel: int, port: NetPort, lane: dict[str, int], *, entries: int, entry_bytes: int,
        cookies: Sequence[tuple[int, int]],
    ) -> bool:  # fmt: skip
        """Let C serve a session's rings. False: not on this machine, or not this session."""
        ring = ffi.new("s4v_disk_ring *", {"entries": entries, "entry_bytes": entry_bytes, "cookies": len(cookies)})
        for number, (address, size) in enumerate(cookies):
            ring.address[number], ring.bytes[number] = address, size
        status = lib.s4v_net_lend(self._machine, channel, port.raw, ring, ffi.new("s4v_net_lane *", lane))
        if status == lib.S4V_ENOENT:
            raise ChannelError(f"no channel {channel} with the client at its other end")
        return bool(status == lib.S4V_OK)

    def net_take_back(self, channel: int) -> dict[str, int]:
        """The end of that: LANE as it is now."""
        raw = ffi.new("s4v_net_lane *")
        lib.s4v_net_take_back(self._machine, channel, raw)
        return {name: int(getattr(raw, name)) for name in LANE}

    def net_lent(self, channel: int) -> bool:
        """Does C serve it? Not where the guest's ring has gone meanwhile."""
        return bool(lib.s4v_net_lent(self._machine, channel))

    def net_serve(self, channel: int, *, finish: bool = False) -> bool:
        """Go on with the guest's messages. True: something is the client's; `finish`: one is not done with."""
        return bool(lib.s4v_net_serve(self._machine, channel, finish))

    def net_frames(self, channel: int) -> Iterable[bytes]:
        """Frames of the guest that have no flow."""
        buffer = ffi.new("char[]", _ROOM)
        size = int(lib.s4v_net_frames(self._machine, channel, buffer, _ROOM))
        return list(_frames(memoryview(ffi.buffer(buffer, size))))
