"""Properties as ``.properties`` shows them. Source: OpenBoot: which names hold numbers, how values are told to be text."""

from __future__ import annotations

from emulator.firmware.devtree import Node

DUMP_BYTES = 16


def _cells(node: Node | None, name: str, default: int) -> int:
    """A count of cells a node declares for its children."""
    value = node.properties.get(name) if node is not None else None
    return min(int.from_bytes(value[:4], "big"), 8) if value else default


def _line_cells(node: Node, name: str) -> int | None:
    """How many numbers of a property stand on a line; None: it is not known to hold numbers."""
    parent_address = _cells(node.parent, "#address-cells", 2)
    if name in ("reg", "available", "existing"):
        return parent_address + (_cells(node.parent, "#size-cells", 1) if node.parent is not None else 0)
    if name == "ranges":
        return _cells(node, "#address-cells", 2) + parent_address + _cells(node, "#size-cells", 1)
    return {"address": 1, "interrupts": 1, "intr": 2, "clock-frequency": 1}.get(name)


def is_text(value: bytes) -> bool:
    """Is a property one string or several: printable, each ended by one NUL?"""
    if not value or value[-1]:
        return False
    parts = value[:-1].split(b"\0")
    return all(part and all(32 <= byte <= 126 or byte in b"\r\n" for byte in part) for part in parts)


def _numbers(value: bytes, per_line: int) -> list[str]:
    """32-bit numbers, several on a line."""
    whole = [value[place : place + 4] for place in range(0, len(value), 4)]
    step = max(per_line, 1)
    return [
        "".join(f"{cell.hex():0>8} " for cell in whole[place : place + step]) for place in range(0, len(whole), step)
    ]


def property_lines(node: Node, name: str) -> list[str]:
    """The lines a property's value is shown on; none for an empty one."""
    value = node.properties[name]
    if not value:
        return []
    per_line = _line_cells(node, name)
    if per_line is not None:
        return _numbers(value, per_line)
    if is_text(value):
        return [part.decode("latin-1") for part in value[:-1].split(b"\0")]
    if len(value) == 4:
        return _numbers(value, 1)
    return [value[:DUMP_BYTES].hex(" ") + (" ..." if len(value) > DUMP_BYTES else " ")]
