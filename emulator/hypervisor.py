"""What a client sees of the hypervisor's services to a guest."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class SoftState:
    """The state a guest reports of itself (SOFT_STATE_SET; VM Specification 3.0, chapter on soft state)."""

    NORMAL: ClassVar[int] = 1

    normal: bool
    """True: running normally; False: in transition, as at start."""
    text: str
    """At most 31 characters, as ``Solaris running``."""


class ErrorKind(enum.Enum):
    """DESC of an error report (VM Specification 3.0, chapter on error handling)."""

    UNCORRECTED = 1
    PRECISE = 2
    DEFERRED = 3
    SHUTDOWN = 4
    """A request to shut down: Linux obeys it."""
    DUMP_CORE = 5
    SP_STATE = 6


class ErrorAttribute(enum.IntFlag):
    """ATTR of an error report: what is concerned, and the mode it was found in."""

    CPU = 1 << 0
    MEMORY = 1 << 1
    PIO = 1 << 2
    INT_REGISTERS = 1 << 3
    FP_REGISTERS = 1 << 4
    SHUTDOWN = 1 << 5
    ASR = 1 << 6
    ASI = 1 << 7
    PRIVILEGED_REGISTER = 1 << 8
    SP_FAULTED = 1 << 9
    SP_AVAILABLE = 2 << 9
    SP_NOT_PRESENT = 3 << 9
    """State of the service processor (bits 10:9), for SP_STATE."""
    MCD = 1 << 11
    USER_MODE = 1 << 24
    PRIVILEGED_MODE = 2 << 24


@dataclass(frozen=True, kw_only=True)
class ErrorReport:
    """An error report for `Machine.report_error`. Handle, time, CPU and the queue-full bit are the hypervisor's."""

    kind: ErrorKind
    attributes: ErrorAttribute
    address: int | None = None
    """Real address; None: unknown."""
    size_bytes: int = 0
    grace_seconds: int = 0
    """For SHUTDOWN."""
    asi: int = 0
    asr: int | None = None

    @property
    def resumable(self) -> bool:
        """Which queue it goes to: precise and deferred errors are not resumable."""
        return self.kind not in (ErrorKind.PRECISE, ErrorKind.DEFERRED)

    def fields(self) -> dict[str, int]:
        """As `s4v_error` of csrc/sun4v.h."""
        return {
            "desc": self.kind.value,
            "attr": int(self.attributes),
            "ra": (1 << 64) - 1 if self.address is None else self.address,
            "size": self.size_bytes,
            "grace_seconds": self.grace_seconds,
            "asi": self.asi,
            "asr": 0 if self.asr is None else 1 << 15 | self.asr,
        }
