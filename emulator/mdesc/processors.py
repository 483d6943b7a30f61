"""The nodes of a machine description that tell of processors: cpu, exec-unit, cache, tlb, socket.

::

    cpus ── cpu ─┬─ exec-unit {ifetch}  ─┬─ cache L1 {instn} ─┐
                 │                       └─ tlb {instn}       ├─ cache L2 ── cache L3
                 ├─ exec-unit {integer} ─┬─ cache L1 {data}  ─┘
                 │                       └─ tlb {data}
                 └─ exec-unit {fp}
    sockets ── socket ── cpu

Vcpus share a unit where the strands they are bound to do. Linux takes those under one L1 {instn} for a core, those
under one integer unit for a processor id, those under one socket for a package.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from emulator.chips import CPU_ARCHS, Chip, compatible, features, find_chip
from emulator.cpu import Cpu, find_cpu
from emulator.cpuarch import hwcap_list, modelled
from emulator.errors import ConfigError
from emulator.mdesc.graph import Graph
from emulator.mdesc.hardware import DATA, INSTN, Cache, Tlb, server_units
from emulator.mdesc.model import Value, string_list
from emulator.mdesc.resources import CryptoUnit, Resources, Vcpu
from emulator.platforms import Platform

MAX_CPU_ID = 0xFFFE  # CPU_MONDO_SEND's lists have 16-bit ids, and 0xffff in them means "served"
ISALIST = ("sparcv9", "sparcv8plus", "sparcv8", "sparcv8-fsmuld", "sparcv7", "sparc")
EXEC_TYPES = {
    "ifetch": ("ifetch",),
    "integer": ("integer", "integer-load", "integer-store"),
    "fp": ("fp",),
}
CONTEXT_BITS = 13
DEV_MONDO_BITS, RESUMABLE_BITS, NONRESUMABLE_BITS = 7, 6, 2
"""Entries of a queue are 1 << bits, in Linux's reading; its defaults."""
MIN_CPU_MONDO_BITS, MAX_CPU_MONDO_BITS = 7, 14
"""Linux gives a CPU that may come later queues of one page, 128 mondos; where more are asked for it cannot start."""


Share = tuple[int, int]
"""Which one of a kind of unit: chip, and number within it."""


