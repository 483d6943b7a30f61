"""Feature names and their bits: the Python view of ``csrc/isa/feature.def``.

The file is the only place where a bit number stands. It is read from the source tree, or from the package
where the build has put a copy of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from emulator.errors import ConfigError

_ROW = re.compile(r'^FEATURE\(\s*(\d+),\s*"([^"]+)",\s*"([^"]*)",\s*"([^"]*)"\)\s*$', re.MULTILINE)

ONLY_32BIT = frozenset({"mul32", "div32", "fsmuld", "v8plus"})
"""Words that `isainfo -v` prints for 32-bit programs only: V9 programs take them for granted."""

# Semantics that are not published, or hardware that is not emulated. A chip that has one of these is emulated
# without it: the guest is not told, and the encodings are illegal instructions.
UNMODELLED = frozenset(
    {
        *("random", "trans", "cspare", "adi"),
        *("sparc6", "onadd", "onmul", "ondiv", "dictunp", "fpcmpshl", "rle", "sha3", "mme"),
        *("fjathplus", "fjathplus2", "fjathhpc", "fjdes", "fjaes", "vis3c", "sparc5b"),
    }
)

REGISTERS_ONLY = frozenset({"adi"})
"""Of those, the ones whose registers are there all the same: Linux writes PMCDPER at every trap of an M7."""


@dataclass(frozen=True)
class Feature:
    """One line of feature.def."""

    bit: int
    name: str  # isainfo word
    hwcaps: tuple[str, ...]  # strings of the machine description's hwcap-list; may be empty
    sentence: str


def _definition() -> Path:
    here = Path(__file__).resolve().parent
    for path in (here / "feature.def", here.parent / "csrc" / "isa" / "feature.def"):
        if path.exists():
            return path
    raise ConfigError("feature.def is missing from the installation")


def parse_features(text: str) -> dict[str, Feature]:
    """The rows of a feature.def by name, ascending by bit. Raises ConfigError on a row it cannot read."""
    found = _ROW.findall(text)
    rows = [Feature(int(bit), name, tuple(caps.split()), sentence) for bit, name, caps, sentence in found]
    if len(rows) != len(re.findall(r"^FEATURE\b", text, re.MULTILINE)):
        raise ConfigError("feature.def: a FEATURE line is not FEATURE(bit, string, string, string)")
    table = {row.name: row for row in sorted(rows, key=lambda row: row.bit)}
    if len(table) != len(rows) or len({row.bit for row in rows}) != len(rows):
        raise ConfigError("feature.def: a name or a bit is given twice")
    return table


@cache
def feature_table() -> dict[str, Feature]:
    """Every feature by its isainfo word, ascending by bit."""
    return parse_features(_definition().read_text())


def _lookup(names: Iterable[str]) -> list[Feature]:
    table = feature_table()
    wanted = set(names)
    if unknown := sorted(wanted - table.keys()):
        raise ConfigError(f"unknown CPU features: {', '.join(unknown)}")
    return [row for name, row in table.items() if name in wanted]


def feature_mask(names: Iterable[str]) -> int:
    """The 64-bit mask of `s4v_config.features`. Raises ConfigError for a word feature.def does not have."""
    return sum(1 << row.bit for row in _lookup(names))


def feature_names(mask: int) -> frozenset[str]:
    """The words of a mask; the inverse of `feature_mask`. Bits without a name are ignored."""
    return frozenset(name for name, row in feature_table().items() if mask >> row.bit & 1)


def modelled(names: Iterable[str]) -> frozenset[str]:
    """Those features that the emulator executes: what a guest may be told of."""
    return frozenset(names) - UNMODELLED


def hwcap_list(names: Iterable[str]) -> tuple[str, ...]:
    """Strings of the machine description's ``hwcap-list``, in Linux's spelling, ascending by bit."""
    return tuple(cap for row in _lookup(names) for cap in row.hwcaps)


def isainfo_words(names: Iterable[str], *, bits: int = 64) -> tuple[str, ...]:
    """The words `isainfo -v` prints for 64- or 32-bit programs, highest bit first.

    Where Solaris puts those of the second AV_SPARC word is not documented; here they come first (inferred).
    """
    return tuple(row.name for row in reversed(_lookup(names)) if bits == 32 or row.name not in ONLY_32BIT)
