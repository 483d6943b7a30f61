"""The part of a guest that is about its debugger (`Guest`): who may have it, and what it asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from emulator.errors import AddressError, EmulatorError, RegisterError
from emulator.guest import StrandState
from emulator.machine import Machine
from emulator.server.debugger import DebugError, Debugger, Task
from emulator.server.errors import ArgumentError, GuestStateError
from emulator.server.frame import Housing
from emulator.server.spec import GuestSpec
from emulator.server.status import STANDS_TEXT, WATCHED_TEXT

MAX_READ_BYTES = 64 << 10
RUNNING = "running"


class DebuggedError(EmulatorError):
    """Somebody else debugs the guest."""

    code = "busy"


class GuestDebug:
    """Methods are for the guest's turn only. What is declared here is `Guest`'s."""

    spec: GuestSpec
    state: str
    debugger: Debugger | None = None
    _housing: Housing
    _emit: Callable[..., None]

    def powered(self) -> Machine:
        """See `Guest`."""
        raise NotImplementedError

    # -- coming and going

    def debug_attach(self, owner: object) -> dict[str, Any]:
        """Stop the guest for a debugger; where it stands. Raises GuestStateError, DebuggedError."""
        machine = self.powered()
        if self.state != RUNNING:
            raise GuestStateError(f"{self.spec.name} is {self.state}: a debugger can be attached while it runs")
        if self.debugger is not None:
            raise DebuggedError(f"{self.spec.name} is being debugged by somebody else: one debugger at a time")
        self.debugger = Debugger(machine, owner, self._emit, self.spec.name)
        return self.debugger.place("attached", None)

    def debug_detach(self, owner: object) -> None:
        """Let it run on as if nothing had been; without effect for whoever does not debug it."""
        if self.debugger is not None and self.debugger.owner is owner:
            self.debugger.release()
            self.debugger = None

    def _debug_over(self, why: str, code: int) -> None:
        """The machine is about to be freed."""
        debugger, self.debugger = self.debugger, None
        if debugger is not None:
            self._emit("guest.debug.ended", why=why, code=code)

    def _debug_reset(self) -> None:
        """The machine is about to be reset: a strand that was to be stepped, or had died, is as new."""
        if self.debugger is not None:
            self.debugger.forget()

    def _stands(self) -> str:
        """Why it cannot answer; "": it can."""
        return STANDS_TEXT if self.debugger is not None and self.debugger.standing else ""

    def undebugged(self, what: str) -> None:
        """Raises GuestStateError while a debugger is attached."""
        if self.debugger is not None:
            text = STANDS_TEXT if self.debugger.standing else WATCHED_TEXT
            raise GuestStateError(f"{self.spec.name} is {text}: {what} once the debugger has been detached")

    def attached(self, owner: object, *, standing: bool = True) -> Debugger:
        """Its debugger. Raises GuestStateError for others, DebugError while the guest runs."""
        debugger = self.debugger
        if debugger is None or debugger.owner is not owner:
            raise GuestStateError(f"{self.spec.name} has no debugger attached by this connection")
        if standing and not debugger.standing:
            raise DebugError(f"{self.spec.name} runs: stop it first")
        return debugger

    # -- looking

    def debug_info(self) -> dict[str, Any]:
        """Instructions and time, and how many points are set."""
        machine, debugger = self.powered(), self.debugger
        return {
            "insns": machine.insns, "time_ns": machine.time_ns, "deterministic": machine.deterministic,
            "breakpoints": len(debugger.breakpoints) if debugger else 0,
            "watchpoints": len(debugger.watches) if debugger else 0,
        }  # fmt: skip

    def debug_strands(self) -> list[dict[str, Any]]:
        """Every strand: number, strand of the server, state and a word more."""
        machine, pids = self.powered(), dict(self.spec.vcpus)
        firmware = machine.firmware is not None and machine.firmware.in_charge
        found = []
        for each in machine.strands:
            state = each.state.name.lower()
            waits = each.state is StrandState.RUNNING and bool(each["waiting"])
            words = ["in OpenBoot"] if firmware and each.state is StrandState.RUNNING else []
            words += [] if waits or each.state is not StrandState.RUNNING else [_mode(each["pstate"], each["tl"])]
            found.append({"strand": each.number, "pid": pids.get(each.number, each.number),
                          "state": "waiting" if waits else state, "text": ", ".join(words)})  # fmt: skip
        return found

    def debug_registers(self, number: int) -> dict[str, Any]:
        """All registers of a strand, and its callers' windows."""
        machine = self.powered()
        if not machine.deterministic:
            machine.go(0)  # TICK and STICK stand too
        return {"values": dict(machine.strand(number).regs), "windows": machine.windows(number)}

    def debug_set_registers(self, number: int, values: Mapping[str, int], window: int | None) -> None:
        """Set some: all, or none. Raises RegisterError, StrandError."""
        machine = self.powered()
        if window is not None:
            machine.set_window(number, window, _window_indexes(values))
            return
        regs = machine.strand(number).regs
        order = sorted(values, key=lambda name: (name not in ("cwp", "gl"), name != "pc", name))
        before = {name: regs[name] for name in order}
        done: list[str] = []
        try:
            for name in order:
                regs[name] = values[name]
                done.append(name)
        except RegisterError:
            for name in done:
                regs[name] = before[name]
            raise

    def debug_read(self, number: int, va: int, count: int) -> bytes:
        """Memory; at least a byte of it. Raises AddressError."""
        data = self.powered().read_virtual(number, va, count)
        if count and not data:
            raise AddressError(f"virtual CPU {number} does not reach {va:#x}")
        return data

    def debug_write(self, number: int, va: int, data: bytes) -> None:
        """Write memory, whatever its protection: all, or nothing. Raises AddressError."""
        machine = self.powered()
        reached = len(machine.read_virtual(number, va, len(data)))
        if reached < len(data) or machine.write_virtual(number, va, data) < len(data):
            raise AddressError(f"virtual CPU {number} does not reach all of {va:#x}..{va + len(data) - 1:#x}")

    def debug_translate(self, number: int, va: int) -> dict[str, Any]:
        """Real and physical address; None: there is none."""
        machine = self.powered()
        ra = machine.translate(number, va)
        blocks = [block for block in self.spec.memory if ra is not None and 0 <= ra - block.ra < block.size_bytes]
        return {"ra": ra, "pa": blocks[0].pa + ra - blocks[0].ra if blocks and ra is not None else None}

    # -- running

    def debug_resume(self, owner: object, task: Task) -> None:
        """Let it go on. Raises DebugError."""
        self.attached(owner).resume(task)


def _mode(pstate: int, level: int) -> str:
    """What a strand that runs is doing."""
    return f"trap level {level}" if level else "privileged" if pstate >> 2 & 1 else "user"


def _window_indexes(values: Mapping[str, int]) -> dict[int, int]:
    names = [f"{bank}{number}" for bank in "li" for number in range(8)]
    if not values.keys() <= set(names):
        raise ArgumentError("values: of a window %l0-%l7 and %i0-%i7 can be set")
    return {names.index(name): value for name, value in values.items()}
