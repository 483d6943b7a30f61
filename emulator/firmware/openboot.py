"""OpenBoot of one machine: it boots programs, serves their calls, and holds the machine at its prompt.

::

    power_on ─► prompt (nvramrc, banner) ─► boot ─► strands run ◄─┐
                  ▲      │ boot, go                  │ serve()    │ client interface, and traps before the program
                  │      └───────────────────────────┼────────────┘ has taken over its own
                  └── enter, exit, a trap, a break ◄─┘
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from emulator._core import Core
from emulator.backends.file import Backend
from emulator.errors import StateError
from emulator.firmware import cif, startup
from emulator.firmware.client import HANDLES, Client
from emulator.firmware.devtree import DeviceTree, device_arguments, text
from emulator.firmware.disks import LOAD_BASE, open_part, read_boot_block
from emulator.firmware.forth.machine import STACK_CELLS
from emulator.firmware.guestmem import GuestFault, GuestMemory
from emulator.firmware.host import Action, Boot, Facts, Go, PowerOff, Reset
from emulator.firmware.layout import CIF_VA, ENTRY_CODE, LARGE_PAGE_BYTES, PAGE_BYTES, Layout
from emulator.firmware.nodes import add_aliases, build_tree, host_identity
from emulator.firmware.program import BootError, Loaded, Program, load_program
from emulator.firmware.prompt import Prompt
from emulator.firmware.promptstate import load_prompt, save_prompt
from emulator.firmware.variables import VariableError, Variables
from emulator.firmware.versions import openboot_version
from emulator.guest import StopReason
from emulator.mdesc import MachineDescription, MdescError, decode, encode
from emulator.memory import Memory
from emulator.traps import trap_name

STATE_VERSION = 2
PROGRAM_VARIABLES = frozenset({"boot-device", "boot-file"})
"""What a program of the host's sets."""
KERNEL_PATH, KERNEL_ALIAS = "/packages/kernel-file", "kernel"
"""A program of the host's as a device to boot from."""
RUNNING, INITIALIZING = b"OpenBoot Running", b"OpenBoot initializing"
LOADER, EXITED = b"OpenBoot Primary Boot Loader", b"OpenBoot exited"
TRANSITION = 2
REBOOT_TEXT_BYTES = 256
NAP_SECONDS = 0.02
_DAMAGE = (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError, MdescError)
"""What a state that is none leads to."""
HELD_TURNS = 10
"""Slices of work, or naps, at the prompt before a caller may look after input and a break."""


