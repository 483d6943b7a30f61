"""Specialised interpreter handlers of the hot rows.

Operand 2 is R (register) or I (immediate); each is a handler of its own. The macros are in ``csrc/strand/interp.c``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .table import Op


@dataclass(frozen=True)
class Spec:
    """Enum names for struct isa_row."""

    layout: str = "LAYOUT_NONE"
    imm: str = "IMM_NONE"
    fp: str = "0"


_IMM = {"ri": "IMM_S13", "addr": "IMM_S13", "ri11": "IMM_S11", "ri10": "IMM_S10", "shcnt32": "IMM_SH5",
        "shcnt64": "IMM_SH6"}

# FP rows done on the host's FPU when its result must be SPARC's: row -> call that fills the destination
_FAST = {
    "fadds": "fp32_fast_add(sa, sb, &sr)", "faddd": "fp64_fast_add(da, db, &dr)",
    "fsubs": "fp32_fast_sub(sa, sb, &sr)", "fsubd": "fp64_fast_sub(da, db, &dr)",
    "fmuls": "fp32_fast_mul(sa, sb, &sr)", "fmuld": "fp64_fast_mul(da, db, &dr)",
    "fdivs": "fp32_fast_div(sa, sb, &sr)", "fdivd": "fp64_fast_div(da, db, &dr)",
    "fsqrts": "fp32_fast_sqrt(sb, &sr)", "fsqrtd": "fp64_fast_sqrt(db, &dr)",
    "fsmuld": "fp32_fast_mul_fp64(sa, sb, &dr)",
    "fstod": "fp32_fast_to_fp64(sb, &dr)", "fdtos": "fp64_fast_to_fp32(db, &sr)",
    "fdtoi": "fp64_fast_to_i32(db, &sr)", "fdtox": "fp64_fast_to_i64(db, &dr)",
    "fstoi": "fp32_fast_to_i32(sb, &sr)", "fstox": "fp32_fast_to_i64(sb, &dr)",
    "fitod": "(dr = fp64_fast_from_i32(sb), true)", "fxtod": "(dr = fp64_fast_from_i64(db), true)",
    "fitos": "(sr = fp32_fast_from_i32(sb), true)", "fxtos": "(sr = fp32_fast_from_i64(db), true)",
    "fcmps": "fp32_fast_compare(sa, sb, &fcc)", "fcmpd": "fp64_fast_compare(da, db, &fcc)",
    "fcmpes": "fp32_fast_compare(sa, sb, &fcc)", "fcmped": "fp64_fast_compare(da, db, &fcc)",
}
# FP register rows whose body is an expression that cannot trap
_SIMPLE = {"fmovs", "fmovd", "fnegs", "fnegd", "fabss", "fabsd", "fzerod", "fzeros", "foned", "fones", "fsrc1d", "fsrc2d",
           "fsrc1s", "fsrc2s", "fxord", "ford", "fandd", "fpadd32", "fpadd64"}

_DIRTY = "c->fprs |= U->x;"  # which half of the FP registers the destination is in


def fast_rows(rows: list[Op]) -> list[Op]:
    """Rows with a host fast path, in the order of their redo numbers (1..)."""
    return [row for row in rows if row.name in _FAST and "fcc" not in row.tokens()]


def _fp_bits(row: Op) -> str:
    bits = []
    for token in row.tokens():
        for name, bit in (("fd1", "FP_RS1_D"), ("fd2", "FP_RS2_D"), ("fdd", "FP_RD_D"), ("fcc", "FP_RD_FCC")):
            if token == name:
                bits.append(bit)
    return " | ".join(bits) or "0"


def _operand2(row: Op) -> str | None:
    return next((t for t in row.sources if t in _IMM), None)


def spec(row: Op) -> Spec:
    """How the builder lays out the micro-op of a row."""
    if row.name in _FAST or row.name in _SIMPLE:
        return Spec("LAYOUT_FP", "IMM_NONE", _fp_bits(row))
    if "hot" not in row.flags:
        return Spec()
    second, dest = _operand2(row), (row.dest or "").rstrip("+")
    if row.name == "sethi":
        return Spec("LAYOUT_R", "IMM_HI22")
    if second is None:
        return Spec()
    if {"fsd", "fdd"} & set(row.tokens()):
        return Spec("LAYOUT_FMEM", _IMM[second], "FP_RD_D" if "fdd" in row.tokens() else "0")
    if "rs1" in row.sources or second == "addr":
        return Spec("LAYOUT_RRI", _IMM[second])
    return Spec("LAYOUT_RI", _IMM[second]) if dest == "rd" else Spec()


def _variants(layout: str) -> tuple[str, ...]:
    """Classes of operand 2 in the order the builder counts them; '' where there is no operand 2."""
    if layout in ("LAYOUT_RRI", "LAYOUT_RI", "LAYOUT_FMEM"):
        return ("R", "I")
    return ("",) if layout != "LAYOUT_NONE" else ()


def bases(rows: list[Op]) -> dict[str, int]:
    """Row name -> index of its first handler in hot_handlers[]."""
    out, at = {}, 0
    for row in rows:
        variants = _variants(spec(row).layout)
        if variants:
            out[row.name] = at
            at += len(variants)
    return out


def _second(row: Op, kind: str) -> str:
    if kind == "I":
        return "(u64)(i64)U->imm"
    return "REG(rs2)" + {"shcnt32": " & 31", "shcnt64": " & 63"}.get(_operand2(row) or "", "")


def _handler_name(row: Op, variant: str) -> str:
    return f"h_{row.name}_{variant}".rstrip("_").lower()


def _integer(row: Op, variant: str) -> list[str]:
    lines = ["u64 a = REG(rs1);"] if "rs1" in row.sources else []
    if variant:
        lines.append(f"u64 b = {_second(row, variant)};")
    target = "REG(rd)"
    if row.name in ("save", "restore"):
        return [*lines, f"{row.name.upper()}_WINDOW;", f"{target} = a + b;", "NEXT;"]
    old = target if (row.dest or "").endswith("+") else "0"
    if row.name == "sethi":
        return [f"{target} = (u64)(u32)U->imm;", "NEXT;"]
    if "COND_ICC" in row.body or "COND_XCC" in row.body:
        lines.append("if (UNLIKELY(c->cc_kind != CC_SUB)) TAIL(h_cold);")
    if "ICC_C" in row.body:
        lines.append("if (UNLIKELY(c->cc_kind == CC_EXPLICIT)) TAIL(h_cold);")
    lines += [f"u64 r = {old};", row.body, f"{target} = r;"]
    if "cc_add" in row.flags:
        lines.append("HOT_CC(a, b, CC_ADD);")
    if "cc_sub" in row.flags:
        lines.append("HOT_CC(a, b, CC_SUB);")
    if "cc_logic" in row.flags:
        lines.append("HOT_CC(r, 0, CC_SUB);")
    return [*lines, "NEXT;"]


def _memory(row: Op, variant: str) -> list[str]:
    verb, kind = row.body.split()[:2]
    lines = [f"u64 va = REG(rs1) + {_second(row, variant)};"]
    cell = {"f64": "FREG_D(rd)", "f32": "FREG_S(rd)"}.get(kind, "REG(rd)")
    lines.append(f"HOT_{verb.upper()}({kind}, {cell});")
    return [*lines, *([_DIRTY] if kind[0] == "f" and verb == "load" else []), "NEXT;"]


def _fp(row: Op, number: int) -> list[str]:
    lines = []
    for token in row.sources:
        match = re.match(r"f([sd])([12])$", token)
        if match:
            width, n = match.groups()
            ctype = "u32" if width == "s" else "u64"
            lines.append(f"{ctype} {width}{'ab'[int(n) - 1]} = FREG_{width.upper()}(rs{n});")
    dest = (row.dest or "").rstrip("+")
    if row.name in _SIMPLE:
        var = "dr" if dest == "fdd" else "sr"
        lines += [f"{'u64' if dest == 'fdd' else 'u32'} {var} = 0;", row.body]
        if "fop" in row.flags:
            lines.append("c->fp_last_op = FP_LAST_CLEAN;")
        return [*lines, f"FREG_{'D' if dest == 'fdd' else 'S'}(rd) = {var};", _DIRTY, "NEXT;"]
    first = next((v for v in ("da", "sa") if any(f" {v} =" in line for line in lines)), "0")
    last = next((v for v in ("db", "sb") if any(f" {v} =" in line for line in lines)), "0")
    var = {"fdd": "dr", "fsd": "sr"}.get(dest, "fcc")
    lines += [f"{'u64' if var == 'dr' else 'u32'} {var};", f"if (UNLIKELY(!{_FAST[row.name]})) TAIL(h_cold);"]
    if var == "fcc":
        lines += ["FCC_SET(U->rd, fcc);", "c->fp_last_op = FP_LAST_CLEAN;"]
    else:
        lines += [f"FREG_{'D' if var == 'dr' else 'S'}(rd) = {var};", _DIRTY, f"FP_LAST({number}, {first}, {last});"]
    return [*lines, "NEXT;"]


def text(rows: list[Op]) -> str:
    """handlers.inc"""
    numbers = {row.name: n + 1 for n, row in enumerate(fast_rows(rows))}
    out, names = ["/* generated by csrc/isa/generate.py */"], []
    for row in rows:
        layout = spec(row).layout
        for variant in _variants(layout):
            if layout == "LAYOUT_FP":
                lines = _fp(row, numbers.get(row.name, 0))
            elif row.body.split()[0] in ("load", "store"):
                lines = _memory(row, variant)
            else:
                lines = _integer(row, variant)
            name = _handler_name(row, variant)
            names.append(name)
            out.append(f"HANDLER({name}) {{\n" + "\n".join(f"  {line}" for line in lines) + "\n}")
    out.append("static const handler_fn hot_handlers[] = {\n" + "\n".join(f"  {n}," for n in names) + "\n};\n")
    return "\n".join(out)
