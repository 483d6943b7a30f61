"""VIS 1 to 4, IMA and POPC. FMAF, the HPC arithmetic and the crypto instructions have groups of their own.

The bodies call the pure functions of ``csrc/vis/vis.h``. The engine supplies ``XCC_C`` (xcc.C, 0 or 1),
``SET_CCR(ccr)`` (all eight bits of CCR) and ``ADDR_MASK`` (all ones, or the low 32 bits under PSTATE.AM).

Names are those of OSA2015, which GNU objdump prints for ``sparc:v9m8``: ``fandd`` where VIS 1 said ``fand``,
``fpcmpule8`` where VIS 3 said ``fucmple8``. The assembler takes both.

Left out, hence illegal_instruction: the OSA2017 (M8) partitioned shifts, compare-and-shift, Oracle Numbers and
byte reversal, whose semantics have no public description precise enough.
"""

from __future__ import annotations

from ..table import Op, op

UA2007 = "UltraSPARC Architecture 2007, chapter 7"
OSA2011 = "Oracle SPARC Architecture 2011, chapter 7"
OSA2015 = "Oracle SPARC Architecture 2015, chapter 7"
SOURCES = {"vis": UA2007, "vis2": UA2007, "popc": UA2007, "ima": OSA2011, "vis3": OSA2011, "sparc5": OSA2015}

IMPDEP1 = 0x81B00000
IMPDEP2 = 0x81B80000


def _row(name: str, opf: int, args: str, body: str, feature: str, *, flags: str = "",
         syntax: str | None = None) -> Op:
    """An IMPDEP1 instruction: op 2, op3 0x36, opf in bits 13:5."""
    match = IMPDEP1 | opf << 5
    return op(name, match, args, body, feature=feature, flags=flags, syntax=syntax, source=SOURCES[feature])


def _edge(name: str, opf: int, feature: str) -> Op:
    """The plain forms (``n``) leave CCR alone, the ``cc`` forms set it as SUBcc does."""
    function = "vis_" + name.removesuffix("cc").removesuffix("n")
    flags = "cc_sub" if name.endswith("cc") else ""
    return _row(name, opf, "rs1, rs2 -> rd", f"r = {function}(a, b, ADDR_MASK);", feature, flags=flags)


def _map(name: str, opf: int, feature: str) -> Op:
    """Lane by lane over doubles, done by the function of the same name."""
    return _row(name, opf, "fd1, fd2 -> fdd", f"dr = vis_{name}(da, db);", feature)


def _map_single(name: str, opf: int, feature: str) -> Op:
    """The single-register form of a lane-wise instruction is the low half of the double one."""
    body = f"sr = (u32)vis_{name.removesuffix('s')}(sa, sb);"
    return _row(name, opf, "fs1, fs2 -> fsd", body, feature)


def _compare(name: str, opf: int, feature: str) -> Op:
    """Lane-wise compare into a bit mask in an integer register."""
    return _row(name, opf, "fd1, fd2 -> rd", f"r = vis_{name}(da, db);", feature)


def _logical(name: str, opf: int, fields: str, expression: str) -> list[Op]:
    """The double and the single form. ``fields`` names the sources (1, 2), ``expression`` uses A and B."""
    rows = []
    for suffix, kind, bits in (("d", "d", "u64"), ("s", "s", "u32")):
        value = expression.replace("A", kind + "a").replace("B", kind + "b")
        args = ", ".join(f"f{kind}{field}" for field in fields) + f" -> f{kind}d"
        rows.append(_row(name + suffix, opf + (kind == "s"), args, f"{kind}r = ({bits})({value});", "vis"))
    return rows


