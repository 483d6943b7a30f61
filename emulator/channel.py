"""The client's end of a logical domain channel (LDC)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from emulator import _core
from emulator._core_channels import Wire
from emulator._core_nets import NetPort
from emulator.errors import ChannelError

PACKET_BYTES = 64
__all__ = ["PACKET_BYTES", "Channel", "ChannelInfo", "NetPort", "Wire"]


@dataclass(frozen=True, kw_only=True)
class ChannelInfo:
    """How a channel stands. Entries and packets are counts of 64-byte packets."""

    host: bool
    """True: the client is at the other end; False: another endpoint of the guest, `peer`."""
    wire: bool
    """True: the other end is, or will be, another machine's (`Machine.plug_wire`)."""
    wired: bool
    """True: a wire is plugged in."""
    peer: int
    up: bool
    """True: the client has said so (`Channel.up`)."""
    tx_entries: int
    """Size of the guest's transmit queue; 0: not configured."""
    rx_entries: int
    tx_packets: int
    """Packets that wait for `Channel.receive`."""
    rx_room: int
    """Packets that `Channel.send` could send now."""
    map_entries: int
    """Entries of the guest's map table; 0: none."""
    export_bytes: int
    """Size of the memory the client exports."""
    resets: int
    """Times the guest has configured its receive queue: when this changes, the link starts anew."""


class Channel:
    """The client's end of a channel of a machine: `Machine.add_channel`, `Machine.channel`.

    Packets are 64 bytes. When the guest sends, configures a queue, or makes room that `send` lacked, `Machine.run`
    stops with reason CHANNEL; the guest goes on at the next run.
    """

    def __init__(self, core: _core.Core, number: int) -> None:
        self._core = core
        self.number = number

    @property
    def info(self) -> ChannelInfo:
        """How the channel stands now. Raises ChannelError where it was removed."""
        return ChannelInfo(**self._core.ldc_info(self.number))

    @property
    def up(self) -> bool:
        """True: the guest sees the channel UP (once RESET after `reset`), False: DOWN."""
        return self.info.up

    @up.setter
    def up(self, up: bool) -> None:
        self._core.ldc_up(self.number, up)

    def reset(self) -> None:
        """Let the guest see RESET once, as when the other end has started anew."""
        self._core.ldc_reset(self.number)

    def send(self, packets: bytes) -> int:
        """Put whole packets in the guest's receive queue; returns how many packets it took.

        All of them are there before the guest is interrupted. 0 while the channel is not up or the guest has no queue.
        Raises ChannelError where `packets` is not a multiple of 64 bytes.
        """
        if len(packets) % PACKET_BYTES:
            raise ChannelError(f"packets have {PACKET_BYTES} bytes each, and {len(packets)} is no multiple")
        return self._core.ldc_send(self.number, packets, len(packets) // PACKET_BYTES)

    def receive(self, most: int = 1024) -> list[bytes]:
        """Take what the guest has sent, at most `most` packets of 64 bytes."""
        data = self._core.ldc_receive(self.number, most)
        return [data[at : at + PACKET_BYTES] for at in range(0, len(data), PACKET_BYTES)]

    def read(self, cookie: int, length: int) -> bytes:
        """Memory the guest exports under `cookie` (its map table; the entry must allow copies for reading).

        Raises AddressError where nothing is mapped, ChannelError where the right is missing.
        """
        return self._core.ldc_read(self.number, cookie, length)

    def write(self, cookie: int, data: bytes) -> None:
        """Write to memory the guest exports; as `read`, with the right to write."""
        self._core.ldc_write(self.number, cookie, data)

    def export(self, size_bytes: int) -> None:
        """Export zeroed memory to the guest: a multiple of 8 KiB up to 16 MiB; 0: none.

        The guest's LDC_COPY reaches it in both directions by the cookies 0 to `size_bytes` - 1. It goes with the
        machine's state. Raises ChannelError.
        """
        self._core.ldc_export(self.number, size_bytes)

    def exported(self, offset: int, length: int) -> bytes:
        """Copy of exported memory. Raises AddressError."""
        return self._core.ldc_export_read(self.number, offset, length)

    def set_exported(self, offset: int, data: bytes) -> None:
        """Write exported memory. Raises AddressError."""
        self._core.ldc_export_write(self.number, offset, data)

    # -- the data path of a virtual disk: `emulator.devices.datapath` has the words for it

    def disk_open(
        self, file: dict[str, Any], *, entries: int, entry_bytes: int, cookies: list[tuple[int, int]]
    ) -> None:
        """Another file and ring of descriptors."""
        self._core.disk_open(self.number, file, entries=entries, entry_bytes=entry_bytes, cookies=cookies)

    def disk_close(self) -> None:
        """No file and no ring."""
        self._core.disk_close(self.number)

    def disk_take(self, start: int, count: int, sequence: int) -> tuple[int, int]:
        """Begin with descriptors."""
        return self._core.disk_take(self.number, start, count, sequence)

    def disk_finish(self) -> list[tuple[int, int]]:
        """Answer what is done."""
        return self._core.disk_finish(self.number)

    def disk_wait(self) -> None:
        """Until the host has done what was begun."""
        self._core.disk_wait(self.number)

    def disk_in_flight(self) -> int:
        """Requests begun, and not yet finished."""
        return self._core.disk_in_flight(self.number)

    def disk_lend(self, ident: int, session: int, received: int, sent: int) -> bool:
        """Let C serve plain packets of a session."""
        return self._core.disk_lend(self.number, ident, session, received, sent)

    def disk_take_back(self) -> tuple[int, int, bool]:
        """The end of that."""
        return self._core.disk_take_back(self.number)

    def disk_lent(self) -> bool:
        """Does C serve them?"""
        return self._core.disk_lent(self.number)

    def disk_count(self) -> dict[str, int]:
        """What the disk has done."""
        return self._core.disk_count(self.number)

    @property
    def in_real_time(self) -> bool:
        """May something move while the guest runs? Not on a deterministic machine."""
        return not self._core.deterministic

    # -- the data path of a virtual network: `emulator.devices.netpath` has the words for it

    def net_lend(
        self, port: NetPort, lane: dict[str, int], *, entries: int, entry_bytes: int, cookies: list[tuple[int, int]]
    ) -> bool:
        """Let C serve the rings of a session."""
        return self._core.net_lend(
            self.number, port, lane, entries=entries, entry_bytes=entry_bytes, cookies=cookies
        )

    def net_take_back(self) -> dict[str, int]:
        """The end of that."""
        return self._core.net_take_back(self.number)

    def net_lent(self) -> bool:
        """Does C serve them?"""
        return self._core.net_lent(self.number)

    def net_serve(self, *, finish: bool = False) -> bool:
        """Go on with messages."""
        return self._core.net_serve(self.number, finish=finish)

    def net_frames(self) -> Iterable[bytes]:
        """Frames for the switch."""
        return self._core.net_frames(self.number)

    def __repr__(self) -> str:
        return f"<Channel {self.number}>"
