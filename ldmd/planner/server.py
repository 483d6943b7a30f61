"""Facts of the server a configuration is for."""

from __future__ import annotations

from functools import lru_cache

from emulator.chips import find_chip
from emulator.mblocks import MemoryMap
from emulator.platforms import Platform, find_platform, parse_platform
from ldmd.model import Server


@lru_cache(maxsize=16)
def platform_of(server: Server) -> Platform:
    """The catalogue's, or the one that its own text describes. Raises UnknownPlatformError, PlatformFileError."""
    if server.platform_toml:
        return parse_platform(server.platform_toml, server.platform)
    return find_platform(server.platform)


def strands_per_core(server: Server) -> int:
    """Hardware threads of each core. Strand n is on core n // strands_per_core."""
    return find_chip(platform_of(server).chip).strands_per_core


@lru_cache(maxsize=16)
def empty_memory(server: Server) -> MemoryMap:
    """Physical memory with nothing given out but what firmware keeps."""
    platform = platform_of(server)
    return MemoryMap.of_banks(platform.fill(server.memory_bytes), platform.reserved)
