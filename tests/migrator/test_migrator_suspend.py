"""The domain's system is asked to suspend itself, by domain-suspend; what it says, and what it does not, ends well."""

from __future__ import annotations

from pathlib import Path

import pytest
from migrator_support import Pair, cancel, until

from ldmd.migration.facts import System, solaris
from ldmd.migration.systems import system_told
from ldmd.migrator.guestops import parallel
from ldmd.migrator.settings import Settings

SERVICES = ("domain-shutdown", "md-update", "dr-cpu", "domain-suspend")


@pytest.fixture
def asked(pair: Pair) -> Pair:
    pair.alpha.machine.boot_os(pair.alpha.number("ldg1"), *SERVICES)
    return pair


def runs_here(pair: Pair) -> bool:
    return pair.alpha.runs(pair.uuid) and pair.alpha.room.state("ldg1") == "active" and not pair.beta.has("ldg1")


def test_it_suspends_itself(asked: Pair) -> None:
    assert asked.move().done().done
    assert asked.alpha.machine.itself == 1 and "guest.suspend" not in asked.alpha.machine.ops()
    assert asked.beta.runs(asked.uuid)


def test_a_system_without_the_service_is_stopped_by_the_hypervisor(pair: Pair) -> None:
    pair.alpha.machine.boot_os(pair.alpha.number("ldg1"), "md-update", text="Linux running")
    assert pair.move().done().done
    assert pair.alpha.machine.itself == 0 and "guest.suspend" in pair.alpha.machine.ops()


@pytest.mark.parametrize("manner", ["refuse", "fail"])
def test_a_refusal_ends_the_migration(asked: Pair, manner: str) -> None:
    asked.alpha.machine.manner = manner
    outcome = asked.move().done()
    assert not outcome.done
    assert outcome.problems[0] == "The operating system of LDom ldg1 refuses to suspend: an agent said no"
    assert len(outcome.problems) == 3, "with a cause and a remedy"
    until(lambda: runs_here(asked))
    assert "guest.suspend" not in asked.alpha.machine.ops()
    asked.alpha.machine.manner = "allow"
    assert asked.move().done().done


@pytest.mark.parametrize("manner", ["stay", "deaf"])
def test_one_that_is_late_is_resumed_when_it_suspends_after_all(tmp_path: Path, manner: str) -> None:
    pair = Pair(tmp_path, settings=Settings(suspend_seconds=5))
    number = pair.alpha.number("ldg1")
    pair.alpha.machine.boot_os(number, *SERVICES)
    pair.alpha.machine.manner = manner
    moving = pair.move()
    until(lambda: "guest.suspend_request" in pair.alpha.machine.ops())
    until(lambda: pair.alpha.clock.advance(0.5) is None and moving.outcome is not None)
    assert moving.done().problems[0] == "The operating system of LDom ldg1 did not suspend in 5 seconds"
    until(lambda: runs_here(pair))
    pair.alpha.machine.suspends_itself(number)
    until(lambda: runs_here(pair), "it stands still for ever")
    pair.close()


def test_a_cancel_does_not_wait_for_its_answer(asked: Pair) -> None:
    asked.alpha.machine.manner = "deaf"
    moving = asked.move()
    until(lambda: "guest.suspend_request" in asked.alpha.machine.ops())
    assert cancel(asked.alpha).error is None
    assert not moving.done().done
    until(lambda: runs_here(asked))


def test_one_that_suspended_itself_while_its_manager_was_away_is_resumed(asked: Pair) -> None:
    asked.alpha.kill()
    asked.alpha.machine.suspends_itself(asked.alpha.number("ldg1"))
    asked.alpha.restart()
    until(lambda: runs_here(asked), "it stands still for ever")


@pytest.mark.parametrize(("release", "version", "known"), [
    ("5.11", "11.3", "11.3"), ("5.11", "11.4.0.15.0", "11.4.0.15.0"), ("5.10", "Generic_142909-17", "10 9/10"),
    ("5.10", "Generic_141444-09", "10 10/09"), ("5.10", "Generic_150400-38", "10 1/13"),
    ("5.10", "Generic_999999-1", ""), ("5.11", "joyent", ""), ("", "", ""),
])  # fmt: skip
def test_what_a_solaris_says_of_itself(release: str, version: str, known: str) -> None:
    told = system_told([["uts-sysname", "SunOS"], ["uts-release", release], ["uts-version", version]])
    assert told == {"name": "Solaris", "version": known}
    assert (solaris(System(**told)) is None) is (known == "")


@pytest.mark.parametrize("values", [None, 7, "text", [1, [2], ["a", 3]], [["uts-sysname", "x" * 9999]], {"a": "b"}])
def test_nonsense_of_a_guest_is_nothing_known(values: object) -> None:
    assert system_told(values).keys() <= {"name"}


def test_connections_are_as_many_as_the_smaller_control_domain_has_cpus() -> None:
    """G01. A number that nobody told is no bound."""
    assert [parallel(4, 8, 8), parallel(4, 2, 8), parallel(4, 8, 1), parallel(4, 0, 3), parallel(1, 0, 0)] == [
        4, 2, 1, 3, 1]
