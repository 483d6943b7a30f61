"""The C core, as typed Python. Only this file and its neighbours `_core_*` import the cffi module.

`Core` is one machine of `csrc/sun4v.h`: the same calls with Python types, error codes turned into exceptions
of `emulator.errors`. It knows nothing of chips, images or consoles; `emulator.machine` does.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from emulator.errors import (
    AddressError,
    BusyError,
    ClosedError,
    ConfigError,
    CoreError,
    ReadOnlyRegisterError,
    RegisterError,
    StateError,
    StrandError,
)

try:
    from emulator._core_cffi import ffi, lib
    from emulator._core_channels import ChannelCalls
    from emulator._core_debug import DebugCalls
    from emulator._core_disks import DiskCalls
    from emulator._core_firmware import FirmwareCalls
    from emulator._core_memory import MemoryCalls
    from emulator._core_moving import MovingCalls
    from emulator._core_nets import NetCalls
    from emulator._core_observe import ObserveCalls
except ImportError as missing:
    raise ImportError(
        f"the C core of sun4v is not built (`make` in the source tree, or `pip install .`): {missing}"
    ) from missing

_ERROR_BYTES = 512
_HARVEST_PAGES = 1 << 16
_TEXT_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class CoreConfig:
    """`s4v_config`. Frequencies in Hz, `features` and `page_sizes` as bit masks."""

    memory_bytes: int
    ra_limit: int = 0
    strands: int
    max_strands: int = 0
    deterministic: bool
    features: int
    cfr: int
    cfr_present: bool
    stick_hz: int
    tick_hz: int
    va_bits: int
    page_sizes: int
    max_tsbs: int
    quantum: int
    tod_seconds: int
    rng_seed: int
    channels: int
    rng_control: bool
    rng_layout: int


@dataclass(frozen=True, kw_only=True)
class CoreStop:
    """`s4v_stop` as it is."""

    reason: int
    strand: int
    tt: int
    code: int
    address: int
    insns: int


def _text(pointer: Any) -> str:
    raw: bytes = ffi.string(pointer)
    return raw.decode("utf-8", "replace")


def _optional_text(pointer: Any) -> str | None:
    return None if pointer == ffi.NULL else _text(pointer)


class Core(ChannelCalls, DebugCalls, DiskCalls, FirmwareCalls, MemoryCalls, MovingCalls, NetCalls, ObserveCalls):
    """One machine of the core. Not for two threads at once (BusyError), except `kick` and what says so."""

    def __init__(self, config: CoreConfig) -> None:
        fields = {name: int(getattr(config, name)) for name in CoreConfig.__dataclass_fields__}
        message = ffi.new("char[]", _ERROR_BYTES)
        try:
            raw = ffi.new("s4v_config *", fields)
        except OverflowError as too_big:
            raise ConfigError(f"a value of the configuration is out of range: {too_big}") from None
        pointer = lib.s4v_machine_new(raw, message, _ERROR_BYTES)
        if pointer == ffi.NULL:
            raise ConfigError(_text(message) or "the core refused the configuration")
        self._pointer: Any = ffi.gc(pointer, lib.s4v_machine_free)
        self.deterministic = bool(config.deterministic)
        self._runner: int | None = None  # thread that is inside run()
        self._views = 0  # memory views handed out and still alive
        self._stop = ffi.new("s4v_stop *")

    # -- life

    @property
    def _machine(self) -> Any:
        if self._pointer is None:
            raise ClosedError("the machine is closed")
        if self._runner is not None:
            raise BusyError("the machine is running in another thread")
        return self._pointer

    def close(self) -> None:
        """Free the machine now. Raises BusyError while it runs or a memory view of it is alive."""
        if self._pointer is None:
            return
        if self._views:
            raise BusyError(f"{self._views} memory view(s) of the machine are still in use")
        ffi.release(self._machine)
        self._pointer = None

    def set_engine(self, engine: int, hot_entries: int = 0) -> bool:
        """`s4v_engine_set`; False where the host or the build has no translator, and then the machine interprets."""
        return bool(lib.s4v_engine_set(self._machine, engine, hot_entries) == 0)

    def engine(self) -> tuple[int, str]:
        """`s4v_engine`: the engine in effect, and what stood against another one, or ""."""
        why = ffi.new("char[256]")
        return int(lib.s4v_engine(self._machine, why, len(why))), _text(why)

    def native_bytes(self) -> int:
        """`s4v_native_bytes`: host code that guest code has been translated to."""
        return int(lib.s4v_native_bytes(self._machine))

    @property
    def closed(self) -> bool:
        """True after close()."""
        return self._pointer is None

    @contextmanager
    def _running(self) -> Iterator[Any]:
        machine = self._machine
        self._runner = threading.get_ident()
        try:
            yield machine
        finally:
            self._runner = None

    # -- running

    def _stopped(self, status: int, what: str) -> CoreStop:
        if status == lib.S4V_ENOENT:
            raise StrandError(f"{what}: no such strand")
        if status == lib.S4V_EINVAL:
            raise StrandError(f"{what}: the strand is not running")
        if status != 0:
            raise CoreError(f"{what}: the core returned {status}")
        stop = self._stop
        return CoreStop(
            reason=stop.reason,
            strand=stop.strand,
            tt=stop.tt,
            code=stop.code,
            address=stop.address,
            insns=stop.insns,
        )

    def run(self, budget_insns: int, host_ns: int = 0) -> CoreStop:
        """Run all strands for at most `budget_insns` instructions, counted over all of them.

        In real time also for at most `host_ns` nanoseconds of host time; 0: no limit.
        """
        with self._running() as machine:
            status = lib.s4v_run_for(machine, budget_insns, host_ns, self._stop)
        return self._stopped(status, "run")

    def run_until(self, budget_insns: int, tick: int) -> CoreStop:
        """The same on a deterministic machine, until its clock shows `tick`."""
        with self._running() as machine:
            status = lib.s4v_run_until(machine, budget_insns, min(tick, (1 << 64) - 1), self._stop)
        return self._stopped(status, "run")

    def tick(self) -> int:
        """The machine's clock. From any thread, also while the machine runs."""
        if self._pointer is None:
            raise ClosedError("the machine is closed")
        return int(lib.s4v_tick(self._pointer))

    def strand_run(self, strand: int, budget_insns: int) -> CoreStop:
        """Run one strand; the others stand still."""
        with self._running() as machine:
            status = lib.s4v_strand_run(machine, strand, budget_insns, self._stop)
        return self._stopped(status, f"strand {strand}")

    def step(self, strand: int) -> CoreStop:
        """`s4v_step`. Raises StrandError."""
        with self._running() as machine:
            status = lib.s4v_step(machine, strand, self._stop)
        return self._stopped(status, f"strand {strand}")

    def kick(self) -> None:
        """Make a run in another thread return soon."""
        pointer = self._pointer
        if pointer is None:
            raise ClosedError("the machine is closed")
        lib.s4v_kick(pointer)

    def insns(self) -> int:
        """Instructions completed by all strands since the machine was made."""
        return int(lib.s4v_insns(self._machine))

    def strand_insns(self, strand: int) -> int:
        """Instructions completed by one strand."""
        return int(lib.s4v_strand_insns(self._machine, strand))

    def strand_start(self, strand: int, pc: int, *, rtba: int, arg: int) -> None:
        """Start a strand as CPU_START does."""
        status = lib.s4v_strand_start(self._machine, strand, pc, rtba, arg)
        if status == lib.S4V_ENOENT:
            raise StrandError(f"no strand {strand}")
        if status == lib.S4V_EFAULT:
            raise AddressError(f"start address {pc:#x} is not backed by guest memory")
        if status != 0:
            raise StrandError(f"strand {strand} cannot be started at {pc:#x} (core: {status})")

    def strand_fail(self, strand: int) -> None:
        """It is in state ERROR from now on."""
        if lib.s4v_strand_fail(self._machine, strand) != 0:
            raise StrandError(f"no strand {strand}")

    def strand_hold(self, strand: int, *, on: bool) -> None:
        """It executes nothing, until it is let go."""
        if lib.s4v_strand_hold(self._machine, strand, on) != 0:
            raise StrandError(f"no strand {strand}")

    def strand_state(self, strand: int) -> int:
        """1 stopped, 2 running, 3 error, as the CPU_STATE hypercall has it."""
        state = int(lib.s4v_strand_state(self._machine, strand))
        if state < 0:
            raise StrandError(f"no strand {strand}")
        return state

    def strand_print(self, strand: int) -> str:
        """Register dump."""
        machine = self._machine
        buffer = ffi.new("char[]", _TEXT_BYTES)
        if lib.s4v_strand_print(machine, strand, buffer, _TEXT_BYTES) < 0:
            raise StrandError(f"no strand {strand}")
        return _text(buffer)

    # -- registers

    def reg_get(self, strand: int, reg: int) -> int:
        """Value of a register by its index (`reg_find`)."""
        value = ffi.new("uint64_t *")
        status = lib.s4v_reg_get(self._machine, strand, reg, value)
        if status != 0:
            raise RegisterError(
                f"register {reg_name(reg)} of strand {strand} cannot be read (core: {status})"
            )
        return int(value[0])

    def reg_set(self, strand: int, reg: int, value: int) -> None:
        """Set a register by its index."""
        status = lib.s4v_reg_set(self._machine, strand, reg, value)
        if status == lib.S4V_EREADONLY:
            raise ReadOnlyRegisterError(f"register {reg_name(reg)} cannot be written")
        if status != 0:
            raise RegisterError(f"register {reg_name(reg)} of strand {strand} cannot be set (core: {status})")

    # -- memory

    def mem_read(self, ra: int, length: int) -> bytes:
        """Copy of guest memory."""
        machine = self._machine
        buffer = ffi.new("char[]", max(length, 1))
        self._check_memory(lib.s4v_mem_read(machine, ra, buffer, length), ra, length)
        return bytes(ffi.buffer(buffer, length))

    def mem_write(self, ra: int, data: bytes | bytearray | memoryview) -> None:
        """Write guest memory: marks the pages dirty and drops code decoded from them."""
        with memoryview(data) as view:
            flat = view if view.c_contiguous else memoryview(bytes(view))
            status = lib.s4v_mem_write(self._machine, ra, ffi.from_buffer(flat), flat.nbytes)
            self._check_memory(status, ra, flat.nbytes)

    def mem_view(self, ra: int, length: int) -> memoryview:
        """Read-only window on guest memory, without a copy. The machine cannot be closed while it lives."""
        pointer = lib.s4v_mem_ptr(self._machine, ra, length)
        if pointer == ffi.NULL:
            self._check_memory(lib.S4V_EFAULT, ra, length)
        self._views += 1
        owned = ffi.gc(pointer, self._release_view)  # the view keeps `owned`, and that keeps self
        return memoryview(ffi.buffer(owned, length)).toreadonly()

    def _release_view(self, _pointer: Any) -> None:
        self._views -= 1

    @staticmethod
    def _check_memory(status: int, ra: int, length: int) -> None:
        if status != 0:
            raise AddressError(f"real addresses {ra:#x}..{ra + length - 1:#x} are not backed by guest memory")

    def dirty_harvest(self) -> list[int]:
        """Indexes (RA / 8192) of the pages written since the last harvest, ascending; clears the marks."""
        pages = ffi.new("uint64_t[]", _HARVEST_PAGES)
        found: list[int] = []
        while True:
            count = lib.s4v_dirty_harvest(self._machine, pages, _HARVEST_PAGES)
            if count < 0:
                raise CoreError(f"harvest of the dirty map: the core returned {count}")
            found += ffi.unpack(pages, count)
            if count < _HARVEST_PAGES:
                return found

    # -- console

    def console_read(self) -> bytes:
        """All console output that waits."""
        out = bytearray()
        buffer = ffi.new("char[]", _TEXT_BYTES)
        while count := lib.s4v_console_read(self._machine, buffer, _TEXT_BYTES):
            out += ffi.buffer(buffer, count)
        return bytes(out)

    def console_feed(self, data: bytes) -> int:
        """Queue console input; returns how many bytes the queue took."""
        return int(lib.s4v_console_feed(self._machine, data, len(data)))

    def console_break(self) -> None:
        """Queue a BREAK."""
        lib.s4v_console_break(self._machine)

    def console_hangup(self) -> None:
        """No more input: the guest sees HUP once the queue is empty."""
        lib.s4v_console_hangup(self._machine)

    # -- hypervisor services

    def soft_state(self) -> tuple[int, bytes]:
        """State (1 normal, 2 transition) and the text without its NULs."""
        text = ffi.new("char[32]")
        state = int(lib.s4v_soft_state(self._machine, text))
        return state, bytes(ffi.buffer(text, 32)).rstrip(b"\0")

    def suspended(self) -> bool:
        """True while the guest is in MACH_SUSPEND."""
        return bool(lib.s4v_suspended(self._machine))

    def resume(self, status: int) -> None:
        """End MACH_SUSPEND. Raises StrandError where the guest is not suspended."""
        if lib.s4v_resume(self._machine, status) != 0:
            raise StrandError("the guest is not suspended")

    def reset(self) -> None:
        """Domain reset: every strand stopped; memory and reboot data stay."""
        lib.s4v_reset(self._machine)

    def watchdog_ms(self) -> int:
        """Milliseconds until the guest's watchdog bites, 0 where it is off."""
        return int(lib.s4v_watchdog_ms(self._machine))

    def reboot_data(self) -> bytes:
        """What MACH_REBOOT_DATA_SET left."""
        buffer = ffi.new("char[]", 512)
        return bytes(ffi.buffer(buffer, lib.s4v_reboot_data_get(self._machine, buffer, 512)))

    def reboot_data_set(self, data: bytes) -> None:
        """Set the reboot data, at most 512 bytes."""
        if lib.s4v_reboot_data_set(self._machine, data, len(data)) != 0:
            raise ConfigError(f"reboot data has at most 512 bytes, not {len(data)}")

    def error_report(self, strand: int, resumable: bool, fields: dict[str, int]) -> int | None:
        """Queue an error report (`s4v_error`); its handle, or None where there is no room."""
        handle = ffi.new("uint64_t *")
        status = lib.s4v_error_report(self._machine, strand, resumable, ffi.new("s4v_error *", fields), handle)
        if status == lib.S4V_ENOENT:
            raise StrandError(f"no strand {strand}")
        return int(handle[0]) if status == 0 else None

    # -- memory errors, crypto units

    def poison(self, ra: int, length: int, on: bool) -> None:
        """Put an error behind memory, or take errors away."""
        status = (lib.s4v_poison if on else lib.s4v_poison_clear)(self._machine, ra, length)
        if status == lib.S4V_EFULL:
            raise ConfigError("a machine has at most 256 ranges of memory with errors")
        self._check_memory(status, ra, length)

    def poisoned(self) -> Iterator[tuple[int, int]]:
        """Ranges of memory with errors: real address, bytes."""
        ra, length, n = ffi.new("uint64_t *"), ffi.new("uint64_t *"), 0
        while lib.s4v_poison_range(self._machine, n, ra, length) == 0:
            yield int(ra[0]), int(length[0])
            n += 1

    def crypto_add(self, kind: int, ino: int, strands: tuple[int, ...]) -> None:
        """Add a unit that these strands share."""
        if lib.s4v_crypto_add(self._machine, kind, ino, list(strands), len(strands)) != 0:
            raise ConfigError(f"no crypto unit with devino {ino:#x} for strands {strands}: taken, or out of range")

    def crypto_remove(self, ino: int) -> None:
        """Remove a unit."""
        if lib.s4v_crypto_remove(self._machine, ino) != 0:
            raise ConfigError(f"no crypto unit has devino {ino:#x}")

    def crypto_units(self) -> Iterator[tuple[int, int, tuple[int, ...]]]:
        """The units: kind, devino, strands."""
        out, n = ffi.new("s4v_crypto *"), 0
        while lib.s4v_crypto_info(self._machine, n, out) == 0:
            yield int(out.kind), int(out.devino), tuple(out.strands[0 : out.strand_count])
            n += 1

    def crypto_counters(self) -> dict[int, tuple[int, int]]:
        """By devino: what a unit has worked off since it is here, and how much of it failed."""
        out, n, found = ffi.new("s4v_crypto *"), 0, {}
        while lib.s4v_crypto_info(self._machine, n, out) == 0:
            found[int(out.devino)] = int(out.jobs), int(out.errors)
            n += 1
        return found

    # -- machine description

    def set_md(self, blob: bytes) -> None:
        """What MACH_DESC gives the guest."""
        status = lib.s4v_machine_set_md(self._machine, blob, len(blob))
        if status == lib.S4V_EINVAL:
            raise ConfigError(f"a machine description of {len(blob)} bytes is too large")
        if status != 0:
            raise CoreError(f"machine description: the core returned {status}")

    def md(self) -> bytes:
        """The machine description's bytes; empty: none."""
        size = lib.s4v_machine_get_md(self._machine, ffi.NULL, 0)
        buffer = bytearray(size)
        if size:
            lib.s4v_machine_get_md(self._machine, ffi.from_buffer(buffer), size)
        return bytes(buffer)

    # -- state

    def save(self) -> bytes:
        """The state image."""
        machine = self._machine
        size = lib.s4v_state_size(machine)
        if size < 0:
            raise CoreError(f"state size: the core returned {size}")
        buffer = bytearray(size)
        written = lib.s4v_state_save(machine, ffi.from_buffer(buffer), size)
        if written < 0:
            raise CoreError(f"saving the state: the core returned {written}")
        return bytes(buffer[:written])

    def load(self, image: bytes) -> None:
        """Restore a state image. Raises StateError with the core's reason."""
        message = ffi.new("char[]", _ERROR_BYTES)
        status = lib.s4v_state_load(self._machine, ffi.from_buffer(image), len(image), message, _ERROR_BYTES)
        if status != 0:
            raise StateError(_text(message) or f"the state cannot be loaded (core: {status})")

    def digest(self) -> bytes:
        """SHA-256 over the state of all strands, the hypervisor and memory."""
        out = ffi.new("uint8_t[32]")
        lib.s4v_digest(self._machine, out)
        return bytes(ffi.buffer(out))

    # -- debugging

    def trace_enable(self, on: bool) -> None:
        """Turn the instruction trace on or off."""
        status = lib.s4v_trace_enable(self._machine, int(on))
        if status != 0:
            raise CoreError(f"trace: the core returned {status}")

    def trace_read(self) -> str:
        """Trace lines that wait."""
        out = bytearray()
        buffer = ffi.new("char[]", _TEXT_BYTES)
        while count := lib.s4v_trace_read(self._machine, buffer, _TEXT_BYTES):
            out += ffi.buffer(buffer, count)
        return out.decode("ascii", "replace")


