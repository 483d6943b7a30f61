"""A machine for tests of the prompt: a small device tree, some memory, a console that is a byte string."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from emulator.firmware.devtree import DeviceTree, cells, text
from emulator.firmware.host import Action, Facts
from emulator.firmware.prompt import Prompt
from emulator.firmware.variables import Variables

FACTS = Facts(
    banner_name="SPARC Enterprise T5220",
    memory_bytes=4096 << 20,
    mac=bytes.fromhex("00144ff96f15"),
    hostid=0x84F96F15,
    cpus=2,
    clock_hz=1_165_379_275,
)
CHANNELS = "/virtual-devices@100/channel-devices@200"
MEMORY_BASE = 0x4000


def small_tree() -> DeviceTree:
    """A guest with two processors, two disks and a network."""
    tree = DeviceTree()
    root = tree.root
    root.set("name", text("SUNW,SPARC-Enterprise-T5220"))
    root.set("#size-cells", cells(2))
    root.set("#address-cells", cells(2))
    root.set("compatible", text("sun4v"))
    root.set("idprom", bytes.fromhex("018400144ff96f1500000000f96f15") + bytes([0x4A]) + bytes(16))
    for name in ("packages", "chosen", "openprom", "options", "aliases"):
        tree.add(root, name)
    memory = tree.add(root, "memory", "m0,8000000")
    memory.set("reg", cells(0, 0x800_0000, 1, 0))
    devices = tree.add(root, "virtual-devices", "100")
    devices.set("#address-cells", cells(1))
    devices.set("#size-cells", cells(0))
    for cpu in range(2):
        node = tree.add(root, "cpu", f"{cpu:x}")
        node.set("reg", cells(0xC000_0000 + cpu, 0, 0, 0))
        node.set("device_type", text("cpu"))
    console = tree.add(devices, "console", "1")
    console.set("device_type", text("serial"))
    channels = tree.add(devices, "channel-devices", "200")
    for index in range(2):
        disk = tree.add(channels, "disk", str(index))
        disk.set("device_type", text("block"))
        disk.set("reg", cells(index))
    network = tree.add(channels, "network", "0")
    network.set("device_type", text("network"))
    network.set("local-mac-address", bytes.fromhex("00144ff80001"))
    aliases = tree.find("/aliases")
    assert aliases is not None
    aliases.set("net", text(f"{CHANNELS}/network@0"))
    aliases.set("disk", text(f"{CHANNELS}/disk@0"))
    aliases.set("virtual-console", text("/virtual-devices/console@1"))
    return tree


@dataclass
class FakeHost:
    """The machine. `out` is what the console showed; `clock` its time in milliseconds."""

    variables: Variables = field(default_factory=Variables)
    tree: DeviceTree = field(default_factory=small_tree)
    shown: Facts = FACTS
    out: bytearray = field(default_factory=bytearray)
    memory: bytearray = field(default_factory=lambda: bytearray(0x4000))
    saved: dict[str, int] | None = None
    missing: set[str] = field(default_factory=set)
    clock: int = 0

    def facts(self) -> Facts:
        return self.shown

    def write(self, data: bytes) -> None:
        self.out += data

    def milliseconds(self) -> int:
        return self.clock

    def openable(self, path: str) -> bool:
        return path not in self.missing

    def registers(self, cpu: int) -> Mapping[str, int] | None:
        return self.saved

    def set_register(self, cpu: int, name: str, value: int) -> bool:
        assert self.saved is not None
        self.saved[name] = value
        return True

    def peek(self, address: int, size: int, *, real: bool = False) -> bytes | None:
        start = address - (0 if real else MEMORY_BASE)
        return bytes(self.memory[start : start + size]) if 0 <= start <= len(self.memory) - size else None

    def poke(self, address: int, data: bytes, *, real: bool = False) -> bool:
        start = address - (0 if real else MEMORY_BASE)
        if not 0 <= start <= len(self.memory) - len(data):
            return False
        self.memory[start : start + len(data)] = data
        return True

    def translate(self, address: int) -> int | None:
        return address - MEMORY_BASE if 0 <= address - MEMORY_BASE < len(self.memory) else None


class Session:
    """A prompt and the person at it."""

    def __init__(self, host: FakeHost | None = None, *, line_steps: int = 1_000_000) -> None:
        self.host = host or FakeHost()
        self.prompt = Prompt(self.host, line_steps=line_steps)
        self.actions: list[Action] = []

    def shown(self) -> str:
        """What appeared since the last look; CR LF as newline."""
        out = bytes(self.host.out).decode("latin-1").replace("\r\n", "\n")
        self.host.out.clear()
        return out

    def type(self, text: str | bytes) -> str:
        """Type keys; what appears. Work that takes several slices is done to its end."""
        data = text if isinstance(text, bytes) else text.replace("\n", "\r").encode("latin-1")
        self._note(self.prompt.feed(data))
        while self.prompt.busy:
            self._note(self.prompt.run())
        return self.shown()

    def _note(self, action: Action | None) -> None:
        if action is not None:
            self.actions.append(action)

    def line(self, text: str) -> str:
        """Type a line; what appears between its echo and the next prompt."""
        out = self.type(text + "\n")
        assert out.startswith(text + "\n"), out
        return out[len(text) + 1 :].removesuffix("{0} ok ")


def session(*, enter: bool = True, variables: Mapping[str, str] | None = None, **facts: object) -> Session:
    """A session at the prompt; `facts` replace those of FACTS."""
    host = FakeHost(Variables(variables))
    host.shown = replace(FACTS, **facts)  # type: ignore[arg-type]
    made = Session(host)
    if enter:
        made.prompt.enter()
        made.shown()
    return made