class Processors:
    """Builds the processor nodes of one description."""

    def __init__(self, graph: Graph, platform: Platform, resources: Resources) -> None:
        self.graph = graph
        self.chip: Chip = find_chip(platform.chip)
        self.cpu: Cpu = find_cpu(platform.chip, resources.cpu_arch)
        self.units = server_units(platform)
        self.platform = platform
        self.chip_strands = platform.cores_per_chip * self.chip.strands_per_core
        self.resources = resources
        self.nodes: dict[int, int] = {}  # vcpu id -> node
        self._shared: dict[tuple[object, Share], int] = {}
        _check_vcpus(platform, resources)

    def build(self, cpus: int, sockets: int) -> None:
        """Everything under the container nodes `cpus` and `sockets`."""
        for vcpu in self.resources.vcpus:
            node = self.graph.add("cpu", [("id", vcpu.id), *self._common], cpus)
            self.nodes[vcpu.id] = node
            self._add_units(node, vcpu.strand)
        for vcpu in self.resources.vcpus:
            number = vcpu.strand // self.chip_strands
            socket = self._share("socket", (number, 0), [("id", number)], sockets)
            self.graph.link(socket, self.nodes[vcpu.id])
        for unit in self.resources.crypto_units:
            self._add_crypto(unit)

    @cached_property
    def _common(self) -> list[tuple[str, Value | None]]:
        """Properties that all cpu nodes have alike."""
        arch, name = self.resources.cpu_arch, self.chip.name
        names = modelled(features(name, arch))
        shared_contexts = 0 if "t1" in {name, *_class_chips(arch)} else 2
        chips = (self.chip, *map(find_chip, _class_chips(arch)))
        needed = max(segment.ra + segment.size_bytes - 1 for segment in self.resources.memory).bit_length()
        most = self.resources.max_cpus or len(self.resources.vcpus)
        limit = MAX_CPU_MONDO_BITS if most <= len(self.resources.vcpus) else MIN_CPU_MONDO_BITS
        mondo_bits = min(max(MIN_CPU_MONDO_BITS, (2 * most - 1).bit_length()), limit)
        return [
            ("clock-frequency", self.resources.tick_hz or self.platform.clock_hz),
            ("compatible", string_list(*compatible(name, arch))),
            ("isalist", string_list(*ISALIST)),
            ("nwins", self.chip.windows),
            ("mmu-type", "sun4v"),
            ("mmu-page-size-list", self.cpu.page_sizes),
            ("mmu-max-#tsbs", self.cpu.max_tsbs),
            ("mmu-#context-bits", CONTEXT_BITS),
            ("mmu-#shared-contexts", shared_contexts or None),
            ("mmu-#va-bits", self.cpu.va_bits),
            ("mmu-#ra-bits", max(min(chip.ra_bits for chip in chips), needed)),
            ("q-cpu-mondo-#bits", mondo_bits),
            ("q-dev-mondo-#bits", DEV_MONDO_BITS),
            ("q-resumable-#bits", RESUMABLE_BITS),
            ("q-nonresumable-#bits", NONRESUMABLE_BITS),
            ("hwcap-list", string_list(*hwcap_list(names))),
            ("memory-model-list", string_list("tso")),
        ]

    def _share(
        self, what: object, number: Share, properties: Iterable[tuple[str, Value | None]], parent: int
    ) -> int:
        """The node of share `number` of a unit, made at its first use, linked from `parent`."""
        key = (what, number)
        if key not in self._shared:
            kind = what if isinstance(what, str) else _node_name(what)
            self._shared[key] = self.graph.add(kind, properties)
        self.graph.link(parent, self._shared[key])
        return self._shared[key]

    def _number(self, strand: int, strands: int) -> Share:
        """Which of the units that `strands` strands share a strand uses; no unit is shared between chips."""
        return strand // self.chip_strands, strand % self.chip_strands // strands

    def _add_units(self, cpu: int, strand: int) -> None:
        """Execution units of a vcpu, and through them its caches and TLBs."""
        units, front = self.units, self.units.caches[0].strands
        for name, strands, type_ in (
            ("ifetch", front, INSTN),
            ("integer", units.integer_strands, DATA),
            ("fp", units.fp_strands, None),
        ):
            key = ("exec-unit", name)
            unit = self._share(key, self._number(strand, strands), [("type", string_list(*EXEC_TYPES[name]))], cpu)
            if type_:
                self._add_caches(unit, 1, type_, strand)
                for tlb in units.tlbs:
                    if tlb.type == type_:
                        self._share(tlb, self._number(strand, tlb.strands), self._tlb_properties(tlb), unit)

    def _add_caches(self, upper: int, level: int, type_: tuple[str, ...], strand: int) -> None:
        """The cache of a level that holds what `type_` says, and those below it."""
        for cache in self.units.caches:
            if cache.level == level and set(type_) <= set(cache.type):
                node = self._share(cache, self._number(strand, cache.strands), _cache_properties(cache), upper)
                self._add_caches(node, level + 1, type_, strand)

    def _tlb_properties(self, tlb: Tlb) -> list[tuple[str, Value | None]]:
        return [
            ("level", 1),
            ("type", string_list(*tlb.type)),
            ("entries", tlb.entries),
            ("associativity", tlb.entries),
            ("page-size-list", self.cpu.page_sizes),
        ]

    def _add_crypto(self, unit: CryptoUnit) -> None:
        kinds = self.platform.crypto
        if unit.kind not in kinds:
            has = " and ".join(kinds) or "no crypto units"
            raise ConfigError(f"a {self.platform.title} has {has}, not {unit.kind!r}")
        if not unit.vcpus or not set(unit.vcpus) <= self.nodes.keys():
            raise ConfigError(f"{unit.kind} {unit.id} needs vcpus of the domain, not {unit.vcpus}")
        properties: list[tuple[str, Value | None]] = [
            ("id", unit.id),
            ("type", string_list(unit.kind)),
            ("ino", unit.ino),
        ]
        self.graph.add("exec-unit", properties, *(self.nodes[vcpu] for vcpu in unit.vcpus))


def _node_name(what: object) -> str:
    if isinstance(what, Cache):
        return "cache"
    return "tlb" if isinstance(what, Tlb) else "exec-unit"


def _cache_properties(cache: Cache) -> list[tuple[str, Value | None]]:
    return [
        ("level", cache.level),
        ("type", string_list(*cache.type)),
        ("size", cache.size_bytes),
        ("line-size", cache.line_bytes),
        ("associativity", cache.ways),
    ]


def _class_chips(cpu_arch: str) -> frozenset[str]:
    """Names of the chips that a domain of this cpu-arch may come to run on; none for native."""
    return CPU_ARCHS[cpu_arch].chips if cpu_arch in CPU_ARCHS else frozenset()


def _check_vcpus(platform: Platform, resources: Resources) -> None:
    vcpus: tuple[Vcpu, ...] = resources.vcpus
    if not vcpus:
        raise ConfigError("a domain needs a vcpu")
    ids, strands = {vcpu.id for vcpu in vcpus}, {vcpu.strand for vcpu in vcpus}
    if len(ids) != len(vcpus) or len(strands) != len(vcpus):
        raise ConfigError("two vcpus have one id, or one strand")
    if min(ids) < 0 or max(ids) > MAX_CPU_ID:
        raise ConfigError(f"ids of vcpus are 0 to {MAX_CPU_ID}")
    if min(strands) < 0 or max(strands) >= platform.strands:
        raise ConfigError(f"a {platform.title} has strands 0 to {platform.strands - 1}")
    if resources.max_cpus is not None and resources.max_cpus <= max(ids):
        raise ConfigError(f"max_cpus {resources.max_cpus} leaves no room for vcpu {max(ids)}")
