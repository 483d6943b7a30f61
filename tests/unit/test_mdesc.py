"""The machine description: what a guest must find in it, and how it follows from server and resources."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from mdesc_support import GIB, MAC, MACS, Reader, m7_domain, t2_domain, t5_domain

from emulator import Machine
from emulator.chips import CHIPS, cpu_archs
from emulator.cpu import find_cpu
from emulator.cpuarch import REGISTERS_ONLY, UNMODELLED, feature_table
from emulator.errors import ChannelError, ConfigError, UnknownCpuArchError
from emulator.mdesc import (
    Arc,
    CryptoUnit,
    MachineDescription,
    MdescError,
    MemorySegment,
    Node,
    Port,
    Property,
    Resources,
    Vcpu,
    VirtualDevice,
    as_json,
    as_text,
    build,
    decode,
    described_units,
    diff,
    encode,
    most_channels,
    plain_resources,
    string_list,
)
from emulator.mdesc.devices import LDC_ENDPOINTS
from emulator.platforms import PLATFORMS, find_platform

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
DOMAINS = {"t5": t5_domain, "m7": m7_domain, "t2": t2_domain}


def plain(platform: str, vcpus: int = 1, **options: object) -> MachineDescription:
    server = find_platform(platform)
    return build(server, plain_resources(server, vcpus, GIB, **options))  # type: ignore[arg-type]


# -- bytes


def test_bytes_of_a_small_description() -> None:
    """Written by hand from the specification, not by the encoder."""
    md = MachineDescription(
        (
            Node("root", (Property("a", 5), Property("text", "hi"), Arc("fwd", 1))),
            Node("kid", (Property("list", b"x\0y\0"), Arc("back", 0), Property("a", 0xFFFF_FFFF_FFFF_FFFF))),
        )
    )
    names = b"root\0a\0text\0fwd\0kid\0list\0back\0"  # offsets 0 5 7 12 16 20 25
    expected = "00010000 000000b0 00000020 00000010"
    expected += "4e040000 00000000 00000000 00000005"  # NODE root, next at 5
    expected += "76010000 00000005 00000000 00000005"  # a = 5
    expected += "73040000 00000007 00000003 00000000"  # text: 3 bytes at 0
    expected += "61030000 0000000c 00000000 00000005"  # fwd to element 5
    expected += "45000000 00000000 00000000 00000000"
    expected += "4e030000 00000010 00000000 0000000a"  # NODE kid, next at 10: LIST_END
    expected += "64040000 00000014 00000004 00000008"  # list: 4 bytes at 8
    expected += "61040000 00000019 00000000 00000000"  # back to element 0
    expected += "76010000 00000005 ffffffff ffffffff"
    expected += "45000000 00000000 00000000 00000000"
    expected += "00000000 00000000 00000000 00000000"
    blob = bytes.fromhex(expected) + names.ljust(32, b"\0") + b"hi\0\0\0\0\0\0x\0y\0\0\0\0\0"
    assert encode(md) == blob
    assert decode(blob) == md


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=DOMAINS)
def test_bytes_as_the_specification_wants_them(domain) -> None:  # type: ignore[no-untyped-def]
    reader = Reader(domain())
    assert not {len(reader.nodes) % 16, len(reader.names) % 16, len(reader.data) % 16} - {0}
    names = reader.names.rstrip(b"\0").split(b"\0")
    assert len(names) == len(set(names)), "Linux compares names by their offsets"
    nodes = list(reader.all_nodes())
    assert nodes[0] == 0
    assert reader.kind(0) == "root"
    assert len(nodes) == len(domain())
    for node in nodes:
        assert all(target in nodes for target in reader.arcs(node, "fwd"))
        for target in reader.arcs(node, "fwd"):
            assert node in reader.arcs(target, "back")
        for target in reader.arcs(node, "back"):
            assert node in reader.arcs(target, "fwd")
        assert node == 0 or reader.arcs(node, "back")


def test_arrays_are_aligned() -> None:
    """Linux reads remote-mac-address with 64-bit loads."""
    blob = encode(t5_domain())
    assert blob.index(MACS) % 8 == 0


def test_same_arguments_same_bytes() -> None:
    assert encode(t5_domain()) == encode(t5_domain())


# -- what Linux 6.1 needs (arch/sparc/kernel/mdesc.c, setup_64.c, vio.c, ds.c; drivers): node, property, type
NUMBER, TEXT, WORDS = int, "text", "words"
REQUIRED = [
    ("root", "content-version", TEXT), ("root", "md-generation#", NUMBER), ("root", "reset-reason", NUMBER),
    ("platform", "banner-name", TEXT), ("platform", "name", TEXT), ("platform", "stick-frequency", NUMBER),
    ("platform", "hostid", NUMBER), ("platform", "serial#", NUMBER), ("platform", "mac-address", NUMBER),
    ("platform", "max-cpus", NUMBER), ("platform", "domaining-enabled", NUMBER),
    ("cpu", "id", NUMBER), ("cpu", "clock-frequency", NUMBER), ("cpu", "compatible", WORDS),
    ("cpu", "isalist", WORDS), ("cpu", "nwins", NUMBER), ("cpu", "mmu-type", TEXT),
    ("cpu", "mmu-page-size-list", NUMBER), ("cpu", "mmu-max-#tsbs", NUMBER), ("cpu", "hwcap-list", WORDS),
    ("cpu", "q-cpu-mondo-#bits", NUMBER), ("cpu", "q-dev-mondo-#bits", NUMBER),
    ("cpu", "q-resumable-#bits", NUMBER), ("cpu", "q-nonresumable-#bits", NUMBER),
    ("exec-unit", "type", WORDS),
    ("cache", "level", NUMBER), ("cache", "size", NUMBER), ("cache", "line-size", NUMBER), ("cache", "type", WORDS),
    ("mblock", "base", NUMBER), ("mblock", "size", NUMBER),
    ("virtual-devices", "cfg-handle", NUMBER), ("virtual-devices", "compatible", WORDS),
    ("channel-devices", "cfg-handle", NUMBER), ("channel-devices", "compatible", WORDS),
]  # fmt: skip
REQUIRED_BY_VIO = [
    ("virtual-device-port", "name", TEXT), ("virtual-device-port", "id", NUMBER),
    ("domain-services-port", "id", NUMBER),
    ("channel-endpoint", "id", NUMBER), ("channel-endpoint", "tx-ino", NUMBER), ("channel-endpoint", "rx-ino", NUMBER),
]  # fmt: skip


def check_present(reader: Reader, kind: str, name: str, type_: object) -> None:
    nodes = reader.by_name(kind)
    assert nodes, kind
    for node in nodes:
        value = reader.prop(node, name)
        if type_ is NUMBER:
            assert isinstance(value, int), (kind, name)
        else:
            assert isinstance(value, bytes), (kind, name)
            assert value.endswith(b"\0")
            assert (value.count(b"\0") == 1) or type_ is WORDS


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_platform_tells_what_linux_needs(platform: str) -> None:
    server = find_platform(platform)
    for arch in cpu_archs(server.chip):
        reader = Reader(plain(platform, min(3, server.strands), cpu_arch=arch))
        for row in REQUIRED:
            check_present(reader, *row)
        assert reader.prop(reader.by_name("platform")[0], "domaining-enabled") == 1
        assert reader.prop(reader.by_name("virtual-devices")[0], "cfg-handle") == 0x100
        assert reader.prop(reader.by_name("channel-devices")[0], "cfg-handle") == 0x200


@pytest.mark.parametrize("row", REQUIRED_BY_VIO, ids=lambda row: "-".join(row[:2]))
def test_linux_finds_what_vio_needs(row: tuple[str, str, object]) -> None:
    check_present(Reader(t5_domain()), *row)


def test_ports_lead_to_device_and_endpoint() -> None:
    """vio.c: the parent's cfg-handle through arcs back, the channel through arcs fwd."""
    reader = Reader(t5_domain())
    found = {}
    for port in reader.by_name("virtual-device-port"):
        (parent,) = reader.arcs(port, "back")
        (endpoint,) = reader.arcs(port, "fwd")
        assert reader.kind(endpoint) == "channel-endpoint"
        assert reader.kind(reader.arcs(parent, "back")[0]) == "channel-devices"
        inos = (reader.prop(endpoint, "tx-ino"), reader.prop(endpoint, "rx-ino"))
        found[reader.prop(port, "name")] = (reader.prop(parent, "name"), reader.prop(parent, "cfg-handle"), inos)
    assert found == {b"vdc-port\0": (b"disk\0", 0, (2, 3)), b"vnet-port\0": (b"network\0", 0, (4, 5))}
    own, firmware = reader.by_name("domain-services-port")
    assert [reader.kind(n) for n in reader.arcs(own, "back")] == ["domain-services"]
    assert [reader.kind(n) for n in reader.arcs(firmware, "back")] == ["openboot"]


