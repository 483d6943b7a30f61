"""The paths of a disk in a multipathing group (mpgroup): which of them requests take.

Each path has a channel of its own. A guest that knows of groups (Solaris, labos) opens several channels and chooses
among those that are up: here each channel leads to its own path, and is down while that path cannot be used. An
unmodified Linux opens the first channel only ("Ignoring extra vdisk port"): for such a guest every channel is up as
long as any path can be used, and the choice is made here, behind it. docs/internals/disks.md.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from emulator.backends.file import Backend

LOG = logging.getLogger("sun4v.machine")
ACTIVE, STANDBY, UNKNOWN = "active", "standby", "unknown"
_NOT_OF_THE_PATH = (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EINVAL)
"""Errors that another path to the same disk would give too."""
_T = TypeVar("_T")


@dataclass
class Way:
    """One path. `usable`: its service is there, and its backend open; `failed`: it has given an error since."""

    channel: int
    backend: Backend
    usable: bool
    failed: bool = False


class PathGroup:
    """The paths of one disk, the selected one first."""

    def __init__(self, disk: str, opened: Callable[[], int]) -> None:
        """`opened`: how many of the channels the guest has opened."""
        self.disk = disk
        self._opened = opened
        self._ways: list[Way] = []
        self._selected = -1
        self._active = -1  # channels
        self._chooses = False

    @property
    def knows_groups(self) -> bool:
        """Does the guest choose by itself? For the machine's thread; requests, on others, go by what was found last."""
        self._chooses = self._opened() > 1
        return self._chooses

    def settle(self, ways: Sequence[Way]) -> None:
        """The paths have changed, or one has been selected. A path that works is kept until another one is selected."""
        self._ways = list(ways)
        selected = ways[0].channel if ways else -1
        now = self._way(self._active)
        if selected != self._selected or now is None or not now.usable:
            self._switch(next((way for way in ways if way.usable), None))
        self._selected = selected

    def _way(self, channel: int) -> Way | None:
        return next((way for way in self._ways if way.channel == channel), None)

    def _switch(self, way: Way | None) -> None:
        channel = way.channel if way is not None else -1
        if channel != self._active and self._active >= 0 and way is not None and not self._chooses:
            LOG.warning("disk %s: the path of channel %d is used now", self.disk, channel)
        self._active = channel

    def is_up(self, channel: int) -> bool:
        """Shall a channel be up?"""
        if not self.knows_groups:
            return any(way.usable for way in self._ways)
        way = self._way(channel)
        return way is not None and way.usable

    def states(self) -> list[dict[str, object]]:
        """{channel, state} of each path, in their order."""
        return [{"channel": way.channel, "state": self._state(way)} for way in self._ways]

    def _state(self, way: Way) -> str:
        if not way.usable or way.failed:
            return UNKNOWN
        return ACTIVE if way.channel == self._active else STANDBY

    def perform(self, channel: int, action: Callable[[Backend], _T]) -> _T:
        """Do something on the path of a channel, or for a guest that does not choose on one that works. Any thread.

        Raises OSError: the first path's error where all fail.
        """
        if self._chooses:
            way = self._way(channel)
            if way is None:
                raise OSError(errno.EIO, "the path is gone")
            self._active = channel
            return action(way.backend)
        return self._on_any(action)

    def _on_any(self, action: Callable[[Backend], _T]) -> _T:
        first: OSError | None = None
        usable = [way for way in self._ways if way.usable]
        usable.sort(key=lambda way: (way.failed, way.channel != self._active))
        for way in usable:
            try:
                result = action(way.backend)
            except OSError as error:
                if error.errno in _NOT_OF_THE_PATH:
                    raise
                LOG.warning("disk %s: the path of channel %d fails: %s", self.disk, way.channel, error)
                way.failed = True
                first = first or error
            else:
                way.failed = False
                self._switch(way)
                return result
        raise first or OSError(errno.EIO, "no path of the disk can be used")

    def size_bytes(self, channel: int) -> int:
        """Of the disk."""
        own = self._way(channel)
        way = own if own is not None and own.usable else self._way(self._active)
        return way.backend.size_bytes if way is not None else 512

    def read_only(self, channel: int) -> bool:
        """Of the path that is used."""
        way = self._way(channel if self.knows_groups else self._active)
        return way.backend.read_only if way is not None else True


class PathDisk:
    """What a channel of a group leads to."""

    fd = None
    base = 0

    def __init__(self, group: PathGroup, channel: int) -> None:
        self._group, self._channel = group, channel

    @property
    def size_bytes(self) -> int:
        """Of the disk."""
        return self._group.size_bytes(self._channel)

    @property
    def read_only(self) -> bool:
        """Of the path that is used."""
        return self._group.read_only(self._channel)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        return self._group.perform(self._channel, lambda backend: backend.read(offset, length))

    def write(self, offset: int, data: bytes) -> None:
        """All of `data`."""
        self._group.perform(self._channel, lambda backend: backend.write(offset, data))

    def flush(self) -> None:
        """Everything written is stable, on whatever path it went: they lead to one disk."""
        self._group.perform(self._channel, lambda backend: backend.flush())

    def close(self) -> None:
        """The paths are closed by whoever opened them."""
