"""SPARC V9 integer instructions: ALU, shifts, multiply and divide, conditional moves, ancillary state registers, Tcc.

Bodies use, besides what ``table.py`` names: ``ICC_C`` (0/1), ``COND_ICC(n)``, ``COND_XCC(n)``, ``COND_FCC(fcc, n)``
(condition n of the V9 tables holds), ``SET_CCR(v)``, ``ccr_addc(a, b, cin)`` and ``ccr_subc(a, b, cin)`` (the CCR of
a sum or difference).  In the CCR icc.V is bit 1.
"""

from __future__ import annotations

from ..table import Op, op

OP2 = 0x80000000  # op = 2


def _word(op3: int, *, rd: int = 0, rs1: int = 0, low: int = 0) -> int:
    return OP2 | rd << 25 | op3 << 19 | rs1 << 14 | low


# Condition names in encoding order 0..15 as the assembler spells them (V9 tables 38, 37).
ICC_NAMES = ("n", "e", "le", "l", "leu", "cs", "neg", "vs", "a", "ne", "g", "ge", "gu", "cc", "pos", "vc")
FCC_NAMES = ("n", "ne", "lg", "ul", "l", "ug", "g", "u", "a", "e", "ue", "ge", "uge", "le", "ule", "o")
# Register conditions: code -> (mnemonic of BPr, of MOVr/FMOVr without prefix, C test of the signed value a)
RCOND = {
    1: ("brz", "movre", "a == 0"), 2: ("brlez", "movrlez", "(i64)a <= 0"), 3: ("brlz", "movrlz", "(i64)a < 0"),
    5: ("brnz", "movrne", "a != 0"), 6: ("brgz", "movrgz", "(i64)a > 0"), 7: ("brgez", "movrgez", "(i64)a >= 0"),
}

_RRI = "rs1, ri -> rd"


def _alu() -> list[Op]:
    """ADD..SUBC and the logic instructions with their condition-code forms (op3 + 0x10)."""
    rows = [
        op("add", _word(0x00), _RRI, "r = a + b;", flags="hot"),
        op("addcc", _word(0x10), _RRI, "r = a + b;", flags="hot cc_add"),
        op("sub", _word(0x04), _RRI, "r = a - b;", flags="hot"),
        op("subcc", _word(0x14), _RRI, "r = a - b;", flags="hot cc_sub"),
        op("addc", _word(0x08), _RRI, "r = a + b + ICC_C;", flags="hot"),
        op("addccc", _word(0x18), _RRI, "u64 cin = ICC_C; r = a + b + cin; SET_CCR(ccr_addc(a, b, cin));"),
        op("subc", _word(0x0C), _RRI, "r = a - b - ICC_C;", flags="hot"),
        op("subccc", _word(0x1C), _RRI, "u64 cin = ICC_C; r = a - b - cin; SET_CCR(ccr_subc(a, b, cin));"),
    ]
    logic = (("and", 0x01, "a & b"), ("or", 0x02, "a | b"), ("xor", 0x03, "a ^ b"), ("andn", 0x05, "a & ~b"),
             ("orn", 0x06, "a | ~b"), ("xnor", 0x07, "~(a ^ b)"))
    for name, op3, expr in logic:
        rows.append(op(name, _word(op3), _RRI, f"r = {expr};", flags="hot"))
        rows.append(op(name + "cc", _word(op3 + 0x10), _RRI, f"r = {expr};", flags="hot cc_logic"))
    return rows


def _tagged() -> list[Op]:
    """Tagged arithmetic: icc.V also when a tag (bits 1:0) is not zero; the TV forms trap instead."""
    rows = []
    for name, op3, sign, ccr in (("taddcc", 0x20, "+", "ccr_addc"), ("tsubcc", 0x21, "-", "ccr_subc")):
        flags = f"u8 ccr = (u8)({ccr}(a, b, 0) | (((a | b) & 3) ? 2 : 0)); "
        rows.append(op(name, _word(op3), _RRI, f"{flags}r = a {sign} b; SET_CCR(ccr);"))
        rows.append(op(name + "tv", _word(op3 + 2), _RRI,
                       f"{flags}if (ccr & 2) {{ TRAP(0x23); }} r = a {sign} b; SET_CCR(ccr);"))
    return rows