def linux_topology(reader: Reader) -> tuple[list[set[int]], list[set[int]], list[set[int]]]:
    """Cores, processor ids and sockets as Linux makes them up: sets of cpu ids."""
    cores = [
        reader.cpus_behind(node)
        for node in reader.by_name("cache")
        if reader.prop(node, "level") == 1 and b"instn\0" in bytes(reader.prop(node, "type") or b"")  # type: ignore[arg-type]
    ]
    processors = [
        reader.cpus_behind(node)
        for node in reader.by_name("exec-unit")
        if b"integer" in bytes(reader.prop(node, "type") or b"").split(b"\0")  # type: ignore[arg-type]
    ]
    sockets = []
    for socket in reader.by_name("socket"):
        ids = [reader.prop(n, "id") for n in reader.arcs(socket, "fwd") if reader.kind(n) == "cpu"]
        sockets.append({number for number in ids if isinstance(number, int)})
    return cores, processors, sockets


@pytest.mark.parametrize(
    ("platform", "vcpus", "cores", "processors", "sockets"),
    [("t5-2", 9, [8, 1], [8, 1], [9]), ("t2000", 6, [4, 2], [4, 2], [6]), ("t5120", 9, [8, 1], [4, 4, 1], [9]),
     ("m10-1", 3, [2, 1], [2, 1], [3]), ("s7-2", 65, [8] * 8 + [1], [8] * 8 + [1], [64, 1])],
)  # fmt: skip
def test_topology(platform: str, vcpus: int, cores: list[int], processors: list[int], sockets: list[int]) -> None:
    found = linux_topology(Reader(plain(platform, vcpus)))
    assert [[len(group) for group in groups] for groups in found] == [cores, processors, sockets]


