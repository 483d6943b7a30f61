"""What a client sees of the hypervisor's services to a guest."""

from __future__ import annotations

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
