"""One C function per row: ``u32 x_NAME(struct strand *c, u32 insn)``, the semantics everything else is held against.

The stepper calls nothing else; the interpreter calls them for every row without a specialised handler, and as the
slow path of those that have one.
"""

from __future__ import annotations

import re

from .table import Op

_READS = {
    "rs1": "u64 a = reg_get(c, insn_rs1(insn));", "rs2": "u64 b = reg_get(c, insn_rs2(insn));",
    "ri": "u64 b = OPERAND2(13);", "ri11": "u64 b = OPERAND2(11);", "ri10": "u64 b = OPERAND2(10);",
    "ri5": "u64 b = OPERAND2(5);", "ri7": "u64 b = OPERAND2(7);",
    "shcnt32": "u64 b = (insn_i(insn) ? insn : reg_get(c, insn_rs2(insn))) & 31;",
    "shcnt64": "u64 b = (insn_i(insn) ? insn : reg_get(c, insn_rs2(insn))) & 63;",
    "rd": "u64 v = reg_get(c, insn_rd(insn));",
    "fs1": "u32 sa = FS(insn_rs1(insn));", "fs2": "u32 sb = FS(insn_rs2(insn));",
    "fs3": "u32 sc = FS(insn_rs3(insn));", "fsd": "u32 sv = FS(insn_rd(insn));",
    "fd1": "u64 da = FD(insn_rs1(insn));", "fd2": "u64 db = FD(insn_rs2(insn));",
    "fd3": "u64 dc = FD(insn_rs3(insn));", "fdd": "u64 dv = FD(insn_rd(insn));",
    "imm5": "u32 imm = insn >> 9 & 31;", "imm5lo": "u32 imm = insn & 31;", "imm3": "u32 imm = insn & 7;",
    "imm22": "u32 imm = insn & 0x3fffff;", "const22": "u32 imm = insn & 0x3fffff;",
    "fcc": "u32 n = insn >> 25 & 3;", "mfcc": "u32 n = insn >> 11 & 3;", "bfcc": "u32 n = insn >> 20 & 3;",
}
_DEST = {
    "rd": ("u64 r = {old};", "reg_get(c, insn_rd(insn))", "reg_set(c, insn_rd(insn), r);"),
    "fsd": ("u32 sr = {old};", "FS(insn_rd(insn))", "fp_write_single(c, insn_rd(insn), sr);"),
    "fdd": ("u64 dr = {old};", "FD(insn_rd(insn))", "fp_write_double(c, insn_rd(insn), dr);"),
    "fcc": ("u32 n = insn >> 25 & 3;", "", ""),
}
_FP_TOKEN = re.compile(r"f[sdq][123d]$|fcc$|mfcc$|bfcc$")
_MEMORY_VERBS = {"load", "store", "swap", "ldstub", "cas", "prefetch"}
_END_SPECIALS = ("wrpr_", "wrfprs", "wrgsr", "wrsoftint", "wrtick_cmpr", "wrstick_cmpr", "done", "retry", "ldfsr",
                 "ldxfsr", "ldxefsr")


def needs_fpu(row: Op) -> bool:
    """Whether the row traps fp_disabled when the FPU is off."""
    if "nofpu" in row.flags:
        return False
    return "fpu" in row.flags or any(_FP_TOKEN.match(token) for token in row.tokens())


def ends_block(row: Op) -> bool:
    """Whether nothing after the row may be decoded with it."""
    return "end" in row.flags or row.name.startswith(_END_SPECIALS)


