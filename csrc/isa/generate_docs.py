"""Writes the reference page of the instructions, docs/reference/instructions.md, from the rows.

``python -m csrc.isa.generate_docs`` in the top directory. The page is committed; a test compares it with the rows.
"""

from __future__ import annotations

import re
from pathlib import Path

from .generate_disasm import all_aliases, row_template
from .groups import ALL, GROUPS, load_rows
from .groups.aliases import Alias
from .table import Op

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "instructions.md"

TITLES = {
    "integer": "Integer, conditional moves, state registers, traps on condition",
    "branch": "Control transfer",
    "memory": "Loads, stores, atomics",
    "privileged": "Privileged and hyperprivileged",
    "fp": "Floating point",
    "vis": "VIS, integer multiply-add, population count",
    "crypto": "Cryptography",
}
# What a reader wants to see of an operand; tokens that are clear by themselves stand for themselves.
OPERANDS = {
    "ri": "reg_or_imm13", "ri11": "reg_or_imm11", "ri10": "reg_or_imm10", "ri5": "reg_or_imm5",
    "shcnt32": "reg_or_imm5", "shcnt64": "reg_or_imm6", "trapnum": "trap_number", "jumpaddr": "address",
    "addr": "[address]", "asiaddr": "[address] asi", "casasi": "asi", "imm22": "imm22", "annul": "{,a}",
    "bpp": "{,pn}", "disp30": "label", "disp22": "label", "disp19": "label", "disp16": "label",
    "disp10": "label", "fcc": "fccn", "mfcc": "fccn", "bfcc": "fccn", "membar": "mask", "prefetch": "fcn",
    "imm5lo": "imm5",
}
# flag -> remark; the order is that of the page
REMARKS = {
    "cti": "delay slot", "cc_add": "sets icc, xcc", "cc_sub": "sets icc, xcc", "cc_logic": "sets icc, xcc",
    "load": "load", "store": "store", "atomic": "load and store", "ieee": "IEEE exceptions",
    "quad": "in no hardware: trap",
}
TRAPS = {"0x10": "illegal_instruction", "0x23": "tag_overflow", "0x28": "division_by_zero"}
INTRODUCTION = """# Instructions

Generated from `csrc/isa/groups` by `python -m csrc.isa.generate_docs`; do not edit.

{count} rows. A word belongs to a row when `word & mask == match`; where two pairs are given, the second is the form
with an immediate (bit 13 set). Bits that belong to no operand are checked: a word with a reserved bit set is
illegal, as UA2005 and OSA2011 have it. No two rows match the same word.

*Feature* is the word `isainfo -v` prints for the machine that has the instruction, empty for base V9; a machine
without it raises *illegal_instruction*. *Mode* `priv` raises *privileged_opcode* in user mode; `hyper` is never
executed by a guest and raises *illegal_instruction*.
"""


def operand_text(template: str) -> str:
    """A template of the disassembler with names people read."""
    return re.sub(r"\{(\w+)\}", lambda m: OPERANDS.get(m[1], m[1]), template)


def row_remarks(row: Op) -> str:
    """What the row's flags and body say, in words."""
    words = [text for flag, text in REMARKS.items() if flag in row.flags]
    if "SET_CCR(" in row.body:
        words.append("sets icc, xcc")
    if "SET_FCC(" in row.body:
        words.append("sets an fcc")
    words += [f"trap: {TRAPS[number]}" for number in re.findall(r"TRAP\((0x\w+)\)", row.body)]
    if not words and "fpu" in row.flags:
        words = ["needs the FPU"]
    return ", ".join(dict.fromkeys(words))


def row_line(row: Op) -> str:
    """One line of a table."""
    forms = "<br>".join(f"`{match:08x}/{mask:08x}`" for match, mask, _ in row.forms())
    mode = "hyper" if "hpriv" in row.flags else "priv" if "priv" in row.flags else ""
    feature = "" if row.feature == "v9" else row.feature
    return f"| `{row.name}` | `{operand_text(row_template(row))}` | {forms} | {feature} | {mode} | {row_remarks(row)} |"


def group_section(group: str) -> str:
    """The section of one group."""
    lines = [f"## {TITLES[group]}", "", "| Row | Assembler | Match/mask | Feature | Mode | Remarks |",
             "| --- | --- | --- | --- | --- | --- |", *map(row_line, load_rows((group,)))]
    return "\n".join(lines) + "\n"


def alias_line(entry: Alias) -> str:
    """One line of the table of spellings."""
    text = operand_text(f"{entry.mnemonic} {entry.syntax}".rstrip())
    equal = f", {entry.same[0]} = {entry.same[1]}" if entry.same else ""
    return f"| `{text}` | `{entry.row}` | `{entry.value:08x}/{entry.mask:08x}`{equal} |"


def page_text() -> str:
    """The whole page."""
    aliases = ["## Other spellings", "", "What the disassembler prints for special operands, first match first.", "",
               "| Text | Row | When |", "| --- | --- | --- |", *map(alias_line, all_aliases(list(ALL)))]
    sections = [INTRODUCTION.format(count=len(ALL)), *map(group_section, GROUPS), "\n".join(aliases) + "\n"]
    return "\n".join(sections)


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page_text())
    print(PAGE.relative_to(ROOT))
