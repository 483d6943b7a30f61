"""A domain moves between two managers: live, bound, inactive, dry, refused."""

from __future__ import annotations

from migrator_support import STAMP, Pair, until


def test_a_running_domain_moves_with_its_memory(pair: Pair) -> None:
    outcome = pair.move().done()
    assert outcome.done and outcome.problems == ()
    assert not pair.alpha.has("ldg1") and pair.beta.has("ldg1")
    assert not pair.alpha.runs(pair.uuid) and pair.beta.runs(pair.uuid)
    number = pair.beta.number("ldg1")
    assert pair.beta.machine.peek(number, 8192, len(STAMP)) == STAMP
    assert pair.beta.room.state("ldg1") == "active"
    until(lambda: pair.alpha.migrations.view() == () and pair.beta.migrations.view() == ())