def _shifts() -> list[Op]:
    x = 1 << 12
    rows = []
    for name, op3, word, extended in (
        ("sll", 0x25, "a << b", "a << b"),
        ("srl", 0x26, "(u64)(u32)a >> b", "a >> b"),
        ("sra", 0x27, "(u64)((i64)(i32)(u32)a >> b)", "(u64)((i64)a >> b)"),
    ):
        rows.append(op(name, _word(op3), "rs1, shcnt32 -> rd", f"r = {word};", flags="hot"))
        rows.append(op(name + "x", _word(op3, low=x), "rs1, shcnt64 -> rd", f"r = {extended};", flags="hot"))
    return rows


# V9 A.10 and A.38: the 32-bit divides saturate; only the cc forms say so, in icc.V.
_UDIV = ("u32 divisor = (u32)b; if (divisor == 0) { TRAP(0x28); } "
         "u64 q = ((u64)(u32)c->y << 32 | (u32)a) / divisor; bool over = q > 0xffffffffu; "
         "r = over ? 0xffffffffu : q;")
# The quotient of INT64_MIN / -1 overflows the host's divide; it saturates to the largest positive value.
_SDIV = ("i64 divisor = (i32)(u32)b; if (divisor == 0) { TRAP(0x28); } "
         "i64 dividend = (i64)((u64)(u32)c->y << 32 | (u32)a); "
         "i64 q = divisor == -1 ? (dividend == INT64_MIN ? INT64_MAX : -dividend) : dividend / divisor; "
         "bool over = q > INT32_MAX || q < INT32_MIN; "
         "r = (u64)(q > INT32_MAX ? (i64)INT32_MAX : q < INT32_MIN ? (i64)INT32_MIN : q);")
_DIVCC = " SET_CCR((u8)(ccr_addc(r, 0, 0) | (over ? 2 : 0)));"


def _multiply_divide() -> list[Op]:
    umul = "r = (u64)(u32)a * (u32)b; c->y = (u32)(r >> 32);"
    smul = "r = (u64)((i64)(i32)(u32)a * (i32)(u32)b); c->y = (u32)(r >> 32);"
    # Bits 63:32 of the result and xcc are undefined (V9 A.39); the plain 64-bit sum is what they show here.
    mulscc = ("u64 x = (u64)((u32)a >> 1) | (COND_ICC(3) ? 0x80000000u : 0); u64 addend = (c->y & 1) ? b : 0; "
              "r = x + addend; c->y = (u32)((u32)c->y >> 1 | (u32)a << 31); SET_CCR(ccr_addc(x, addend, 0));")
    return [
        op("mulx", _word(0x09), _RRI, "r = a * b;", flags="hot"),
        op("udivx", _word(0x0D), _RRI, "if (b == 0) { TRAP(0x28); } r = a / b;"),
        op("sdivx", _word(0x2D), _RRI,
           "if (b == 0) { TRAP(0x28); } r = b == UINT64_MAX ? 0 - a : (u64)((i64)a / (i64)b);",
           source="V9 A.36: the most negative number divided by -1 gives itself"),
        op("umul", _word(0x0A), _RRI, umul, flags="hot"),
        op("umulcc", _word(0x1A), _RRI, umul, flags="cc_logic"),
        op("smul", _word(0x0B), _RRI, smul, flags="hot"),
        op("smulcc", _word(0x1B), _RRI, smul, flags="cc_logic"),
        op("udiv", _word(0x0E), _RRI, _UDIV + " (void)over;"),
        op("udivcc", _word(0x1E), _RRI, _UDIV + _DIVCC),
        op("sdiv", _word(0x0F), _RRI, _SDIV + " (void)over;"),
        op("sdivcc", _word(0x1F), _RRI, _SDIV + _DIVCC),
        op("mulscc", _word(0x24), _RRI, mulscc),
    ]


def _moves() -> list[Op]:
    """MOVcc (cc2 bit 18, cc1:cc0 bits 12:11) and MOVr."""
    rows = []
    for number, name in enumerate(ICC_NAMES):
        base = _word(0x2C, low=1 << 18 | number << 14)
        for cc, bits in (("icc", 0), ("xcc", 2 << 11)):
            rows.append(op(f"mov{name}_{cc}", base | bits, "ri11 -> rd+", f"if (COND_{cc.upper()}({number})) r = b;",
                           flags="hot", mnemonic=f"mov{name}", syntax=f"%{cc}, {{ri11}}, {{rd}}"))
    for number, name in enumerate(FCC_NAMES):
        rows.append(op(f"mov{name}_fcc", _word(0x2C, low=number << 14), "mfcc, ri11 -> rd+",
                       f"if (COND_FCC(n, {number})) r = b;", flags="fpu", mnemonic=f"mov{name}"))
    for code, (_, name, test) in RCOND.items():
        rows.append(op(name, _word(0x2F, low=code << 10), "rs1, ri10 -> rd+", f"if ({test}) r = b;", flags="hot"))
    return rows


