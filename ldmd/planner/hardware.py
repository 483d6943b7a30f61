"""The server of a configuration: its platform, its cores and strands, its memory map with who has what.

Strands are numbered through the server: core 0 has strands 0 to 7 on most chips, cores of chip 0 come first. Those are
the PIDs and CIDs of all lists.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from emulator.chips import Chip, find_chip
from emulator.mblocks import Mblock, MemoryMap
from emulator.platforms import Platform
from ldmd.model import Configuration, MemoryBlock, Server
from ldmd.planner.server import empty_memory, platform_of


@dataclass(frozen=True)
class Hardware:
    """A server's platform, and what follows from it for planning."""

    platform: Platform
    chip: Chip

    @property
    def strands_per_core(self) -> int:
        """Strands of each core."""
        return self.chip.strands_per_core

    @property
    def cores(self) -> range:
        """All core ids."""
        return range(self.platform.cores)

    @property
    def strands(self) -> range:
        """All strand ids."""
        return range(self.platform.strands)

    def core_of(self, strand: int) -> int:
        """The core that a strand belongs to."""
        return strand // self.strands_per_core

    def strands_of(self, core: int) -> range:
        """The strands of a core."""
        return range(core * self.strands_per_core, (core + 1) * self.strands_per_core)

    def socket_of(self, core: int) -> int:
        """The socket of a core."""
        return core // self.platform.cores_per_chip

    def node_of(self, core: int) -> int:
        """The memory node nearest to a core."""
        return self.platform.node_of_socket(self.socket_of(core))

    @property
    def has_crypto_units(self) -> bool:
        """True where domains are given crypto units (T1 to T3); later chips have instructions."""
        return bool(self.platform.crypto)

    @property
    def ra_limit(self) -> int:
        """Real addresses end here."""
        return 1 << self.chip.ra_bits


def hardware(configuration: Configuration) -> Hardware:
    """The hardware of a configuration's server. Raises ConfigError for a platform that is not known or wrong."""
    return _hardware(configuration.server)


@lru_cache(maxsize=16)
def _hardware(server: Server) -> Hardware:
    platform = platform_of(server)
    return Hardware(platform, find_chip(platform.chip))


def strand_owners(configuration: Configuration) -> dict[int, str]:
    """Which domain has a strand, for all that are given out."""
    return {strand: domain.name for domain in configuration.domains if domain.binding is not None
            for _, strand in domain.binding.vcpus}


def crypto_owners(configuration: Configuration) -> dict[int, str]:
    """Which domain has the crypto unit of a core, for all that are given out."""
    return {core: domain.name for domain in configuration.domains if domain.binding is not None
            for core in domain.binding.crypto}


def memory_map(configuration: Configuration) -> MemoryMap:
    """The server's memory with all that domains have. Raises ConfigError where two have the same."""
    given = tuple((domain.name, domain.binding.memory) for domain in configuration.domains if domain.binding)
    return _memory_map(configuration.server, given)


@lru_cache(maxsize=16)
def _memory_map(server: Server, given: tuple[tuple[str, tuple[MemoryBlock, ...]], ...]) -> MemoryMap:
    empty = empty_memory(server)
    blocks = []
    for owner, memory in given:
        for block in memory:
            home = empty.at(block.pa)
            blocks.append(Mblock(block.pa, block.size_bytes, home.node if home else -1, owner, block.ra))
    return empty.assign(blocks)


def to_blocks(blocks: tuple[Mblock, ...]) -> tuple[MemoryBlock, ...]:
    """An owner's blocks of a map as a binding has them: by ascending real address."""
    ordered = sorted(blocks, key=lambda each: each.ra or 0)
    return tuple(MemoryBlock(block.ra or 0, block.pa, block.size_bytes) for block in ordered)


def nodes_of(server: Hardware, cores: Iterable[int]) -> tuple[int, ...]:
    """The memory nodes of some cores, that with most of them first."""
    count: dict[int, int] = {}
    for core in cores:
        node = server.node_of(core)
        count[node] = count.get(node, 0) + 1
    return tuple(sorted(count, key=lambda node: (-count[node], node)))