INTEGER = [
    _edge("edge8cc", 0x000, "vis"), _edge("edge8n", 0x001, "vis2"),
    _edge("edge8lcc", 0x002, "vis"), _edge("edge8ln", 0x003, "vis2"),
    _edge("edge16cc", 0x004, "vis"), _edge("edge16n", 0x005, "vis2"),
    _edge("edge16lcc", 0x006, "vis"), _edge("edge16ln", 0x007, "vis2"),
    _edge("edge32cc", 0x008, "vis"), _edge("edge32n", 0x009, "vis2"),
    _edge("edge32lcc", 0x00A, "vis"), _edge("edge32ln", 0x00B, "vis2"),
    _row("array8", 0x010, "rs1, rs2 -> rd", "r = vis_array8(a, b);", "vis"),
    _row("array16", 0x012, "rs1, rs2 -> rd", "r = vis_array8(a, b) << 1;", "vis"),
    _row("array32", 0x014, "rs1, rs2 -> rd", "r = vis_array8(a, b) << 2;", "vis"),
    _row("addxc", 0x011, "rs1, rs2 -> rd", "r = a + b + XCC_C;", "vis3"),
    _row("addxccc", 0x013, "rs1, rs2 -> rd", "SET_CCR(vis_addxccc(a, b, XCC_C, &r));", "vis3"),
    _row("subxc", 0x041, "rs1, rs2 -> rd", "r = a - b - XCC_C;", "sparc5"),
    _row("subxccc", 0x043, "rs1, rs2 -> rd", "SET_CCR(vis_subxccc(a, b, XCC_C, &r));", "sparc5"),
    _row("umulxhi", 0x016, "rs1, rs2 -> rd", "r = vis_umulxhi(a, b);", "vis3"),
    _row("xmulx", 0x115, "rs1, rs2 -> rd", "r = vis_xmulx(a, b);", "vis3"),
    _row("xmulxhi", 0x116, "rs1, rs2 -> rd", "r = vis_xmulxhi(a, b);", "vis3"),
    _row("lzcnt", 0x017, "rs2 -> rd", "r = vis_lzcnt(b);", "vis3"),
    op("popc", 0x81700000, "ri -> rd", "r = vis_popc(b);", feature="popc", source=SOURCES["popc"]),
    # A NOP for privileged code since UltraSPARC III; needs no FPU.
    _row("shutdown", 0x080, "", "", "vis", flags="priv"),
]

_ALIGN = "r = (a + b) & ~(u64)7; GSR = vis_gsr_align(GSR, {sum});"

GSR_SETTERS = [
    _row("alignaddr", 0x018, "rs1, rs2 -> rd", _ALIGN.format(sum="a + b"), "vis", flags="fpu"),
    _row("alignaddrl", 0x01A, "rs1, rs2 -> rd", _ALIGN.format(sum="0 - (a + b)"), "vis", flags="fpu"),
    _row("bmask", 0x019, "rs1, rs2 -> rd", "r = a + b; GSR = vis_gsr_mask(GSR, (u32)r);", "vis2", flags="fpu end"),
    _row("cmask8", 0x01B, "rs2", "GSR = vis_gsr_mask(GSR, vis_cmask8(b));", "vis3", flags="fpu"),
    _row("cmask16", 0x01D, "rs2", "GSR = vis_gsr_mask(GSR, vis_cmask16(b));", "vis3", flags="fpu"),
    _row("cmask32", 0x01F, "rs2", "GSR = vis_gsr_mask(GSR, vis_cmask32(b));", "vis3", flags="fpu"),
    _row("siam", 0x081, "imm3", "GSR = vis_gsr_siam(GSR, imm);", "vis2", flags="fpu end"),
]

