"""Writes the disassembler's table from the instruction rows and aliases.

``disasm_table.inc`` holds one template a row: the assembler text with operands as single bytes from 0x80 on,
which ``enum disasm_token`` names.  ``disasm.c`` includes it.
"""

from __future__ import annotations

import re
from pathlib import Path

from .groups import ALL
from .groups.aliases import ALIAS_FIELDS, ALIASES, Alias, register_aliases
from .table import FIELDS, I_FIELDS, Op

# Tokens of syntax strings that the table does not have: an address without brackets, the trap number.
EXTRA_TOKENS = ("jumpaddr", "trapnum")
TOKENS = (*FIELDS, *I_FIELDS, *EXTRA_TOKENS)
# Completers belong to the mnemonic: ",a" and ",pn".
COMPLETERS = ("annul", "bpp")

# ASI names as the GNU assembler spells them, without ASI_.
ASI_NAMES: dict[int, str] = {
    0x04: "N", 0x0c: "N_L", 0x10: "AIUP", 0x11: "AIUS", 0x12: "MAIUP", 0x13: "MAIUS", 0x14: "PHYS_USE_EC",
    0x15: "PHYS_BYPASS_EC_E", 0x16: "BLK_AIUP_4V", 0x17: "BLK_AIUS_4V", 0x18: "AIUP_L", 0x19: "AIUS_L",
    0x1c: "PHYS_USE_EC_L", 0x1d: "PHYS_BYPASS_EC_E_L", 0x1e: "BLK_AIUP_L_4V", 0x1f: "BLK_AIUS_L_4V",
    0x20: "SCRATCHPAD", 0x21: "MMU", 0x22: "TWINX_AIUP", 0x23: "BLK_INIT_QUAD_LDD_AIUS",
    0x24: "NUCLEUS_QUAD_LDD", 0x25: "QUEUE", 0x26: "QUAD_LDD_PHYS_4V", 0x27: "TWINX_N", 0x2a: "TWINX_AIUP_L",
    0x2b: "TWINX_AIUS_L", 0x2c: "NUCLEUS_QUAD_LDD_L", 0x2e: "TWINX_REAL_L", 0x2f: "TWINX_NL",
    0x30: "PCACHE_DATA_STATUS", 0x31: "PCACHE_DATA", 0x32: "PCACHE_TAG", 0x33: "PCACHE_SNOOP_TAG",
    0x34: "QUAD_LDD_PHYS", 0x36: "AIPN", 0x38: "WCACHE_VALID_BITS", 0x39: "WCACHE_DATA", 0x3a: "WCACHE_TAG",
    0x3b: "WCACHE_SNOOP_TAG", 0x3c: "QUAD_LDD_PHYS_L", 0x3e: "AIPN_L", 0x40: "SRAM_FAST_INIT",
    0x41: "CORE_AVAILABLE", 0x42: "INST_MASK_REG", 0x43: "ERROR_INJECT_REG", 0x45: "LSU_CONTROL_REG",
    0x46: "DCACHE_DATA", 0x47: "DCACHE_TAG", 0x48: "INTR_DISPATCH_STAT", 0x49: "INTR_RECEIVE",
    0x4b: "ESTATE_ERROR_EN", 0x4c: "AFSR", 0x4d: "AFAR", 0x4e: "EC_TAG_DATA", 0x4f: "HYP_SCRATCHPAD",
    0x50: "IMMU", 0x51: "IMMU_TSB_8KB_PTR", 0x52: "IMMU_TSB_64KB_PTR", 0x53: "ITLB_PROBE",
    0x54: "ITLB_DATA_IN", 0x55: "ITLB_DATA_ACCESS", 0x56: "ITLB_TAG_READ", 0x57: "IMMU_DEMAP", 0x58: "DMMU",
    0x59: "DMMU_TSB_8KB_PTR", 0x5a: "DMMU_TSB_64KB_PTR", 0x5b: "DMMU_TSB_DIRECT_PTR", 0x5c: "DTLB_DATA_IN",
    0x5d: "DTLB_DATA_ACCESS", 0x5e: "DTLB_TAG_READ", 0x5f: "DMMU_DEMAP", 0x60: "IIU_INST_TRAP",
    0x63: "INTR_ID", 0x64: "CORE_SELECT_COMMIT_NHT", 0x66: "IC_INSTR", 0x67: "IC_TAG", 0x68: "IC_STAG",
    0x6f: "BRPRED_ARRAY", 0x70: "BLK_AIUP", 0x71: "BLK_AIUS", 0x72: "MCU_CTRL_REG", 0x74: "EC_DATA",
    0x75: "EC_CTRL", 0x76: "EC_W", 0x77: "INTR_W", 0x78: "BLK_AIUPL", 0x79: "BLK_AIUSL", 0x7e: "EC_R",
    0x7f: "INTR_R", 0x80: "P", 0x81: "S", 0x82: "PNF", 0x83: "SNF", 0x88: "P_L", 0x89: "S_L", 0x8a: "PNF_L",
    0x8b: "SNF_L", 0xb0: "PIC", 0xc0: "PST8_P", 0xc1: "PST8_S", 0xc2: "PST16_P", 0xc3: "PST16_S",
    0xc4: "PST32_P", 0xc5: "PST32_S", 0xc8: "PST8_PL", 0xc9: "PST8_SL", 0xca: "PST16_PL", 0xcb: "PST16_SL",
    0xcc: "PST32_PL", 0xcd: "PST32_SL", 0xd0: "FL8_P", 0xd1: "FL8_S", 0xd2: "FL16_P", 0xd3: "FL16_S",
    0xd8: "FL8_PL", 0xd9: "FL8_SL", 0xda: "FL16_PL", 0xdb: "FL16_SL", 0xe0: "BLK_COMMIT_P",
    0xe1: "BLK_COMMIT_S", 0xe2: "BLK_INIT_QUAD_LDD_P", 0xe3: "TWINX_S", 0xea: "TWINX_PL", 0xeb: "TWINX_SL",
    0xf0: "BLK_P", 0xf1: "BLK_S", 0xf2: "STBI_PM", 0xf3: "STBI_SM", 0xf8: "BLK_PL", 0xf9: "BLK_SL",
    0xfa: "STBI_PLM", 0xfb: "STBI_SLM",
}
PREFETCH_NAMES: dict[int, str] = {
    0: "n_reads", 1: "one_read", 2: "n_writes", 3: "one_write", 4: "page", 16: "invalidate", 17: "unified",
    20: "n_reads_strong", 21: "one_read_strong", 22: "n_writes_strong", 23: "one_write_strong",
}


