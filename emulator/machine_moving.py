"""A machine's state on the way to another server: everything but memory, which goes by itself.

What the guest was told of the hardware stays true on the target: frequencies of TICK and STICK, instructions, page
sizes. What it is told anew, the machine description, is the business of who calls (`emulator.server.moving`).
docs/internals/moving.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emulator import _core
from emulator._core_moving import AdoptedBlock
from emulator.devices.device import Devices
from emulator.errors import StateError
from emulator.firmware.openboot import OpenBoot
from emulator.firmware.program import Program
from emulator.firmware.variables import Variables
from emulator.machine_resources import MachineResources
from emulator.mdesc import MachineDescription
from emulator.mdesc.model import MdescError


@dataclass(frozen=True)
class MovingState:
    """`core`: named sections of the C core; `firmware` and `devices` of those; `firmware` empty: there is none."""

    core: bytes
    firmware: bytes
    devices: bytes


@dataclass(frozen=True)
class PageWaits:
    """Waits for missing pages. Times in nanoseconds, rounded up by a quarter at most; 0 where nobody waited.

    `half_ns`, `most_ns`: half of all waits, and 99 % of them, were over by then.
    """

    count: int
    half_ns: int
    most_ns: int
    longest_ns: int


class MachineMoving(MachineResources):
    """The part of `Machine` that is about moving."""

    _core: _core.Core
    devices: Devices
    firmware: OpenBoot | None
    tick_hz: int
    """Rate of TICK as the guest knows it: of the server where it was started."""
    stick_hz: int

    @property
    def machine_description(self) -> MachineDescription:
        """See `Machine`."""
        raise NotImplementedError

    def _install_firmware(
        self, program: Program | None, variables: Variables, *, saved: bytes | None = None
    ) -> OpenBoot:
        raise NotImplementedError

    def _watch_variables(self, variables: Variables) -> None:
        raise NotImplementedError

    def save_moving(self) -> MovingState:
        """The state without memory. Between runs; afterwards the machine can go on."""
        self.devices.drain()
        firmware = self.firmware.save() if self.firmware else b""
        return MovingState(self._core.moving_save(), firmware, self.devices.save())

    def load_moving(self, state: MovingState, *, program: Program | None, variables: Variables) -> None:
        """Take over what `save_moving` gave, on a machine with the guest's memory, nothing started, the same devices.

        Raises StateError for a state that is damaged, or of a guest that cannot run here; then nothing may be run, and
        another state may be loaded.
        """
        self.devices.drain()
        try:
            self._core.moving_load(state.core)
        finally:
            self._find_strands()
            self.tick_hz, self.stick_hz = self._core.clock_hz()
        try:
            _ = self.machine_description
        except MdescError as error:
            raise StateError(f"the state image is damaged: description: {error}") from error
        self.firmware = None
        if state.firmware:
            self._install_firmware(program, variables, saved=state.firmware)
            self._watch_variables(variables)  # only now: the description has them already
        self.devices.load(state.devices)
        for device in self.devices:
            for number in device.channels:
                if not self._core.ldc_there(number):
                    raise StateError(f"the state image is damaged: {device.name} has no channel {number}")

    def go(self, away_seconds: int) -> None:
        """Before the first run after `load_moving`: TICK and STICK go on where they were, TOD is right.

        `away_seconds`: for how long the guest stood still. Deterministic machines have no such time.
        """
        self._core.clock_go(away_seconds)

    def scrub(self) -> None:
        """All memory becomes zero, also for other processes that have its descriptors."""
        self._core.memory_scrub()

    def adopt(self, blocks: Sequence[AdoptedBlock]) -> None:
        """Have the memory of another machine of this host, by its memfds, in the place of its own. Nothing is written.

        Before the first run. The descriptors stay the caller's. Raises AddressError where the blocks are not at the
        same real addresses, or cannot be mapped; then nothing has changed.
        """
        self._core.memory_adopt(blocks)

    def part(self) -> None:
        """The memory is another machine's: whatever is written here from now on goes nowhere."""
        self._core.memory_part()

    def begin_missing(self) -> tuple[int, int]:
        """Pages will come while the guest runs: the file that says which, and the bell by which they are asked for.

        The descriptors are the machine's own. Before the first run. Raises BusyError.
        """
        return self._core.presence_begin()

    def end_missing(self) -> None:
        """All of them are here. Between runs. Raises BusyError."""
        self._core.presence_end()

    # -- from any thread

    @property
    def missing_pages(self) -> int:
        """Pages that are still to come."""
        return self._core.presence_missing()

    @property
    def page_waits(self) -> PageWaits:
        """How long what runs here has waited for pages that were still to come; nothing after `end_missing`."""
        return PageWaits(*self._core.presence_waits())

    def give_up_missing(self) -> None:
        """They will not come: who waits for one finds no memory there. The machine is to be closed."""
        self._core.presence_give_up()

    def barrier(self, seconds: float) -> None:
        """Another process has cleared dirty marks: when this returns, what strands and devices write is marked again.

        And what they wrote before is in memory. From any thread, also in a run. Raises BusyError after `seconds`.
        """
        self._core.barrier(int(seconds * 1e9))

    def limit_dirty(self, pages_per_second: int | None) -> None:
        """No more pages a second than this shall become dirty; None: no limit. From any thread. Real time only."""
        self._core.dirty_limit(pages_per_second or 0)


