"""Words of a migration: what kind it is, the five phases of the product, what `ldm list` shows of it.

Administration Guide 3.3, "Overview of a Migration Operation", "Monitoring a Migration in Progress", "Flag Definitions".
"""

from __future__ import annotations

from enum import Enum, IntEnum


class Kind(Enum):
    """The state of the domain that moves. Only a live one has memory to copy and is suspended for it."""

    LIVE = "live"
    BOUND = "bound"
    INACTIVE = "inactive"


class Phase(IntEnum):
    """The product's phases; bound and inactive domains go from 2 straight to 5."""

    CHECK = 1
    PREPARE = 2
    COPY = 3
    SUSPEND = 4
    HANDOFF = 5

    @property
    def meaning(self) -> str:
        """What happens in it, for `ldm list -o status` and the history."""
        return MEANINGS[self]

    @property
    def word(self) -> str:
        """What is done in it, for a line of progress."""
        return WORDS[self]


MEANINGS = {
    Phase.CHECK: "the managers connect, and the target checks whether it can take the domain",
    Phase.PREPARE: "the target creates a domain that will receive the migrated one",
    Phase.COPY: "memory is copied while the domain runs",
    Phase.SUSPEND: "the domain is suspended, and what changed since is copied",
    Phase.HANDOFF: "the target takes over; the domain on the source is removed",
}

WORDS = {
    Phase.CHECK: "checking",
    Phase.PREPARE: "preparing",
    Phase.COPY: "copying",
    Phase.SUSPEND: "suspended",
    Phase.HANDOFF: "handing over",
}


class Flag(Enum):
    """The sixth of `ldm list`'s FLAGS, by the names of `ldmd.planner.report_flags.ROLES`."""

    NONE = ""
    SOURCE = "source"
    TARGET = "target"
    ERROR = "error"
