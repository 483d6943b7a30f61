"""The configuration of a server as it leaves the factory: the control domain has everything."""

from __future__ import annotations

import hashlib
from random import Random
from uuid import UUID

from emulator.placement import Amount, Placement, largest_domain, place
from ldmd.messages import refuse
from ldmd.model import PRIMARY, Binding, Configuration, Cpus, Domain, MemoryAmount, MemoryBlock, Server, State
from ldmd.planner.server import empty_memory, platform_of

FACTORY = "factory-default"
HARDWARE_MAC = 0x002128 << 24
"""Sun's block for the boards of servers; the last three bytes come from the machine's name."""
HOSTID = 0x85 << 24
"""First byte of a hostid that comes from a hardware MAC address (as the hostids in the guide's examples are)."""


def factory_default(server: Server, *, rng: Random, started_at: float) -> Configuration:
    """All cores, all memory, all crypto units and all buses in the control domain, which is active; nothing else."""
    platform = platform_of(server)
    low = int.from_bytes(hashlib.sha256(server.name.encode()).digest()[:3], "big")
    memory = _all_memory(server)
    domain = Domain(
        name=PRIMARY,
        uuid=str(UUID(int=rng.getrandbits(128), version=4)),
        mac=HARDWARE_MAC | low,
        hostid=HOSTID | low,
        shutdown_group=0,
        perf_counters=default_counters(server),
        cpus=Cpus(vcpus=platform.strands),
        memory=MemoryAmount(size_bytes=sum(block.size_bytes for block in memory)),
        crypto=platform.crypto_units,
        io=tuple(root.name for root in platform.roots),
        state=State.ACTIVE,
        started_at=started_at,
        binding=Binding(
            id=0,
            vcpus=tuple((strand, strand) for strand in range(platform.strands)),
            memory=memory,
            crypto=tuple(range(platform.crypto_units)),
        ),
    )
    return Configuration(server=server, domains=(domain,))


def has_counters(server: Server) -> bool:
    """True where firmware can give domains access to performance counters: from the T4 on (inferred)."""
    return platform_of(server).chip not in ("t1", "t2", "t2+", "t3")


def default_counters(server: Server) -> tuple[str, ...]:
    """Access of a new domain to performance counters."""
    return ("htstrand",) if has_counters(server) else ()


def _all_memory(server: Server) -> tuple[MemoryBlock, ...]:
    memory = empty_memory(server)
    request = Amount(owner=PRIMARY, size_bytes=largest_domain(memory),
                     largest_page=platform_of(server).largest_page_bytes)
    placed = place(memory, request)
    if not isinstance(placed, Placement):
        refuse("manager.conflict", problem=f"the control domain's memory finds no place: {placed}")
    return tuple(MemoryBlock(block.ra or 0, block.pa, block.size_bytes) for block in placed.blocks)
