"""The rows among themselves: nothing here needs a tool or the C core."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from isa_support import DECODER, SEED, all_samples, bucket

from csrc.isa import generate_disasm
from csrc.isa.groups import ALL, GROUPS, load_rows
from csrc.isa.table import FIELDS, FLAGS, I_FIELDS

ROOT = Path(__file__).resolve().parents[2]


def test_every_group_has_rows() -> None:
    assert all(load_rows((group,)) for group in GROUPS)


def test_names_are_unique() -> None:
    names = [row.name for row in ALL]
    assert sorted(names) == sorted(set(names))


def test_no_two_rows_match_the_same_word() -> None:
    """Any two forms differ in a bit that both check, so the order of the rows never matters."""
    forms = [(match, mask, row.name) for row in ALL for match, mask, _ in row.forms()]
    clashes = [
        (one[2], other[2])
        for index, one in enumerate(forms)
        for other in forms[:index]
        if not (one[0] ^ other[0]) & one[1] & other[1]
    ]
    assert clashes == []


def test_the_bucket_bits_are_fixed_in_every_form() -> None:
    """op with op2 or op3 selects the candidates, so no operand may reach into them."""
    for row in ALL:
        for match, mask, _ in row.forms():
            major = match >> 30
            key = {0: 0xC1C00000, 1: 0xC0000000}.get(major, 0xC1F80000)
            assert mask & key == key, row.name
            assert bucket(match) == bucket(match | ~mask & 0xFFFFFFFF), row.name


def test_tokens_flags_and_features_are_known() -> None:
    text = (ROOT / "csrc/isa/feature.def").read_text()
    features = {"v9", *re.findall(r'^FEATURE\(\s*\d+,\s*"([^"]+)"', text, re.MULTILINE)}
    for row in ALL:
        assert row.feature in features, row.name
        assert row.flags <= FLAGS.keys(), row.name
        assert all(token in FIELDS or token in I_FIELDS for token in row.tokens()), row.name


def test_sample_words_decode_to_their_row() -> None:
    for row, word in all_samples():
        assert DECODER.decode(word) is row, f"{word:#010x}"


def test_a_bit_outside_the_operands_takes_a_word_out_of_its_row() -> None:
    rng = random.Random(SEED)
    for row in ALL:
        for match, mask, i in row.forms():
            bit = rng.choice([n for n in range(32) if mask >> n & 1 and (i is None or n != 13)])
            assert DECODER.decode(match ^ 1 << bit) is not row, (row.name, bit)


@pytest.mark.parametrize("alias", generate_disasm.all_aliases(ALL), ids=lambda a: f"{a.row}-{a.mnemonic}")
def test_every_alias_fits_its_row(alias: object) -> None:
    """The fields an alias asks for are operands of the row or agree with its fixed bits."""
    row = DECODER.rows[alias.row]  # type: ignore[attr-defined]
    fits = [not (alias.value ^ match) & alias.mask & mask  # type: ignore[attr-defined]
            for match, mask, _ in row.forms()]
    assert any(fits)


def test_templates_name_only_known_tokens() -> None:
    aliases = generate_disasm.all_aliases(ALL)
    for text in [*map(generate_disasm.row_template, ALL), *(alias.syntax for alias in aliases)]:
        assert set(re.findall(r"\{(\w+)\}", text)) <= set(generate_disasm.TOKENS), text


def test_every_operand_shows_in_the_text() -> None:
    """A template that forgets an operand would hide what the word does."""
    inside = {"addr": ("jumpaddr",), "ri8": ("trapnum",), "rs1": ("trapnum", "jumpaddr"), "ri": ("jumpaddr",)}
    for row in ALL:
        shown = set(re.findall(r"\{(\w+)\}", generate_disasm.row_template(row)))
        for token in row.tokens():
            assert token in shown or shown & set(inside.get(token, ())), (row.name, token)
