"""The table itself: complete, in order, every row with its test, the page up to date."""

from __future__ import annotations

import ast
import importlib.util
import re
from functools import cache
from pathlib import Path

import pytest

from ldmd.migration.rules import RULES, find_rule

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (*range(1, 4), *range(10, 19), *range(20, 25), *range(30, 34), *range(40, 50), *range(50, 53), *range(60, 64))
ON_SERVERS = (*sorted((ROOT / "tests" / "realrules").glob("test_real_*.py")), ROOT / "tests" / "room" / "test_demo.py")
"""Files whose tests power real servers on, and type at them."""
EVERY = "t3 t4 t5 m7 m10"
KINDS = {
    "G12": EVERY, "G13": EVERY, "G14": "t5 m10", "G15": EVERY, "G16": EVERY, "G17": "t4 t5 m7", "G18": EVERY,
    "G22": "t3 t5 m7", "G33": "t3 t5", "G50": "t3", "G51": "t3", "G52": "t3 t4", "G02": "t4 t5",
    "M03": "t4 t5", "M13": "t5 m10", "M17": "t3", "M18": "t2 t3", "M20": "t3 m5", "M25": "t2 t4", "M29": "m7",
    "M31": "t3 t5 m10",
}  # fmt: skip
"""Kinds of servers that the tests of a rule must have between them. Of the others each kind would do."""
_KIND = re.compile(r"[\"'](t[1-5]|m5|m7|m10)(?:[ab]|big|-1|-2|-8)[\"']")


def own_tests() -> set[str]:
    """Names of all tests of the rules."""
    return {name for path in Path(__file__).parent.glob("test_rules_*.py")
            for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)}


@cache
def on_servers() -> dict[str, frozenset[str]]:
    """Rules whose number a test on real servers carries in its name, with the kinds of servers those tests have."""
    found: dict[str, frozenset[str]] = {}
    for path in ON_SERVERS:
        text = path.read_text()
        tree = ast.parse(text)
        pair = {name for name in "AB" if re.search(rf"^{name}\b.* = \"t5a\"", text, re.MULTILINE)}
        helpers = {each.name: ast.get_source_segment(text, each) or "" for each in tree.body
                   if isinstance(each, ast.FunctionDef)}
        for each in tree.body:
            if isinstance(each, ast.FunctionDef) and each.name.startswith("test_"):
                body = helpers[each.name] + "".join(ast.get_source_segment(text, one) or ""
                                                    for one in each.decorator_list)
                kinds = frozenset(_KIND.findall(body)) | (frozenset({"t5"}) if pair and re.search(r"\bA\b", body)
                                                          else frozenset())
                for word in each.name.upper().split("_"):
                    found[word] = found.get(word, frozenset()) | kinds
    return found


@pytest.mark.parametrize("rule_id", [rule.id for rule in RULES])
def test_every_rule_is_shown_on_real_servers(rule_id: str) -> None:
    """Check or behaviour: there is a test that carries its number, on servers of the kinds that it is about."""
    assert rule_id in on_servers(), f"no test on real servers carries {rule_id} in its name"
    missing = set(KINDS.get(rule_id, "").split()) - on_servers()[rule_id]
    assert not missing, f"no test of {rule_id} has a server of kind {missing}"


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
