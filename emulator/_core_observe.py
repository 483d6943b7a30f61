"""The core's calls for who looks on: counters of strands, and what they do as events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from emulator._core_cffi import ffi, lib
from emulator.errors import ConfigError, StrandError

TRAP, HCALL, RUN = 1, 2, 3  # S4V_EVENT_*
READ_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True)
class StrandCounts:
    """Of a strand since it was added: instructions, traps taken, of these MMU misses, hypercalls."""

    insns: int
    traps: int
    misses: int
    calls: int


@dataclass(frozen=True, slots=True)
class EngineStatistics:
    """What the translator has done since it was chosen; all 0 while the interpreter works alone.

    Guest code translated (regions, their blocks and instructions), what it is now in bytes of host code, CPU seconds
    that this took; then how often translated code called the body of an instruction (`bodies`, by instruction in
    `bodies_by_name`, most frequent first: no emitter, or its quick path did not apply), had a block looked
    up (`lookups`), and went on in the interpreter: at a block not translated (`left`), or within one (`left_at`).
    """

    native_bytes: int
    regions: int
    blocks: int
    instructions: int
    compile_seconds: float
    bodies: int
    lookups: int
    left: int
    left_at: int
    bodies_by_name: dict[str, int]


@dataclass(frozen=True, slots=True)
class StrandEvent:
    """`s4v_event`: `tick` when (of a run its end, `since` its begin); `number`: trap type, trap of the hypercall."""

    kind: int
    tick: int
    since: int
    strand: int
    number: int
    value: int


class ObserveCalls:
    """`_machine` is that of `Core`."""

    _machine: Any

    def strand_counts(self, strand: int) -> StrandCounts:
        """`s4v_strand_count`, also while the machine runs. Raises StrandError."""
        out = ffi.new("s4v_strand_counts *")
        if lib.s4v_strand_count(self._machine, strand, out) != 0:
            raise StrandError(f"no strand {strand}")
        return StrandCounts(int(out.insns), int(out.traps), int(out.misses), int(out.calls))

    def engine_statistics(self) -> EngineStatistics:
        """`s4v_engine_count`. Between runs."""
        out = ffi.new("s4v_engine_counts *")
        rows = ffi.new("uint64_t[]", lib.s4v_isa_count())
        lib.s4v_engine_count(self._machine, out, rows)
        names = {ffi.string(lib.s4v_isa_name(row)).decode(): int(n) for row, n in enumerate(rows) if n}
        return EngineStatistics(
            int(out.native_bytes), int(out.regions), int(out.blocks), int(out.insns), int(out.compile_ns) / 1e9,
            int(out.bodies), int(out.lookups), int(out.left), int(out.left_at),
            dict(sorted(names.items(), key=lambda item: -item[1])),
        )  # fmt: skip

    def observe(self, entries: int) -> None:
        """Keep so many events from now on, 0: none. Between runs. Raises ConfigError."""
        if lib.s4v_observe(self._machine, entries) != 0:
            raise ConfigError(f"{entries} events cannot be kept")

    def read_events(self) -> tuple[list[StrandEvent], int]:
        """What there is, oldest first, and how many are lost. Between runs."""
        out = ffi.new("s4v_event[]", READ_AT_ONCE)
        lost = ffi.new("uint64_t *")
        count = lib.s4v_observe_read(self._machine, out, READ_AT_ONCE, lost)
        events = [StrandEvent(int(e.kind), int(e.tick), int(e.since), int(e.strand), int(e.number), int(e.value))
                  for e in out[0:count]]
        return events, int(lost[0])

    def dirty_count(self) -> int:
        """`s4v_dirty_count`."""
        return int(lib.s4v_dirty_count(self._machine))

    def hcall_name(self, trap: int, function: int) -> str:
        """Name of a hypercall, or its numbers."""
        found = lib.s4v_hcall_name(trap, function)
        return ffi.string(found).decode() if found != ffi.NULL else f"hcall {trap:#x} {function:#x}"
