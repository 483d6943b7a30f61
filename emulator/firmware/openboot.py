"""OpenBoot of one machine: it boots programs, serves their calls, and holds the machine at its prompt."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from emulator._core import Core
from emulator.errors import ConfigError, StateError
from emulator.firmware import cif, methods
from emulator.firmware.devtree import DeviceTree, Node, device_arguments, text
from emulator.firmware.guestmem import GuestFault, GuestMemory
from emulator.firmware.layout import CIF_VA, ENTRY_CODE, Layout
from emulator.firmware.nodes import Handles, build_tree
from emulator.firmware.program import BootError, Program, load_program
from emulator.guest import StopReason
from emulator.mdesc import MachineDescription
from emulator.memory import Memory
from emulator.traps import trap_name

STATE_VERSION = 1
HANDLES = Handles(console=0x1001, mmu=0x1002, memory=0x1003)
FIRST_INSTANCE = 0x2000
MAX_INSTANCES = 256
CONSOLE_PATH = "/virtual-devices@100/console@1"
RUNNING, INITIALIZING = b"OpenBoot Running", b"OpenBoot initializing"
LOADER, EXITED = b"OpenBoot Primary Boot Loader", b"OpenBoot exited"
TRANSITION = 2


class OpenBoot(cif.Services):
    """Firmware of a machine. `Machine.run` asks `hold` before strands run, and has `serve` do what they call for."""

    def __init__(
        self, core: Core, memory: Memory, md: MachineDescription, *, strands: int, program: Program | None = None
    ) -> None:
        self._core = core
        self._memory = memory
        self._md = md
        self._strands = strands
        self.program = program
        self.layout = Layout(memory.size_bytes, strands)
        self.tree: DeviceTree = build_tree(md, self.layout, HANDLES)
        self._changed: dict[tuple[str, str], bytes] = {}  # properties that differ from the tree as built
        self._instances: dict[int, str] = {}
        self._next_instance = FIRST_INSTANCE
        self._output = b""  # of the firmware, waiting for room in the console's queue
        self._held: StopReason | None = None

    # -- life

    def power_on(self) -> None:
        """From a machine at rest to a running program, or to the prompt."""
        self._core.firmware_present(True)
        self._core.soft_state_set(TRANSITION, INITIALIZING)
        self._changed.clear()
        self._instances.clear()
        self._next_instance = FIRST_INSTANCE
        self._held = None
        self.tree = build_tree(self._md, self.layout, HANDLES)
        self._boot()

    def _boot(self) -> None:
        if self.program is None:
            self._say("Can't locate boot device\r\n")
            self._to_prompt()
            return
        arguments = self.program.arguments
        self._say(f"Boot device: {self.program.name}  File and args: {arguments}\r\n")
        try:
            loaded = load_program(self.program, self._memory, self.layout)
        except BootError as error:
            self._say(f"Boot load failed: {error}\r\n")
            self._to_prompt()
            return
        self._memory.write(self.layout.ra, ENTRY_CODE)
        self._core.firmware_map(CIF_VA, self.layout.size_bytes, self.layout.ra)
        self._core.firmware_map(loaded.va, loaded.size_bytes, loaded.ra)
        self._set("/chosen", "bootpath", text(self.program.name))
        self._set("/chosen", "bootargs", text(arguments))
        self._core.soft_state_set(TRANSITION, LOADER)
        self._core.firmware_start(0, loaded.entry_va, sp=self.layout.stack_pointer(None), arg=0, cif=CIF_VA)

    def _set(self, path: str, name: str, value: bytes) -> None:
        node = self.tree.find(path)
        assert node is not None
        node.set(name, value)
        self._changed[path, name] = value

    # -- running

    def hold(self) -> StopReason | None:
        """Why strands may not run now; None: they may."""
        self._flush()
        if self._output:
            return StopReason.CONSOLE
        return self._held

    def serve(self, strand: int, trap: int) -> None:
        """A strand called the client interface (`trap` 0), or took a trap while its traps are the firmware's."""
        if trap:
            self._client_died(strand, trap)
            return
        guest = GuestMemory(self._core, strand)
        try:
            result = cif.perform(self, strand, guest, self._register(strand, "o0"))
        except GuestFault as fault:
            if not self._core.firmware_fault(strand, fault.va, store=fault.store):
                self._core.firmware_done(strand, cif.UNKNOWN)
        except cif.Hang:
            pass
        else:
            self._core.firmware_done(strand, result)

    def _client_died(self, strand: int, trap: int) -> None:
        self._say(f"\r\nERROR: Last Trap: {trap_name(trap)}\r\n")
        self._say(f"cpu {strand:x} pc {self._register(strand, 'pc'):x}\r\n")
        self._to_prompt()

    def _to_prompt(self) -> None:
        self._core.soft_state_set(TRANSITION, RUNNING)
        self._held = StopReason.FIRMWARE

    def _register(self, strand: int, name: str) -> int:
        return self._core.register(strand, name)

    # -- console

    def _say(self, line: str) -> None:
        self._output += line.encode("latin-1", "replace")
        self._flush()

    def _flush(self) -> None:
        if self._output:
            self._output = self._output[self._core.console_write(self._output) :]

    # -- client interface: device tree

    def node_of(self, phandle: int) -> Node | None:
        return self.tree.node(phandle)

    def root(self) -> Node:
        return self.tree.root

    def find(self, path: str) -> Node | None:
        return self.tree.find(path)

    def peer(self, node: Node) -> Node | None:
        return self.tree.peer(node)

    def set_property(self, node: Node, name: str, value: bytes) -> bool:
        try:
            self._set(node.path, name, value)
        except ConfigError:
            return False
        return True

    # -- client interface: instances

    def instance_node(self, ihandle: int) -> Node | None:
        path = self.instance_path(ihandle)
        return self.tree.find(path) if path else None

    def instance_path(self, ihandle: int) -> str | None:
        if ihandle == HANDLES.console:
            return CONSOLE_PATH
        if ihandle in (HANDLES.mmu, HANDLES.memory):
            return "/virtual-memory" if ihandle == HANDLES.mmu else next(
                (node.path for node in self.tree.root.children if node.name == "memory"), None
            )
        return self._instances.get(ihandle)

    def open(self, path: str) -> int:
        node = self.tree.find(path)
        if node is None or len(self._instances) >= MAX_INSTANCES:
            return 0
        if node.path == CONSOLE_PATH:
            return HANDLES.console
        arguments = device_arguments(self.tree.expand(path))
        handle, self._next_instance = self._next_instance, self._next_instance + 1
        self._instances[handle] = node.path + (f":{arguments}" if arguments else "")
        return handle

    def close(self, ihandle: int) -> None:
        self._instances.pop(ihandle, None)

    def read(self, ihandle: int, length: int) -> bytes | None:
        if ihandle != HANDLES.console or length == 0:
            return None
        data = self._core.console_take()
        self._core.console_feed(data[length:])
        return data[:length] or None

    def write(self, ihandle: int, data: bytes) -> int:
        if ihandle != HANDLES.console:
            return cif.NO
        self._output += data
        self._flush()
        return len(data)

    def seek(self, ihandle: int, position: int) -> int:
        return cif.NO

    def method(self, ihandle: int, name: str, call: cif.Call) -> Sequence[int]:
        if ihandle == HANDLES.mmu:
            return methods.mmu(self._core, name, call)
        return [cif.NO]

    def claim(self, va: int, size: int, align: int) -> int:
        return cif.NO

    def release(self, va: int, size: int) -> None:
        return

    # -- client interface: control

    def interpret(self, line: str, arguments: Sequence[int]) -> Sequence[int]:
        return [cif.NO]

    def milliseconds(self) -> int:
        return self._core.uptime_ms()

    def enter(self, strand: int) -> None:
        self._to_prompt()

    def leave(self, strand: int) -> None:
        self._say("Program terminated\r\n")
        self._to_prompt()

    def boot(self, strand: int, line: str) -> None:
        self._held = StopReason.RESET

    def power_off(self, strand: int) -> None:
        for number in range(self._strands):
            self._core.firmware_stop(number)
        self._held = StopReason.EXIT

    def set_trap_table(self, call: cif.Call) -> None:
        if not self._core.firmware_release(call.strand, tba=call.arg(0), fault_area=call.arg(1)):
            raise cif.NoService
        if call.strand == 0:
            self._core.soft_state_set(TRANSITION, EXITED)

    def start_cpu(self, cpu: int, pc: int, arg: int) -> bool:
        if not 0 <= cpu < self._strands or pc % 4 or self._core.strand_state(cpu) != 1:
            return False
        self._core.firmware_start(cpu, pc, sp=self.layout.stack_pointer(cpu), arg=arg, cif=CIF_VA)
        return True

    def stop_cpu(self, cpu: int, caller: int) -> bool:
        if not 0 <= cpu < self._strands:
            return False
        self._core.firmware_stop(cpu)
        return True

    def api_version(self, group: int, wanted: tuple[int, int] | None) -> tuple[int, ...]:
        raise cif.NoService

    # -- state

    def save(self) -> bytes:
        """What `load` needs to go on; the rest is made anew from the machine description and the program."""
        held = None if self._held is None else self._held.name
        state: dict[str, Any] = {
            "version": STATE_VERSION,
            "changed": [[path, name, value.hex()] for (path, name), value in self._changed.items()],
            "instances": [[handle, path] for handle, path in self._instances.items()],
            "next": self._next_instance,
            "output": self._output.hex(),
            "held": held,
        }
        return json.dumps(state, sort_keys=True).encode()

    def load(self, data: bytes) -> None:
        """Take over a saved state. Raises StateError for one that is none."""
        try:
            state = json.loads(data)
            if state["version"] != STATE_VERSION:
                raise StateError("the firmware's state is of another version")
            tree = build_tree(self._md, self.layout, HANDLES)
            changed = {(str(path), str(name)): bytes.fromhex(value) for path, name, value in state["changed"]}
            for (path, name), value in changed.items():
                node = tree.find(path)
                if node is None:
                    raise StateError(f"the firmware's state names a device that is not there: {path}")
                node.set(name, value)
            instances = {int(handle): str(path) for handle, path in state["instances"]}
            held = None if state["held"] is None else StopReason[state["held"]]
            output, following = bytes.fromhex(state["output"]), int(state["next"])
        except (ValueError, KeyError, TypeError) as error:
            raise StateError(f"the firmware's state is damaged: {error}") from error
        self.tree, self._changed, self._instances = tree, changed, instances
        self._next_instance, self._output, self._held = following, output, held
