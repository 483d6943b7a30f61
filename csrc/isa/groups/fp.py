"""Floating point: FPop1, FPop2, fused and unfused multiply-add, and the HPC instructions.

Arithmetic bodies call ``csrc/fp/softfp.h`` with ``e``, a ``struct fp_env *`` that holds FSR.RD (or GSR.irnd), TEM and
collects the exceptions.  Compares use ``SET_FCC(n, v)``; a compare that traps must leave its condition code as it was.
Conditional moves use ``COND_ICC``, ``COND_XCC`` and ``COND_FCC`` as in ``integer.py``; an FMOV whose condition is false
still completes as an FPop and clears FSR.cexc and ftt (flag ``fop``).

Quad precision is in no chip's hardware: those rows have the flag ``quad`` and no body. The kernel completes them; from
the T2 on it gets there through illegal_instruction (Linux, arch/sparc/math-emu).
"""

from __future__ import annotations

from ..table import Op, op
from .integer import FCC_NAMES, ICC_NAMES, RCOND

FPOP1, FPOP2, IMPDEP1, FMAF, FUMA = 0x81A00000, 0x81A80000, 0x81B00000, 0x81B80000, 0x81F80000
V9 = "SPARC V9 appendix A"
OSA2011 = "Oracle SPARC Architecture 2011, chapter 7"
JPS_FUJITSU = "SPARC64 X extensions; SPARC64 V implementation supplement (FMADD)"

# width letter -> (register letter of the operand tokens, variable letter of table.py, bits)
WIDTHS = {"s": ("s", "s", "32"), "d": ("d", "d", "64")}


def _opf(base: int, opf: int) -> int:
    return base | opf << 5


def _quad(name: str, match: int, args: str, *, mnemonic: str = "", syntax: str | None = None) -> Op:
    return op(name, match, args, "", flags="quad", mnemonic=mnemonic, syntax=syntax, source=V9)


def _ieee(name: str, match: int, args: str, body: str, *, feature: str = "v9", source: str = V9) -> Op:
    return op(name, match, args, body, feature=feature, flags="ieee", source=source)


def _sign_moves() -> list[Op]:
    """FMOV, FNEG, FABS: no exceptions, not even for a signalling NaN."""
    rows = []
    for name, opf, single, double in (
        ("fmov", 0x01, "sr = sb;", "dr = db;"),
        ("fneg", 0x05, "sr = sb ^ 0x80000000u;", "dr = db ^ (u64)1 << 63;"),
        ("fabs", 0x09, "sr = sb & 0x7fffffffu;", "dr = db & ~((u64)1 << 63);"),
    ):
        rows += [
            op(name + "s", _opf(FPOP1, opf), "fs2 -> fsd", single, flags="fop", source=V9),
            op(name + "d", _opf(FPOP1, opf + 1), "fd2 -> fdd", double, flags="fop", source=V9),
            _quad(name + "q", _opf(FPOP1, opf + 2), "fq2 -> fqd"),
        ]
    return rows


def _dyadic(name: str, opf: int, call: str, *, feature: str = "v9", source: str = V9) -> list[Op]:
    """The single and the double form of an operation on rs1 and rs2; ``call`` is softfp's name without the width."""
    rows = []
    for offset, (letter, (reg, var, bits)) in enumerate(WIDTHS.items()):
        rows.append(_ieee(name + letter, _opf(FPOP1, opf + offset), f"f{reg}1, f{reg}2 -> f{reg}d",
                          f"{var}r = fp{bits}_{call}(e, {var}a, {var}b);", feature=feature, source=source))
    return rows


