"""The points where faults can be injected, once: what each is, what selects its occasions, what can be done there.

An *occasion* is one time that the point is passed: a message, a request to a disk. Points without occasions of their
own (memory, a CPU) are timed: their rules say when.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Place(Enum):
    """The process in which a point is."""

    MACHINE = "machine"
    MANAGER = "manager"
    WORKER = "worker"
    """Of a migration; the source's."""


@dataclass(frozen=True, kw_only=True)
class Action:
    """What can be done. `takes`: values that the rule may give, with their defaults (None: it must)."""

    name: str
    text: str
    takes: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Point:
    """`selects`: what rules may choose occasions by (shell patterns). `timed`: rules say when, by time or by count."""

    name: str
    place: Place
    text: str
    actions: tuple[Action, ...]
    selects: tuple[str, ...] = ()
    timed: bool = False

    def action(self, name: str) -> Action | None:
        """The action of that name."""
        return next((each for each in self.actions if each.name == name), None)


_ERROR = Action(name="error", text="the request ends with an error of the host", takes=(("errno", "EIO"),))
_SLOW = Action(
    name="slow", text="it takes so many milliseconds more (in real time)",
    takes=(("ms", None),),
)  # fmt: skip
_LOST = Action(name="lost", text="the guest hears that it was done, and it was not")
_CORRUPT = Action(name="corrupt", text="one bit of what is read is another")
_TORN = Action(
    name="torn", text="only the first `bytes` reach the file, and the guest hears that all is well",
    takes=(("bytes", 512),),
)  # fmt: skip
_UNCORRECTED = Action(
    name="uncorrected", text="lines of 64 bytes from `ra` on: who reads them takes a non-resumable error",
    takes=(("ra", None), ("bytes", 64)),
)  # fmt: skip
_CORRECTED = Action(
    name="corrected", text="an error at `ra` was corrected: a resumable report, no more", takes=(("ra", None),)
)  # fmt: skip
_FLIP = Action(
    name="flip", text="bit `bit` of the byte at `ra` is another, and nobody notices", takes=(("ra", None), ("bit", 0))
)  # fmt: skip
_KILL = Action(name="kill", text="SIGKILL")
_FRAMES = (
    Action(name="drop", text="it is lost"),
    Action(name="delay", text="it comes so many milliseconds later, behind others", takes=(("ms", None),)),
    Action(name="duplicate", text="it comes twice"),
    Action(name="corrupt", text="one bit of it is another, behind its addresses"),
)
_DISK = ("domain", "disk")

POINTS: tuple[Point, ...] = (
    Point(name="disk.read", place=Place.MACHINE, text="a domain reads from a virtual disk", selects=_DISK,
          actions=(_ERROR, _SLOW, _CORRUPT)),
    Point(name="disk.write", place=Place.MACHINE, text="a domain writes to a virtual disk", selects=_DISK,
          actions=(_ERROR, _SLOW, _LOST, _TORN)),
    Point(name="disk.flush", place=Place.MACHINE, text="a domain wants what it wrote on stable storage", selects=_DISK,
          actions=(_ERROR, _SLOW, _LOST)),
    Point(name="disk", place=Place.MACHINE, text="the service behind a virtual disk", selects=_DISK, timed=True,
          actions=(Action(name="away", text="for so many milliseconds requests wait, as while a service domain reboots",
                          takes=(("ms", None),)),)),
    Point(name="memory", place=Place.MACHINE, text="memory of a domain", selects=("domain",), timed=True,
          actions=(_UNCORRECTED, _CORRECTED, _FLIP)),
    Point(name="cpu", place=Place.MACHINE, text="a virtual CPU of a domain", selects=("domain",), timed=True,
          actions=(Action(name="fail", text="it stops for good, in error", takes=(("cpu", None),)),
                   Action(name="stall", text="it executes nothing for so many milliseconds",
                          takes=(("cpu", None), ("ms", None))),
                   Action(name="report", text="it gets a resumable report of an error in its registers",
                          takes=(("cpu", None),)))),
    Point(name="domain", place=Place.MACHINE, text="a domain as a whole", selects=("domain",), timed=True,
          actions=(Action(name="reset", text="it is reset, and boots again"),
                   Action(name="stall", text="none of its virtual CPUs executes anything for so many milliseconds",
                          takes=(("ms", None),)),
                   Action(name="stop", text="it is powered off"))),
    Point(name="link", place=Place.MACHINE, text="the cable of a network device", timed=True,
          actions=(Action(name="unplug", text="the device is plugged into nothing", takes=(("device", None),)),
                   Action(name="plug", text="it is plugged in elsewhere", takes=(("device", None), ("outlet", None))))),
    Point(name="link.frame", place=Place.MACHINE, text="a frame between a network device and its machine's switches",
          selects=("device", "direction"), actions=_FRAMES),
    Point(name="net.frame", place=Place.MACHINE,
          text="a frame that a domain's network sends to its switch (inter-vnet links go past it)",
          selects=("domain", "net"), actions=_FRAMES),
    Point(name="machine", place=Place.MACHINE, text="the machine's process: the power cord", timed=True,
          actions=(_KILL,)),
    Point(name="manager", place=Place.MANAGER, text="the manager's process, at a named step of its work",
          selects=("step",),
          actions=(_KILL, Action(name="stall", text="it waits so many milliseconds", takes=(("ms", None),)))),
    Point(name="worker", place=Place.MANAGER, text="the process that copies memory, at an event that it tells",
          selects=("side", "event"),
          actions=(_KILL, Action(name="stall", text="SIGSTOP, and SIGCONT after so many milliseconds",
                                 takes=(("ms", None),)))),
    Point(name="stream.chunk", place=Place.WORKER, text="a piece of memory or state on its way to the target",
          selects=("kind", "channel"),
          actions=(Action(name="lose", text="it is not sent: the target sees the gap, and ends the migration"),
                   Action(name="corrupt", text="one bit of it is another on the way"),
                   Action(name="delay", text="it goes so many milliseconds later", takes=(("ms", None),)),
                   Action(name="cut", text="the connection breaks instead"))),
    Point(name="stream.page", place=Place.WORKER, text="pages that are about to be sent (once for each piece)",
          selects=("channel",),
          actions=(Action(name="corrupt", text="one bit of the first page is another, and the checksum fits it"),)),
    Point(name="migration.message", place=Place.MANAGER, text="a message between two managers about a migration",
          selects=("side", "direction", "kind"),
          actions=(Action(name="drop", text="it is lost"),
                   Action(name="duplicate", text="it comes twice"),
                   Action(name="delay", text="it comes so many milliseconds later", takes=(("ms", None),)),
                   Action(name="corrupt", text="one bit of it is another (of what is sent)"),
                   Action(name="cut", text="the connection breaks instead"))),
)  # fmt: skip
BY_NAME = {point.name: point for point in POINTS}
