"""Pairs of hot rows in one handler; where the second uses the first one's result, it takes it from a host register.

What a pair saves is a dispatch and, where it forwards, the trip of the result through memory. Both micro-ops stay in the block,
each with its own handler: only the first one's handler is replaced, so everything that looks at a micro-op
(traps, side table) finds what it would find without pairs. A second part that takes its slow path does so as itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from .table import Op

_ALU = ("add", "sub", "and", "or", "xor", "sll", "srl", "sra", "sllx", "srlx")
_LOADS = ("ldub", "lduw", "ldx", "lduh")
_COMPARES = ("subcc", "andcc")

# first parts, in two forms: operand 2 immediate or a register
FIRST = (*_ALU, *_LOADS, "sethi")
# second parts: F stands for the forwarded result, R for a register, I for an immediate
SECOND = (*_ALU, "subcc", "ldub", "lduw", "ldx")
SECOND_FORMS = ("FI", "FR", "RF", "RI", "RR")
# compare, then branch on it
CONDITIONS = (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15)

_SHIFT_MASK = {"sll": " & 31", "srl": " & 31", "sra": " & 31", "sllx": " & 63", "srlx": " & 63"}


@dataclass(frozen=True)
class PairTable:
    """The generated text and the numbers the builder finds handlers by."""

    text: str
    first: dict[str, int]  # row name -> 1..
    second: dict[str, int]
    compare: dict[str, int]


def _value(row: Op, a: str, b: str) -> str:
    """Statement block that leaves the row's result in ``t``; loads may leave by their slow path."""
    if row.body.startswith("load"):
        kind = row.body.split()[1]
        return f"{{ u64 va = {a} + {b}; HOT_LOAD({kind}, t); }}"
    if row.name == "sethi":
        return "t = (u64)(u32)U->imm;"
    return f"{{ u64 a = {a}, b = {b}{_SHIFT_MASK.get(row.name, '') if b != '(u64)(i64)U->imm' else ''}, r; " \
           f"{row.body} t = r; }}"


_OPERAND = {"I": "(u64)(i64)U->imm", "R": "REG(rs2)"}


def _first(row: Op, second: str) -> str:
    return f"u64 t; {_value(row, 'REG(rs1)', _OPERAND[second])} REG(rd) = t; u++;"


def _second(row: Op, form: str) -> str:
    a = "f" if form[0] == "F" else "REG(rs1)"
    b = "f" if form[1] == "F" else _OPERAND[form[1]]
    if row.name == "subcc":
        return f"HOT_CC({a}, {b}, CC_SUB); NEXT;"
    return f"{_value(row, a, b)} REG(rd) = t; NEXT;"


def _pair_handlers(rows: dict[str, Op]) -> tuple[list[str], list[str]]:
    out, names = [], []
    for first in FIRST:
        for operand in ("I", "R"):
            for second in SECOND:
                for form in SECOND_FORMS:
                    if first == "sethi" and operand == "R":
                        names.append("0")
                        continue
                    name = f"p_{first}_{operand}_{second}_{form}".lower()
                    out.append(f"HANDLER({name}) {{ {_first(rows[first], operand)} const u64 f = t; (void)f; "
                               f"{_second(rows[second], form)} }}")
                    names.append(name)
    return out, names


def _compare_handlers(rows: dict[str, Op]) -> tuple[list[str], list[str]]:
    out, names = [], []
    for compare in _COMPARES:
        for operand in ("I", "R"):
            for width in ("icc", "xcc"):
                for n in range(16):
                    if n not in CONDITIONS:
                        names.append("0")
                        continue
                    name = f"p_{compare}_{operand}_b{width}_{n}".lower()
                    load = f"u64 a = REG(rs1), b = {_OPERAND[operand]};"
                    setter = "HOT_CC(a, b, CC_SUB);" if compare == "subcc" else "HOT_CC(a & b, 0, CC_SUB);"
                    out.append(f"HANDLER({name}) {{ {load} {setter} u++; BRANCH_ON(COND_{width.upper()}({n})); }}")
                    names.append(name)
    return out, names


def build(rows: list[Op]) -> PairTable:
    """All pair handlers, and the numbers of the rows that take part."""
    by_name = {row.name: row for row in rows}
    pairs, pair_names = _pair_handlers(by_name)
    compares, compare_names = _compare_handlers(by_name)
    tables = [
        f"enum {{ PAIR_SECONDS = {len(SECOND)}, COMPARE_ROW = 16 }};",
        "static const handler_fn pair_handlers[] = {\n" + "\n".join(f"  {n}," for n in pair_names) + "\n};",
        "static const handler_fn compare_handlers[] = {\n" + "\n".join(f"  {n}," for n in compare_names) + "\n};",
    ]
    return PairTable(
        "\n".join([*pairs, *compares, *tables]),
        {name: n + 1 for n, name in enumerate(FIRST)},
        {name: n + 1 for n, name in enumerate(SECOND)},
        {name: n + 1 for n, name in enumerate(_COMPARES)},
    )