def test_topology_follows_the_strands_and_not_the_ids() -> None:
    cores, _, sockets = linux_topology(Reader(t5_domain()))
    assert (cores, sockets) == ([{0, 1}, {2}], [{0, 1}, {2}])


def test_caches_of_the_m7() -> None:
    md = plain("t7-1", 33)
    shares = {}
    reader = Reader(md)
    for node in reader.by_name("cache"):
        key = (reader.prop(node, "level"), reader.prop(node, "type"))
        shares.setdefault(key, []).append(len(reader.cpus_behind(node)))
    assert shares == {
        (1, b"instn\0"): [8, 8, 8, 8, 1], (1, b"data\0"): [8, 8, 8, 8, 1],
        (2, b"instn\0"): [32, 1], (2, b"data\0"): [16, 16, 1], (3, b"instn\0data\0"): [33],
    }  # fmt: skip


# -- cpu-arch


@pytest.mark.parametrize(
    ("chip", "arch"), [(chip, arch) for chip in CHIPS for arch in cpu_archs(chip)], ids=str
)
def test_cpu_node_says_what_the_strand_does(chip: str, arch: str) -> None:
    """Page sizes, TSBs and features are those the machine is built with."""
    node = plain(chip, cpu_arch=arch).node("cpu", id=0)
    cpu = find_cpu(chip, arch)
    assert node.get("mmu-page-size-list") == cpu.page_sizes
    assert node.get("mmu-max-#tsbs") == cpu.max_tsbs
    assert node.get("mmu-#va-bits") == cpu.va_bits
    assert node.get("clock-frequency") == find_platform(chip).clock_hz
    mask = 0
    for feature in feature_table().values():
        told = set(feature.hwcaps) & set(node.strings("hwcap-list"))
        if feature.hwcaps and told:
            assert told == set(feature.hwcaps)
            assert feature.name not in UNMODELLED
            mask |= 1 << feature.bit
    untold = sum(1 << f.bit for f in feature_table().values() if not f.hwcaps or f.name in REGISTERS_ONLY)
    assert mask == cpu.features & ~untold


