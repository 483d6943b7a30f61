"""docs/reference/instructions.md is what the rows say."""

from __future__ import annotations

from csrc.isa import generate_docs
from csrc.isa.groups import ALL


def test_the_page_is_up_to_date() -> None:
    assert generate_docs.PAGE.read_text() == generate_docs.page_text(), "run python -m csrc.isa.generate_docs"


def test_every_row_has_its_line() -> None:
    lines = generate_docs.page_text().split("## Other spellings")[0].splitlines()
    for row in ALL:
        assert sum(line.startswith(f"| `{row.name}` |") for line in lines) == 1, row.name


def test_a_page_without_a_row_is_seen() -> None:
    """The comparison is by text: any change of a row changes the page."""
    text = generate_docs.page_text()
    assert f"{ALL[0].forms()[0][0]:08x}/{ALL[0].forms()[0][1]:08x}" in text
    assert "{" not in text.replace("{,a}", "").replace("{,pn}", "")
