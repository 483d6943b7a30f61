"""A guest moves from one server to another: its state as an image, and a guest out of an image.

::

    source                                   target
    suspend                                  receive       machine with memory, nothing opened, nothing plugged in
    save_state ── image ──►                  load_state    checked, then taken over; still nothing opened
    release_disks                            resume        disks opened, networks plugged in, announced; it runs

The guest is what it was, on other hardware: what it was told of it stays true (csrc/machine/moving.c); the machine
description is built for the new server and delivered where it differs. Everything in an image is checked: it comes
from a peer. docs/internals/moving.md.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from emulator.devices.state import Fields, pack, unpack
from emulator.devices.switch import INBOX, MAX_FRAME, TAG_BYTES
from emulator.errors import EmulatorError, StateError
from emulator.firmware.program import Program
from emulator.firmware.variables import Variables
from emulator.machine import Machine
from emulator.machine_moving import MovingState
from emulator.server.console import INPUT_BYTES, GuestConsole
from emulator.server.errors import GuestStateError
from emulator.server.frame import Clock, Housing, describe
from emulator.server.plugs import Plugs
from emulator.server.reconfigure import FIXED
from emulator.server.spec import GuestSpec
from emulator.server.stateimage import Section, pack_image, pack_sections, read_image, read_sections

LOG = logging.getLogger("sun4v.machine")
VERSION = 1
"""Of each section here."""
OURS = ("guest", "firmware", "devices", "input", "frames")
SAME = ("uuid", *FIXED)
"""What a guest has read once and for all: the same on both servers."""
_MOST_MS = 1 << 60
MOST_GENERATION = 1 << 62
"""Of a machine description: it counts changes."""


@dataclass(frozen=True)
class Journey:
    """What goes along besides the machine. Times in milliseconds.

    `stopped_ms`: of the host's clock, when the guest was suspended; `uptime_ms`: for how long it had been on;
    `reboot`: it was asked to shut down in order to start again.
    """

    stopped_ms: int
    uptime_ms: int
    reboot: bool


def save_state(spec: GuestSpec, machine: Machine, plugs: Plugs, console: GuestConsole, *, journey: Journey) -> bytes:
    """The image of a guest that stands still. Raises GuestStateError, StateError."""
    if machine.crypto_units:
        raise GuestStateError(f"{spec.name} has crypto units, which cannot move: let the guest give them up first")
    state = machine.save_moving()
    typed, broken = console.untaken
    program = machine.firmware.program if machine.firmware else None
    guest = pack({
        "stopped_ms": journey.stopped_ms, "uptime_ms": journey.uptime_ms, "reboot": journey.reboot,
        "program": None if program is None else program.name,
        "same": {name: getattr(spec, name) for name in SAME},
    })  # fmt: skip
    frames = pack({name: [frame.hex() for frame in waiting] for name, waiting in plugs.frames().items()})
    ours = (
        Section("guest", VERSION, guest), Section("firmware", VERSION, state.firmware),
        Section("devices", VERSION, state.devices),
        Section("input", VERSION, pack({"typed": typed.hex(), "break": broken})),
        Section("frames", VERSION, frames, required=False),  # a network may lose them
    )  # fmt: skip
    return pack_image((*ours, *read_sections(state.core)))


def load_state(
    image: bytes, spec: GuestSpec, machine: Machine, plugs: Plugs, console: GuestConsole, *,
    program: Program | None, variables: Variables,
) -> Journey:  # fmt: skip
    """Take over an image in a machine that was made for it. Raises StateError; another image may follow then."""
    try:
        return _load(image, spec, machine, plugs, console, program=program, variables=variables)
    except EmulatorError:
        raise
    except Exception as error:  # a check is missing: never to be believed, and never the end of anything else
        LOG.exception("%s: a state image led to an exception", spec.name)
        raise StateError("the state image is damaged") from error


def _load(
    image: bytes, spec: GuestSpec, machine: Machine, plugs: Plugs, console: GuestConsole, *,
    program: Program | None, variables: Variables,
) -> Journey:  # fmt: skip
    sections = {section.name: section for section in read_image(image)}
    core = pack_sections(section for name, section in sections.items() if name not in OURS)
    journey = _read_guest(_ours(sections, "guest"), spec, program)
    state = MovingState(core, _ours(sections, "firmware").data, _ours(sections, "devices").data)
    typed, broken = _read_input(_ours(sections, "input"))
    frames = _read_frames(sections["frames"]) if "frames" in sections else {}
    machine.load_moving(state, program=program, variables=variables)
    there, wanted = [strand.number for strand in machine.strands], [vid for vid, _ in spec.vcpus]
    if there != wanted:
        raise StateError(f"the guest has the virtual CPUs {_few(there)}, and its specification {_few(wanted)}")
    if machine.machine_description.generation > MOST_GENERATION:
        raise StateError("the state image is damaged: description")
    if machine.crypto_units:
        raise StateError("the state image has crypto units, which cannot move")
    plugs.loaded()
    plugs.restore_frames(frames)
    console.restore(typed, broken=broken)
    return journey


def _ours(sections: dict[str, Section], name: str) -> Section:
    section = sections.get(name)
    if section is None:
        raise StateError(f"the state image has no section {name}")
    if section.version != VERSION:
        known = f"this machine knows version {VERSION}"
        raise StateError(f"the state image has section {name} in version {section.version}; {known}")
    return section


def _read_guest(section: Section, spec: GuestSpec, program: Program | None) -> Journey:
    fields = unpack(section.data)
    _check_same(fields.fields("same"), spec)
    name = fields.text("program", 256) if "program" in fields else None
    if name != (program.name if program else None):
        raise StateError(
            f"the guest was started from {name or 'its disks'}, and its specification names "
            f"{program.name if program else 'no kernel'}"
        )
    return Journey(
        fields.number("stopped_ms", _MOST_MS), fields.number("uptime_ms", _MOST_MS), fields.flag("reboot")
    )


def _check_same(fields: Fields, spec: GuestSpec) -> None:
    for name in SAME:
        wanted = getattr(spec, name)
        if fields.value(name) != wanted or isinstance(fields.value(name), bool) != isinstance(wanted, bool):
            what = name.replace("_", "-")
            raise StateError(f"the state image is of a guest with another {what}: it must be {wanted}")


def _read_input(section: Section) -> tuple[bytes, bool]:
    fields = unpack(section.data)
    return fields.data("typed", INPUT_BYTES), fields.flag("break")


def _read_frames(section: Section) -> dict[str, list[bytes]]:
    """What waits for the guest, by network. One that is no frame is dropped, as on a wire."""
    if section.version != VERSION or not section.data:
        return {}
    fields, found = unpack(section.data), {}
    for name in fields.names:
        try:
            frames = [bytes.fromhex(str(item)) for item in fields.items(name, INBOX)]
        except ValueError:
            raise fields.wrong("frames") from None
        found[name] = [frame for frame in frames if len(frame) <= MAX_FRAME + TAG_BYTES]
    return found


def _few(numbers: list[int]) -> str:
    text = ", ".join(map(str, numbers[:16]))
    return f"{text}, ..." if len(numbers) > 16 else text


def describe_here(machine: Machine, housing: Housing, spec: GuestSpec) -> bool:
    """The machine description of this server for a guest that has come. False: it is what the guest has already."""
    known = machine.machine_description
    clock = Clock(machine.tick_hz, machine.stick_hz)
    here = describe(housing, spec, generation=known.generation, clock=clock)
    if here == known:
        return False
    machine.describe(here.newer())
    return True
