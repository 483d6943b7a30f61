"""From a server of the catalogue and a domain's resources to the machine description its guest reads.

What a guest is told is filtered by the domain's cpu-arch: under a class it reads the features, page sizes and
address widths that all chips of the class have, and a ``compatible`` without the chip's name; clock and caches stay
those of the chip it is on, as on the real machines. Features that the emulator does not execute are never told.

Sources: UltraSPARC Virtual Machine Specification 3.0, chapter 8; FWARC 2009/521; and, for what a guest cannot do
without, Linux 6.1 arch/sparc/kernel/mdesc.c and vio.c.
"""

from __future__ import annotations

from emulator.chips import find_chip
from emulator.errors import ConfigError
from emulator.mdesc import devices as dev
from emulator.mdesc.graph import Graph
from emulator.mdesc.model import MachineDescription, Value, string_list
from emulator.mdesc.processors import Processors
from emulator.mdesc.resources import MemorySegment, Port, Properties, Resources, Texts, VirtualDevice
from emulator.platforms import Platform
from emulator.units import format_size

CONTENT_VERSION = "1.0"
POWER_ON = 0
PAGE_BYTES = 8192
MAX_ALIAS = 31  # characters of a device alias, OpenBoot's limit
_MASK64 = (1 << 64) - 1


def build(platform: Platform, resources: Resources) -> MachineDescription:
    """The machine description of a domain on a server. The same arguments give the same description.

    Raises ConfigError for resources that the server does not have or that contradict each other, and
    UnknownCpuArchError for a cpu-arch that its chip does not offer.
    """
    return _Builder(platform, resources).build()


def most_channels(platform: Platform) -> int:
    """LDC endpoints that a domain of the server can have at most."""
    return min(platform.channels.per_domain_new or platform.channels.per_domain, dev.LDC_ENDPOINTS)


