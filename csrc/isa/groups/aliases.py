"""Other spellings: what the disassembler prints for a word of some row when the operands have special values.

The assembler's synthetic instructions (V9 appendix G) as GNU objdump prints them.  Aliases of a row are tried in the
order given; the first whose fields all match is used.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..table import FIELDS, Op

ALIAS_FIELDS: dict[str, tuple[int, int]] = {"i": (13, 1), "imm_asi": (5, 8)} | {
    name: FIELDS[name][0] for name in ("rd", "rs1", "rs2", "fcc", "simm13", "annul", "bpp")
}


@dataclass(frozen=True)
class Alias:
    """``syntax`` for the words of row ``row`` with ``(insn & mask) == value`` and the two ``same`` fields equal."""

    row: str
    mnemonic: str
    syntax: str
    mask: int
    value: int
    same: tuple[str, str] | None = None

    def matches(self, insn: int) -> bool:
        """Whether the alias is the spelling of ``insn``, a word of its row."""
        if (insn & self.mask) != self.value:
            return False
        return self.same is None or _field(insn, self.same[0]) == _field(insn, self.same[1])


def _field(insn: int, name: str) -> int:
    low, width = ALIAS_FIELDS[name]
    return insn >> low & ((1 << width) - 1)


def alias(row: str, mnemonic: str, syntax: str = "", *, same: str = "", **fields: int) -> Alias:
    """One alias; ``fields`` are the values it asks for, ``same`` two field names that hold the same register."""
    mask = value = 0
    for name, number in fields.items():
        low, width = ALIAS_FIELDS[name]
        mask |= ((1 << width) - 1) << low
        value |= (number & ((1 << width) - 1)) << low
    pair = same.split()
    return Alias(row, mnemonic, syntax, mask, value, (pair[0], pair[1]) if pair else None)


def _arithmetic() -> list[Alias]:
    rows = []
    for row, name in (("add", "inc"), ("addcc", "inccc"), ("sub", "dec"), ("subcc", "deccc")):
        rows.append(alias(row, name, "{rd}", i=1, simm13=1, same="rs1 rd"))
    return rows + [
        alias("sub", "neg", "{rd}", i=0, rs1=0, same="rs2 rd"),
        alias("sub", "neg", "{rs2}, {rd}", i=0, rs1=0),
        alias("subcc", "cmp", "{rs1}, {ri}", rd=0),
        alias("andcc", "btst", "{rs1}, {rs2}", i=0, rd=0),
        alias("andcc", "btst", "{ri}, {rs1}", i=1, rd=0),
        alias("orcc", "tst", "{rs2}", i=0, rd=0, rs1=0),
        alias("orcc", "tst", "{rs1}", i=0, rd=0, rs2=0),
        alias("orcc", "tst", "{rs1}", i=1, rd=0, simm13=0),
        alias("srl", "clruw", "{rd}", i=0, rs2=0, same="rs1 rd"),
        alias("srl", "clruw", "{rs1}, {rd}", i=0, rs2=0),
        alias("sra", "signx", "{rd}", i=0, rs2=0, same="rs1 rd"),
        alias("sra", "signx", "{rs1}, {rd}", i=0, rs2=0),
    ]


def _moves() -> list[Alias]:
    return [
        alias("or", "clr", "{rd}", i=0, rd=0, rs1=0, rs2=0),
        alias("or", "clr", "{rd}", i=1, rs1=0, simm13=0),
        alias("or", "mov", "{ri}, {rd}", rs1=0),
        alias("or", "mov", "{rs1}, {rd}", i=0, rs2=0),
        alias("or", "mov", "{rs1}, {rd}", i=1, simm13=0),
        alias("sethi", "nop", rd=0, rs1=0, i=0, simm13=0),
        alias("wry", "wr", "{ri}, %y", i=0, rs1=0),
        alias("wry", "wr", "{rs1}, %y", i=0, rs2=0),
        alias("wry", "wr", "{rs1}, %y", i=1, simm13=0),
        alias("wry", "wr", "{ri}, %y", i=1, rs1=0),
        alias("wrpause", "pause", "{ri}", i=1, rs1=0),
        alias("wrmwait", "mwait", "{ri}", rs1=0),
    ]


def _jumps() -> list[Alias]:
    return [
        alias("save", "save", i=0, rd=0, rs1=0, rs2=0),
        alias("restore", "restore", i=0, rd=0, rs1=0, rs2=0),
        alias("restore", "restore", i=1, rd=0, rs1=0, simm13=0),
        alias("bpn_xcc", "iprefetch", "{disp19}", annul=0, bpp=1),
        alias("jmpl", "retl", i=1, rd=0, rs1=15, simm13=8),
        alias("jmpl", "ret", i=1, rd=0, rs1=31, simm13=8),
        alias("jmpl", "jmp", "{jumpaddr}", rd=0),
        alias("jmpl", "call", "{jumpaddr}", rd=15),
    ]


# Load-twin ASIs (UA2005, chapter 10): LDDA with one of these is LDTXA, 128 bits at once.
TWIN_ASIS = (0x22, 0x23, 0x26, 0x27, 0x2A, 0x2B, 0x2E, 0x2F, 0xE2, 0xE3, 0xEA, 0xEB)


def _memory() -> list[Alias]:
    rows = [alias(row, name, "{addr}", rd=0)
            for row, name in (("stw", "clr"), ("stb", "clrb"), ("sth", "clrh"), ("stx", "clrx"))]
    rows += [alias("ldda", "ldtxa", "{asiaddr}, {rd}", i=0, imm_asi=asi) for asi in TWIN_ASIS]
    for row, name in (("casa", "cas"), ("casxa", "casx")):
        rows.append(alias(row, name, "[ {rs1} ], {rs2}, {rd}", i=0, imm_asi=0x80))
        rows.append(alias(row, name + "l", "[ {rs1} ], {rs2}, {rd}", i=0, imm_asi=0x88))
    return rows


def _floating_point() -> list[Alias]:
    """FCMP leaves %fcc0 out, as V8 had no other."""
    return [alias(f"fcmp{e}{width}", f"fcmp{e}{width}", f"{{f{width}1}}, {{f{width}2}}", fcc=0)
            for e in ("", "e") for width in "sdq"]


def register_aliases(rows: list[Op]) -> list[Alias]:
    """WRPR, WRHPR and a write of TICK leave out an operand that is zero."""
    out = []
    for row in rows:
        if row.mnemonic in ("wrpr", "wrhpr") or row.name == "wrtick":
            register = (row.syntax or "").rsplit(" ", 1)[1]
            out.append(alias(row.name, row.mnemonic, f"{{rs1}}, {register}", i=0, rs2=0))
            if row.name == "wrtick":
                out.append(alias(row.name, row.mnemonic, f"{{rs1}}, {register}", i=1, simm13=0))
                out.append(alias(row.name, row.mnemonic, f"{{ri}}, {register}", i=0, rs1=0))
            out.append(alias(row.name, row.mnemonic, f"{{ri}}, {register}", i=1, rs1=0))
    return out


ALIASES: list[Alias] = _arithmetic() + _moves() + _jumps() + _memory() + _floating_point()
