"""On the target: what wants a system that is back waits for its word."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from ldmd.migrator.suspending import SERVICE, Return, Word

DEADLINE = 60.0
NUMBER = 3


class Machine:
    """A manager whose machine has one guest."""

    def __init__(self, *services: str) -> None:
        self.services, self.replies = services, {0: {"guest": NUMBER, "result": int(Word.BACK)}}
        self.waits, self.said = threading.Event(), threading.Event()
        self.log = SimpleNamespace(notice=lambda text: None, warning=lambda text: None)
        self.hypervisor = SimpleNamespace(call=self.call)

    def call(self, operation: str) -> list[dict[str, Any]]:
        assert operation == "guest.list"
        return [{"uuid": "u", "guest": NUMBER, "services": self.services}]

    @contextmanager
    def turn(self) -> Iterator[None]:
        yield

    def wait(self, job: None, condition: Callable[[], bool], seconds: float) -> bool:
        self.waits.set()
        assert not condition(), "the word of an earlier guest of that number counted"
        assert self.said.wait(DEADLINE)
        return condition()

    def publish(self, event: str, **values: object) -> None:
        assert (event, values["result"]) == ("migration-resumed", Word.BACK)


def test_of_one_that_suspended_itself() -> None:
    manager, over = Machine(SERVICE), threading.Event()
    back = Return(manager, "u", "ldg1")  # type: ignore[arg-type]
    back.before_resume()
    back.listen(over.set)
    assert manager.waits.wait(DEADLINE)
    assert not over.is_set()
    manager.replies[0] = {"guest": NUMBER, "result": int(Word.BACK)}
    manager.said.set()
    assert over.wait(DEADLINE)


@pytest.mark.parametrize("services", [(), ("md-update",)])
def test_of_one_that_says_nothing(services: tuple[str, ...]) -> None:
    manager, over = Machine(*services), threading.Event()
    back = Return(manager, "u", "ldg1")  # type: ignore[arg-type]
    back.before_resume()
    back.listen(over.set)
    assert over.is_set() and not manager.waits.is_set()
