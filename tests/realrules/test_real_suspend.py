"""The domain's own system and its migration: asked to suspend, refusing, silent, heard of again; real servers."""

from __future__ import annotations

import pytest
from hall import FAILED, Hall, said, until
from test_real_state import Running

pytestmark = [pytest.mark.slow, pytest.mark.nosan]
A, B = "t5a", "t5b"


@pytest.fixture
def asked(hall: Hall) -> Hall:
    """Domain `asked` runs on t5a; t5b has its disk."""
    hall.up(A, B)
    if not hall.row(A, "asked"):
        hall.add(A, "asked")
        hall.volume(B, "asked")
    return hall


def stays(hall: Hall, count: str = "0") -> None:
    """It runs on here as if nothing had been, and the target has nothing of it."""
    until(lambda: (hall.row(A, "asked"), hall.row(B, "asked")) == ("active -n----", ""), "not settled")
    assert hall.type(A, "asked", "suspend count", "echo alive") == [count, "alive"]


def test_a_refusal_ends_the_migration(asked: Hall) -> None:
    asked.type(A, "asked", "suspend refuse")
    done = asked.migrate("asked", A, B, "")
    assert (done.status, done.out) == (1, "")
    assert done.err.splitlines() == [
        "The operating system of LDom asked refuses to suspend: an agent of the system refused",
        "  it was asked by the domain service domain-suspend; the domain runs on here",
        "  do away with what keeps it from that, and migrate it again", FAILED.format("asked")]
    stays(asked)


@pytest.mark.parametrize("manner", ["deaf", "stay"])
def test_a_system_that_does_not_do_it_in_time(asked: Hall, manner: str) -> None:
    asked.type(A, "asked", f"suspend {manner}")
    with asked.settings(A, suspend_seconds=1):
        done = asked.migrate("asked", A, B, "")
    late = "The operating system of LDom asked did not suspend in 1 seconds"
    assert said(done.err) == [late, FAILED.format("asked")]
    assert ("said that it would" if manner == "stay" else "did not answer") in done.err
    stays(asked)


def test_it_can_be_cancelled_while_the_system_is_asked(asked: Hall) -> None:
    asked.type(A, "asked", "suspend deaf")
    moving = Running(asked, A, f"migrate-domain -c asked {B}")
    until(lambda: moving.done is not None or "    migration    9" in asked.ok(A, "list -o status asked"),
          "it is not to be suspended")
    assert asked.row(A, "asked") == "active -n---s", "it runs while it is asked"
    asked.ok(A, "cancel-operation migration asked")
    assert moving.wait().status == 1
    stays(asked)


def test_a_system_that_suspends_itself_unasked_is_resumed(asked: Hall) -> None:
    console = asked.console(A, "asked")
    console.until(b"# ")
    console.type(b"suspend\n")
    console.until(b"\n# ")
    console.socket.close()
    stays(asked, "1")
    asked.drop(A, "asked")


def test_it_is_asked_once_and_tells_that_it_is_back(asked: Hall) -> None:
    """Its services are there again on the target, and the manager there has heard that it resumed."""
    asked.type(A, "asked", "suspend allow", "dirty 20000 16M")
    asked.moved("asked", A, B)
    log = asked.home / "machines" / B / "ldmd.log"
    until(lambda: "asked: its operating system has resumed" in log.read_text(), "nothing is heard of it")
    assert asked.type(B, "asked", "suspend count")[0] == "1"
    assert asked.type(B, "asked", "dirty check")[0].endswith(" 0 wrong")
    asked.ok(B, "add-vcpu 1 asked")  # by domain services
    asked.drop(B, "asked")
