"""The table itself: complete, in order, every row with its test, the page up to date."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from ldmd.migration.rules import RULES, find_rule

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (*range(1, 4), *range(10, 19), *range(20, 25), *range(30, 34), *range(40, 50), *range(50, 53), *range(60, 64))
NOT_ON_SERVERS = {"M01", "M25", "M29", "M30"}
"""Checks that no command provokes on emulated servers: docs/internals/migration-rules.md says why."""


def own_tests() -> set[str]:
    """Names of all tests of the rules."""
    return {name for path in Path(__file__).parent.glob("test_rules_*.py")
            for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)}


def words_on_servers() -> set[str]:
    """Words of the names of the tests on real servers: the numbers of rules among them."""
    names = (name for path in (ROOT / "tests" / "realrules").glob("test_real_*.py")
             for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE))
    return {word for name in names for word in name.split("_")}


def test_every_check_is_provoked_on_real_servers() -> None:
    checks = {rule.id for rule in RULES if rule.check is not None}
    assert {each for each in checks if each.lower() not in words_on_servers()} == NOT_ON_SERVERS
    page = (ROOT / "docs" / "internals" / "migration-rules.md").read_text()
    assert all(f"| {each} |" in page for each in NOT_ON_SERVERS)


def test_every_rule_of_the_guide_has_a_row() -> None:
    ids = [rule.id for rule in RULES]
    assert [each for each in ids if each.startswith("G")] == [f"G{number:02}" for number in GUIDE]
    further = [each for each in ids if each.startswith("M")]
    assert further == [f"M{number:02}" for number in range(1, len(further) + 1)]
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.kind == ("behaviour" if rule.proof else "check") for rule in RULES)


@pytest.mark.parametrize("rule_id", [rule.id for rule in RULES])
def test_every_rule_has_its_test(rule_id: str) -> None:
    """A check has one here that carries its number; a behaviour names the one that shows it, which exists."""
    rule = find_rule(rule_id)
    if rule.check is not None:
        assert any(name.startswith(f"test_{rule_id.lower()}_") for name in own_tests())
    else:
        path, _, name = rule.proof.partition("::")
        assert re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.MULTILINE)


def test_the_page_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("page", ROOT / "docs/reference/generate_migration_rules.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text() == module.page_text(), "run python docs/reference/generate_migration_rules.py"
