"""What the strands of a machine do, put into a trace: stretches at work, traps, hypercalls; and its disks' bytes."""

from __future__ import annotations

from emulator._core_observe import HCALL, RUN, StrandEvent
from emulator.devices.vdisk import VirtualDisk
from emulator.machine import Machine
from emulator.trace import Trace
from emulator.traps import trap_name

EVENTS = 1 << 16
"""Of one stretch between two looks; more are counted as lost."""


class Timeline:
    """Between runs: `collect` takes what happened since. Nothing of it is the machine's state."""

    def __init__(self, machine: Machine, trace: Trace, name: str) -> None:
        self._machine, self.trace, self._name = machine, trace, name
        self._disks: dict[str, tuple[int, int]] = {}
        self._open: dict[int, list[int]] = {}  # strand -> begin, end, instructions of a stretch that may go on
        self.lost = 0
        machine.observe(EVENTS)

    def _ns(self, tick: int) -> int:
        return tick * 1_000_000_000 // self._machine.tick_hz

    def collect(self) -> None:
        """Traps and hypercalls as instants, stretches without a gap between as one span."""
        events, lost = self._machine.read_events()
        self.lost += lost
        for event in events:
            track = (self._name, f"strand {event.strand}")
            if event.kind == RUN:
                self._run(event)
            elif event.kind == HCALL:
                name = self._machine.hcall_name(event.number, event.value)
                self.trace.instant(track, name, at_ns=self._ns(event.tick), trap=hex(event.number))
            else:
                self.trace.instant(track, trap_name(event.number), at_ns=self._ns(event.tick), tt=hex(event.number),
                                    pc=hex(event.value))
        if lost:
            self.trace.instant((self._name, "trace"), f"{lost} events lost", at_ns=self._machine.time_ns)
        for device in self._machine.devices:
            if isinstance(device, VirtualDisk):
                self._disk(device)

    def say(self, data: bytes) -> None:
        """Output of the console."""
        self.trace.text((self._name, "console"), data, at_ns=self._machine.time_ns)

    def _run(self, event: StrandEvent) -> None:
        known = self._open.get(event.strand)
        if known is not None and event.since <= known[1]:
            known[1], known[2] = event.tick, known[2] + event.value
            return
        self._flush(event.strand)
        self._open[event.strand] = [event.since, event.tick, event.value]

    def _flush(self, strand: int) -> None:
        begin, end, insns = self._open.pop(strand, (0, 0, 0))
        if insns:
            self.trace.span((self._name, f"strand {strand}"), "run", at_ns=self._ns(begin),
                             ns=self._ns(end) - self._ns(begin), insns=insns)

    def _disk(self, device: VirtualDisk) -> None:
        counters = device.counters
        now = (counters.read_bytes, counters.written_bytes)
        if now != self._disks.get(device.name, (0, 0)):
            for what, value in zip(("read", "written"), now, strict=True):
                self.trace.counter((self._name, device.name), f"{device.name}: bytes {what}", value,
                                    at_ns=self._machine.time_ns)
        self._disks[device.name] = now

    def close(self) -> None:
        """The end: what is open is written, and nothing is observed any more."""
        self.collect()
        for strand in tuple(self._open):
            self._flush(strand)
        self._machine.observe(0)
