"""Which TCP ports of this host somebody listens at: a console cannot be reached at one of another program."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
LISTEN = "0A"
MOST_BYTES = 64 << 20


def listening_ports(tables: tuple[Path, ...] = TABLES) -> frozenset[int]:
    """Of any address, since any of them is in the way (proc(5), /proc/net/tcp). Empty where the host does not tell."""
    ports = set()
    for table in tables:
        with contextlib.suppress(OSError):
            for fields in tcp_rows(table):
                if len(fields) > 3 and fields[3] == LISTEN:
                    ports.add(int(fields[1].rpartition(":")[2], 16))
    return frozenset(ports)


def tcp_rows(table: Path) -> Iterator[list[str]]:
    """The columns of each socket in one of the kernel's tables. Raises OSError."""
    with table.open("rb") as file:
        rows = file.read(MOST_BYTES).decode("ascii", "replace").splitlines()[1:]
    yield from (row.split() for row in rows)
