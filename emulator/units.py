"""Sizes, counts and times as people write and read them."""

from __future__ import annotations

import re

from emulator.errors import UnitError

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
TIB = 1 << 40

_FACTORS = {"": 1, "B": 1, "K": KIB, "M": MIB, "G": GIB, "T": TIB}
_SIZE = re.compile(r"([0-9]+)\s*([a-z]*)", re.IGNORECASE)
_SUFFIX = re.compile(r"([KMGT]?)(?:i?B)?", re.IGNORECASE)


def parse_size(text: str | int) -> int:
    """Bytes of a size such as ``"256M"``, ``"1G"``, ``"64KiB"``, ``"0x2000"`` or a plain number of bytes.

    Suffixes are powers of 1024, in either case, as the `ldm` command has them. Raises UnitError.
    """
    if isinstance(text, bool):
        raise UnitError(f"not a size: {text!r}")
    if isinstance(text, int):
        if text < 0:
            raise UnitError(f"a size cannot be negative: {text}")
        return text
    stripped = text.strip()
    if re.fullmatch(r"0[xX][0-9a-fA-F]+", stripped):
        return int(stripped, 16)
    found = _SIZE.fullmatch(stripped)
    if found is None or not stripped.isascii():
        raise UnitError(f"not a size: {text!r} (write for example 256M, 1G, or a number of bytes)")
    suffix = _SUFFIX.fullmatch(found[2])
    if suffix is None:
        raise UnitError(f"unknown unit {found[2]!r} in {text!r} (known: K, M, G, T)")
    return int(found[1]) * _FACTORS[suffix[1].upper()]


def format_size(size_bytes: int) -> str:
    """The shortest exact spelling with a suffix: 268435456 -> ``"256M"``, 8193 -> ``"8193"``."""
    if size_bytes < 0:
        raise UnitError(f"a size cannot be negative: {size_bytes}")
    for suffix in ("T", "G", "M", "K"):
        factor = _FACTORS[suffix]
        if size_bytes and size_bytes % factor == 0:
            return f"{size_bytes // factor}{suffix}"
    return str(size_bytes)


def format_amount(number: float) -> str:
    """About how many bytes, in two digits at least: 50331648 -> ``"48M"``, 3250586 -> ``"3.1M"``."""
    for suffix in ("T", "G", "M", "K"):
        value = number / _FACTORS[suffix]
        if value >= 1:
            return f"{value:.1f}{suffix}" if value < 9.95 else f"{value:.0f}{suffix}"
    return f"{number:.0f}"


def format_duration(seconds: float) -> str:
    """``"41 ms"``, ``"1.25 s"``, ``"17 s"``."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.0f} s"


def parse_count(text: str) -> int:
    """A count such as ``"1000"``, ``"1_000_000"`` or ``"2.5M"``; here K, M, G are powers of 1000."""
    found = re.fullmatch(r"([0-9][0-9_]*)(?:\.([0-9]+))?([KMG]?)", text.strip(), re.IGNORECASE)
    if found is None or not text.isascii():
        raise UnitError(f"not a count: {text!r} (write for example 1000000 or 5M)")
    power = {"": 0, "K": 3, "M": 6, "G": 9}[found[3].upper()]
    fraction = found[2] or ""
    if len(fraction) > power:
        raise UnitError(f"not a whole count: {text!r}")
    return int(found[1].replace("_", "") + fraction + "0" * (power - len(fraction)))
