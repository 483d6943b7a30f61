"""A domain that runs at the target while pages of it are only at the source: ends, deaths and a cancel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_workers import FOLLOWING
from migrator_support import Gate, Pair, Site, cancel, pause, until

from ldmd.migration import source as src
from ldmd.migrator.settings import Settings


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path, settings=Settings(postcopy="auto"))
    made.workers.partial = True
    yield made
    made.close()


def settled(pair: Pair) -> bool:
    sites = (pair.alpha, pair.beta)
    return not any(each.holds or not each.idle for site in sites for each in site.migrations.attempts())


def settle(pair: Pair) -> None:
    def calm() -> bool:
        for site in (pair.alpha, pair.beta):
            site.clock.advance(2.0)
        pause(0.01)
        return settled(pair)

    until(calm, "it does not settle")


def serving(pair: Pair) -> None:
    """The domain runs at beta, and alpha knows that."""
    until(lambda: pair.beta.runs(pair.uuid), "it does not run there")
    until(lambda: pair.alpha.migrations.attempts()[0].state.at is src.At.SERVING, "the source does not know")


def states(site: Site, uuid: str) -> list[str]:
    return [each.state for each in site.machine.guests.values() if each.spec["uuid"] == uuid]


def test_pages_follow(pair: Pair) -> None:
    """Until the last one is there the source keeps its memory, resumes nothing, and is not asked to."""
    gate = Gate(pair, "source.serving")
    moving = pair.move()
    gate.reached()
    serving(pair)
    assert states(pair.alpha, pair.uuid) == ["suspended"] and pair.alpha.machine.open_disks == set()
    said = cancel(pair.alpha)
    assert pair.alpha.runs(pair.uuid) is False and "cannot be cancelled" in str((said.error, said.lines))
    assert moving.thread.is_alive()
    gate.open()
    outcome = moving.done()
    assert outcome.done and outcome.summary["missing"] == len(FOLLOWING) and outcome.summary["asked"] == 1
    assert outcome.summary["downtime_ms"] >= 0
    until(lambda: not pair.alpha.has("ldg1") and pair.workers.alive == [])
    assert pair.beta.machine.presence == ["begin", "end"] and pair.beta.runs(pair.uuid)
    starts = [each.starts for each in pair.beta.machine.guests.values() if each.spec["uuid"] == pair.uuid]
    assert starts == [0]


@pytest.mark.parametrize("who", ["alpha", "beta"])
def test_a_manager_dies_while_pages_are_missing(pair: Pair, who: str) -> None:
    """Its worker goes with it: nobody brings what is missing, and the domain boots anew at the target, there alone."""
    gate = Gate(pair, "source.serving")
    pair.move()
    gate.reached()
    serving(pair)
    victim = getattr(pair, who)
    victim.means.dead = True
    victim.kill()
    gate.open()
    victim.restart()
    settle(pair)
    assert pair.watch.wrong == []
    assert pair.beta.runs(pair.uuid) and not pair.alpha.runs(pair.uuid) and not pair.alpha.has("ldg1")
    assert "give-up" in pair.beta.machine.presence
    starts = [each.starts for each in pair.beta.machine.guests.values() if each.spec["uuid"] == pair.uuid]
    assert starts == [1]


def test_a_source_whose_machine_dies_goes_on_serving(pair: Pair) -> None:
    """The worker has the memory by its descriptors."""
    gate = Gate(pair, "source.serving")
    moving = pair.move()
    gate.reached()
    serving(pair)
    pair.alpha.machine.dies()
    pair.alpha.migrations.machine_lost()
    gate.open()
    assert moving.done().done
    pair.alpha.machine.up = True
    pair.alpha.manager.again()
    settle(pair)
    assert pair.beta.runs(pair.uuid) and not pair.alpha.runs(pair.uuid)


def test_off_is_not_asked_of_the_worker(tmp_path: Path) -> None:
    made = Pair(tmp_path / "x") if (tmp_path / "x").mkdir() is None else None
    assert made is not None
    gate = Gate(made, "source.connected")
    made.move()
    gate.reached()
    source = next(each for each in made.workers.alive if each.side == "source")
    assert source.task["options"]["postcopy"] == "off"
    gate.open()
    settle(made)
    made.close()
