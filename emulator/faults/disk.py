"""A disk that fails as the rules say. While no rule is about it its bytes go by it, through the core."""

from __future__ import annotations

import errno
import time
from typing import Any

from emulator.backends.file import Backend, Identity
from emulator.faults.injector import Injector
from emulator.faults.rules import Rule

POINTS = ("disk.read", "disk.write", "disk.flush")


class FaultyDisk:
    """A backend before another one. `slow` takes host time: of a deterministic machine it takes none."""

    def __init__(self, inner: Backend, faults: Injector, *, domain: str, disk: str, real_time: bool) -> None:
        self._inner, self._faults, self._real_time = inner, faults, real_time
        self._facts = {"domain": domain, "disk": disk}

    @property
    def size_bytes(self) -> int:
        """Of the disk."""
        return self._inner.size_bytes

    @property
    def read_only(self) -> bool:
        """May it not be written?"""
        return self._inner.read_only

    @property
    def fd(self) -> int | None:
        """The file's descriptor, for the core; None while rules are about this disk."""
        if self._faults.armed and self._faults.watches(*POINTS, **self._facts):
            return None
        return getattr(self._inner, "fd", None)

    @property
    def image(self) -> object:
        """What the core knows of an image of another format; None while rules are about this disk: it asks us then."""
        if self._faults.armed and self._faults.watches(*POINTS, **self._facts):
            return None
        return getattr(self._inner, "image", None)

    @property
    def base(self) -> int:
        """Where in the file the disk begins."""
        return int(getattr(self._inner, "base", 0))

    @property
    def trouble(self) -> str:
        """What is wrong with the file."""
        return str(getattr(self._inner, "trouble", ""))

    @property
    def identity(self) -> Identity | None:
        """What the disk is told by."""
        return getattr(self._inner, "identity", None)

    def _fire(self, point: str, **facts: Any) -> Rule | None:
        """What happens to a request. Raises OSError."""
        rule = self._faults.fire(point, **self._facts, **facts) if self._faults.armed else None
        if rule is not None and rule.action == "error":
            number = getattr(errno, rule.value("errno"))
            raise OSError(number, f"fault {point}")
        if rule is not None and rule.action == "slow" and self._real_time:
            time.sleep(rule.value("ms") / 1000)
        return rule

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        rule = self._fire("disk.read", offset=offset, length=length)
        data = self._inner.read(offset, length)
        if rule is not None and rule.action == "corrupt" and data:
            return bytes([data[0] ^ 1]) + data[1:]
        return data

    def write(self, offset: int, data: bytes) -> None:
        """All of `data`, or what is left of it."""
        rule = self._fire("disk.write", offset=offset, length=len(data))
        if rule is not None and rule.action == "lost":
            return
        if rule is not None and rule.action == "torn":
            data = data[: rule.value("bytes")]
        self._inner.write(offset, data)

    def flush(self) -> None:
        """To stable storage."""
        rule = self._fire("disk.flush")
        if rule is None or rule.action != "lost":
            self._inner.flush()

    def close(self) -> None:
        """It is not needed any more."""
        self._inner.close()