class OpenBoot:
    """Firmware of a machine. `Machine.run` asks `hold` before strands run, and has `serve` do what they call for.

    `variables` are those that differ from their defaults; with a `program`, boot-device and boot-file name it. `disks`
    are what is behind the disk nodes, by their paths.
    `saved`: it begins with this state (`load`) in the place of that after a reset.
    Raises ConfigError where memory is too small, or the machine description lacks what firmware needs; StateError.
    """

    def __init__(
        self,
        core: Core,
        memory: Memory,
        *,
        description: MachineDescription,
        chip: str = "",
        deterministic: bool = False,
        program: Program | None = None,
        variables: Variables | None = None,
        disks: Mapping[str, Backend] | None = None,
        saved: bytes | None = None,
    ) -> None:
        self._core = core
        self._memory = memory
        self._description = self._described = description
        self._deterministic = deterministic
        self._version = openboot_version(chip)
        self.program = program
        self.variables = variables or Variables()
        self.disks = dict(disks or {})
        self.layout = _layout(core)
        if program is not None:
            self.variables.outside("boot-device", KERNEL_ALIAS)
            self.variables.outside("boot-file", program.arguments)
        self._output = b""  # waiting for room in the console's queue
        self._end: StopReason | None = None  # what the machine is to do
        self._reboot_command = ""
        self._soft_state: tuple[int, bytes] | None = None  # of the guest, while it stands still
        self._has_run = False
        self._can_go = False
        self._cpu = 0
        self._slept_ms = 0
        if saved is None:
            self._renew()
        else:
            self.load(saved)

    def _renew(self, description: MachineDescription | None = None) -> None:
        """Device tree, services and prompt as after a reset; `description`: what the tree tells, if not the newest."""
        self._described = description or self._description
        self.tree: DeviceTree = build_tree(self._described, self.layout, HANDLES, version=self._version)
        add_aliases(self.tree, self._described)
        if self.program is not None:
            packages = self.tree.find("/packages")
            aliases = self.tree.find("/aliases")
            assert packages is not None
            assert aliases is not None
            self.tree.add(packages, KERNEL_PATH.rpartition("/")[2])
            aliases.set(KERNEL_ALIAS, text(f"{KERNEL_PATH}:{self.program.name}"))
        self.client = Client(self._core, self.tree, self.layout, self)
        self.client.disks = self.disks
        self._has_run = self._can_go = False
        self._cpu = self._boot_cpu
        self.prompt = Prompt(self)

    def describe(self, description: MachineDescription, disks: Mapping[str, Backend]) -> None:
        """Devices have come or gone: disks at once, the device tree at the next reset."""
        self._description = self._described if description == self._described else description
        self.disks = dict(disks)
        self.client.disks = self.disks

    # -- life

    def power_on(self) -> None:
        """From a machine at rest to a running program, or to the prompt.

        Raises ConfigError where its memory is too small by now.
        """
        self.layout = _layout(self._core)
        self._core.firmware_present(True)
        self._core.soft_state_set(TRANSITION, INITIALIZING)
        self._end = self._soft_state = None
        self._renew()
        command = self._reboot_command or self._reboot_data()
        self._reboot_command = ""
        self._act(self.prompt.start(command, interrupted=self._core.console_take_break()))
        self._tell_state()

    def _reboot_data(self) -> str:
        """A command the guest left for this boot (MACH_REBOOT_DATA_SET); it is taken."""
        data = self._core.reboot_data()
        self._core.reboot_data_set(b"")
        line = data[:REBOOT_TEXT_BYTES].split(b"\0", 1)[0].decode("latin-1").strip()
        return line if line.isprintable() else ""

    def _tell_state(self) -> None:
        """Soft state `OpenBoot Running` at the prompt; back to the guest's own where it goes on."""
        if self.prompt.active and self._soft_state is None:
            self._soft_state = self._core.soft_state()
            self._core.soft_state_set(TRANSITION, RUNNING)
        elif not self.prompt.active and self._soft_state is not None:
            self._core.soft_state_set(*self._soft_state)
            self._soft_state = None

    def _act(self, action: Action | None) -> None:
        """What the prompt's turn ended with. What was typed ahead is for who has the console next."""
        if action is not None:
            self._core.console_feed(self.prompt.take_input())
        match action:
            case Boot():
                self._boot(action)
            case Reset(command=command):
                self._reboot_command = command
                self._end = StopReason.RESET
            case PowerOff():
                self.power_off()
            case Go() | None:
                pass

    def _boot(self, request: Boot) -> None:
        try:
            self._load(request)
        except BootError as error:
            self.prompt.enter(f"{startup.LOAD_FAILED}{error}\n")

    def _load(self, request: Boot) -> None:
        node = self.tree.find(request.device)
        if node is not None and node.path in self.disks:
            loaded = self._load_boot_block(self.disks[node.path], device_arguments(request.device))
        elif node is not None and node.path == KERNEL_PATH and self.program is not None:
            loaded = load_program(self.program, self._memory, self.layout)
        else:
            raise BootError("nothing there that could be loaded")
        self._memory.write(self.layout.ra, ENTRY_CODE)
        self._core.firmware_map(CIF_VA, self.layout.size_bytes, self.layout.ra)
        self._core.firmware_map(loaded.va, loaded.size_bytes, loaded.ra)
        self.client.change("/chosen", "bootpath", text(request.device))
        self.client.change("/chosen", "bootargs", text(request.arguments))
        self._core.soft_state_set(TRANSITION, LOADER)
        self._soft_state = None
        self._has_run = True
        stack = self.layout.stack_pointer(None)
        self._core.firmware_start(self._boot_cpu, loaded.entry_va, sp=stack, arg=0, cif=CIF_VA)

    def _load_boot_block(self, backend: Backend, arguments: str) -> Loaded:
        """Sectors 1 to 15 of a slice, at 0x4000; the memory below 4M is the loader's."""
        try:
            part = open_part(backend, arguments)
            if part is None:
                raise BootError(f"the disk has no slice {arguments!r}")
            code = read_boot_block(part)
        except OSError as error:
            raise BootError(f"the disk cannot be read: {error.strerror or error}") from error
        low = self.layout.low
        if self.client.take(low, LARGE_PAGE_BYTES) is None:
            raise BootError("there is no memory for the boot block")
        self._memory.write(low + LOAD_BASE, code)
        return Loaded(LOAD_BASE, PAGE_BYTES, low + PAGE_BYTES, LARGE_PAGE_BYTES - PAGE_BYTES)

    # -- running

    def hold(self) -> StopReason | None:
        """Why strands may not run now; None: they may. At the prompt, input is taken and worked on here."""
        if self._end is None and (self.prompt.active or self._break_in_firmware()):
            self._at_prompt()
        self._flush()
        if self._output:
            return StopReason.CONSOLE
        if self._end is not None:
            return self._end
        return StopReason.FIRMWARE if self.prompt.active else None

    def _break_in_firmware(self) -> bool:
        """A break while the program's traps are still the firmware's: it would never see it."""
        if not self._has_run or not self._core.firmware_owns(self._boot_cpu) or not self._core.console_take_break():
            return False
        self._stop_at_prompt(self._boot_cpu, "")
        return True

    @property
    def in_charge(self) -> bool:
        """Has OpenBoot the machine: at its prompt, or its program has not taken over the traps yet?"""
        return self.prompt.active or not self._has_run or self._core.firmware_owns(0)

    @property
    def working(self) -> bool:
        """At the prompt, and not waiting for input: the next `hold` goes on, and looks for a break before that."""
        return self.prompt.active and (self.prompt.busy or self.prompt.wake_at is not None)

    def _at_prompt(self) -> None:
        if self._core.console_take_break():
            self._act(self.prompt.interrupt())
        self._act(self.prompt.feed(self._core.console_take()))
        for _ in range(HELD_TURNS):
            if not self.prompt.active or self._end is not None or self._output:
                break
            if self.prompt.busy:
                self._act(self.prompt.run())
            elif self.prompt.wake_at is not None:
                self._nap(self.prompt.wake_at - self.milliseconds())
            else:
                break
        self._tell_state()

    def _nap(self, left_ms: int) -> None:
        """Let time pass at the prompt: the strands stand still, so in deterministic mode a clock of ours moves on."""
        if self._deterministic:
            self._slept_ms += max(left_ms, 1)
        else:
            time.sleep(min(NAP_SECONDS, max(left_ms, 1) / 1000))

    def serve(self, strand: int, trap: int) -> None:
        """A strand called the client interface (`trap` 0), or took a trap while its traps are the firmware's."""
        if trap:
            self._stop_at_prompt(strand, f"ERROR: Last Trap: {_trap_text(trap)}\n")
            self._can_go = False
            return
        guest = GuestMemory(self._core, strand)
        try:
            result = cif.perform(self.client, strand, guest, self._core.register(strand, "o0"))
        except GuestFault as fault:
            if not self._core.firmware_fault(strand, fault.va, store=fault.store):
                self._core.firmware_done(strand, cif.UNKNOWN)
        except cif.Hang:
            pass
        else:
            self._core.firmware_done(strand, result)

    def _stop_at_prompt(self, strand: int, message: str) -> None:
        self._cpu, self._can_go = strand, True
        self.prompt.enter(message)
        self._tell_state()

    # -- the program's control (emulator.firmware.client.Control)

    def write(self, data: bytes) -> None:
        """Console output; what finds no room waits, and holds the machine."""
        self._output += data
        self._flush()

    @property
    def _boot_cpu(self) -> int:
        """The strand that boots: the first."""
        return self._core.strand_ids()[0]

    def _flush(self) -> None:
        if self._output:
            self._output = self._output[self._core.console_write(self._output) :]

    def option_changed(self, name: str, value: str) -> bool:
        """setprop on /options."""
        try:
            self.variables.set(name, value)
        except VariableError:
            return False
        return True

    def enter(self, strand: int) -> None:
        """To the prompt; the call returns when `go` is typed."""
        self._stop_at_prompt(strand, "")

    def leave(self, strand: int) -> None:
        """The program is done."""
        self._stop_at_prompt(strand, "Program terminated\n")
        self._can_go = False

    def reboot(self, line: str) -> None:
        """Reset, then ``boot line``."""
        self._reboot_command = f"boot {line}".strip()
        self._end = StopReason.RESET

    def power_off(self) -> None:
        """The domain ends."""
        for number in self._core.strand_ids():
            self._core.firmware_stop(number)
        self._end = StopReason.EXIT

    def interpret(self, line: str, arguments: Sequence[int]) -> Sequence[int]:
        """A line of Forth for a client: what it threw (0: nothing) and the stack it leaves, its top first."""
        done = self.prompt.interpret(line, arguments, STACK_CELLS)
        self._act(done.action)
        return [done.thrown, *done.results]

    def milliseconds(self) -> int:
        """Of the machine's time."""
        return self._core.uptime_ms() + self._slept_ms

    def released(self, strand: int) -> None:
        """Its traps are the guest's: OpenBoot has done its part."""
        if strand == self._boot_cpu:
            self._core.soft_state_set(TRANSITION, EXITED)

    # -- what the prompt sees of the machine (emulator.firmware.host.PromptHost)

    def facts(self) -> Facts:
        """For the banner."""
        mac, hostid = host_identity(self._description)
        return Facts(
            banner_name=self.tree.root.text("banner-name") or "",
            memory_bytes=self._memory.size_bytes,
            mac=mac.to_bytes(6, "big"),
            hostid=hostid,
            version=self._version[0],
            created=self._version[1],
            cpus=len(self._core.strand_ids()),
            cpu=self._cpu,
            clock_hz=int.from_bytes(self.tree.root.properties.get("clock-frequency", b""), "big"),
            has_run=self._has_run,
            can_go=self._can_go,
        )

    def openable(self, path: str) -> bool:
        """Is something behind a device that could be booted?"""
        node = self.tree.find(path)
        return node is not None and (node.path == KERNEL_PATH or node.path in self.disks)

    def registers(self, cpu: int) -> Mapping[str, int] | None:
        """A strand as its program left it."""
        if not self._has_run or not self._core.strand_present(cpu):
            return None
        return self._core.registers(cpu)

    def set_register(self, cpu: int, name: str, value: int) -> bool:
        """Change a register."""
        return self._core.strand_present(cpu) and self._core.set_register(cpu, name, value)

    def translate(self, address: int) -> int | None:
        """Real address of a virtual one on the strand at the prompt."""
        return self._core.translate(self._cpu, address) if self._has_run else None

    def _real(self, address: int, size: int, *, real: bool) -> int | None:
        ra = address if real else self.translate(address)
        return ra if ra is not None and self._memory.backed(ra, size) else None

    def peek(self, address: int, size: int, *, real: bool = False) -> bytes | None:
        """Bytes of memory; no more than a page holds."""
        ra = self._real(address, size, real=real)
        return None if ra is None else self._memory.read(ra, size)

    def poke(self, address: int, data: bytes, *, real: bool = False) -> bool:
        """Write memory."""
        ra = self._real(address, len(data), real=real)
        if ra is None:
            return False
        self._memory.write(ra, data)
        return True

    # -- state

    def save(self) -> bytes:
        """What `load` needs to go on; the rest is made anew from the machine description and the program."""
        soft = None if self._soft_state is None else [self._soft_state[0], self._soft_state[1].hex()]
        state: dict[str, Any] = {
            "version": STATE_VERSION,
            "client": self.client.save(),
            "prompt": save_prompt(self.prompt),
            "variables": self.variables.save(),
            "output": self._output.hex(),
            "end": None if self._end is None else self._end.name,
            "reboot": self._reboot_command,
            "soft": soft,
            "has_run": self._has_run,
            "can_go": self._can_go,
            "cpu": self._cpu,
            "slept": self._slept_ms,
            "described": None if self._described is self._description else encode(self._described).hex(),
        }
        return json.dumps(state, sort_keys=True).encode()

    def load(self, data: bytes) -> None:
        """Take over a saved state. Raises StateError for one that is none; then the firmware is as after a reset."""
        self.layout = _layout(self._core)
        try:
            state = json.loads(data)
            if state["version"] != STATE_VERSION:
                raise StateError("the firmware's state is of another version")
            described = state["described"]
            self._renew(None if described is None else decode(bytes.fromhex(described)))
            self.variables.load(state["variables"])
            self.client.load(state["client"])
            load_prompt(self.prompt, state["prompt"])
            self._load_rest(state)
        except StateError:
            self._renew()
            raise
        except _DAMAGE as error:
            self._renew()
            raise StateError(f"the firmware's state is damaged: {error}") from error

    def _load_rest(self, state: dict[str, Any]) -> None:
        soft, end = state["soft"], state["end"]
        self._output = bytes.fromhex(state["output"])
        self._soft_state = None if soft is None else (int(soft[0]), bytes.fromhex(soft[1]))
        self._end = None if end is None else StopReason[end]
        self._reboot_command = str(state["reboot"])
        self._has_run, self._can_go = bool(state["has_run"]), bool(state["can_go"])
        self._cpu, self._slept_ms = int(state["cpu"]), int(state["slept"])
        if not self._core.strand_present(self._cpu):
            raise StateError("the firmware's state names a strand that is not there")


def _layout(core: Core) -> Layout:
    """For the memory and the strands that there are now."""
    return Layout(core.memory_ranges(), core.strand_ids()[-1] + 1)


def _trap_text(trap: int) -> str:
    """A trap's name as OpenBoot writes it: ``Fast Data Access MMU Miss``."""
    return " ".join(word if word.isupper() else word.capitalize() for word in trap_name(trap).split("_"))