ADD_SUBTRACT = [
    _map("fpadd8", 0x124, "sparc5"), _map("fpsub8", 0x154, "sparc5"),
    _map("fpadd16", 0x050, "vis"), _map_single("fpadd16s", 0x051, "vis"),
    _map("fpadd32", 0x052, "vis"), _map_single("fpadd32s", 0x053, "vis"),
    _map("fpsub16", 0x054, "vis"), _map_single("fpsub16s", 0x055, "vis"),
    _map("fpsub32", 0x056, "vis"), _map_single("fpsub32s", 0x057, "vis"),
    _row("fpadd64", 0x042, "fd1, fd2 -> fdd", "dr = da + db;", "vis3"),
    _row("fpsub64", 0x046, "fd1, fd2 -> fdd", "dr = da - db;", "vis3"),
    _map("fpadds8", 0x126, "sparc5"), _map("fpsubs8", 0x156, "sparc5"),
    _map("fpadds16", 0x058, "vis3"), _map_single("fpadds16s", 0x059, "vis3"),
    _map("fpadds32", 0x05A, "vis3"), _map_single("fpadds32s", 0x05B, "vis3"),
    _map("fpsubs16", 0x05C, "vis3"), _map_single("fpsubs16s", 0x05D, "vis3"),
    _map("fpsubs32", 0x05E, "vis3"), _map_single("fpsubs32s", 0x05F, "vis3"),
    _map("fpaddus8", 0x127, "sparc5"), _map("fpsubus8", 0x157, "sparc5"),
    _map("fpaddus16", 0x123, "sparc5"), _map("fpsubus16", 0x153, "sparc5"),
    _map("fmean16", 0x040, "vis3"), _map("fchksm16", 0x044, "vis3"),
]

SHIFT = [
    _map("fsll16", 0x021, "vis3"), _map("fsll32", 0x025, "vis3"),
    _map("fsrl16", 0x023, "vis3"), _map("fsrl32", 0x027, "vis3"),
    _map("fslas16", 0x029, "vis3"), _map("fslas32", 0x02D, "vis3"),
    _map("fsra16", 0x02B, "vis3"), _map("fsra32", 0x02F, "vis3"),
]

MIN_MAX = [
    _map("fpmin8", 0x11A, "sparc5"), _map("fpminu8", 0x15A, "sparc5"),
    _map("fpmin16", 0x11B, "sparc5"), _map("fpminu16", 0x15B, "sparc5"),
    _map("fpmin32", 0x11C, "sparc5"), _map("fpminu32", 0x15C, "sparc5"),
    _map("fpmax8", 0x11D, "sparc5"), _map("fpmaxu8", 0x15D, "sparc5"),
    _map("fpmax16", 0x11E, "sparc5"), _map("fpmaxu16", 0x15E, "sparc5"),
    _map("fpmax32", 0x11F, "sparc5"), _map("fpmaxu32", 0x15F, "sparc5"),
]

MULTIPLY = [
    _row("fmul8x16", 0x031, "fs1, fd2 -> fdd", "dr = vis_fmul8x16(sa, db);", "vis"),
    _row("fmul8x16au", 0x033, "fs1, fs2 -> fdd", "dr = vis_fmul8x16au(sa, sb);", "vis"),
    _row("fmul8x16al", 0x035, "fs1, fs2 -> fdd", "dr = vis_fmul8x16al(sa, sb);", "vis"),
    _map("fmul8sux16", 0x036, "vis"), _map("fmul8ulx16", 0x037, "vis"),
    _row("fmuld8sux16", 0x038, "fs1, fs2 -> fdd", "dr = vis_fmuld8sux16(sa, sb);", "vis"),
    _row("fmuld8ulx16", 0x039, "fs1, fs2 -> fdd", "dr = vis_fmuld8ulx16(sa, sb);", "vis"),
    op("fpmaddx", IMPDEP2, "fd1, fd2, fd3 -> fdd", "dr = da * db + dc;", feature="ima", source=SOURCES["ima"]),
    op("fpmaddxhi", IMPDEP2 | 0x80, "fd1, fd2, fd3 -> fdd", "dr = vis_fpmaddxhi(da, db, dc);", feature="ima",
       source=SOURCES["ima"]),
]

