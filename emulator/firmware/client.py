"""What a booted program may ask of OpenBoot: the client interface's services over the device tree, instances, memory.

`emulator.firmware.cif` calls them by name. What concerns the machine as a whole (the prompt, reset, processors) goes to
the `Control` they are made with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from emulator._core import Core
from emulator.backends.file import Backend
from emulator.errors import StateError
from emulator.firmware import cif, methods
from emulator.firmware.devtree import DeviceTree, DeviceTreeError, Node, cells64, device_arguments
from emulator.firmware.disks import Part, open_part
from emulator.firmware.layout import CIF_VA, LARGE_PAGE_BYTES, PAGE_BYTES, Layout, without
from emulator.firmware.nodes import Handles

HANDLES = Handles(console=0x1001, mmu=0x1002, memory=0x1003)
FIRST_INSTANCE = 0x2000
MAX_INSTANCES = 256
MAX_PROPERTY_BYTES = 1 << 16
CONSOLE_PATH = "/virtual-devices@100/console@1"


class Control(Protocol):
    """The machine behind the services; `emulator.firmware.openboot`."""

    def write(self, data: bytes) -> None:
        """Console output."""

    def option_changed(self, name: str, value: str) -> bool:
        """A property of /options: sets a variable; False: it refuses."""

    def enter(self, strand: int) -> None:
        """To the prompt; `go` returns from the call."""

    def leave(self, strand: int) -> None:
        """The program has ended."""

    def reboot(self, line: str) -> None:
        """Reset, and run ``boot line``."""

    def power_off(self) -> None:
        """End of the domain."""

    def interpret(self, line: str, arguments: Sequence[int]) -> Sequence[int]:
        """Catch result and stack of a line of Forth."""

    def milliseconds(self) -> int:
        """Since the machine was made, in its own time."""

    def released(self, strand: int) -> None:
        """A strand's traps are the guest's now."""


class Client:
    """The services, and what they keep: changed properties, open instances, claimed memory."""

    def __init__(self, core: Core, tree: DeviceTree, layout: Layout, control: Control) -> None:
        self._core = core
        self.tree = tree
        self.layout = layout
        self._control = control
        self._changed: dict[tuple[str, str], bytes] = {}
        self._instances: dict[int, str] = {}
        self._next_instance = FIRST_INSTANCE
        self._positions: dict[int, int] = {}  # of open disks
        self._claims: list[tuple[int, int]] = []  # memory that programs were given: real address, bytes
        self.disks: Mapping[str, Backend] = {}

    # -- device tree

    def node_of(self, phandle: int) -> Node | None:
        """Node of a package handle."""
        return self.tree.node(phandle)

    def root(self) -> Node:
        """The root of the device tree."""
        return self.tree.root

    def find(self, path: str) -> Node | None:
        """Node of a path or alias."""
        return self.tree.find(path)

    def peer(self, node: Node) -> Node | None:
        """Next sibling."""
        return self.tree.peer(node)

    def set_property(self, node: Node, name: str, value: bytes) -> bool:
        """Change a property; False: refused. Of /options it sets a variable."""
        if len(value) > MAX_PROPERTY_BYTES:
            return False
        if node.path == "/options":
            return self._control.option_changed(name, value.split(b"\0", 1)[0].decode("latin-1"))
        try:
            self.change(node.path, name, value)
        except DeviceTreeError:
            return False
        return True

    def change(self, path: str, name: str, value: bytes) -> None:
        """Set a property, and remember it in the state. Raises DeviceTreeError."""
        node = self.tree.find(path)
        if node is None:
            raise DeviceTreeError(f"no node {path}")
        node.set(name, value)
        self._changed[path, name] = value

    # -- instances

    def instance_node(self, ihandle: int) -> Node | None:
        """Node of an open instance."""
        path = self.instance_path(ihandle)
        return self.tree.find(path) if path else None

    def instance_path(self, ihandle: int) -> str | None:
        """Path of an open instance, with its arguments."""
        if ihandle == HANDLES.console:
            return CONSOLE_PATH
        if ihandle == HANDLES.mmu:
            return "/virtual-memory"
        if ihandle == HANDLES.memory:
            return next((node.path for node in self.tree.root.children if node.name == "memory"), None)
        return self._instances.get(ihandle)

    def open(self, path: str) -> int:
        """A new instance; 0: it cannot be opened."""
        node = self.tree.find(path)
        if node is None or len(self._instances) >= MAX_INSTANCES:
            return 0
        if node.path == CONSOLE_PATH:
            return HANDLES.console
        arguments = device_arguments(self.tree.expand(path))
        if node.path in self.disks and self._part(node.path, arguments) is None:
            return 0
        handle, self._next_instance = self._next_instance, self._next_instance + 1
        self._instances[handle] = node.path + (f":{arguments}" if arguments else "")
        return handle

    def close(self, ihandle: int) -> None:
        """End an instance."""
        self._instances.pop(ihandle, None)
        self._positions.pop(ihandle, None)

    def _part(self, path: str, arguments: str) -> Part | None:
        try:
            return open_part(self.disks[path], arguments)
        except OSError:
            return None

    def _open_part(self, ihandle: int) -> Part | None:
        """The slice behind an instance; None: it is no disk."""
        path, _, arguments = self._instances.get(ihandle, "").partition(":")
        return self._part(path, arguments) if path in self.disks else None

    def read(self, ihandle: int, length: int) -> bytes | None:
        """Bytes from an instance; None: none now (-2 for the console), or it cannot be read."""
        part = self._open_part(ihandle)
        if part is not None:
            at = self._positions.get(ihandle, 0)
            try:
                data = part.read(at, length)
            except OSError:
                return b""
            self._positions[ihandle] = at + len(data)
            return data
        if ihandle != HANDLES.console or length == 0:
            return None
        data = self._core.console_take()
        self._core.console_feed(data[length:])
        return data[:length] or None

    def write(self, ihandle: int, data: bytes) -> int:
        """Bytes written; -1: it cannot be written."""
        if ihandle != HANDLES.console:
            return cif.NO
        self._control.write(data)
        return len(data)

    def seek(self, ihandle: int, position: int) -> int:
        """0, or -1."""
        part = self._open_part(ihandle)
        if part is None or position > part.size_bytes:
            return cif.NO
        self._positions[ihandle] = position
        return 0

    def method(self, ihandle: int, name: str, call: cif.Call) -> Sequence[int]:
        """`call-method`: catch result, then results from the top of the stack. The arguments start at `call.arg(2)`."""
        if ihandle == HANDLES.mmu:
            return methods.mmu(self._core, name, call)
        part = self._open_part(ihandle)
        return [cif.NO] if part is None else methods.disk(part, name, call)

    # -- memory

    def claim(self, va: int, size: int, align: int) -> int:
        """Memory mapped at `va`, or with an alignment anywhere, at its own real address.

        Where the memory that stands for real address `va` is free it is that, else memory that agrees with it modulo
        4M, so that a program can map itself with large pages; else, and with an alignment, what lies highest.
        """
        size = -(-size // PAGE_BYTES) * PAGE_BYTES
        unit = max(align, PAGE_BYTES)
        if size <= 0 or unit & (unit - 1) or (align == 0 and va % PAGE_BYTES) or len(self._claims) >= MAX_INSTANCES:
            return cif.NO
        ra = None
        if align == 0:
            ra = self.take(self.layout.low + va, size)
            if ra is None and size >= LARGE_PAGE_BYTES:
                ra = self._take_highest(size, LARGE_PAGE_BYTES, va % LARGE_PAGE_BYTES)
        if ra is None:
            ra = self._take_highest(size, unit)
        if ra is None or methods.add_translation(self._core, ra if align else va, size, ra):
            return cif.NO
        return ra if align else va

    def free(self) -> list[tuple[int, int]]:
        """Free memory, ascending: real address, bytes."""
        words = next(node.properties["reg"] for node in self.tree.root.children if node.name == "memory")
        pairs = [
            (int.from_bytes(words[at : at + 8], "big"), int.from_bytes(words[at + 8 : at + 16], "big"))
            for at in range(0, len(words), 16)
        ]
        left = self.layout.without_firmware(pairs)
        for start, size in self._claims:
            left = without(left, start, size)
        return left

    def take(self, ra: int, size: int) -> int | None:
        """Take memory at a real address; None: it is not free."""
        if not any(low <= ra and ra + size <= low + length for low, length in self.free()):
            return None
        self._claims.append((ra, size))
        self._tell_available()
        return ra

    def _take_highest(self, size: int, unit: int, offset: int = 0) -> int | None:
        for low, length in reversed(self.free()):
            ra = (low + length - size - offset) // unit * unit + offset
            if ra >= low:
                return self.take(ra, size)
        return None

    def _tell_available(self) -> None:
        path = next(node.path for node in self.tree.root.children if node.name == "memory")
        self.change(path, "available", cells64(*(word for pair in self.free() for word in pair)))

    def release(self, va: int, size: int) -> None:
        """Claimed memory stays taken until the next reset: programs release it just before they end."""

    # -- control

    def interpret(self, line: str, arguments: Sequence[int]) -> Sequence[int]:
        """Catch result and stack after a line of Forth."""
        return self._control.interpret(line, arguments)

    def milliseconds(self) -> int:
        """Since power-on."""
        return self._control.milliseconds()

    def enter(self, strand: int) -> None:
        """To the prompt; `go` returns from the call."""
        self._control.enter(strand)

    def leave(self, strand: int) -> None:
        """The client has ended: to the prompt for good."""
        self._control.leave(strand)

    def boot(self, strand: int, line: str) -> None:
        """Reset, and ``boot line``."""
        self._control.reboot(line)

    def power_off(self, strand: int) -> None:
        """End of the domain."""
        self._control.power_off()

    def set_trap_table(self, call: cif.Call) -> None:
        """The strand's traps become the guest's. Raises NoService."""
        if not self._core.firmware_release(call.strand, tba=call.arg(0), fault_area=call.arg(1)):
            raise cif.NoService
        self._control.released(call.strand)

    def start_cpu(self, cpu: int, pc: int, arg: int) -> bool:
        """Start a strand in firmware context. False: there is no such strand."""
        if not 0 <= cpu < self.layout.strands or pc % 4 or not self._core.strand_present(cpu):
            return False
        if self._core.strand_state(cpu) != 1:
            return False
        self._core.firmware_start(cpu, pc, sp=self.layout.stack_pointer(cpu), arg=arg, cif=CIF_VA)
        return True

    def stop_cpu(self, cpu: int, caller: int) -> bool:
        """Stop a strand. False: there is none."""
        if not self._core.strand_present(cpu):
            return False
        self._core.firmware_stop(cpu)
        return True

    def api_version(self, group: int, wanted: tuple[int, int] | None) -> tuple[int, ...]:
        """Negotiate (`wanted`: major, minor) or ask: status and version as the hypercalls give them."""
        return self._core.api_version(group, wanted)

    # -- state

    def save(self) -> dict[str, Any]:
        """What `load` needs: values of JSON."""
        return {
            "changed": [[path, name, value.hex()] for (path, name), value in self._changed.items()],
            "instances": [[handle, path] for handle, path in self._instances.items()],
            "next": self._next_instance,
            "positions": [[handle, at] for handle, at in self._positions.items()],
            "claims": [list(claim) for claim in self._claims],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `save` gave, on a fresh tree. Raises StateError, ValueError, KeyError, TypeError."""
        for path, name, value in state["changed"]:
            if self.tree.find(str(path)) is None:
                raise StateError(f"the firmware's state names a device that is not there: {path}")
            self.change(str(path), str(name), bytes.fromhex(value))
        self._instances = {int(handle): str(path) for handle, path in state["instances"]}
        self._next_instance = int(state["next"])
        self._positions = {int(handle): int(at) for handle, at in state["positions"]}
        self._claims = [(int(ra), int(size)) for ra, size in state["claims"]]
        good = all(size > 0 and self._core.memory_run(ra) >= size for ra, size in self._claims)
        if not good or max(len(self._instances), len(self._claims)) > MAX_INSTANCES:
            raise StateError("the firmware's state has numbers out of range")