def _identifier(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _memory_call(row: Op) -> str:
    words = row.body.split()
    verb, asi = words[0], words[-1] == "asi"
    kind = f", MT_{words[1].upper()}" if len(words) > 1 and words[1] != "asi" else ""
    return f"return {'asi' if asi else 'mem'}_{verb}(c, insn{kind});"


def special_call(row: Op) -> str | None:
    """The call of hand-written code a row without a C body stands for, or None."""
    verb = row.body.split()[0] if row.body.split() else ""
    if "hpriv" in row.flags:
        return "return TT_ILLEGAL_INSTRUCTION;"
    if "quad" in row.flags:
        return "return fpu_unimplemented(c);"
    if verb in _MEMORY_VERBS and "special" not in row.flags or verb in ("load", "store", "prefetch"):
        return _memory_call(row)
    if "cti" in row.flags or "disp10" in row.tokens():
        return f"return special_{row.name}(c, insn);" if row.name in ("jmpl", "return") else \
            "return TT_ILLEGAL_INSTRUCTION; /* by class, in cti.c */"
    if "ri8" in row.tokens():
        return "return special_tcc(c, insn);"
    if "special" in row.flags:
        return f"return special_{verb}(c, insn);"
    return None


def _compute(row: Op) -> list[str]:
    lines = []
    names = []
    for token in row.sources:
        if token in _READS:
            lines.append(_READS[token])
            names.append(_READS[token].split()[1])
    dest = row.dest
    write = ""
    if dest and dest.rstrip("+") in _DEST:
        declare, old, write = _DEST[dest.rstrip("+")]
        lines.append(declare.format(old=old if dest.endswith("+") else "0"))
        names.append(declare.split()[1])
    lines += [f"(void){name};" for name in names]
    if "ieee" in row.flags:
        lines += ["struct fp_env env, *e = &env;", "fpu_begin(c, e);"]
        if "fcc" in row.tokens():
            lines.append("u64 before = c->fsr;")
    if row.body:
        lines += row.body.replace("; ", ";\n  ").split("\n")  # one statement a line
    if "ieee" in row.flags:
        restore = "fpu_restore_fcc(c, before), trap" if "fcc" in row.tokens() else "trap"
        lines += ["u32 trap = fpu_end(c, e);", f"if (trap) return {restore};"]
    if "fop" in row.flags:
        lines.append("fpu_fop(c);")
    for flag, kind in (("cc_add", "CC_ADD"), ("cc_sub", "CC_SUB")):
        if flag in row.flags:
            lines.append(f"SET_CC(a, b, {kind});")
    if "cc_logic" in row.flags:
        lines.append("SET_CC(r, 0, CC_SUB);")
    lines.append(write)
    if "end" in row.flags:
        lines += ["strand_mode_changed(c);", "return BODY_NEXT;"]
    else:
        lines.append("return BODY_OK;")
    return [line for line in lines if line]


def _function(row: Op) -> str:
    call = special_call(row)
    lines = ["(void)c;", "(void)insn;", call] if call else ["(void)c;", "(void)insn;", *_compute(row)]
    inside = "\n".join(f"  {line}" for line in lines)
    return f"static u32 x_{_identifier(row.name)}(struct strand *c, u32 insn) {{\n{inside}\n}}"


def _redo(row: Op) -> str:
    """The flags of a fast FPop once more: operands come back as raw words."""
    lines = []
    for token, word in (("fs1", "a"), ("fd1", "a"), ("fs2", "b"), ("fd2", "b")):
        if token in row.sources:
            width = "u32" if token[1] == "s" else "u64"
            lines.append(f"{width} {token[1]}{'abc'[int(token[2]) - 1]} = ({width}){word};")
    dest = (row.dest or "").rstrip("+")
    if dest in ("fsd", "fdd"):
        lines.append("u32 sr;" if dest == "fsd" else "u64 dr;")
    used = [f"(void){'sr' if dest == 'fsd' else 'dr'};"] if dest in ("fsd", "fdd") else []
    inside = "\n".join(f"  {line}" for line in ["(void)a;", "(void)b;", *lines, row.body, *used])
    return f"static void redo_{row.name}(struct fp_env *e, u64 a, u64 b) {{\n{inside}\n}}"


def text(rows: list[Op]) -> str:
    """isa_bodies.c"""
    from .handlers import fast_rows

    fast = fast_rows(rows)
    parts = ['/* generated by csrc/isa/generate.py */\n#include "strand/bodies.h"\n']
    parts += [_function(row) for row in rows]
    parts.append("const body_fn isa_body[] = {\n" +
                 "\n".join(f"  x_{_identifier(row.name)}," for row in rows) + "\n};")
    parts += [_redo(row) for row in fast]
    parts.append("const redo_fn fp_redo[] = {\n  0,\n" + "\n".join(f"  redo_{row.name}," for row in fast) + "\n};\n")
    return "\n".join(parts)