def test_a_class_hides_the_chip() -> None:
    t5, m7 = (plain(name, cpu_arch="migration-class1").node("cpu", id=0) for name in ("t5-2", "m7-8"))
    assert t5.strings("compatible") == ("SUNW,sun4v-cpu", "sun4v")
    differ = {name for name, value in t5.properties.items() if m7.get(name) != value}
    assert differ == {"clock-frequency"}
    assert plain("t5-2").node("cpu").strings("compatible") == ("SPARC-T5", "SUNW,sun4v-cpu", "sun4v")


def test_a_class_that_the_chip_does_not_offer() -> None:
    with pytest.raises(UnknownCpuArchError, match="not available on SPARC T3"):
        plain("t3-1", cpu_arch="migration-class1")


def test_cpu_mondo_queue_grows_with_the_domain() -> None:
    assert [plain("m7-16", n).node("cpu", id=0).get("q-cpu-mondo-#bits") for n in (1, 64, 65)] == [7, 7, 8]


def test_queues_of_a_domain_that_may_grow_are_pages() -> None:
    """Linux starts no CPU that was not there at its boot with longer ones."""
    server = find_platform("m7-16")
    md = build(server, replace(plain_resources(server, 65, 1 << 30), max_cpus=512))
    node = md.node("cpu", id=0)
    assert (node.get("q-cpu-mondo-#bits"), node.get("q-dev-mondo-#bits")) == (7, 7)


# -- golden text