class _Builder:
    def __init__(self, platform: Platform, resources: Resources) -> None:
        _check_memory(platform, resources.memory)
        self.platform, self.resources = platform, resources
        self.chip = find_chip(platform.chip)
        self.graph = Graph(most_channels(platform))
        self.endpoints = -1  # container nodes, made by build()
        self.devices: set[tuple[str, int]] = set()
        self.root = self.graph.add(
            "root",
            [
                ("content-version", CONTENT_VERSION),
                ("md-generation#", resources.generation),
                ("reset-reason", POWER_ON),
            ],
        )

    def build(self) -> MachineDescription:
        """All nodes, from the top."""
        graph, root = self.graph, self.root
        graph.add("platform", self.platform_properties(), root)
        processors = Processors(graph, self.platform, self.resources)
        processors.build(graph.add("cpus", (), root), graph.add("sockets", (), root))
        blocks = self.add_memory()
        self.add_latency_groups(blocks, processors)
        self.endpoints = graph.add("channel-endpoints", (), root)
        self.add_virtual_devices()
        if self.resources.domain_services:
            services = graph.add("domain-services", (), root)
            self.add_ports(services, "domain-services-port", self.resources.domain_services)
        self.add_firmware()
        return graph.finish()

    def platform_properties(self) -> list[tuple[str, Value | None]]:
        """Of the platform node."""
        res = self.resources
        if not 0 <= res.mac_address < 1 << 48:
            raise ConfigError(f"not a MAC address: {res.mac_address:#x}")
        low = res.mac_address & 0xFF_FFFF
        watchdog = res.watchdog
        return [
            ("banner-name", self.platform.title),
            ("name", self.platform.uname),
            ("stick-frequency", res.stick_hz or self.platform.stick_hz),
            ("max-cpus", res.max_cpus or 1 + max((vcpu.id for vcpu in res.vcpus), default=0)),
            ("mac-address", res.mac_address),
            ("hostid", 0x8400_0000 | low if res.hostid is None else res.hostid),
            ("serial#", low if res.serial is None else res.serial),
            ("uuid", res.uuid),
            ("domaining-enabled", int(res.domaining)),
            ("watchdog-resolution", watchdog.resolution_ms if watchdog else None),
            ("watchdog-max-timeout", watchdog.max_timeout_ms if watchdog else None),
            ("cons-read-buffer-size", res.console_buffer_bytes),
            ("cons-write-buffer-size", res.console_buffer_bytes),
        ]

    def add_memory(self) -> list[int]:
        """The memory node and its mblocks, in the order of the segments; returns the mblocks."""
        memory = self.graph.add("memory", (), self.root)
        largest = self.platform.largest_page_bytes
        return [
            self.graph.add(
                "mblock",
                [
                    ("base", segment.ra),
                    ("size", segment.size_bytes),
                    (
                        "address-congruence-offset",
                        None if segment.pa is None else (segment.pa - segment.ra) % largest,
                    ),
                ],
                memory,
            )
            for segment in self.resources.memory
        ]

    def add_latency_groups(self, blocks: list[int], processors: Processors) -> None:
        """NUMA: which memory is how far from which vcpus."""
        if not self.resources.latency_groups:
            return
        groups = self.graph.add("latency-groups", (), self.root)
        for group in self.resources.latency_groups:
            if not set(group.vcpus) <= processors.nodes.keys() or not set(group.memory) <= set(range(len(blocks))):
                raise ConfigError("a latency group names vcpus or memory that the domain does not have")
            properties = [
                ("latency", group.latency_ps),
                ("address-match", group.address_match),
                ("address-mask", group.address_mask),
            ]
            node = self.graph.add("memory-latency-group", properties, groups)
            for vcpu in group.vcpus:
                self.graph.link(processors.nodes[vcpu], node)
            for block in group.memory:
                self.graph.link(node, blocks[block])

    # -- virtual devices

    def add_virtual_devices(self) -> None:
        """Console, clock, generators, crypto units, and the devices over LDC."""
        top = self.graph.add(
            "virtual-devices",
            [
                ("name", "virtual-devices"),
                ("device-type", "virtual-devices"),
                ("compatible", string_list("SUNW,sun4v-virtual-devices")),
                ("cfg-handle", dev.VIRTUAL_DEVICES_HANDLE),
            ],
            self.root,
        )
        self.add_console(top)
        self.device(top, "rtc", None, "SUNW,sun4v-tod", dev.RTC_HANDLE)
        self.add_rng(top)
        self.add_crypto(top)
        channels = self.graph.add(
            "channel-devices",
            [
                ("name", "channel-devices"),
                ("device-type", "channel-devices"),
                ("compatible", string_list("SUNW,sun4v-channel-devices")),
                ("cfg-handle", dev.CHANNEL_DEVICES_HANDLE),
            ],
            top,
        )
        for device in self.resources.devices:
            self.add_channel_device(channels, device)

    def device(
        self,
        parent: int,
        name: str,
        device_type: str | None,
        compatible: str,
        handle: int,
        *more: tuple[str, Value | None],
    ) -> int:
        """A virtual-device node."""
        return self.graph.add(
            "virtual-device",
            [
                ("name", name),
                ("device-type", device_type),
                ("compatible", string_list(compatible)),
                ("cfg-handle", handle),
                *more,
            ],
            parent,
        )

    def add_console(self, parent: int) -> None:
        """The console, with its interrupt."""
        channel = self.resources.console_channel
        console = self.device(
            parent, "console", "serial", "SUNW,sun4v-console", dev.CONSOLE_HANDLE,
            ("intr", dev.CONSOLE_INTR), ("ino", dev.CONSOLE_INO), ("channel#", channel),
        )  # fmt: skip
        if channel is not None:
            self.link_channel(console, channel)

    def add_rng(self, parent: int) -> None:
        """The random-number generator, where the domain has one."""
        units = self.resources.rng_units
        compatible = dev.RNG_COMPATIBLE.get(self.chip.name)
        if units and compatible is None:
            raise ConfigError(f"{self.chip.title} has no random-number generator")
        if units and compatible:
            self.device(
                parent, "random-number-generator", None, compatible, dev.RNG_HANDLE, ("rng-#units", units)
            )

    def add_crypto(self, parent: int) -> None:
        """The devices behind the crypto units: interrupts 1.. with the inos of the units, as 64-bit numbers."""
        chip = dev.CRYPTO_COMPATIBLE.get(self.chip.name)
        for kind, name, type_, compatible, handle in (
            ("mau", "ncp", "crypto", f"{chip}-mau" if chip else dev.NCP_COMPATIBLE, dev.NCP_HANDLE),
            ("cwq", "n2cp", "n2cp", f"{chip}-cwq", dev.N2CP_HANDLE),
        ):
            inos = [unit.ino for unit in self.resources.crypto_units if unit.kind == kind]
            if inos:
                intr, ino = _array(range(1, len(inos) + 1)), _array(inos)
                self.device(parent, name, type_, compatible, handle, ("intr", intr), ("ino", ino))

    def add_channel_device(self, parent: int, device: VirtualDevice) -> None:
        """A device over LDC and its ports."""
        kind = dev.CHANNEL_DEVICES.get(device.kind)
        if kind is None:
            known = ", ".join(dev.CHANNEL_DEVICES)
            raise ConfigError(f"unknown kind of virtual device {device.kind!r} (known: {known})")
        what = f"{kind.name} {device.cfg_handle}"
        _check_required(what, kind.required, device.properties)
        for port in device.ports:
            _check_required(f"port {port.id} of {what}", kind.port_required, port.properties)
        if (device.kind, device.cfg_handle) in self.devices:
            raise ConfigError(f"{what} is there twice")
        self.devices.add((device.kind, device.cfg_handle))
        node = self.device(
            parent, kind.name, kind.device_type, kind.compatible, device.cfg_handle, *device.properties
        )
        self.add_ports(node, "virtual-device-port", device.ports, name=kind.port)

    def add_ports(self, parent: int, kind: str, ports: tuple[Port, ...], *, name: str | None = None) -> None:
        """Ports of a device or of domain services, each with its channels."""
        if len({port.id for port in ports}) != len(ports):
            raise ConfigError(f"two ports {name or kind} have one id")
        for port in ports:
            node = self.graph.add(kind, [("name", name), ("id", port.id), *port.properties], parent)
            for channel in port.channels:
                self.link_channel(node, channel)

    def link_channel(self, node: int, channel: int) -> None:
        """The endpoint of an LDC channel, linked from the node that uses it."""
        self.graph.claim_channel(channel)
        endpoint = self.graph.add(
            "channel-endpoint",
            [("id", channel), ("tx-ino", 2 * channel + dev.TX_INO), ("rx-ino", 2 * channel + dev.RX_INO)],
            self.endpoints,
        )
        self.graph.link(node, endpoint)

    # -- firmware

    def add_firmware(self) -> None:
        """What OpenBoot reads: variables (found from the root and from openboot), aliases, keys, its services."""
        res = self.resources
        openboot = self.graph.add("openboot", (), self.root)
        self.graph.add("variables", _texts("variable", res.variables), self.root, openboot)
        if any(len(name) > MAX_ALIAS for name, _ in res.devaliases):
            raise ConfigError(f"a device alias has at most {MAX_ALIAS} characters")
        self.graph.add("devalias", _texts("device alias", res.devaliases), openboot)
        if res.keys:
            self.graph.add("keystore", _texts("key", res.keys), self.root)
        self.add_ports(openboot, "domain-services-port", res.firmware_services)


