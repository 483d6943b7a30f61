"""Tables of text as `ldm` prints them: columns of fixed width, and what is too long pushes the rest to the right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """A title, how wide the column is with its blank, and where a row's cell comes from: a key or a function."""

    title: str
    width: int
    cell: str | Callable[[Row], str]
    right: bool = False

    def text(self, row: Row) -> str:
        """The cell of a row."""
        if isinstance(self.cell, str):
            value = row.get(self.cell)
            return "" if value is None else str(value)
        return self.cell(row)


def line(columns: Sequence[Column], cells: Iterable[str], indent: int) -> str:
    """One line, without blanks at its end."""
    parts = []
    for column, cell in zip(columns, cells, strict=True):
        width = column.width - 1
        parts.append(cell.rjust(width) if column.right else cell.ljust(width))
    return (" " * indent + " ".join(parts)).rstrip()


def table(columns: Sequence[Column], rows: Iterable[Row], *, indent: int = 4) -> Iterator[str]:
    """Titles and rows."""
    yield line(columns, (column.title for column in columns), indent)
    for row in rows:
        yield line(columns, (column.text(row) for column in columns), indent)


# -- how values are written


def percent(value: float | None) -> str:
    """``0.1%``, from ten on ``23%``; "" for None (ldm list of 1.2 and later)."""
    if value is None:
        return ""
    return f"{value:.1f}%" if value < 9.95 else f"{value:.0f}%"


def memory(size_bytes: int) -> str:
    """``32544M``: the largest of K, M and G that divides exactly."""
    for suffix, shift in (("G", 30), ("M", 20), ("K", 10)):
        if size_bytes and size_bytes % (1 << shift) == 0:
            return f"{size_bytes >> shift}{suffix}"
    return str(size_bytes)


def uptime(seconds: int | None) -> str:
    """``45d 8h 6m``: the parts that are not zero; seconds only below a minute; "" for None."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds}s"
    parts = ((seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "m"))
    return " ".join(f"{number}{unit}" for number, unit in parts if number)


def comma(values: Iterable[Any]) -> str:
    """``5,6``."""
    return ",".join(str(value) for value in values)


def cpuset(strands: Iterable[int]) -> str:
    """``(0, 1, 2, 3)``."""
    return f"({', '.join(str(strand) for strand in strands)})"


def bandwidth(bits: int | None) -> str:
    """``100`` Mbit/s as typed with M, or ``2G``; "" for None."""
    if bits is None:
        return ""
    for suffix, unit in (("G", 10**9), ("M", 10**6), ("K", 10**3)):
        if bits % unit == 0:
            return f"{bits // unit}{suffix}"
    return str(bits)


def on_off(value: bool | None) -> str:
    """``on``, ``off``, or "" for None."""
    return "" if value is None else "on" if value else "off"


def link_text(row: Row) -> str:
    """INTER-VNET-LINK of a switch: what was set, and where that is auto what it comes to."""
    asked = str(row["inter_vnet_link"])
    return asked if asked != "auto" else f"{on_off(row['linked'])}/auto"