def _arithmetic() -> list[Op]:
    rows = []
    for name, opf in (("add", 0x41), ("sub", 0x45), ("mul", 0x49), ("div", 0x4D)):
        rows += _dyadic("f" + name, opf, name)
        rows.append(_quad(f"f{name}q", _opf(FPOP1, opf + 2), "fq1, fq2 -> fqd"))
    rows += [
        _ieee("fsqrts", _opf(FPOP1, 0x29), "fs2 -> fsd", "sr = fp32_sqrt(e, sb);"),
        _ieee("fsqrtd", _opf(FPOP1, 0x2A), "fd2 -> fdd", "dr = fp64_sqrt(e, db);"),
        _quad("fsqrtq", _opf(FPOP1, 0x2B), "fq2 -> fqd"),
        _ieee("fsmuld", _opf(FPOP1, 0x69), "fs1, fs2 -> fdd", "dr = fp32_mul_fp64(e, sa, sb);"),
        _quad("fdmulq", _opf(FPOP1, 0x6E), "fd1, fd2 -> fqd"),
    ]
    return rows


def _conversions() -> list[Op]:
    """Integers of 32 bits live in single registers, of 64 bits in double registers."""
    rows = []
    for name, opf, args, body in (
        ("fstox", 0x81, "fs2 -> fdd", "dr = fp32_to_i64(e, sb);"),
        ("fdtox", 0x82, "fd2 -> fdd", "dr = fp64_to_i64(e, db);"),
        ("fxtos", 0x84, "fd2 -> fsd", "sr = fp32_from_i64(e, db);"),
        ("fxtod", 0x88, "fd2 -> fdd", "dr = fp64_from_i64(e, db);"),
        ("fitos", 0xC4, "fs2 -> fsd", "sr = fp32_from_i32(e, sb);"),
        ("fdtos", 0xC6, "fd2 -> fsd", "sr = fp64_to_fp32(e, db);"),
        ("fitod", 0xC8, "fs2 -> fdd", "(void)e; dr = fp64_from_i32(sb);"),
        ("fstod", 0xC9, "fs2 -> fdd", "dr = fp32_to_fp64(e, sb);"),
        ("fstoi", 0xD1, "fs2 -> fsd", "sr = fp32_to_i32(e, sb);"),
        ("fdtoi", 0xD2, "fd2 -> fsd", "sr = fp64_to_i32(e, db);"),
    ):
        rows.append(_ieee(name, _opf(FPOP1, opf), args, body))
    for name, opf, args in (
        ("fqtox", 0x83, "fq2 -> fdd"), ("fxtoq", 0x8C, "fd2 -> fqd"), ("fqtos", 0xC7, "fq2 -> fsd"),
        ("fqtod", 0xCB, "fq2 -> fdd"), ("fitoq", 0xCC, "fs2 -> fqd"), ("fstoq", 0xCD, "fs2 -> fqd"),
        ("fdtoq", 0xCE, "fd2 -> fqd"), ("fqtoi", 0xD3, "fq2 -> fsd"),
    ):
        rows.append(_quad(name, _opf(FPOP1, opf), args))
    return rows


def _compares() -> list[Op]:
    """FCMP and FCMPE set fccn; FLCMP (HPC, opf space of IMPDEP1) does too, but is no FPop and leaves cexc alone."""
    rows = []
    for name, opf, call in (("fcmp", 0x51, "compare"), ("fcmpe", 0x55, "compare_signalling")):
        for offset, (letter, (reg, var, bits)) in enumerate(WIDTHS.items()):
            rows.append(_ieee(name + letter, _opf(FPOP2, opf + offset), f"fcc, f{reg}1, f{reg}2",
                              f"SET_FCC(n, fp{bits}_{call}(e, {var}a, {var}b));"))
        rows.append(_quad(name + "q", _opf(FPOP2, opf + 2), "fcc, fq1, fq2"))
    for offset, (letter, (reg, var, bits)) in enumerate(WIDTHS.items()):
        rows.append(op("flcmp" + letter, _opf(IMPDEP1, 0x151 + offset), f"fcc, f{reg}1, f{reg}2",
                       f"SET_FCC(n, fp{bits}_compare_lexicographic({var}a, {var}b));", feature="hpc", source=OSA2011))
    return rows