def row_template(row: Op) -> str:
    """The assembler text of a row with ``{token}`` where operands stand."""
    tokens = row.tokens()
    completers = "".join(f"{{{t}}}" for t in COMPLETERS if t in tokens)
    syntax = row.syntax
    if syntax is None:
        syntax = ", ".join(f"{{{t}}}" for t in tokens if t not in COMPLETERS)
    return f"{row.mnemonic}{completers} {syntax}".rstrip()


def all_aliases(rows: list[Op]) -> list[Alias]:
    """The aliases in table order of their rows; one whose row does not exist is an error."""
    numbers = {row.name: number for number, row in enumerate(rows)}
    return sorted(ALIASES + register_aliases(rows), key=lambda a: numbers[a.row])


def _c_string(template: str) -> str:
    def code(match: re.Match[str]) -> str:
        return f"\\{0o200 + TOKENS.index(match[1]):o}"

    return '"' + re.sub(r"\{(\w+)\}", code, template) + '"'


def _names(name: str, table: dict[int, str], size: int) -> str:
    body = "\n".join(f'  [{number}] = "{text}",' for number, text in table.items())
    return f"static const char *const {name}[{size}] = {{\n{body}\n}};\n"


def _alias_entries(rows: list[Op]) -> str:
    numbers = {row.name: number for number, row in enumerate(rows)}
    entries = []
    for entry in all_aliases(rows):
        first, second = (ALIAS_FIELDS[name][0] for name in entry.same) if entry.same else (0, 0)
        text = _c_string(f"{entry.mnemonic} {entry.syntax}".rstrip())
        entries.append(f"  {{{entry.mask:#010x}, {entry.value:#010x}, {numbers[entry.row]}, "
                       f"{first}, {second}, {text}}},")
    return "\n".join(entries)


def table_text(rows: list[Op]) -> str:
    """The text of disasm_table.inc."""
    enum = "\n".join(f"  TOKEN_{token.upper()} = {0x80 + n}," for n, token in enumerate(TOKENS))
    templates = "\n".join(f"  {_c_string(row_template(row))}," for row in rows)
    return (
        "/* generated by csrc/isa/generate_disasm.py */\n"
        f"enum disasm_token {{\n{enum}\n}};\n"
        f"static const char *const disasm_templates[] = {{\n{templates}\n}};\n"
        f"static const struct disasm_alias disasm_aliases[] = {{\n{_alias_entries(rows)}\n}};\n"
        + _names("disasm_asi_names", ASI_NAMES, 256)
        + _names("disasm_prefetch_names", PREFETCH_NAMES, 32)
    )


def generate(out_dir: Path) -> list[Path]:
    """Write ``disasm_table.inc`` into ``out_dir`` and return its path in a list."""
    out_dir.mkdir(parents=True, exist_ok=True)
    path = out_dir / "disasm_table.inc"
    path.write_text(table_text(list(ALL)))
    return [path]
