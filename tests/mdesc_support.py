"""Domains under test, and a reader of machine descriptions that shares nothing with `emulator.mdesc`.

`Reader` looks into the bytes the way Linux 6.1 does (arch/sparc/kernel/mdesc.c): by element indexes and the chain of
NODE values, without a check.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from emulator.mdesc import (
    CryptoUnit,
    LatencyGroup,
    MachineDescription,
    MemorySegment,
    Port,
    Resources,
    Vcpu,
    VirtualDevice,
    Watchdog,
    build,
    encode,
)
from emulator.platforms import find_platform

GIB = 1 << 30
MAC = 0x0014_4FF8_1234
MACS = struct.pack(">QQ", 0x0014_4FFA_0001, 0x0014_4FFA_0002)


def t5_domain(**more: object) -> MachineDescription:
    """Two vcpus of one core and one of another socket, disk, network, domain services, variables."""
    options: dict[str, object] = {
        "vcpus": (Vcpu(0, 8), Vcpu(1, 9), Vcpu(2, 128)),
        "memory": (MemorySegment(0x2000_0000, GIB, 0x30_2000_0000),),
        "max_cpus": 8,
        "mac_address": MAC,
        "generation": 7,
        "devices": (
            VirtualDevice("disk", 0, (), (Port(0, (1,), (("vdc-timeout", 0),)),)),
            VirtualDevice(
                "network", 0, (("local-mac-address", MAC), ("mtu", 1500)),
                (Port(0, (2,), (("remote-mac-address", MACS), ("switch-port", 0))),),
            ),
        ),
        "domain_services": (Port(0, (0,)),),
        "firmware_services": (Port(0, (3,)),),
        "variables": (("auto-boot?", "false"), ("boot-device", "disk")),
        "devaliases": (("disk", "/virtual-devices@100/channel-devices@200/disk@0"),),
        "console_buffer_bytes": 8192,
        "watchdog": Watchdog(1000, 60_000),
        "rng_units": 1,
        "uuid": "5e8b0c52-0000-4000-8000-000000000001",
    } | more  # fmt: skip
    return build(find_platform("t5-2"), Resources(**options))  # type: ignore[arg-type]


def m7_domain() -> MachineDescription:
    """Under a class: nine vcpus of two cores, memory on two nodes with latency groups."""
    return build(
        find_platform("m7-8"),
        Resources(
            vcpus=tuple(Vcpu(n, 256 + n) for n in range(9)),
            memory=(MemorySegment(0x8000_0000, 2 * GIB), MemorySegment(0x4_0000_0000, 4 * GIB)),
            cpu_arch="migration-class1",
            latency_groups=(
                LatencyGroup(latency_ps=120_000, address_match=0, address_mask=0xC_0000_0000,
                             memory=(0,), vcpus=tuple(range(9))),
                LatencyGroup(latency_ps=240_000, address_match=0x4_0000_0000, address_mask=0xC_0000_0000,
                             memory=(1,), vcpus=tuple(range(9))),
            ),
        ),
    )  # fmt: skip


def t2_domain() -> MachineDescription:
    """One core with its crypto units."""
    return build(
        find_platform("t5120"),
        Resources(
            vcpus=tuple(Vcpu(n, n) for n in range(8)),
            memory=(MemorySegment(0x800_0000, GIB),),
            crypto_units=(CryptoUnit("mau", 0, tuple(range(8)), 0x20), CryptoUnit("cwq", 0, tuple(range(8)), 0x21)),
            keys=(("wanboot", "secret"),),
            console_channel=5,
        ),
    )


class Reader:
    """The bytes of a machine description, read as Linux reads them. Nodes are element indexes."""

    def __init__(self, md: MachineDescription) -> None:
        blob = encode(md)
        version, nodes, names, data = struct.unpack_from(">IIII", blob)
        assert version == 0x10000
        self.nodes = blob[16 : 16 + nodes]
        self.names = blob[16 + nodes : 16 + nodes + names]
        self.data = blob[16 + nodes + names :]
        assert len(self.data) == data

    def element(self, index: int) -> tuple[str, str, int]:
        """Tag, name, value."""
        tag, length, _, offset, value = struct.unpack_from(">BBHIQ", self.nodes, 16 * index)
        name = self.names[offset:].split(b"\0")[0] if chr(tag) in "Navsd" else b""
        assert len(name) == length
        return chr(tag), name.decode(), value

    def all_nodes(self) -> Iterator[int]:
        at = 0
        while self.element(at)[0] == "N":
            yield at
            at = self.element(at)[2]

    def by_name(self, name: str) -> list[int]:
        return [at for at in self.all_nodes() if self.element(at)[1] == name]

    def _inside(self, node: int) -> Iterator[tuple[str, str, int]]:
        at = node + 1
        while self.element(at)[0] != "E":
            yield self.element(at)
            at += 1

    def prop(self, node: int, name: str) -> int | bytes | None:
        for tag, own, value in self._inside(node):
            if own == name and tag == "v":
                return value
            if own == name and tag in "sd":
                length, offset = value >> 32, value & 0xFFFF_FFFF
                return self.data[offset : offset + length]
        return None

    def arcs(self, node: int, name: str) -> list[int]:
        return [value for tag, own, value in self._inside(node) if tag == "a" and own == name]

    def kind(self, node: int) -> str:
        return self.element(node)[1]

    def cpus_behind(self, node: int, depth: int = 10) -> set[int]:
        """Ids of the cpus that the arcs back lead to (find_back_node_value)."""
        found: set[int] = set()
        for upper in self.arcs(node, "back") if depth else []:
            if self.kind(upper) == "cpu":
                number = self.prop(upper, "id")
                assert isinstance(number, int)
                found.add(number)
            found |= self.cpus_behind(upper, depth - 1)
        return found
