"""Privileged and hyperprivileged instructions of UA2005 as a guest sees them.

V9 A.37, A.47, A.62; UA2005 7.4, 7.70 (the window-state instructions); UA2005 5.6 (the registers).
"""

from __future__ import annotations

from ..table import Op, op


def _word(op3: int, *, rd: int = 0, rs1: int = 0) -> int:
    return 0x80000000 | rd << 25 | op3 << 19 | rs1 << 14


# number, name, feature; UA2005 5.6.  FQ (15) does not exist on any sun4v chip and has no row.
_REGISTERS = (
    (0, "tpc", "v9"), (1, "tnpc", "v9"), (2, "tstate", "v9"), (3, "tt", "v9"), (4, "tick", "v9"), (5, "tba", "v9"),
    (6, "pstate", "v9"), (7, "tl", "v9"), (8, "pil", "v9"), (9, "cwp", "v9"), (10, "cansave", "v9"),
    (11, "canrestore", "v9"), (12, "cleanwin", "v9"), (13, "otherwin", "v9"), (14, "wstate", "v9"), (16, "gl", "v9"),
    (23, "pmcdper", "adi"), (31, "ver", "v9"),
)
_HYPER = ((0, "hpstate"), (1, "htstate"), (3, "hintp"), (5, "htba"), (6, "hver"), (23, "hmcdper"), (24, "hmcddfr"),
          (27, "hva_mask_nz"), (28, "hstick_offset"), (29, "hstick_enable"), (31, "hstick_cmpr"))


def _registers() -> list[Op]:
    rows = []
    for number, name, feature in _REGISTERS:
        read = "special priv hpriv" if name == "ver" else "special priv"
        rows.append(op(f"rdpr_{name}", _word(0x2A, rs1=number), "-> rd", f"rdpr {name}", feature=feature, flags=read,
                       mnemonic="rdpr", syntax=f"%{name}, {{rd}}"))
        if name != "ver":
            write = "special priv hpriv" if name == "tick" else "special priv"
            rows.append(op(f"wrpr_{name}", _word(0x32, rd=number), "rs1, ri", f"wrpr {name}", feature=feature,
                           flags=write, mnemonic="wrpr", syntax=f"{{rs1}}, {{ri}}, %{name}"))
    for number, name in _HYPER:
        rows.append(op(f"rdhpr_{name}", _word(0x29, rs1=number), "-> rd", f"rdhpr {name}", flags="special hpriv",
                       mnemonic="rdhpr", syntax=f"%{name}, {{rd}}"))
        if name != "hver":
            rows.append(op(f"wrhpr_{name}", _word(0x33, rd=number), "rs1, ri", f"wrhpr {name}",
                           flags="special hpriv", mnemonic="wrhpr", syntax=f"{{rs1}}, {{ri}}, %{name}"))
    return rows


ROWS: list[Op] = _registers() + [
    op("done", _word(0x3E, rd=0), "", "done", flags="special priv end"),
    op("retry", _word(0x3E, rd=1), "", "retry", flags="special priv end"),
] + [
    op(name, _word(0x31, rd=number), "", name, flags="special priv", source="UA2005, chapter 7")
    for number, name in enumerate(("saved", "restored", "allclean", "otherw", "normalw", "invalw"))
]
