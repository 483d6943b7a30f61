"""Compression of payloads: what is installed, and which to use for a link that was measured.

lz4 and zstd come from the packages `lz4` and `zstandard` where they are installed; zlib is always there. A payload that
does not shrink by a tenth goes as it is; after eight such in a row nothing is tried for a second.
"""

from __future__ import annotations

import importlib
import importlib.util
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from emulator._core_stream import ChunkError
from emulator.stream.chunks import Algorithm

_MODULES = {"lz4": "lz4", "zstd": "zstandard"}
"""Looked for when a worker begins, and loaded where they are used: most migrations compress nothing."""

WORTH = 0.9
TRIES = 8
REST_SECONDS = 1.0
LZ4_BELOW = 1_000_000_000
ZSTD_BELOW = 200_000_000
ZLIB_BELOW = 60_000_000
"""Bytes a second of the link under which each is worth it for one core (docs/internals/stream.md has the figures)."""
_WINDOW = 1 << 20

NAMES = {"lz4": Algorithm.LZ4, "zstd": Algorithm.ZSTD, "zlib": Algorithm.ZLIB}


def available() -> tuple[str, ...]:
    """Algorithms of this installation, the fastest first."""
    return (*(name for name, module in _MODULES.items() if importlib.util.find_spec(module)), "zlib")


class Codec:
    """Compresses and expands; one for a thread."""

    def __init__(self) -> None:
        self._available = available()
        self._zstd: tuple[Any, Any] | None = None

    def _zstandard(self) -> tuple[Any, Any]:
        """(compressor, decompressor)."""
        if self._zstd is None:
            module = importlib.import_module("zstandard")
            self._zstd = module.ZstdCompressor(level=-1), module.ZstdDecompressor(max_window_size=_WINDOW)
        return self._zstd

    def compress(self, algorithm: int, data: memoryview) -> bytes:
        """The data, smaller or not."""
        if algorithm == Algorithm.LZ4:
            lz4 = importlib.import_module("lz4.block")
            return bytes(lz4.compress(data, mode="fast", acceleration=4, store_size=False))
        if algorithm == Algorithm.ZSTD:
            return bytes(self._zstandard()[0].compress(data))
        return zlib.compress(data, 1)

    def expand(self, algorithm: int, data: memoryview, raw_bytes: int) -> bytes:
        """What was compressed; exactly raw_bytes of it, and never more is made. Raises ChunkError."""
        name = next((name for name, number in NAMES.items() if number == algorithm), "")
        if name not in self._available:
            raise ChunkError(f"algorithm {algorithm} is not installed here")
        try:
            out = self._expanded(name, data, raw_bytes)
        except _ERRORS as error:
            raise ChunkError(f"a payload that cannot be expanded: {type(error).__name__}") from None
        except Exception as error:
            if type(error).__name__ not in _THEIR_ERRORS:
                raise
            raise ChunkError(f"a payload that cannot be expanded: {type(error).__name__}") from None
        if len(out) != raw_bytes:
            raise ChunkError("a compressed payload of another length")
        return out

    def _expanded(self, name: str, data: memoryview, raw_bytes: int) -> bytes:
        if name == "lz4":
            return bytes(importlib.import_module("lz4.block").decompress(data, uncompressed_size=raw_bytes))
        if name == "zstd":
            expand = self._zstandard()[1]
            if importlib.import_module("zstandard").frame_content_size(data) != raw_bytes:
                raise ChunkError("a compressed payload of another length")
            return bytes(expand.decompress(data, max_output_size=raw_bytes))
        return zlib.decompressobj().decompress(data, raw_bytes + 1)


_ERRORS = (ValueError, RuntimeError, MemoryError, zlib.error)
_THEIR_ERRORS = ("LZ4BlockError", "ZstdError")


@dataclass(frozen=True, kw_only=True)
class LinkFacts:
    """What was measured of late. `link_bound`: the sender waited for the link, and the target for input."""

    bytes_per_second: float
    link_bound: bool


class Chooser:
    """Which algorithm the next payloads get. `clock`: seconds."""

    def __init__(self, wish: str, common: tuple[str, ...], clock: Callable[[], float]) -> None:
        self._clock = clock
        self._fixed = wish if wish in common else None
        self._off = wish == "none"
        self._common = common
        self._chosen = Algorithm.NONE
        self._vain = 0
        self._rest_until = float("-inf")

    def current(self) -> Algorithm:
        """For the next payload."""
        if self._off or self._clock() < self._rest_until:
            return Algorithm.NONE
        return NAMES[self._fixed] if self._fixed else self._chosen

    def tried(self, raw_bytes: int, packed_bytes: int) -> bool:
        """Is the packed form worth sending?"""
        if packed_bytes <= raw_bytes * WORTH:
            self._vain = 0
            return True
        self._vain += 1
        if self._vain >= TRIES:
            self._vain, self._rest_until = 0, self._clock() + REST_SECONDS
        return False

    def measured(self, facts: LinkFacts) -> None:
        """Choose anew."""
        self._chosen = self._best(facts)

    def _best(self, facts: LinkFacts) -> Algorithm:
        if not facts.link_bound:
            # what is compressed already may be why the link has room: only give up where it is fast without
            return self._chosen if 0 < facts.bytes_per_second < ZSTD_BELOW else Algorithm.NONE
        for name, below in (("zstd", ZSTD_BELOW), ("lz4", LZ4_BELOW), ("zlib", ZLIB_BELOW)):
            if name in self._common and facts.bytes_per_second < below:
                return NAMES[name]
        return Algorithm.NONE