def _move_if(name: str, match: int, args: str, test: str, width: str, *, mnemonic: str, syntax: str) -> Op:
    """One conditional move: ``args`` and ``syntax`` hold ``@`` where the register letter stands."""
    args, syntax = args.replace("@", width), syntax.replace("@", width)
    if width == "q":
        return _quad(name, match, args.rstrip("+"), mnemonic=mnemonic, syntax=syntax)
    return op(name, match, args, f"if ({test}) {width}r = {width}b;", flags="fop", mnemonic=mnemonic,
              syntax=syntax, source=V9)


def _conditional_moves() -> list[Op]:
    """FMOVcc (cc 13:11, cond 17:14, opf_low 10:5) and FMOVr (rs1, rcond 12:10, opf_low 9:5)."""
    rows = []
    for width, low in (("s", 1), ("d", 2), ("q", 3)):
        base = FPOP2 | low << 5
        for number, cond in enumerate(ICC_NAMES):
            for cc, code in (("icc", 4), ("xcc", 6)):
                rows.append(_move_if(f"fmov{width}{cond}_{cc}", base | code << 11 | number << 14, "f@2 -> f@d+",
                                     f"COND_{cc.upper()}({number})", width, mnemonic=f"fmov{width}{cond}",
                                     syntax=f"%{cc}, {{f@2}}, {{f@d}}"))
        for number, cond in enumerate(FCC_NAMES):
            rows.append(_move_if(f"fmov{width}{cond}_fcc", base | number << 14, "mfcc, f@2 -> f@d+",
                                 f"COND_FCC(n, {number})", width, mnemonic=f"fmov{width}{cond}",
                                 syntax="{mfcc}, {f@2}, {f@d}"))
        for code, (_, movr, test) in RCOND.items():
            name = f"fmovr{width}{movr.removeprefix('movr')}"
            rows.append(_move_if(name, FPOP2 | code << 10 | (low + 4) << 5, "rs1, f@2 -> f@d+", test, width,
                                 mnemonic=name, syntax="{rs1}, {f@2}, {f@d}"))
    return rows


# op5 of the single form (the double form is one more), softfp's name of the sign form
_MULTIPLY_ADD = (("madd", 0x1, "FP_MADD"), ("msub", 0x5, "FP_MSUB"), ("nmsub", 0x9, "FP_NMSUB"),
                 ("nmadd", 0xD, "FP_NMADD"))


def _multiply_adds() -> list[Op]:
    rows = []
    for base, call, feature, source in ((FMAF, "fused", "fmaf", OSA2011), (FUMA, "unfused", "fjfmau", JPS_FUJITSU)):
        for stem, op5, form in _MULTIPLY_ADD:
            name = "f" + (stem if base == FMAF else stem.replace("m", "um", 1))
            for offset, (letter, (reg, var, bits)) in enumerate(WIDTHS.items()):
                rows.append(_ieee(name + letter, base | (op5 + offset) << 5, f"f{reg}1, f{reg}2, f{reg}3 -> f{reg}d",
                                  f"{var}r = fp{bits}_{call}(e, {var}a, {var}b, {var}c, {form});",
                                  feature=feature, source=source))
    return rows


def _hpc() -> list[Op]:
    rows = []
    for name, opf, call in (("fnadd", 0x51, "neg_add"), ("fnmul", 0x59, "neg_mul"), ("fhadd", 0x61, "half_add"),
                            ("fhsub", 0x65, "half_sub"), ("fnhadd", 0x71, "neg_half_add")):
        rows += _dyadic(name, opf, call, feature="hpc", source=OSA2011)
    rows.append(_ieee("fnsmuld", _opf(FPOP1, 0x79), "fs1, fs2 -> fdd", "dr = fp32_neg_mul_fp64(e, sa, sb);",
                      feature="hpc", source=OSA2011))
    return rows


ROWS: list[Op] = (_sign_moves() + _arithmetic() + _conversions() + _compares() + _conditional_moves()
                  + _multiply_adds() + _hpc())
