"""The part of `emulator._core.Core` that only firmware uses: `s4v_firmware_*` and their neighbours in csrc/sun4v.h."""

from __future__ import annotations

from typing import Any

from emulator._core_cffi import ffi, lib
from emulator.errors import AddressError, ConfigError, CoreError, StrandError

_CHUNK_BYTES = 1 << 16


class FirmwareCalls:
    """Mixed into `Core`; `_machine` is its machine, while it does not run."""

    _machine: Any

    def firmware_present(self, present: bool) -> None:
        """Be the firmware, with an empty list of translations, or no longer."""
        lib.s4v_firmware_present(self._machine, present)

    def watch(self, *, output: bool, soft_state: bool) -> None:
        """End the run, as `kick` does, when the guest next writes to its console, or sets its soft state."""
        what = (lib.S4V_WATCH_OUTPUT if output else 0) | (lib.S4V_WATCH_SOFT_STATE if soft_state else 0)
        lib.s4v_watch(self._machine, what)
        self._watched = what

    _watched = 0

    @property
    def noticed(self) -> bool:
        """Has anything happened of what was watched for?"""
        return int(lib.s4v_watched(self._machine)) != self._watched

    def firmware_map(self, va: int, size_bytes: int, ra: int) -> None:
        """A translation. Raises ConfigError where it is none or the list is full, AddressError without memory."""
        status = lib.s4v_firmware_map(self._machine, va, size_bytes, ra)
        if status == lib.S4V_EFAULT:
            raise AddressError(f"real addresses {ra:#x}..{ra + size_bytes - 1:#x} are not backed by guest memory")
        if status != 0:
            raise ConfigError(f"the firmware cannot map {size_bytes:#x} bytes at {va:#x} (core: {status})")

    def firmware_start(self, strand: int, pc: int, *, sp: int, arg: int, cif: int) -> None:
        """Start a strand in firmware context at a virtual address."""
        self._expect(lib.s4v_firmware_start(self._machine, strand, pc, sp, arg, cif), strand)

    def firmware_stop(self, strand: int) -> None:
        """Reset and stop a strand."""
        self._expect(lib.s4v_firmware_stop(self._machine, strand), strand)

    def firmware_release(self, strand: int, *, tba: int, fault_area: int) -> bool:
        """Hand a strand's traps to the guest. False: the fault area is no memory, or not on a 64-byte boundary."""
        status = lib.s4v_firmware_release(self._machine, strand, tba, fault_area)
        if status in (lib.S4V_EINVAL, lib.S4V_EFAULT):
            return False
        self._expect(status, strand)
        return True

    def firmware_owns(self, strand: int) -> bool:
        """True while a strand's traps are the firmware's."""
        status = lib.s4v_firmware_owns(self._machine, strand)
        self._expect(min(status, 0), strand)
        return bool(status)

    def translate(self, strand: int, va: int, *, store: bool = False) -> int | None:
        """Real address of a virtual one in context 0, as a privileged access has it; None: it would trap."""
        ra = ffi.new("uint64_t *")
        status = lib.s4v_translate(self._machine, strand, va, store, ra)
        if status == lib.S4V_EFAULT:
            return None
        self._expect(status, strand)
        return int(ra[0])

    def firmware_done(self, strand: int, result: int) -> None:
        """End a client interface call with %o0."""
        lib.s4v_firmware_done(self._machine, strand, result)

    def firmware_fault(self, strand: int, va: int, *, store: bool) -> bool:
        """Let the guest take the trap of an access, and call again after it. False: it cannot take one."""
        return bool(lib.s4v_firmware_fault(self._machine, strand, va, store) == 0)

    def register(self, strand: int, name: str) -> int:
        """A register by name."""
        value = ffi.new("uint64_t *")
        self._expect(lib.s4v_reg_get(self._machine, strand, lib.s4v_reg_find(name.encode()), value), strand)
        return int(value[0])

    def registers(self, strand: int) -> dict[str, int]:
        """All registers of a strand by name."""
        values = {}
        value = ffi.new("uint64_t *")
        for index in range(lib.s4v_reg_count()):
            self._expect(lib.s4v_reg_get(self._machine, strand, index, value), strand)
            values[ffi.string(lib.s4v_reg_name(index)).decode()] = int(value[0])
        return values

    def set_register(self, strand: int, name: str, value: int) -> bool:
        """Set a register by name. False: there is none, or it cannot be written."""
        index = lib.s4v_reg_find(name.encode())
        return bool(index >= 0 and lib.s4v_reg_set(self._machine, strand, index, value & (1 << 64) - 1) == 0)

    def api_version(self, group: int, wanted: tuple[int, int] | None) -> tuple[int, ...]:
        """Negotiate a group's version (major, minor), or ask for it: status and results as the hypercalls have them."""
        results = ffi.new("uint64_t[2]")
        major, minor = wanted or (0, 0)
        status = lib.s4v_api_version(self._machine, group, wanted is not None, major, minor, results)
        return int(status), int(results[0]), int(results[1])

    def uptime_ms(self) -> int:
        """Milliseconds of the guest's time since the machine was made."""
        config = ffi.new("s4v_config *")
        lib.s4v_machine_config(self._machine, config)
        first = ffi.new("uint32_t *")
        lib.s4v_strands(self._machine, first, 1)
        return self.register(int(first[0]), "tick") % (1 << 63) * 1000 // int(config.tick_hz)

    def console_write(self, data: bytes) -> int:
        """Output of the firmware's; returns how many bytes the queue took."""
        return int(lib.s4v_console_write(self._machine, data, len(data)))

    def console_take(self) -> bytes:
        """All console input that waits."""
        out = bytearray()
        buffer = ffi.new("char[]", _CHUNK_BYTES)
        while count := lib.s4v_console_take(self._machine, buffer, _CHUNK_BYTES):
            out += ffi.buffer(buffer, count)
        return bytes(out)

    def console_take_break(self) -> bool:
        """True where a BREAK was waiting; it is taken."""
        return bool(lib.s4v_console_take_break(self._machine))

    def soft_state_set(self, state: int, text: bytes) -> None:
        """Set the soft state in the guest's place: 1 normal, 2 transition; at most 31 characters."""
        if lib.s4v_soft_state_set(self._machine, state, text) != 0:
            raise ConfigError(f"not a soft state: {state}")

    def client(self) -> bytes:
        """The client's own part of the state."""
        size = lib.s4v_machine_get_client(self._machine, ffi.NULL, 0)
        buffer = ffi.new("char[]", max(size, 1))
        lib.s4v_machine_get_client(self._machine, buffer, size)
        return bytes(ffi.buffer(buffer, size))

    def set_client(self, data: bytes) -> None:
        """Replace the client's own part of the state: at most 64 MiB."""
        if lib.s4v_machine_set_client(self._machine, data, len(data)) != 0:
            raise ConfigError(f"the client's state is too large: {len(data)} bytes")

    @staticmethod
    def _expect(status: int, strand: int) -> None:
        if status == lib.S4V_ENOENT:
            raise StrandError(f"no strand {strand}, or it is not running")
        if status != 0:
            raise CoreError(f"strand {strand}: the core returned {status}")
