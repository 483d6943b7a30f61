"""Small SPARC V9 ELF files made by hand, and programs as instruction words: tests need no cross compiler."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

ENTRY = 0x10000
NOP = 0x01000000
TA_FAST = 0x91D02080  # ta 0x80: fast hypercall
LOOP = [0x10800000, NOP]  # ba . ; nop
ILLTRAP = 0x00000000
MACH_EXIT, CPU_YIELD, CONS_GETCHAR, CONS_PUTCHAR = 0x00, 0x12, 0x60, 0x61


def mov(value: int, register: str) -> int:
    """`mov value, register`: value is a simm13, register one of g0..i7."""
    number = "goli".index(register[0]) * 8 + int(register[1])
    return 0x80102000 | number << 25 | (value & 0x1FFF)


def hypercall(function: int, *args: int) -> list[int]:
    """Fast hypercall with arguments in %o0, %o1 ..."""
    return [*(mov(arg, f"o{index}") for index, arg in enumerate(args)), mov(function, "o5"), TA_FAST]


def exit_with(code: int) -> list[int]:
    """MACH_EXIT(code)."""
    return hypercall(MACH_EXIT, code)


def say(text: str) -> list[int]:
    """CONS_PUTCHAR for each character."""
    return [word for char in text.encode() for word in hypercall(CONS_PUTCHAR, char)]


def code(*words: int) -> bytes:
    """Instruction words as bytes."""
    return b"".join(struct.pack(">I", word) for word in words)


@dataclass(frozen=True, kw_only=True)
class Load:
    """One program header of a hand-made file; None: what fits."""

    data: bytes
    pa: int = ENTRY
    va: int | None = None
    file_bytes: int | None = None
    memory_bytes: int | None = None
    offset: int | None = None
    flags: int = 7
    kind: int = 1


def make_elf(
    loads: Sequence[Load],
    *,
    entry: int = ENTRY,
    ident: bytes = b"\x7fELF\x02\x02\x01" + bytes(9),
    kind: int = 2,
    machine: int = 43,
    phoff: int = 64,
    phentsize: int = 56,
    phnum: int | None = None,
    ehsize: int = 64,
) -> bytes:
    """An ELF file; every field can be made wrong."""
    count = len(loads) if phnum is None else phnum
    header = struct.pack(
        ">16sHHIQQQIHHHHHH", ident, kind, machine, 1, entry, phoff, 0, 0, ehsize, phentsize, count, 0, 0, 0
    )
    place = 64 + 56 * len(loads)
    table = body = b""
    for load in loads:
        size = len(load.data)
        file_bytes = size if load.file_bytes is None else load.file_bytes
        memory_bytes = file_bytes if load.memory_bytes is None else load.memory_bytes
        offset = place + len(body) if load.offset is None else load.offset
        va = load.pa if load.va is None else load.va
        table += struct.pack(">IIQQQQQQ", load.kind, load.flags, offset, va, load.pa, file_bytes, memory_bytes, 8)
        body += load.data
    return header + table + body


def program(*words: int) -> bytes:
    """An ELF file of one segment at ENTRY."""
    return make_elf([Load(data=code(*words))])
