"""The device tree of a machine, made from its machine description.

Sources: Linux 6.1 arch/sparc (what a guest depends on), FWARC 2005/633 and OpenBoot 4 listings for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

from emulator.errors import ConfigError
from emulator.firmware.devtree import DeviceTree, Node, cells, cells64, text
from emulator.firmware.layout import CIF_VA, PAGE_BYTES, Layout
from emulator.firmware.versions import DEFAULT
from emulator.mdesc import MachineDescription
from emulator.mdesc import Node as MdNode

BREAKPOINT_TRAP = 0x7F
CHANNEL_DEVICES = "/virtual-devices@100/channel-devices@200"
CONFIG_HANDLE = 0xC000_0000
"""Top nibble of `reg` of a root child: a sun4v configuration handle."""
IDPROM_FORMAT = 1
HOSTID_TYPE = 0x84
"""Machine type of a logical domain: the high byte of its hostid."""
INTERRUPT_MASK = (0x0FFF_FFFF, 0x1F)
_TTE = 1 << 63 | 1 << 10 | 1 << 9 | 1 << 8 | 1 << 6
"""V, CP, CV, P, W; page size 0, as Linux wants it whatever the size of the entry."""


@dataclass(frozen=True)
class Handles:
    """Instance handles that /chosen tells."""

    console: int
    mmu: int
    memory: int


def build_tree(
    md: MachineDescription, layout: Layout, handles: Handles, *, version: tuple[str, str] = DEFAULT
) -> DeviceTree:
    """All nodes but /options and /aliases' contents, which follow from variables. Raises ConfigError."""
    tree = DeviceTree()
    platform = md.node("platform")
    _root(tree.root, md, platform)
    _packages(tree)
    chosen = tree.add(tree.root, "chosen")
    chosen.set("stdin", cells(handles.console))
    chosen.set("stdout", cells(handles.console))
    chosen.set("mmu", cells(handles.mmu))
    chosen.set("memory", cells(handles.memory))
    chosen.set("bootpath", text(""))
    chosen.set("bootargs", text(""))
    openprom = tree.add(tree.root, "openprom")
    openprom.set("model", text(f"SUNW,{version[0]}"))
    openprom.set("version", text("OBP {} {}".format(*version)))
    openprom.set("relative-addressing", b"")
    openprom.set("aligned-allocator", b"")
    tree.add(openprom, "client-services")
    tree.add(tree.root, "options")
    tree.add(tree.root, "aliases")
    _memory(tree, md, layout)
    for index in md.find("cpu"):
        _cpu(tree, md[index])
    _virtual_devices(tree, md)
    return tree


def _number(node: MdNode, name: str) -> int:
    value = node.get(name)
    if not isinstance(value, int):
        raise ConfigError(f"the machine description's {node.name} node has no number {name!r}")
    return value


def _string(node: MdNode, name: str) -> str:
    value = node.get(name)
    return value if isinstance(value, str) else ""


def add_aliases(tree: DeviceTree, md: MachineDescription) -> None:
    """Device aliases: the console, disks and networks under their kinds, and those of the machine description."""
    aliases = tree.find("/aliases")
    assert aliases is not None
    aliases.set("virtual-console", text("/virtual-devices/console@1"))
    for name, kind in (("disk", "block"), ("net", "network")):
        found = [node for node in tree.root.walk() if node.text("device_type") == kind]
        for number, node in reversed(list(enumerate(found))):
            aliases.set(f"{name}{number}", text(node.path))
            if number == 0:
                aliases.set(name, text(node.path))
    for index in md.find("devalias"):
        for name, path in md[index].properties.items():
            if isinstance(path, str):
                aliases.set(name, text(path))


def disk_channels(md: MachineDescription) -> dict[int, str]:
    """LDC channels of the domain's disks, with the path of the disk each belongs to."""
    found: dict[int, str] = {}
    for buses in (md.linked(md[index], "channel-devices") for index in md.find("virtual-devices")):
        for bus in buses:
            for device in md.linked(bus, "virtual-device"):
                if device.get("device-type") == "block":
                    path = f"{CHANNEL_DEVICES}/{_string(device, 'name')}@{_number(device, 'cfg-handle'):x}"
                    for port in md.linked(device, "virtual-device-port"):
                        found |= {_number(end, "id"): path for end in md.linked(port, "channel-endpoint")}
    return found


def stored_variables(md: MachineDescription) -> dict[str, str]:
    """Configuration variables that a machine description holds: those that differ from their defaults."""
    found = (md[index].properties for index in md.find("variables"))
    return {name: value for properties in found for name, value in properties.items() if isinstance(value, str)}


def _root(root: Node, md: MachineDescription, platform: MdNode) -> None:
    root.set("name", text(_string(platform, "name") or "sun4v"))
    root.set("banner-name", text(_string(platform, "banner-name")))
    root.set("compatible", text("sun4v"))
    root.set("device_type", text("sun4v"))
    root.set("#address-cells", cells(2))
    root.set("#size-cells", cells(2))
    root.set("stick-frequency", cells(_number(platform, "stick-frequency")))
    first = next(iter(md.find("cpu")), None)
    if first is not None:
        root.set("clock-frequency", cells(_number(md[first], "clock-frequency")))
    root.set("breakpoint-trap", cells(BREAKPOINT_TRAP))
    root.set("idprom", idprom(md))


def host_identity(md: MachineDescription) -> tuple[int, int]:
    """MAC address and hostid of a domain."""
    platform = md.node("platform")
    mac, hostid = platform.get("mac-address"), platform.get("hostid")
    address = mac if isinstance(mac, int) else 0
    return address, hostid if isinstance(hostid, int) else HOSTID_TYPE << 24 | address & 0xFF_FFFF


