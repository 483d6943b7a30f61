"""Control transfer: branches, calls, jumps and the compare-and-branch of OSA2011.

All rows are executed by the engine.  The body of a conditional row is the C condition: it names ``a`` and ``b`` where
rs1 and ri5 are operands.  V9 A.4 to A.8, A.9, A.24, A.46; cbcond: OSA2011, chapter 7.
"""

from __future__ import annotations

from ..table import Op, op
from .integer import FCC_NAMES, ICC_NAMES, RCOND

BICC, BPCC, FBFCC, FBPFCC, BPR = 2 << 22, 1 << 22, 6 << 22, 5 << 22, 3 << 22


def _conditional() -> list[Op]:
    rows = []
    for number, name in enumerate(ICC_NAMES):
        cond, asm = number << 25, "b" if name == "a" else f"b{name}"
        rows.append(op(f"b{name}", BICC | cond, "annul, disp22", f"COND_ICC({number})", flags="cti special",
                       mnemonic=asm, syntax="{disp22}"))
        for cc, bits in (("icc", 0), ("xcc", 2 << 20)):
            rows.append(op(f"bp{name}_{cc}", BPCC | cond | bits, "annul, bpp, disp19",
                           f"COND_{cc.upper()}({number})", flags="cti special", mnemonic=asm,
                           syntax=f"%{cc}, {{disp19}}"))
    for number, name in enumerate(FCC_NAMES):
        cond, asm = number << 25, "fb" if name == "a" else f"fb{name}"
        rows.append(op(f"fb{name}", FBFCC | cond, "annul, disp22", f"COND_FCC(0, {number})",
                       flags="cti special fpu", mnemonic=asm, syntax="{disp22}"))
        rows.append(op(f"fbp{name}", FBPFCC | cond, "annul, bpp, bfcc, disp19",
                       f"COND_FCC((insn >> 20) & 3, {number})", flags="cti special fpu", mnemonic=asm,
                       syntax="{bfcc}, {disp19}"))
    for code, (name, _, test) in RCOND.items():
        rows.append(op(name, BPR | code << 25, "annul, bpp, rs1, disp16", test, flags="cti special",
                       syntax="{rs1}, {disp16}"))
    return rows


# The conditions of subcc on the operands themselves, width 32 and 64.
_COMPARE = {
    1: ("e", "a == b"), 2: ("le", "(iN)a <= (iN)b"), 3: ("l", "(iN)a < (iN)b"), 4: ("leu", "a <= b"),
    5: ("cs", "a < b"), 6: ("neg", "(iN)(a - b) < 0"), 7: ("vs", "(((a ^ b) & (a ^ (a - b))) >> TOP) != 0"),
    9: ("ne", "a != b"), 10: ("g", "(iN)a > (iN)b"), 11: ("ge", "(iN)a >= (iN)b"), 12: ("gu", "a > b"),
    13: ("cc", "a >= b"), 14: ("pos", "(iN)(a - b) >= 0"),
    15: ("vc", "(((a ^ b) & (a ^ (a - b))) >> TOP) == 0"),
}


def _compare_test(text: str, bits: int) -> str:
    """The condition on 64-bit ``a`` and ``b`` for a width of 32 or 64 bits."""
    if bits == 64:
        return text.replace("iN", "i64").replace("TOP", "63")
    out = ""
    for index, char in enumerate(text):
        alone = not text[index - 1:index].isalpha() and not text[index + 1:index + 2].isalpha()
        out += f"(u32){char}" if char in "ab" and alone else char
    return out.replace("iN", "i32").replace("TOP", "31")


def _compare_and_branch() -> list[Op]:
    """CBcond: cond in bits 29 and 27:25, bit 28 set, bit 21 the width; no delay slot, CCR unchanged."""
    rows = []
    for number, (name, test) in _COMPARE.items():
        base = BPR | (number >> 3) << 29 | 1 << 28 | (number & 7) << 25
        for letter, bits, width in (("w", 32, 0), ("x", 64, 1 << 21)):
            rows.append(op(f"c{letter}b{name}", base | width, "rs1, ri5, disp10", _compare_test(test, bits),
                           feature="cbcond", flags="special end", source="Oracle SPARC Architecture 2011, chapter 7"))
    return rows


ROWS: list[Op] = _conditional() + _compare_and_branch() + [
    op("call", 0x40000000, "disp30", "call", flags="cti special"),
    op("jmpl", 0x81C00000, "rs1, ri -> rd", "jmpl", flags="cti special", syntax="{jumpaddr}, {rd}"),
    op("return", 0x81C80000, "rs1, ri", "return", flags="cti special", syntax="{jumpaddr}"),
]
