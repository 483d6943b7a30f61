"""Texts of the disassembler written down here: they hold where no SPARC binutils are installed."""

from __future__ import annotations

import pytest
from isa_support import DECODER, core

PC = 0x10000
TEXTS = [
    (0x9DE3BF50, "save %sp, -176, %sp"),
    (0x81E80000, "restore"),
    (0x81C7E008, "ret"),
    (0x81C3E008, "retl"),
    (0x9FC3C000, "call %o7"),
    (0x81CFE008, "return %i7 + 8"),
    (0x01000000, "nop"),
    (0x03000001, "sethi %hi(0x400), %g1"),
    (0x82102005, "mov 5, %g1"),
    (0x80A06001, "cmp %g1, 1"),
    (0x80A02001, "deccc %g0"),
    (0x82006001, "inc %g1"),
    (0x84207FFF, "sub %g1, -1, %g2"),
    (0x87292009, "sll %g4, 9, %g3"),
    (0x8729303F, "sllx %g4, 0x3f, %g3"),
    (0x10800004, "b 0x10010"),
    (0x32BFFFFF, "bne,a 0xfffc"),
    (0x12680000, "bne %xcc, 0x10000"),
    (0x22C04000, "brz,a,pn %g1, 0x10000"),
    (0x2368FFFF, "fbne,a %fcc2, 0x4fffc"),
    (0x7FFFFFFF, "call 0xfffc"),
    (0x32C040A2, "cwbne %g1, %g2, 0x10014"),
    (0x12E0601D, "cxbe %g1, -3, 0x10000"),
    (0x91D02080, "ta 0x80"),
    (0x93D07003, "tne %xcc, %g1 + 3"),
    (0x83666003, "movne %icc, 3, %g1"),
    (0x8561F7FD, "movu %fcc2, -3, %g2"),
    (0x8143E070, "membar #Sync|#MemIssue|#Lookaside"),
    (0x83400000, "rd %y, %g1"),
    (0x81844000, "wr %l1, %y"),
    (0xB7802005, "pause 5"),
    (0x8D904000, "wrpr %g1, %pstate"),
    (0xA1902003, "wrpr 3, %gl"),
    (0xC4D84400, "ldxa [ %g1 ] #ASI_SCRATCHPAD, %g2"),
    (0xC4D85ADD, "ldxa [ %g1 + %i5 ] (214), %g2"),
    (0xC4D86003, "ldxa [ %g1 + 3 ] %asi, %g2"),
    (0xC49844C0, "ldtxa [ %g1 ] #ASI_QUAD_LDD_PHYS_4V, %g2"),
    (0xC4980000, "ldtwa [ %g0 ] (0), %g2"),
    (0xC2003FFF, "ld [ -1 ], %g1"),
    (0xC0704000, "clrx [ %g1 ]"),
    (0xC7E05002, "cas [ %g1 ], %g2, %g3"),
    (0xC7E06002, "casa [ %g1 ] %asi, %g2, %g3"),
    (0xC3084000, "ldx [ %g1 ], %fsr"),
    (0xCBE84200, "prefetcha [ %g1 ] #ASI_AIUP, 5"),
    (0x8BA40856, "faddd %f16, %f22, %f36"),
    (0x81A80A20, "fcmps %f0, %f0"),
    (0x87A8CA28, "fcmps %fcc3, %f3, %f8"),
    (0x8FBD663F, "fmadds %f21, %f31, %f19, %f7"),
    (0x80CDB10A, "aes_kexpand1 %f22, %f10, 0x18, %f0"),
    (0x003FFFFF, "illtrap 0x3fffff"),
    (0x02000000, ".word 0x02000000"),
]


@pytest.mark.parametrize(("word", "text"), TEXTS, ids=[text for _, text in TEXTS])
def test_text(word: int, text: str) -> None:
    assert core().disasm(word, PC) == text


def test_targets_wrap_at_64_bits() -> None:
    assert core().disasm(0x10800002, 0xFFFFFFFFFFFFFFFC) == "b 0x4"
    assert core().disasm(0x10BFFFFF, 0) == "b 0xfffffffffffffffc"


def test_the_core_has_the_forms_and_features_of_the_rows() -> None:
    c = core()
    for number in range(c.isa_count()):
        row = DECODER.rows[c.isa_name(number)]
        assert sorted(c.isa_forms(number)) == sorted((match, mask) for match, mask, _ in row.forms()), row.name
        assert c.isa_feature(number) in (row.feature, "" if row.feature == "v9" else row.feature), row.name
