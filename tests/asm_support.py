"""An assembler out of the instruction table: `asm("ldxa", ("g1", 8, 0x20), "g2")` is one word.

Operands stand in the order of the row's `args` in csrc/isa/groups, destination last:

========================  =====================================================================
rs1 rs2 rd                "g0".."i7"
fs*, fd*, fsd, fdd        "f0".."f31", "d0".."d62"
ri, ri8, shcnt*, simm13   "g0".."i7" (i=0) or a number (i=1)
addr                      (base, offset): offset a register or a number
asiaddr                   (base, register, asi) uses the ASI given, (base, number) uses %asi
casasi                    an ASI, or None for %asi
disp*                     bytes from the branch
annul, bpp, imm*, membar  numbers
========================  =====================================================================
"""

from __future__ import annotations

import struct
from functools import cache

from csrc.isa.groups import ALL
from csrc.isa.table import FIELDS, I_FIELDS, Op

Operand = object
I_BIT = 0x2000
NOP = 0x01000000
HERE = 0x30800000  # ba,a .: stays where it is


@cache
def _rows() -> dict[str, Op]:
    return {row.name: row for row in ALL}


def register(name: str) -> int:
    """Number of an integer register, or the field of an FP register."""
    if name[0] in "goli":
        return "goli".index(name[0]) * 8 + int(name[1:])
    number = int(name[1:])
    return number if name[0] == "f" else (number & 0x1E) | number >> 5


def _put(spans: tuple[tuple[int, int], ...], value: int) -> int:
    """The value's low bits in the first span, the next above."""
    word = 0
    for low, width in spans:
        word |= (value & ((1 << width) - 1)) << low
        value >>= width
    return word


def _second(token: str, value: Operand) -> int:
    if isinstance(value, str):
        return register(value)
    assert isinstance(value, int)
    return I_BIT | _put(I_FIELDS[token][1], value)


def _address(token: str, value: Operand) -> int:
    assert isinstance(value, tuple)
    word = register(value[0]) << 14
    if isinstance(value[1], str):
        word |= register(value[1])
        return word | value[2] << 5 if token == "asiaddr" else word
    return word | I_BIT | value[1] & 0x1FFF


def _field(token: str, value: Operand) -> int:
    if token in ("addr", "asiaddr"):
        return _address(token, value)
    if token == "casasi":
        return I_BIT if value is None else int(value) << 5  # type: ignore[call-overload,no-any-return]
    if token in I_FIELDS:
        return _second(token, value)
    if isinstance(value, str):
        value = register(value)
    assert isinstance(value, int)
    return _put(FIELDS[token], value // 4 if token.startswith("disp") else value)


def asm(name: str, *operands: Operand) -> int:
    """The word of the row `name` with its operands."""
    row = _rows()[name]
    tokens = row.tokens()
    assert len(tokens) == len(operands), f"{name}: {row.args}"
    word = row.match
    for token, operand in zip(tokens, operands, strict=True):
        word |= _field(token, operand)
    return word


def ta(number: int) -> int:
    """Trap always."""
    return asm("ta_icc", "g0", number)


def code(*words: int) -> bytes:
    """Words as guest memory holds them."""
    return b"".join(struct.pack(">I", word) for word in words)