@pytest.mark.parametrize(("name", "domain"), [("md-t5-2", t5_domain), ("md-m7-8-class1", m7_domain)])
def test_golden_text(name: str, domain) -> None:  # type: ignore[no-untyped-def]
    """S4V_GOLDEN=1 writes the files anew: look at the difference before it is committed."""
    path = GOLDEN / f"{name}.txt"
    text = as_text(domain())
    if os.environ.get("S4V_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("platform", PLATFORMS)
def test_clocks_and_names_are_those_of_the_server(platform: str) -> None:
    """What the machine counts with is what its description says."""
    server, md = find_platform(platform), plain(platform)
    node = md.node("platform")
    assert (node.get("name"), node.get("banner-name")) == (server.uname, server.title)
    assert node.get("stick-frequency") == server.stick_hz
    assert md.node("cpu").get("clock-frequency") == server.clock_hz


# -- devices, memory, firmware


def test_crypto_units_of_the_t2() -> None:
    """What Linux's n2_crypto looks for: exec-units with arcs back to cpus, inos in the virtual device."""
    md = t2_domain()
    mau, cwq = (md.node("exec-unit", type=string_list(kind)) for kind in ("mau", "cwq"))
    assert [len(md.linked(unit, "cpu", arc="back")) for unit in (mau, cwq)] == [8, 8]
    ncp = md.node("virtual-device", name="ncp")
    assert (ncp.get("intr"), ncp.get("ino")) == (b"\0\0\0\0\0\0\0\1", b"\0\0\0\0\0\0\0\x20")
    assert md.node("virtual-device", name="n2cp").strings("compatible") == ("SUNW,n2-cwq",)
    assert ncp.strings("compatible") == ("SUNW,n2-mau",)
    units = described_units(decode(encode(md)))
    assert [(unit.kind, unit.vcpus, unit.ino) for unit in units] == [
        ("mau", tuple(range(8)), 0x20), ("cwq", tuple(range(8)), 0x21)]


def test_crypto_units_of_a_plain_machine() -> None:
    """One of each kind a core, on the vcpus that the machine has of it; T4 and later have instructions instead."""
    for name, kinds in (("t1000", ("mau",)), ("t5120", ("mau", "cwq")), ("t3", ("mau", "cwq")), ("t5-2", ())):
        with Machine("8K", platform=name, strands=12) as machine:
            units = machine.crypto_units
            per_core = CHIPS[machine.platform.chip].strands_per_core
            cores = -(-12 // per_core)
            assert [unit.kind for unit in units] == [kind for kind in kinds for _ in range(cores)]
            for kind in kinds:
                shares = [unit.vcpus for unit in units if unit.kind == kind]
                assert shares == [tuple(range(n, min(12, n + per_core))) for n in range(0, 12, per_core)]
            assert len({unit.ino for unit in units}) == len(units)


def test_console_over_a_channel() -> None:
    md = t2_domain()
    console = md.node("virtual-device", name="console")
    (endpoint,) = md.linked(console)
    assert (console.get("channel#"), endpoint.get("id"), console.get("ino")) == (5, 5, 0x11)


def test_variables_hang_under_root_and_openboot() -> None:
    md = t5_domain()
    variables = md.node("variables")
    assert variables.properties == {"auto-boot?": "false", "boot-device": "disk"}
    assert [node.name for node in md.linked(variables, arc="back")] == ["root", "openboot"]


def test_address_congruence() -> None:
    """How far PA and RA are apart, modulo the largest page of the chip (2 GiB)."""
    assert t5_domain().node("mblock").get("address-congruence-offset") == 0
    moved = t5_domain(memory=(MemorySegment(0, GIB, 0x1000_0000),))
    assert moved.node("mblock").get("address-congruence-offset") == 0x1000_0000


def test_latency_groups_are_complete() -> None:
    md = m7_domain()
    for group in (md[index] for index in md.find("memory-latency-group")):
        assert len(md.linked(group, "cpu", arc="back")) == 9
        assert len(md.linked(group, "mblock")) == 1


def test_hostid_and_serial_follow_the_mac_address() -> None:
    node = t5_domain().node("platform")
    assert (node.get("hostid"), node.get("serial#"), node.get("mac-address")) == (0x84F8_1234, 0xF8_1234, MAC)
    assert t5_domain(hostid=5, serial=6).node("platform").get("hostid") == 5


def test_only_what_is_there_is_told() -> None:
    resources = Resources(vcpus=(Vcpu(0, 0),), memory=(MemorySegment(0, GIB),))
    md = build(find_platform("t5-2"), resources)
    assert md.node("platform").get("watchdog-resolution") is None
    names = [md[index].get("name") for index in md.find("virtual-device")]
    assert names == ["console", "rtc"]
    assert not md.find("domain-services")


@pytest.mark.parametrize(("platform", "generator"), [("t5-2", True), ("t2000", False), ("m10-1", False)])
def test_a_bare_machine_has_what_the_hypervisor_gives(platform: str, generator: bool) -> None:
    md = plain(platform)
    assert bool(md.find("virtual-device", name="random-number-generator")) is generator
    services = (Path(__file__).parents[2] / "csrc" / "hyp" / "services.h").read_text()
    limits = [int(number) for number in re.findall(r"WATCHDOG_(?:RESOLUTION|MAX)_MS(?: =)? (\d+)", services)]
    node = md.node("platform")
    assert [node.get("watchdog-resolution"), node.get("watchdog-max-timeout")] == limits


def test_channels_are_those_the_hypervisor_serves() -> None:
    """No server has more than the hypervisor can keep; the machine has as many as its server."""
    header = (Path(__file__).parents[2] / "csrc" / "hyp" / "interrupt.h").read_text()
    assert f"LDC_ENDPOINTS = {LDC_ENDPOINTS} }}" in header
    assert max(most_channels(platform) for platform in PLATFORMS.values()) == LDC_ENDPOINTS
    for name, most in (("t5120", 512), ("t3", 768), ("t4", 1984), ("t5-2", 4080)):
        with Machine("8K", platform=name) as machine:
            machine.add_channel(most - 1)
            with pytest.raises(ChannelError):
                machine.add_channel(most)


def test_strands_of_chips_with_fewer_cores() -> None:
    """Sockets begin where the server's chips do, not where fully equipped ones would."""
    fewer = [p for p in PLATFORMS.values() if p.sockets > 1 and p.cores_per_chip < CHIPS[p.chip].cores]
    for server in fewer:
        per_chip = server.strands // server.sockets
        resources = Resources(vcpus=(Vcpu(0, per_chip - 1), Vcpu(1, per_chip)), memory=(MemorySegment(0, GIB),))
        cores, _, sockets = linux_topology(Reader(build(server, resources)))
        assert (cores, sockets) == ([{0}, {1}], [{0}, {1}])


DISK = VirtualDevice("disk", 0)
IMPOSSIBLE = {
    "no vcpu": ({"vcpus": ()}, "needs a vcpu"),
    "one id twice": ({"vcpus": (Vcpu(0, 0), Vcpu(0, 1))}, "one id"),
    "one strand twice": ({"vcpus": (Vcpu(0, 0), Vcpu(1, 0))}, "one strand"),
    "no such strand": ({"vcpus": (Vcpu(0, 256),)}, "strands 0 to 255"),
    "id too large": ({"vcpus": (Vcpu(0xFFFF, 0),)}, "ids of vcpus"),
    "max_cpus too small": ({"vcpus": (Vcpu(4, 0),), "max_cpus": 4}, "no room for vcpu 4"),
    "no memory": ({"memory": ()}, "needs memory"),
    "odd memory": ({"memory": (MemorySegment(0, 8191),)}, "multiples of 8K"),
    "overlap": ({"memory": (MemorySegment(0, 16384), MemorySegment(8192, 8192))}, "overlap"),
    "too much memory": ({"memory": (MemorySegment(0, 2048 * GIB),)}, "at most 1T"),
    "beyond 64 bits": ({"memory": (MemorySegment((1 << 64) - 8192, 16384),)}, "64-bit"),
    "not a MAC": ({"mac_address": 1 << 48}, "MAC"),
    "unknown device": ({"devices": (VirtualDevice("tape", 0),)}, "tape"),
    "device twice": ({"devices": (DISK, VirtualDevice("disk", 0, (("a", 1),)))}, "twice"),
    "network without MAC": ({"devices": (VirtualDevice("network", 0),)}, "local-mac-address"),
    "port without MAC": (
        {"devices": (VirtualDevice("network", 0, (("local-mac-address", 1),), (Port(0, (0,)),)),)},
        "remote-mac-address",
    ),
    "channel twice": ({"domain_services": (Port(0, (4,)),), "firmware_services": (Port(0, (4,)),)}, "channel 4"),
    "channel out of range": ({"domain_services": (Port(0, (4080,)),)}, "0 to 4079"),
    "port twice": ({"domain_services": (Port(0, (4,)), Port(0, (5,)))}, "one id"),
    "property twice": ({"devices": (VirtualDevice("disk", 0, (("cfg-handle", 1),)),)}, "cfg-handle is given twice"),
    "alias too long": ({"devaliases": (("a" * 32, "/"),)}, "31"),
    "variable twice": ({"variables": (("a", "1"), ("a", "2"))}, "twice"),
    "crypto unit of another chip": ({"crypto_units": (CryptoUnit("mau", 0, (0,), 1),)}, "no crypto units"),
}  # fmt: skip


@pytest.mark.parametrize(("options", "text"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_impossible_domains(options: dict[str, object], text: str) -> None:
    possible = {"vcpus": (Vcpu(0, 0),), "memory": (MemorySegment(0, GIB),)}
    with pytest.raises(ConfigError, match=text):
        build(find_platform("t5-2"), Resources(**possible | options))  # type: ignore[arg-type]


def test_a_device_twice_that_is_equal() -> None:
    with pytest.raises(ConfigError, match="twice"):
        t5_domain(devices=(DISK, DISK))


# -- graphs that cannot be encoded

ROOT = Node("root")
BAD_GRAPHS = {
    "no node": (),
    "no root": (Node("cpu"),),
    "arc to nowhere": (Node("root", (Arc("fwd", 1),)),),
    "arc before the first": (Node("root", (Arc("fwd", -1),)),),
    "number too large": (Node("root", (Property("n", 1 << 64),)),),
    "negative number": (Node("root", (Property("n", -1),)),),
    "empty name": (ROOT, Node("")),
    "long name": (ROOT, Node("n" * 256)),
    "NUL in a name": (ROOT, Node("a\0b")),
    "NUL in a string": (Node("root", (Property("n", "a\0b"),)),),
    "half a surrogate pair": (Node("root", (Property("n", "\ud800"),)),),
}


@pytest.mark.parametrize("nodes", BAD_GRAPHS.values(), ids=BAD_GRAPHS)
def test_graphs_without_an_encoding(nodes: tuple[Node, ...]) -> None:
    with pytest.raises(MdescError):
        encode(MachineDescription(nodes))


# -- difference


def test_equal_descriptions_do_not_differ() -> None:
    assert diff(t5_domain(), decode(encode(t5_domain()))) == ()


def test_difference_of_a_vcpu_less() -> None:
    less = t5_domain(vcpus=(Vcpu(0, 8), Vcpu(2, 128)), generation=8)
    assert [str(change) for change in diff(t5_domain(), less)] == ["- /cpus/cpu[1]", "~ /: md-generation# 7 -> 8"]
    assert [str(change) for change in diff(less, t5_domain())] == ["~ /: md-generation# 8 -> 7", "+ /cpus/cpu[1]"]


def test_difference_of_properties_and_arcs() -> None:
    old = t5_domain()
    new = t5_domain(
        variables=(("auto-boot?", "true"), ("nvramrc", "")), watchdog=None, vcpus=(Vcpu(0, 8), Vcpu(1, 9), Vcpu(2, 10))
    )
    found = {str(change) for change in diff(old, new)}
    assert {
        '~ /variables: auto-boot? "false" -> "true"',
        '- /variables: boot-device "disk"',
        '+ /variables: nvramrc ""',
        "- /platform: watchdog-resolution 1000",
        "- /sockets/socket[1]",
        "+ /sockets/socket[0]: fwd \"/cpus/cpu[2]\"",
    } <= found


def test_number_and_string_differ() -> None:
    numbers = MachineDescription((Node("root", (Property("a", 1), Property("b", b"x\0"))),))
    texts = MachineDescription((Node("root", (Property("a", "1"), Property("b", "x"))),))
    assert len(diff(numbers, texts)) == 2


# -- printing


def test_paths_are_unique() -> None:
    for domain in DOMAINS.values():
        paths = domain().paths
        assert len(set(paths)) == len(paths)
        assert "/virtual-devices/console[1]" in paths


def test_paths_of_a_graph_that_goes_round() -> None:
    one, other = Node("a", (Arc("back", 2),)), Node("b", (Arc("back", 1),))
    md = MachineDescription((ROOT, one, other, other))
    assert len(set(md.paths)) == 4


def test_json_has_everything() -> None:
    nodes = json.loads(as_json(t5_domain()))["nodes"]
    by_path = {node["path"]: node for node in nodes}
    assert len(by_path) == len(t5_domain())
    cpu = by_path["/cpus/cpu[2]"]
    assert cpu["properties"]["compatible"] == ["SPARC-T5", "SUNW,sun4v-cpu", "sun4v"]
    assert cpu["arcs"]["back"] == ["/cpus", "/sockets/socket[1]"]
    port = by_path["/virtual-devices/channel-devices/network[0]/vnet-port[0]"]
    assert port["properties"]["remote-mac-address"] == {"hex": MACS.hex()}


def test_text_with_arcs_back() -> None:
    assert "  back -> /cpus\n" in as_text(t5_domain(), back=True)
    assert "back ->" not in as_text(t5_domain())
