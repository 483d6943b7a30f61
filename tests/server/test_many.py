"""Many guests in real time: 128 of them on one server, and those that are idle are left alone."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest
from server_support import labos_spec

from emulator.hvctl.local import LocalHvctl
from emulator.machine import Machine
from emulator.server import Server

DEADLINE = 300


class Listener:
    """What a guest writes on its console; waits for a text."""

    def __init__(self, server: Server, number: int) -> None:
        self.text = bytearray()
        self._changed = threading.Condition()
        self._console = server.console(number)
        self._console.attach(self._heard)

    def _heard(self, data: bytes) -> None:
        with self._changed:
            self.text += data
            self._changed.notify_all()

    def wait(self, end: bytes, begin: int = 0) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.text[begin:].endswith(end), DEADLINE), bytes(self.text[-300:])

    def do(self, command: bytes) -> bytes:
        begin = len(self.text)
        self._console.type(command + b"\r")
        self.wait(b"\n# ", begin)
        return bytes(self.text[begin:])


def run_many(platform: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: Counter[int] = Counter()
    real = Machine.run

    def counted(self: Machine, *args: Any, **options: Any) -> Any:
        runs[self.machine_number] += 1  # type: ignore[attr-defined]
        return real(self, *args, **options)

    monkeypatch.setattr(Machine, "run", counted)
    monkeypatch.setattr(Machine, "machine_number", property(id), raising=False)
    with Server(platform, memory_bytes=512 << 30) as server, LocalHvctl(server) as client:
        listeners = []
        for number in range(1, count + 1):
            client.call("guest.configure", spec=labos_spec(number))
            listeners.append(Listener(server, number))
        started = [server.ask(number, lambda guest: guest.start()) for number in range(1, count + 1)]
        for future in started:
            future.result(DEADLINE)
        for listener in listeners:
            listener.wait(b"\n# ")
        assert [status["state"] for status in client.call("guest.list")] == ["running"] * count
        for number in range(1, count + 1):  # each is done with what it had to say: its turn answers
            client.call("guest.status", guest=number)
        first = id(server.guest(1).machine)
        listeners[0].do(b"uname")
        before = runs.copy()
        for _ in range(100):
            assert b"SunOS" in listeners[0].do(b"uname -a")
        after = runs - before
        others = {number: value for number, value in after.items() if number != first}
        assert after[first] >= 100 and sum(others.values()) < 5 * count, others
        for listener in listeners[1::7]:
            assert b"SunOS" in listener.do(b"uname -a")


def test_eight_guests(monkeypatch: pytest.MonkeyPatch) -> None:
    run_many("t5-2", 8, monkeypatch)


@pytest.mark.slow
def test_128_guests(monkeypatch: pytest.MonkeyPatch) -> None:
    run_many("m7-16", 128, monkeypatch)
