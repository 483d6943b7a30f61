"""The part of `emulator._core.Core` for logical domain channels (`s4v_ldc_*` in csrc/sun4v.h)."""

from __future__ import annotations

from typing import Any

from emulator._core_cffi import ffi, lib
from emulator.errors import AddressError, ChannelError, CoreError


class Wire:
    """A wire between two machines of this process (`s4v_wire`); it lives as long as ends are plugged in."""

    def __init__(self) -> None:
        raw = lib.s4v_wire_new()
        if raw == ffi.NULL:
            raise CoreError("the host has not enough memory for a wire")
        self.raw = ffi.gc(raw, lib.s4v_wire_release)


class ChannelCalls:
    """Mixed into `Core`; `_machine` is its machine, while it does not run."""

    _machine: Any

    def _channel_status(self, status: int, channel: int) -> int:
        if status == lib.S4V_ENOENT:
            raise ChannelError(f"no channel {channel} with the client at its other end")
        if status == lib.S4V_EINVAL:
            raise ChannelError(f"channel {channel} is out of range or taken")
        if status == lib.S4V_EREADONLY:
            raise ChannelError(f"channel {channel}: the guest's map table does not allow it")
        if status == lib.S4V_EFAULT:
            raise AddressError(f"channel {channel}: nothing is exported there")
        if status == lib.S4V_ENOMEM:
            raise CoreError(f"channel {channel}: the host has not enough memory")
        return status

    def ldc_add(self, channel: int) -> None:
        """A channel with the client at its other end."""
        self._channel_status(lib.s4v_ldc_add(self._machine, channel), channel)

    def ldc_connect(self, one: int, other: int) -> None:
        """Two endpoints of the guest, connected."""
        self._channel_status(lib.s4v_ldc_connect(self._machine, one, other), one)

    def ldc_add_wire(self, channel: int) -> None:
        """An endpoint whose other end is, or will be, another machine's."""
        self._channel_status(lib.s4v_ldc_add_wire(self._machine, channel), channel)

    def wire_plug(self, channel: int, wire: Wire, side: int) -> None:
        """Plug in an end of a wire."""
        self._channel_status(lib.s4v_wire_plug(self._machine, channel, wire.raw, side), channel)

    def wire_unplug(self, channel: int) -> None:
        """Take it out."""
        self._channel_status(lib.s4v_wire_unplug(self._machine, channel), channel)

    def ldc_remove(self, channel: int) -> None:
        """Remove a channel; of a connected pair, both endpoints."""
        self._channel_status(lib.s4v_ldc_remove(self._machine, channel), channel)

    def ldc_info(self, channel: int) -> dict[str, Any]:
        """`s4v_ldc` by the names of its members."""
        raw = ffi.new("s4v_ldc *")
        self._channel_status(lib.s4v_ldc_info(self._machine, channel, raw), channel)
        names = ("peer", "tx_entries", "rx_entries", "tx_packets", "rx_room", "map_entries", "export_bytes",
                 "resets")  # fmt: skip
        flags = {name: bool(getattr(raw, name)) for name in ("host", "wire", "wired", "up")}
        return flags | {name: int(getattr(raw, name)) for name in names}

    def ldc_there(self, channel: int) -> bool:
        """Is there such a channel, with the client at its other end?"""
        raw = ffi.new("s4v_ldc *")
        return bool(lib.s4v_ldc_info(self._machine, channel, raw) == 0 and raw.host)

    def ldc_wires(self, most: int) -> list[int]:
        """The channels for a wire, of those below `most`."""
        out = ffi.new("uint32_t[]", most)
        count = int(lib.s4v_ldc_wires(self._machine, out, most))
        return [channel for channel in out[0:count] if channel < most]

    def ldc_up(self, channel: int, up: bool) -> None:
        """UP or DOWN for the guest."""
        self._channel_status(lib.s4v_ldc_up(self._machine, channel, int(up)), channel)

    def ldc_reset(self, channel: int) -> None:
        """RESET, once, for the guest."""
        self._channel_status(lib.s4v_ldc_reset(self._machine, channel), channel)

    def ldc_send(self, channel: int, packets: bytes, count: int) -> int:
        """Packets the guest's queue took."""
        return self._channel_status(int(lib.s4v_ldc_send(self._machine, channel, packets, count)), channel)

    def ldc_receive(self, channel: int, most: int) -> bytes:
        """Packets from the guest, one after the other."""
        buffer = ffi.new("char[]", 64 * max(most, 1))
        count = self._channel_status(int(lib.s4v_ldc_receive(self._machine, channel, buffer, most)), channel)
        return bytes(ffi.buffer(buffer, 64 * count))

    def ldc_read(self, channel: int, cookie: int, length: int) -> bytes:
        """Memory behind a cookie."""
        buffer = ffi.new("char[]", max(length, 1))
        self._channel_status(lib.s4v_ldc_read(self._machine, channel, cookie, buffer, length), channel)
        return bytes(ffi.buffer(buffer, length))

    def ldc_export(self, channel: int, size_bytes: int) -> None:
        """Memory for the guest's LDC_COPY."""
        if size_bytes % 8192 or not 0 <= size_bytes <= 16 << 20:
            raise ChannelError(f"exported memory is a multiple of 8K up to 16M, and not {size_bytes} bytes")
        self._channel_status(lib.s4v_ldc_export(self._machine, channel, size_bytes), channel)

    def ldc_export_read(self, channel: int, offset: int, length: int) -> bytes:
        """Exported memory."""
        buffer = ffi.new("char[]", max(length, 1))
        status = lib.s4v_ldc_export_read(self._machine, channel, offset, buffer, length)
        self._channel_status(status, channel)
        return bytes(ffi.buffer(buffer, length))

    def ldc_export_write(self, channel: int, offset: int, data: bytes) -> None:
        """Write exported memory."""
        status = lib.s4v_ldc_export_write(self._machine, channel, offset, data, len(data))
        self._channel_status(status, channel)

    def ldc_write(self, channel: int, cookie: int, data: bytes) -> None:
        """Write memory behind a cookie."""
        self._channel_status(lib.s4v_ldc_write(self._machine, channel, cookie, data, len(data)), channel)