# -- without a machine


def reg_count() -> int:
    """Number of named registers of a strand."""
    return int(lib.s4v_reg_count())


def reg_name(reg: int) -> str:
    """Name of a register index."""
    return _optional_text(lib.s4v_reg_name(reg)) or f"#{reg}"


def reg_find(name: str) -> int:
    """Index of a register name. Raises RegisterError."""
    index = int(lib.s4v_reg_find(name.encode("utf-8", "replace")))
    if index < 0:
        raise RegisterError(f"no register {name!r}")
    return index


def isa_count() -> int:
    """Rows of the instruction table."""
    return int(lib.s4v_isa_count())


def isa_name(row: int) -> str:
    """Mnemonic of a row."""
    return _text(lib.s4v_isa_name(row))


def isa_feature(row: int) -> str:
    """Name of the feature bit of a row."""
    return _text(lib.s4v_isa_feature(row))


def isa_forms(row: int) -> list[tuple[int, int]]:
    """Encodings of a row as (match, mask)."""
    match, mask = ffi.new("uint32_t *"), ffi.new("uint32_t *")
    forms: list[tuple[int, int]] = []
    while lib.s4v_isa_match(row, len(forms), match, mask) == 0:
        forms.append((int(match[0]), int(mask[0])))
    return forms


def isa_decode(insn: int) -> int | None:
    """Row of an instruction word; None where it is in no row."""
    row = int(lib.s4v_isa_decode(insn))
    return None if row < 0 else row


def disasm(insn: int, pc: int) -> str:
    """Assembler text of one instruction word at address `pc`."""
    buffer = ffi.new("char[]", 256)
    lib.s4v_disasm(insn, pc, buffer, 256)
    return _text(buffer)


def features() -> list[tuple[str, str]]:
    """All feature bits from bit 0 up: (name as isainfo has it, name in the machine description or "")."""
    return [
        (_text(lib.s4v_feature_name(bit)), _text(lib.s4v_feature_hwcap(bit)))
        for bit in range(lib.s4v_feature_count())
    ]


def build_info() -> str:
    """Version; engine; dispatch; sanitizers."""
    return _text(lib.s4v_build_info())
