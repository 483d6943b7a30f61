"""The instruction table: the language its rows are written in.

Every fact about an instruction stands in one row of ``groups/*.py``.  From the rows come the decoder, the
interpreter, the out-of-line bodies, the disassembler, the trace text and the reference page
(``generate.py`` writes the C; nothing generated is committed).

A row names its *base word* (all operand fields zero) and its operands; the match mask follows from the
operands, because every bit that belongs to no operand is fixed.  Reserved bits are therefore checked:
UA2005 and OSA2011 give illegal_instruction for a non-zero reserved field.

The body is C.  The generator declares one variable per operand and writes the destination back:

====================  ==========================================  =====================================
operand token         instruction bits                            C variable in the body
====================  ==========================================  =====================================
rs1, rs2              18:14, 4:0                                  ``a``, ``b``      uint64_t
ri                    i=0: rs2 (12:5 zero); i=1: simm13           ``b``             uint64_t
ri11, ri10            as ri with simm11 / simm10                  ``b``             uint64_t
ri5                   i=0: rs2; i=1: simm5 (cbcond)               ``b``             uint64_t
shcnt32, shcnt64      i=0: rs2; i=1: 4:0 / 5:0                    ``b``, masked     uint64_t
rd (destination)      29:25                                       ``r``             uint64_t
rd (source)           29:25                                       ``v``             uint64_t
fs1 fs2 fs3           18:14, 4:0, 13:9, single                    ``sa sb sc``      uint32_t
fd1 fd2 fd3           same fields, double                         ``da db dc``      uint64_t
fsd, fdd (dest.)      29:25                                       ``sr``, ``dr``    uint32_t / uint64_t
fsd, fdd (source)     29:25                                       ``sv``, ``dv``    uint32_t / uint64_t
imm5                  13:9                                        ``imm``           uint32_t
imm5lo                4:0                                         ``imm``           uint32_t
imm3                  2:0                                         ``imm``           uint32_t
imm22, const22        21:0                                        ``imm``           uint32_t
fcc                   26:25 (compare) condition-code number       ``n``             uint32_t
mfcc                  12:11 (MOVcc)   condition-code number       ``n``             uint32_t
ri8                   i=0: rs2; i=1: 7:0 (Tcc), zero extended      ``b``             uint64_t
casasi                i=0: imm_asi 12:5; i=1: %asi                 --
simm13                12:0, the base word sets i                   --
====================  ==========================================  =====================================

``args`` is written ``"sources -> destination"``.  A destination marked ``+`` (``"fd1, fd2 -> fdd+"``) is also
preloaded with the old value (``dr`` starts as the old contents).  Quad operands (``fq1 fq2 fqd``) only
name the register fields.  In every body ``c`` is the ``struct strand *``, ``insn`` the word, ``GSR`` the
general status register as an lvalue, and ``TRAP(tt)`` leaves without any write-back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# token -> list of (low bit, width) of the fields it occupies; the i-dependent tokens are handled by forms()
FIELDS: dict[str, tuple[tuple[int, int], ...]] = {
    "rs1": ((14, 5),), "rs2": ((0, 5),), "rd": ((25, 5),),
    "fs1": ((14, 5),), "fs2": ((0, 5),), "fs3": ((9, 5),), "fsd": ((25, 5),),
    "fd1": ((14, 5),), "fd2": ((0, 5),), "fd3": ((9, 5),), "fdd": ((25, 5),),
    "fq1": ((14, 5),), "fq2": ((0, 5),), "fqd": ((25, 5),),
    "imm5": ((9, 5),), "imm5lo": ((0, 5),), "imm3": ((0, 3),), "imm22": ((0, 22),), "const22": ((0, 22),),
    "fcc": ((25, 2),), "disp30": ((0, 30),), "disp22": ((0, 22),), "disp19": ((0, 19),),
    "disp16": ((0, 14), (20, 2)), "disp10": ((5, 8), (19, 2)), "membar": ((0, 7),), "prefetch": ((25, 5),),
    "asr": ((14, 5),), "asrd": ((25, 5),), "bpn": ((20, 2),), "bpp": ((19, 1),), "bfcc": ((20, 2),),
    "annul": ((29, 1),), "mfcc": ((11, 2),), "simm13": ((0, 13),),
}

# tokens whose encoding depends on the i bit (13): (fields when i=0, fields when i=1)
I_FIELDS: dict[str, tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]] = {
    "ri": (((0, 5),), ((0, 13),)),
    "ri11": (((0, 5),), ((0, 11),)),
    "ri10": (((0, 5),), ((0, 10),)),
    "ri5": (((0, 5),), ((0, 5),)),
    "ri8": (((0, 5),), ((0, 8),)),  # Tcc trap number; UA2005 widened it by a bit for hypercalls
    "casasi": (((5, 8),), ()),  # CASA: imm_asi | %asi
    "shcnt32": (((0, 5),), ((0, 5),)),
    "shcnt64": (((0, 5),), ((0, 6),)),
    "addr": (((14, 5), (0, 5)), ((14, 5), (0, 13))),  # [rs1 + ri]
    "asiaddr": (((14, 5), (0, 5), (5, 8)), ((14, 5), (0, 13))),  # [rs1 + rs2] imm_asi | [rs1 + simm13] %asi
}


@dataclass(frozen=True)
class Op:
    """One row. ``match`` is the base word with i=0; ``forms()`` gives its encodings."""

    name: str
    match: int
    args: str
    body: str
    feature: str = "v9"
    flags: frozenset[str] = field(default_factory=frozenset)
    syntax: str | None = None  # assembler operands where they are not simply args in order
    source: str = ""  # manual section or document the semantics come from
    ignore: int = 0  # bits that are neither operand nor checked
    mnemonic: str = ""  # what the assembler calls it; the name where that is not unique

    @property
    def sources(self) -> list[str]:
        return [t.strip() for t in self.args.split("->")[0].split(",") if t.strip()]

    @property
    def dest(self) -> str | None:
        """Destination token, with its ``+`` when the old value is read too."""
        return self.args.split("->")[1].strip() if "->" in self.args else None

    def tokens(self) -> list[str]:
        dest = self.dest
        return self.sources + ([dest.rstrip("+")] if dest else [])

    def forms(self) -> list[tuple[int, int, int | None]]:
        """Encodings as (match, mask, i): one, or two where an operand depends on the i bit."""
        tokens = self.tokens()
        i_tokens = [t for t in tokens if t in I_FIELDS]
        out: list[tuple[int, int, int | None]] = []
        for i in (0, 1) if i_tokens else (None,):
            free = self.ignore
            for token in tokens:
                spans = I_FIELDS[token][i] if i is not None and token in I_FIELDS else FIELDS[token]
                for low, width in spans:
                    free |= ((1 << width) - 1) << low
            match = self.match | (0x2000 if i == 1 else 0)
            if i is not None:
                free &= ~0x2000
            mask = ~free & 0xFFFFFFFF
            if match & ~mask:
                raise ValueError(f"{self.name}: base word {match:#010x} has operand bits set")
            out.append((match, mask, i))
        return out


def op(name: str, match: int, args: str, body: str, *, feature: str = "v9", flags: str = "",
       syntax: str | None = None, source: str = "", ignore: int = 0, mnemonic: str = "") -> Op:
    """One instruction. ``flags`` is a blank-separated set, see ``FLAGS``."""
    flag_set = frozenset(flags.split())
    unknown = flag_set - FLAGS.keys()
    if unknown:
        raise ValueError(f"{name}: unknown flags {sorted(unknown)}")
    row = Op(name, match, args, body, feature, flag_set, syntax, source, ignore, mnemonic or name)
    row.forms()
    return row


FLAGS: dict[str, str] = {
    "fpu": "needs the FPU although no operand says so (GSR users); fp operands imply it",
    "nofpu": "names FP-looking operands but never traps fp_disabled",
    "ieee": "FPop1/FPop2 arithmetic: body uses `struct fp_env *e`; flags, TEM traps and cexc/aexc follow",
    "fop": "FPop that raises no IEEE exception but clears cexc/ftt (FMOV, FABS, FNEG)",
    "priv": "privileged_opcode in user mode",
    "hpriv": "illegal_instruction for a guest (hyperprivileged); with priv only in privileged mode",
    "hot": "gets specialised interpreter handlers",
    "cc_add": "sets icc/xcc as a + b", "cc_sub": "sets icc/xcc as a - b",
    "cc_logic": "sets icc/xcc from r, V=C=0",
    "load": "memory read", "store": "memory write", "atomic": "reads and writes memory",
    "cti": "control transfer with a delay slot",
    "end": "ends a block: mode, window or address space may change",
    "special": "decoded and executed by hand-written engine code; the body is a comment",
    "quad": "quad precision: illegal_instruction; on a T1 fp_exception_other, unimplemented_FPop",
}
