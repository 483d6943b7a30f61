"""Frames of networks that are lost, late, doubled or damaged, as the rules say."""

from __future__ import annotations

from collections.abc import Callable

from emulator.faults.injector import Injector

Later = Callable[[float, Callable[[], None]], None]
ADDRESSES = 14
"""Bytes of the header, which a damaged frame keeps: it arrives where it should."""


class FrameFaults:
    """`later`: do something so many milliseconds from now, in the machine's time. From any thread."""

    def __init__(self, faults: Injector, later: Later) -> None:
        self._faults, self._later = faults, later

    @property
    def armed(self) -> bool:
        """Is there any rule?"""
        return self._faults.armed

    def watches(self, point: str, **facts: object) -> bool:
        """Is a rule about such frames?"""
        return self._faults.armed and self._faults.watches(point, **facts)

    def pass_on(self, point: str, frame: bytes, to: Callable[[bytes], None], **facts: object) -> None:
        """A frame on its way; `to` takes it."""
        rule = self._faults.fire(point, length=len(frame), **facts) if self._faults.armed else None
        match rule.action if rule is not None else "":
            case "drop":
                return
            case "duplicate":
                to(frame)
                to(frame)
            case "corrupt":
                at = min(len(frame) - 1, max(ADDRESSES, len(frame) // 2))
                to(frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :])
            case "delay":
                assert rule is not None
                self._later(rule.value("ms"), lambda: to(frame))
            case _:
                to(frame)
