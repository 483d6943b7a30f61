"""The part of `emulator._core.Core` for the data path of virtual disks (`s4v_disk_*` in csrc/sun4v.h)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emulator._core_cffi import ffi, lib
from emulator.errors import AddressError, ChannelError, CoreError

ALL, NOT_READY, CLIENT, FULL = 0, 1, 2, 3  # S4V_DISK_*
_ANSWERS = 128


class DiskCalls:
    """Mixed into `Core`; `_machine` is its machine, while it does not run."""

    _machine: Any

    def disk_open(
        self, channel: int, file: dict[str, Any], *, entries: int, entry_bytes: int,
        cookies: Sequence[tuple[int, int]],
    ) -> None:  # fmt: skip
        """Another file (`s4v_disk_file` by its members) and ring."""
        ring = ffi.new("s4v_disk_ring *", {"entries": entries, "entry_bytes": entry_bytes, "cookies": len(cookies)})
        for number, (address, size) in enumerate(cookies):
            ring.address[number], ring.bytes[number] = address, size
        status = lib.s4v_disk_open(self._machine, channel, ffi.new("s4v_disk_file *", file), ring)
        if status == lib.S4V_ENOENT:
            raise ChannelError(f"no channel {channel} with the client at its other end")
        if status:
            raise CoreError(f"channel {channel}: the host has no memory or no file descriptor for the disk")

    def disk_close(self, channel: int) -> None:
        """No file and no ring; requests on their way are over."""
        lib.s4v_disk_close(self._machine, channel)

    def disk_take(self, channel: int, start: int, count: int, sequence: int) -> tuple[int, int]:
        """How many descriptors were taken, and why not more: ALL, NOT_READY, CLIENT, FULL."""
        taken = ffi.new("uint32_t *")
        status = int(lib.s4v_disk_take(self._machine, channel, start, count, sequence, taken))
        self._disk_status(status, channel)
        return int(taken[0]), status

    def disk_finish(self, channel: int) -> list[tuple[int, int]]:
        """Descriptors to acknowledge: (sequence, index)."""
        found: list[tuple[int, int]] = []
        answers = ffi.new("s4v_disk_answer[]", _ANSWERS)
        while True:
            count = int(lib.s4v_disk_finish(self._machine, channel, answers, _ANSWERS))
            self._disk_status(count, channel)
            found += [(int(answers[n].sequence), int(answers[n].index)) for n in range(count)]
            if count < _ANSWERS:
                return found

    def disk_wait(self, channel: int) -> None:
        """Until the host has done what was taken."""
        lib.s4v_disk_wait(self._machine, channel)

    def disk_in_flight(self, channel: int) -> int:
        """Requests begun, and not yet finished."""
        return int(lib.s4v_disk_in_flight(self._machine, channel))

    def disk_lend(self, channel: int, ident: int, session: int, received: int, sent: int) -> bool:
        """Let C serve a session's plain packets. False: not on this machine."""
        link = ffi.new("s4v_disk_link *", {"ident": ident, "session": session, "received": received, "sent": sent})
        return bool(lib.s4v_disk_lend(self._machine, channel, link) == lib.S4V_OK)

    def disk_take_back(self, channel: int) -> tuple[int, int, bool]:
        """The end of that; the counts of the link now, received and sent, and whether all answers were given."""
        link = ffi.new("s4v_disk_link *")
        lib.s4v_disk_take_back(self._machine, channel, link)
        return int(link.received), int(link.sent), not link.broken

    def disk_lent(self, channel: int) -> bool:
        """Does C serve it? Not where the ring has gone meanwhile."""
        return bool(lib.s4v_disk_lent(self._machine, channel))

    def disk_count(self, channel: int) -> dict[str, int]:
        """`s4v_disk_counters` by the names of its members; empty where there is no such disk."""
        raw = ffi.new("s4v_disk_counters *")
        if lib.s4v_disk_count(self._machine, channel, raw):
            return {}
        names = ("reads", "writes", "flushes", "errors", "read_bytes", "written_bytes", "in_flight", "deepest")
        return {name: int(getattr(raw, name)) for name in names}

    @staticmethod
    def _disk_status(status: int, channel: int) -> None:
        if status == lib.S4V_EFAULT:
            raise AddressError(f"channel {channel}: the ring of the disk is not there")
        if status < 0:
            raise ChannelError(f"channel {channel}: no disk is open")
