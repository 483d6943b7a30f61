"""Servers by the name a person writes: the catalogue, and servers of one's own from TOML files.

`PLATFORMS` is the catalogue; `find_platform` takes a server's name, a chip's, or the path of a file ending in .toml.
docs/reference/platforms.md describes the files.
"""

from __future__ import annotations

from pathlib import Path

from emulator.chips import ALIASES
from emulator.errors import PlatformFileError, UnknownPlatformError
from emulator.platforms.catalogue import SUFFIX, Catalogue, chip_facts, load_platform, parse_platform
from emulator.platforms.model import Bank, Cache, ChannelLimits, ChipFacts, Endpoint, Platform, Root

__all__ = ["PLATFORMS", "Bank", "Cache", "ChannelLimits", "ChipFacts", "Endpoint", "Platform", "Root",
           "chip_facts", "find_platform", "load_platform", "parse_platform"]

PLATFORMS = Catalogue()


def find_platform(name: str) -> Platform:
    """The platform of that name; for a chip's name its first server; for a path ending in .toml the file's.

    Raises UnknownPlatformError for a name, PlatformFileError for a file that cannot be read or is wrong.
    """
    if name.lower().endswith(SUFFIX):
        try:
            return load_platform(Path(name))
        except OSError as error:
            raise PlatformFileError([f"{name}: {error.strerror or error}"]) from None
    wanted = name.lower()
    if wanted in PLATFORMS:
        return PLATFORMS[wanted]
    facts = chip_facts().get(ALIASES.get(wanted, wanted))
    if facts is None:
        raise UnknownPlatformError(f"unknown platform {name!r} (see `sun4v platforms`, or name a chip)")
    return PLATFORMS[facts.server]