BYTES = [
    _row("fpack32", 0x03A, "fd1, fd2 -> fdd", "dr = vis_fpack32(GSR, da, db);", "vis"),
    _row("fpack16", 0x03B, "fd2 -> fsd", "sr = vis_fpack16(GSR, db);", "vis"),
    _row("fpackfix", 0x03D, "fd2 -> fsd", "sr = vis_fpackfix(GSR, db);", "vis"),
    _row("fexpand", 0x04D, "fs2 -> fdd", "dr = vis_fexpand(sb);", "vis"),
    _row("fpmerge", 0x04B, "fs1, fs2 -> fdd", "dr = vis_fpmerge(sa, sb);", "vis"),
    _row("pdist", 0x03E, "fd1, fd2 -> fdd+", "dr = vis_pdist(da, db, dr);", "vis"),
    _row("pdistn", 0x03F, "fd1, fd2 -> rd", "r = vis_pdist(da, db, 0);", "vis3"),
    _row("faligndata", 0x048, "fd1, fd2 -> fdd", "dr = vis_faligndata(da, db, GSR & 7);", "vis"),
    # The old destination comes first; binutils 2.40 cannot assemble this one and prints an operand too many.
    _row("faligndatai", 0x049, "rs1, fd2 -> fdd+", "dr = vis_faligndata(dr, db, a & 7);", "sparc5",
         syntax="{fdd}, {fd2}, {rs1}, {fdd}"),
    _row("bshuffle", 0x04C, "fd1, fd2 -> fdd", "dr = vis_bshuffle(GSR, da, db);", "vis2"),
]

MOVE = [
    _row("movdtox", 0x110, "fd2 -> rd", "r = db;", "vis3"),
    _row("movstouw", 0x111, "fs2 -> rd", "r = sb;", "vis3"),
    _row("movstosw", 0x113, "fs2 -> rd", "r = (u64)(i64)(i32)sb;", "vis3"),
    _row("movxtod", 0x118, "rs2 -> fdd", "dr = b;", "vis3"),
    _row("movwtos", 0x119, "rs2 -> fsd", "sr = (u32)b;", "vis3"),
]

COMPARE = [
    _compare("fpcmple16", 0x020, "vis"), _compare("fpcmple32", 0x024, "vis"),
    _compare("fpcmpne16", 0x022, "vis"), _compare("fpcmpne32", 0x026, "vis"),
    _compare("fpcmpgt16", 0x028, "vis"), _compare("fpcmpgt32", 0x02C, "vis"),
    _compare("fpcmpeq16", 0x02A, "vis"), _compare("fpcmpeq32", 0x02E, "vis"),
    _compare("fpcmpule8", 0x120, "vis3"), _compare("fpcmpugt8", 0x128, "vis3"),
    _row("fpcmpune8", 0x122, "fd1, fd2 -> rd", "r = vis_fpcmpne8(da, db);", "vis3"),
    _row("fpcmpueq8", 0x12A, "fd1, fd2 -> rd", "r = vis_fpcmpeq8(da, db);", "vis3"),
    _compare("fpcmple8", 0x034, "sparc5"), _compare("fpcmpgt8", 0x03C, "sparc5"),
    _compare("fpcmpule16", 0x12E, "sparc5"), _compare("fpcmpugt16", 0x12B, "sparc5"),
    _compare("fpcmpule32", 0x12F, "sparc5"), _compare("fpcmpugt32", 0x12C, "sparc5"),
]

LOGICAL = [
    *_logical("fzero", 0x060, "", "0"), *_logical("fone", 0x07E, "", "~(u64)0"),
    *_logical("fsrc1", 0x074, "1", "A"), *_logical("fsrc2", 0x078, "2", "B"),
    *_logical("fnot1", 0x06A, "1", "~A"), *_logical("fnot2", 0x066, "2", "~B"),
    *_logical("fand", 0x070, "12", "A & B"), *_logical("fnand", 0x06E, "12", "~(A & B)"),
    *_logical("for", 0x07C, "12", "A | B"), *_logical("fnor", 0x062, "12", "~(A | B)"),
    *_logical("fxor", 0x06C, "12", "A ^ B"), *_logical("fxnor", 0x072, "12", "~(A ^ B)"),
    *_logical("fandnot1", 0x068, "12", "~A & B"), *_logical("fandnot2", 0x064, "12", "A & ~B"),
    *_logical("fornot1", 0x07A, "12", "~A | B"), *_logical("fornot2", 0x076, "12", "A | ~B"),
]

ROWS: list[Op] = [
    *INTEGER, *GSR_SETTERS, *ADD_SUBTRACT, *SHIFT, *MIN_MAX, *MULTIPLY, *BYTES, *MOVE, *COMPARE, *LOGICAL,
]
