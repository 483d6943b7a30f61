"""Numbers and bytes in packets."""

from __future__ import annotations

import re

MASK64 = (1 << 64) - 1


class PacketError(Exception):
    """A packet makes no sense."""


def number(text: str, *, most: int = MASK64) -> int:
    """A hexadecimal number as the protocol writes it. Raises PacketError."""
    if not re.fullmatch(r"[0-9a-fA-F]{1,16}", text) or int(text, 16) > most:
        raise PacketError
    return int(text, 16)


def two_numbers(text: str) -> tuple[int, int]:
    """Two of them with a comma between. Raises PacketError."""
    first, comma, second = text.partition(",")
    if not comma:
        raise PacketError
    return number(first), number(second)


def data(text: str) -> bytes:
    """Bytes in hexadecimal. Raises PacketError."""
    if len(text) % 2 or not re.fullmatch(r"[0-9a-fA-F]*", text):
        raise PacketError
    return bytes.fromhex(text)