def _array(numbers: range | list[int]) -> bytes:
    return b"".join(number.to_bytes(8, "big") for number in numbers)


def _texts(what: str, pairs: Texts) -> Texts:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ConfigError(f"a {what} is there twice: {', '.join(names)}")
    return pairs


def _check_required(what: str, names: tuple[str, ...], properties: Properties) -> None:
    given = {name for name, _ in properties}
    if missing := [name for name in names if name not in given]:
        raise ConfigError(f"{what} needs {', '.join(missing)}")


def _check_memory(platform: Platform, memory: tuple[MemorySegment, ...]) -> None:
    if not memory:
        raise ConfigError("a domain needs memory")
    end = 0
    for segment in sorted(memory, key=lambda s: s.ra):
        if segment.size_bytes <= 0 or (segment.ra | segment.size_bytes | (segment.pa or 0)) % PAGE_BYTES:
            raise ConfigError("addresses and sizes of memory segments are multiples of 8K")
        if segment.ra < end:
            raise ConfigError(f"memory segments overlap at {segment.ra:#x}")
        end = segment.ra + segment.size_bytes
    if end > _MASK64:
        raise ConfigError("memory beyond the 64-bit address space")
    total = sum(segment.size_bytes for segment in memory)
    if total > platform.memory_bytes:
        most = format_size(platform.memory_bytes)
        raise ConfigError(f"a {platform.title} has at most {most} of memory, not {format_size(total)}")
