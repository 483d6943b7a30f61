"""Loads, stores, atomics, prefetch and flush.

The body is a small language the generator reads, ``verb type [asi]``:

* ``load T`` and ``store T`` with T of u8 u16 u32 u64, i8 i16 i32 (sign extended), f32 f64 (FP register file),
  pair (two 32-bit words, even rd, else illegal_instruction), fsr32 fsr64 efsr64;
* ``swap u32``, ``ldstub u8``, ``cas u32``, ``cas u64``: atomic read and write;
* ``asi`` at the end: an alternate-space form, imm_asi when i=0, %asi when i=1.

V9 A.20 to A.29, A.41 to A.43, A.51 to A.57.  Quad loads and stores are not in the hardware of any sun4v chip and
give illegal_instruction (UA2005 7.48), where the kernel completes them.
"""

from __future__ import annotations

from ..table import Op, op

OP3 = 0xC0000000  # op = 3


def _word(op3: int, rd: int = 0) -> int:
    return OP3 | rd << 25 | op3 << 19


# row name, assembler mnemonic, op3, type in the little language
_INTEGER = (
    ("lduw", "ld", 0x00, "u32"), ("ldub", "ldub", 0x01, "u8"), ("lduh", "lduh", 0x02, "u16"),
    ("ldd", "ldtw", 0x03, "pair"), ("ldsw", "ldsw", 0x08, "i32"), ("ldsb", "ldsb", 0x09, "i8"),
    ("ldsh", "ldsh", 0x0A, "i16"), ("ldx", "ldx", 0x0B, "u64"),
    ("stw", "st", 0x04, "u32"), ("stb", "stb", 0x05, "u8"), ("sth", "sth", 0x06, "u16"), ("std", "sttw", 0x07, "pair"),
    ("stx", "stx", 0x0E, "u64"),
)
_FLOAT = (
    ("ldf", "ld", 0x20, "f32", "fsd"), ("lddf", "ldd", 0x23, "f64", "fdd"),
    ("stf", "st", 0x24, "f32", "fsd"), ("stdf", "std", 0x27, "f64", "fdd"),
)
_QUAD = (("ldqf", "ldq", 0x22), ("stqf", "stq", 0x26))


def _pair(name: str, asm: str, op3: int, kind: str, register: str, hot: bool) -> list[Op]:
    """The plain row and its alternate-space row (op3 + 0x10)."""
    load = name.startswith("ld")
    verb = "load" if load else "store"
    rows = []
    for suffix, address, extra in (("", "addr", " hot" if hot else ""), ("a", "asiaddr", "")):
        args = f"{address} -> {register}" if load else f"{register}, {address}"
        body = f"{verb} {kind}" + (" asi" if suffix else "")
        rows.append(op(name + suffix, _word(op3 + (0x10 if suffix else 0)), args, body, flags=verb + extra,
                       mnemonic=asm + suffix))
    return rows


def _plain() -> list[Op]:
    rows = []
    for name, asm, op3, kind in _INTEGER:
        rows += _pair(name, asm, op3, kind, "rd", kind != "pair")
    for name, asm, op3, kind, register in _FLOAT:
        rows += _pair(name, asm, op3, kind, register, True)
    for name, asm, op3 in _QUAD:
        load = name == "ldqf"
        for suffix, address in (("", "addr"), ("a", "asiaddr")):
            rows.append(op(name + suffix, _word(op3 + (0x10 if suffix else 0)),
                           f"{address} -> fqd" if load else f"fqd, {address}", "TRAP(0x10);",
                           flags="nofpu", mnemonic=asm + suffix))
    return rows


def _state() -> list[Op]:
    """The FSR to and from memory."""
    return [
        op("ldfsr", _word(0x21, 0), "addr", "load fsr32", flags="load special fpu", mnemonic="ld",
           syntax="{addr}, %fsr"),
        op("ldxfsr", _word(0x21, 1), "addr", "load fsr64", flags="load special fpu", mnemonic="ldx",
           syntax="{addr}, %fsr"),
        op("ldxefsr", _word(0x21, 3), "addr", "load efsr64", feature="vis3b", flags="load special fpu",
           mnemonic="ldx", syntax="{addr}, %efsr"),
        op("stfsr", _word(0x25, 0), "addr", "store fsr32", flags="store special fpu", mnemonic="st",
           syntax="%fsr, {addr}"),
        op("stxfsr", _word(0x25, 1), "addr", "store fsr64", flags="store special fpu", mnemonic="stx",
           syntax="%fsr, {addr}"),
    ]


def _atomics() -> list[Op]:
    rows = []
    for suffix, address, extra in (("", "addr", 0), ("a", "asiaddr", 0x10)):
        asi = " asi" if suffix else ""
        rows.append(op("swap" + suffix, _word(0x0F + extra), f"{address} -> rd+", "swap u32" + asi, flags="atomic"))
        rows.append(op("ldstub" + suffix, _word(0x0D + extra), f"{address} -> rd", "ldstub u8" + asi,
                       flags="atomic"))
    for name, op3, kind in (("casa", 0x3C, "u32"), ("casxa", 0x3E, "u64")):
        rows.append(op(name, _word(op3), "rs1, casasi, rs2 -> rd+", f"cas {kind} asi", flags="atomic",
                       syntax="[ {rs1} ] {casasi}, {rs2}, {rd}"))
    return rows


ROWS: list[Op] = _plain() + _state() + _atomics() + [
    # fcn 5..15 are reserved; the other codes are hints without effect here.
    op("prefetch", _word(0x2D), "addr, prefetch", "prefetch", flags="special"),
    op("prefetcha", _word(0x3D), "asiaddr, prefetch", "prefetch asi", flags="special"),
    op("flush", 0x81D80000, "addr", "flush", flags="special"),
]
