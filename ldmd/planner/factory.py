"""The configuration factory-default: one domain, the control domain, has all of the server."""

from __future__ import annotations

import hashlib
import uuid

from emulator.mblocks import Mblock
from emulator.placement import real_addresses
from ldmd.messages import refuse
from ldmd.model import PRIMARY, Binding, Configuration, Cpus, Domain, MemoryAmount, Server
from ldmd.model.domain import State
from ldmd.planner.hardware import empty_map, hardware, to_blocks

FACTORY_DEFAULT = "factory-default"
MAKER = 0x0021_2800_0000
"""First half of the control domain's MAC address, which is the hardware's and not of the manager's ranges."""


def factory_default(server: Server, *, started_at: float | None = None) -> Configuration:
    """All cores, memory, crypto units and buses are primary's. What identifies it follows from the server's name."""
    bare = Configuration(server=server, domains=())
    facts = hardware(bare)
    memory = empty_map(server)
    owned = [Mblock(run.pa, run.size_bytes, run.node, PRIMARY) for run in memory.free]
    placed = real_addresses((), owned, largest_page=facts.platform.largest_page_bytes, ra_limit=facts.ra_limit)
    if placed is None:
        refuse("memory.real-addresses", name=PRIMARY)
    seed = hashlib.sha256(server.name.encode()).digest()
    mac = MAKER | int.from_bytes(seed[:3], "big")
    crypto = tuple(facts.cores) if facts.has_crypto_units else ()
    primary = Domain(
        name=PRIMARY, uuid=str(uuid.UUID(bytes=seed[16:], version=4)), mac=mac, automatic_mac=False,
        hostid=0x8500_0000 | mac & 0xFF_FFFF, shutdown_group=0, perf_counters=default_counters(bare),
        cpus=Cpus(vcpus=len(facts.strands)), memory=MemoryAmount(size_bytes=memory.free_bytes), crypto=len(crypto),
        io=tuple(root.name for root in facts.platform.roots), state=State.ACTIVE, started_at=started_at,
        binding=Binding(id=0, vcpus=tuple((strand, strand) for strand in facts.strands), memory=to_blocks(placed),
                        crypto=crypto, console_service=""),
    )
    return bare.but(domains=(primary,))


def has_counters(configuration: Configuration) -> bool:
    """True where the firmware can give domains access to performance counters: from the T4 on (inferred)."""
    return hardware(configuration).chip.name not in ("t1", "t2", "t2+", "t3")


def default_counters(configuration: Configuration) -> tuple[str, ...]:
    """Access of a new domain to performance counters."""
    return ("htstrand",) if has_counters(configuration) else ()