def idprom(md: MachineDescription) -> bytes:
    """32 bytes: format, type, MAC address, date 0, serial number, checksum (OpenBoot's idprom format 1)."""
    mac, hostid = host_identity(md)
    head = bytes([IDPROM_FORMAT, hostid >> 24 & 0xFF]) + mac.to_bytes(6, "big") + bytes(4)
    head += (hostid & 0xFF_FFFF).to_bytes(3, "big")
    check = 0
    for byte in head:
        check ^= byte
    return (head + bytes([check])).ljust(32, b"\0")


def _packages(tree: DeviceTree) -> None:
    packages = tree.add(tree.root, "packages")
    for name in ("disk-label", "deblocker", "terminal-emulator", "SUNW,builtin-drivers"):
        tree.add(packages, name)


def _memory(tree: DeviceTree, md: MachineDescription, layout: Layout) -> None:
    blocks = sorted((_number(md[i], "base"), _number(md[i], "size")) for i in md.find("mblock"))
    if not blocks:
        raise ConfigError("the machine description has no memory")
    memory = tree.add(tree.root, "memory", f"m0,{blocks[0][0]:x}")
    memory.set("device_type", text("memory"))
    memory.set("reg", cells64(*(word for block in blocks for word in block)))
    memory.set("available", cells64(*(word for block in layout.without_firmware(blocks) for word in block)))
    virtual = tree.add(tree.root, "virtual-memory")
    virtual.set("translations", cells64(CIF_VA, layout.size_bytes, _TTE | layout.ra))
    virtual.set("existing", cells64(0, 1 << 63, 1 << 63, (1 << 63) - PAGE_BYTES))


def _cpu(tree: DeviceTree, cpu: MdNode) -> None:
    number = _number(cpu, "id")
    node = tree.add(tree.root, "cpu", f"{number:x}")
    node.set("device_type", text("cpu"))
    node.set("compatible", text(*cpu.strings("compatible")))
    node.set("reg", cells(CONFIG_HANDLE | number, 0, 0, 0))
    node.set("clock-frequency", cells(_number(cpu, "clock-frequency")))
    node.set("cpuid", cells(number))


def _virtual_devices(tree: DeviceTree, md: MachineDescription) -> None:
    for index in md.find("virtual-devices"):
        top = md[index]
        handle = _number(top, "cfg-handle")
        parent = tree.add(tree.root, "virtual-devices", f"{handle:x}")
        parent.set("device_type", text("virtual-devices"))
        parent.set("compatible", text(*top.strings("compatible"), "SUNW,virtual-devices"))
        parent.set("reg", cells(CONFIG_HANDLE | handle, 0, 0, 0))
        _bus(parent)
        wires = [_device(tree, parent, child) for child in md.linked(top, "virtual-device")]
        parent.set("interrupt-map-mask", cells(*INTERRUPT_MASK))
        parent.set("interrupt-map", b"".join(wires))
        for channels in md.linked(top, "channel-devices"):
            _channel_devices(tree, md, parent, channels)


def _bus(node: Node) -> None:
    node.set("#address-cells", cells(1))
    node.set("#size-cells", cells(0))
    node.set("#interrupt-cells", cells(1))


def _device(tree: DeviceTree, parent: Node, device: MdNode) -> bytes:
    """A child of /virtual-devices; returns its entries of the parent's interrupt-map."""
    handle = _number(device, "cfg-handle")
    node = tree.add(parent, _string(device, "name"), f"{handle:x}")
    if kind := _string(device, "device-type"):
        node.set("device_type", text(kind))
    extra = ("qcn",) if node.name == "console" else ()
    node.set("compatible", text(*device.strings("compatible"), *extra))
    node.set("reg", cells(handle))
    units = device.get("rng-#units")
    if isinstance(units, int):
        node.set("rng-#units", cells(units))
    interrupts = list(zip(_numbers(device, "intr"), _numbers(device, "ino"), strict=False))
    if not interrupts:
        return b""
    node.set("interrupts", cells(*(intr for intr, _ in interrupts)))
    return b"".join(cells(handle, intr, parent.phandle, ino) for intr, ino in interrupts)


def _numbers(node: MdNode, name: str) -> list[int]:
    """A number, or an array of 64-bit ones as crypto devices have it."""
    value = node.get(name)
    if isinstance(value, int):
        return [value]
    data = value if isinstance(value, bytes) else b""
    return [int.from_bytes(data[at : at + 8], "big") for at in range(0, len(data) - 7, 8)]


def _channel_devices(tree: DeviceTree, md: MachineDescription, parent: Node, channels: MdNode) -> None:
    handle = _number(channels, "cfg-handle")
    bus = tree.add(parent, "channel-devices", f"{handle:x}")
    bus.set("device_type", text("channel-devices"))
    bus.set("compatible", text(*channels.strings("compatible"), "SUNW,channel-devices"))
    bus.set("reg", cells(handle))
    _bus(bus)
    for device in md.linked(channels, "virtual-device"):
        number = _number(device, "cfg-handle")
        node = tree.add(bus, _string(device, "name"), f"{number:x}")
        node.set("device_type", text(_string(device, "device-type")))
        node.set("compatible", text(*device.strings("compatible")))
        node.set("reg", cells(number))
        node.set("interrupts", cells(0, 1))
        mac = device.get("local-mac-address")
        if isinstance(mac, int):
            node.set("local-mac-address", mac.to_bytes(6, "big"))
