"""Every interleaving, within bounds, of the shipped state machines: see docs/internals/handover.md for what is proved.

S4V_HANDOVER_DEPTH=2 (or 3) explores every combination of so many mishaps, with two attempts, not only the chosen ones.
"""

from __future__ import annotations

import itertools
import os

import pytest
from migration_explorer import Found, explore
from migration_world import Budget, Rules

from ldmd.migration import source as src
from ldmd.migration import target as dst
from ldmd.migration.phases import Kind

DEPTH = int(os.environ.get("S4V_HANDOVER_DEPTH", "1"))
MISHAPS = ("kills", "deaths", "outages", "losses", "cuts", "cancels", "faults")
PAIRS = (("kills", "cuts"), ("deaths", "cancels"), ("outages", "cuts"), ("cuts", "cancels"), ("losses", "cancels"))


def budgets() -> list[tuple[str, ...]]:
    singles: list[tuple[str, ...]] = [(each,) for each in MISHAPS]
    if DEPTH == 1:
        return [*singles, *PAIRS]
    return [*singles, *itertools.combinations_with_replacement(MISHAPS, DEPTH)]


def budget(*names: str, attempts: int = 1) -> Budget:
    counts = {name: names.count(name) for name in names}
    return Budget(attempts=attempts, **counts)


def judge(found: Found, capsys: pytest.CaptureFixture[str], what: str) -> None:
    with capsys.disabled():
        print(f"\n  {what}: {found.worlds} worlds, {found.moves} moves, {found.ends} ends", end="")
    assert not found.wrong, found.wrong
    assert found.ends > 1
    for world in found.helped:  # a person is needed only where a host is lost for ever or a disk failed
        broken = {world.s.state.at, world.t.state.at} & {src.At.BROKEN, dst.At.BROKEN}
        assert world.s.lost or world.t.lost or broken, world


def live_cases() -> list[tuple[tuple[str, ...], bool, bool]]:
    """Mishaps, soup, lease; at depth 1 pairs of mishaps take both or neither of the two."""
    return [(names, soup, lease) for names in budgets() for soup in (False, True) for lease in (False, True)
            if DEPTH > 1 or len(names) == 1 or soup is lease]


@pytest.mark.parametrize(("names", "soup", "lease"), live_cases())
def test_live(names: tuple[str, ...], *, soup: bool, lease: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """Never two, never none but by the loss of the memory, success is true, both sides end clean."""
    again = names[0] in ("cuts", "cancels") or (not soup and names[0] in ("kills", "outages"))
    attempts = 2 if DEPTH > 1 or (len(names) == 1 and again and not lease) else 1
    judge(explore(Rules(soup=soup, lease=lease), budget(*names, attempts=attempts)), capsys, f"{attempts} attempts")


@pytest.mark.parametrize(("names", "soup", "lease"), [each for each in live_cases() if DEPTH > 1 or each[1] is each[2]])
def test_postcopy(names: tuple[str, ...], *, soup: bool, lease: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """The domain runs at the target before its memory is there: never two, and it is given up only when it must be."""
    judge(explore(Rules(soup=soup, lease=lease, partial=True), budget(*names)), capsys, "post-copy")


@pytest.mark.parametrize("kind", [Kind.BOUND, Kind.INACTIVE])
@pytest.mark.parametrize("names", [("kills", "cuts"), ("outages",), ("cancels", "cuts")], ids="+".join)
def test_cold(names: tuple[str, ...], kind: Kind, capsys: pytest.CaptureFixture[str]) -> None:
    """A domain without memory has one owner just so."""
    judge(explore(Rules(kind=kind, soup=False), budget(*names)), capsys, kind.value)