# number, name, access ("r", "w", "rw"), feature, extra flags for reading and writing.  UA2005 5.5
_ASRS: tuple[tuple[int, str, str, str, str], ...] = (
    (0, "y", "rw", "v9", ""), (2, "ccr", "rw", "v9", ""), (3, "asi", "rw", "v9", ""), (4, "tick", "r", "v9", ""),
    (5, "pc", "r", "v9", ""), (6, "fprs", "rw", "v9", ""), (13, "entropy", "r", "sparc6", ""),
    (14, "mcdper", "rw", "adi", ""), (16, "pcr", "rw", "v9", "priv"), (17, "pic", "rw", "v9", ""),
    (19, "gsr", "rw", "vis", "fpu"), (20, "softint_set", "w", "v9", "priv"),
    (21, "softint_clear", "w", "v9", "priv"), (22, "softint", "rw", "v9", "priv"),
    (23, "tick_cmpr", "rw", "v9", "priv"), (24, "stick", "r", "v9", ""), (25, "stick_cmpr", "rw", "v9", "priv"),
    (26, "cfr", "r", "v9", ""), (27, "pause", "w", "pause", ""), (28, "mwait", "w", "mwait", ""),
)
# Writing the clocks is hyperprivileged on sun4v; the words are known so that they disassemble.
_ASR_HPRIV_WRITES = ((4, "tick"), (24, "stick"))


def _ancillary() -> list[Op]:
    rows = []
    for number, name, access, feature, extra in _ASRS:
        if "r" in access:
            rows.append(op(f"rd{name}", _word(0x28, rs1=number), "-> rd", f"rd {name}", feature=feature,
                           flags=f"special {extra}", mnemonic="rd", syntax=f"%{name}, {{rd}}"))
        if "w" in access:
            rows.append(op(f"wr{name}", _word(0x30, rd=number), "rs1, ri", f"wr {name}", feature=feature,
                           flags=f"special {extra}", mnemonic="wr", syntax=f"{{rs1}}, {{ri}}, %{name}"))
    for number, name in _ASR_HPRIV_WRITES:
        asm = "%asr4" if number == 4 else f"%{name}"  # the assembler has no name for a write of TICK
        rows.append(op(f"wr{name}", _word(0x30, rd=number), "rs1, ri", f"wr {name}", flags="special hpriv",
                       mnemonic="wr", syntax=f"{{rs1}}, {{ri}}, {asm}"))
    rows += [
        op("stbar", _word(0x28, rs1=15), "", "membar", flags="special"),
        op("membar", _word(0x28, rs1=15, low=0x2000), "membar", "membar", flags="special"),
        op("sir", _word(0x30, rd=15, low=0x2000), "simm13", "sir", flags="special hpriv"),
    ]
    return rows


def _windows() -> list[Op]:
    return [
        op("sethi", 4 << 22, "imm22 -> rd", "r = (u64)imm << 10;", flags="hot", syntax="%hi({imm22}), {rd}"),
        op("save", _word(0x3C), _RRI, "save", flags="special hot"),
        op("restore", _word(0x3D), _RRI, "restore", flags="special hot"),
        op("flushw", _word(0x2B), "", "flushw", flags="special"),
        op("illtrap", 0, "const22", "illtrap", flags="special"),
    ]


def _traps() -> list[Op]:
    """Tcc: cond 28:25, cc 12:11, immediate trap number of 8 bits (UA2005 7.100: hypercalls need 0x80..0xff)."""
    rows = []
    for number, name in enumerate(ICC_NAMES):
        for cc, bits in (("icc", 0), ("xcc", 2 << 11)):
            rows.append(op(f"t{name}_{cc}", _word(0x3A, rd=number, low=bits), "rs1, ri8",
                           f"COND_{cc.upper()}({number})", flags="special", mnemonic=f"t{name}",
                           syntax="{trapnum}" if cc == "icc" else "%xcc, {trapnum}"))
    return rows


ROWS: list[Op] = _alu() + _tagged() + _shifts() + _multiply_divide() + _moves() + _ancillary() + _windows() + _traps()
