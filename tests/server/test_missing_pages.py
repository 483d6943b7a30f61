"""A guest runs on the target while pages of its memory are missing: real machines, real workers, virtual time."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moving_support import Memory
from server_support import labos_spec
from test_moving import MS, Pair

from emulator.hvctl import wire
from emulator.hvctl.local import LocalHvctl, RefusedError
from emulator.stream import worker

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stream"))
from stream_support import Proxy

DEADLINE = 60.0
SECRET = hashlib.sha256(b"pages that follow").digest()
STEPS = 60


class Manager:
    """Of one worker, with a machine: answers what the worker asks for; keeps the events."""

    def __init__(self, client: LocalHvctl, *, at_barrier: Callable[[int], None] = lambda n: None) -> None:
        self.client, self.at_barrier = client, at_barrier
        self.events: list[dict[str, Any]] = []
        self.changed = threading.Condition()
        self.sock, theirs = socket.socketpair()
        self._worker = threading.Thread(target=worker.serve, args=(theirs,), daemon=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._worker.start()
        self._reader.start()

    def ask(self, op: str, fds: Any = (), **fields: Any) -> None:
        wire.send(self.sock, {"op": op, **fields}, fds)

    def begin(self, op: str, **fields: Any) -> None:
        memory = Memory(self.client, 1)
        options = {"plain": True, "reconnect_seconds": 20, **fields.pop("options", {})}
        self.ask(op, memory.fds, mid=7, blocks=memory.blocks, certificate="", key="", peer_certificate="",
                 secret=SECRET, host="127.0.0.1", channels=2, options=options, **fields)
        memory.close()

    def give(self, op: str, call: str, **given: Any) -> None:
        _, fds = self.client.call_fds(call, guest=1, **given)
        self.ask(op, fds)
        wire.close_all(fds)

    def _read(self) -> None:
        receiver = wire.Receiver(self.sock)
        try:
            while (frame := receiver.receive()) is not None:
                self._event(dict(frame.message))
        except (wire.WireError, OSError):
            self._event({"event": "ended"})

    def _event(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "barrier":
                self.client.call("memory.barrier", guest=1)
                self.at_barrier(event["n"])
                self.ask("barrier", n=event["n"])
            case "state_wanted":
                self.give("state", "guest.state_buffer", bytes=event["bytes"])
            case "presence_wanted":
                self.give("presence", "memory.presence", what="begin")
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    def wait(self, name: str) -> dict[str, Any]:
        def found() -> list[dict[str, Any]]:
            return [each for each in self.events if each["event"] in (name, "failed", "ended")]

        with self.changed:
            assert self.changed.wait_for(found, DEADLINE), [each["event"] for each in self.events][-10:]
            assert found()[0]["event"] == name, found()[0]
            return found()[0]

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self.ask("stop")
        self._worker.join(DEADLINE)
        self.sock.close()


class Moving:
    """Guest 1 from server 0 to server 1, which runs it with pages missing."""

    def __init__(self, pair: Pair, *, bps: int | None = 4_000_000) -> None:
        self.pair = pair
        here, there = pair.rooms[0].client, pair.rooms[1].client
        there.call("guest.receive", spec=here.call("guest.spec", guest=1))
        self.target = Manager(there)
        self.source = Manager(here, at_barrier=lambda n: pair.advance(20 * MS) if n == 1 else None)
        self.target.begin("receive")
        self.port = int(self.target.wait("listening")["port"])
        self.proxy: Proxy | None = None
        self.serving = threading.Event()
        self.options = {"postcopy": "auto", "downtime_ms": 1, "max_rounds": 1, "bandwidth_bps": bps,
                        "compress": "none"}

    def switch(self, *, through: Callable[[int, bytes], bytes | None] | None = None) -> int:
        """Up to the moment at which it runs there; pages that are missing then."""
        if through is not None:
            self.proxy = Proxy(self.port, through)
        self.source.begin("begin", port=self.proxy.port if self.proxy else self.port, options=self.options)
        assert self.source.wait("converged").get("partial")
        here, there = self.source.client, self.target.client
        here.call("guest.suspend", guest=1)
        saved, (fd,) = here.call_fds("guest.save_state", guest=1)
        self.source.ask("final", [fd], bytes=saved["bytes"], sha256=saved["sha256"])
        os.close(fd)
        assert self.source.wait("final")["missing"] > 0
        self.serving.set()
        received = self.target.wait("received")
        there.call("guest.load_state", guest=1, sha256=received["sha256"])
        here.call("guest.release_disks", guest=1)
        there.call("guest.resume", guest=1)
        self.pair.home = 1
        self.pair.room.server.console(1).attach(self.pair.said.extend)
        return int(received["missing"])

    def end(self) -> None:
        self.source.stop()
        self.target.stop()
        if self.proxy is not None:
            self.proxy.close()


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    monkeypatch.setenv("S4V_STREAM_PLAIN", "1")
    with Pair("t5-2", "t5-2") as made:
        made.start(labos_spec(1, vcpus=[[0, 1], [1, 2]], max_vcpus=4))
        made.type("dirty 20000 4194304")
        made.advance(40 * MS)
        yield made


def stayed() -> tuple[str, dict[str, Any]]:
    """The same, of a guest that stays where it is."""
    with Pair("t5-2", "t5-2") as other:
        other.start(labos_spec(1, vcpus=[[0, 1], [1, 2]], max_vcpus=4))
        other.type("dirty 20000 4194304")
        other.advance(60 * MS)
        finish(other)
        return other.text, other.room.call("guest.digest", guest=1)


def finish(pair: Pair) -> None:
    pair.advance(STEPS * MS)
    assert " 0 wrong" in pair.do("dirty check")
    pair.do("dirty stop")


def test_it_runs_at_once_and_is_the_guest_that_stays(pair: Pair) -> None:
    """To the bit: console, digest of state and memory, count of instructions."""
    moving = Moving(pair)
    missing = moving.switch()
    assert missing > 100
    finish(pair)
    assert moving.target.wait("whole")["pages"] > 0
    assert moving.source.wait("whole")["asked"] > 0
    assert pair.room.call("memory.presence", guest=1) == {"missing": 0}
    waits = pair.room.call("memory.presence", guest=1, what="end")["waits"]
    assert 0 < waits["count"] <= missing
    assert 0 < waits["half_ns"] <= waits["most_ns"] and waits["longest_ns"] * 1.25 >= waits["most_ns"]
    assert pair.room.call("memory.presence", guest=1, what="end")["waits"]["count"] == 0  # there are none any more
    assert (pair.text, pair.room.call("guest.digest", guest=1)) == stayed()
    moving.end()
    pair.rooms[0].client.call("guest.stop", guest=1, taken=True)


def test_a_cut_link_makes_it_wait(pair: Pair) -> None:
    """It stands at the page that it needs, and goes on when the workers have a link again."""
    cuts = []

    def through(direction: int, data: bytes) -> bytes | None:
        if moving.serving.is_set() and len(cuts) < 3:
            cuts.append(direction)
            return None
        return data

    moving = Moving(pair, bps=1_000_000)
    moving.switch(through=through)
    finish(pair)
    moving.target.wait("whole")
    assert len(cuts) == 3 and moving.target.wait("lost")
    pair.room.call("memory.presence", guest=1, what="end")
    assert (pair.text, pair.room.call("guest.digest", guest=1)) == stayed()
    moving.end()


def test_a_source_that_dies_takes_the_guest_with_it_and_nothing_else(pair: Pair) -> None:
    """No page comes any more: whoever waits for one is let go, no old byte is seen, and the guest is stopped."""
    moving = Moving(pair, bps=200_000)
    moving.switch()
    moving.source.stop()
    said = len(pair.text)
    running = threading.Thread(target=lambda: pair.advance(STEPS * MS))
    running.start()
    client = moving.target.client
    for _ in range(2000):
        if client.call("memory.presence", guest=1)["missing"] and not running.is_alive():
            break
        running.join(0.001)
    client.call("memory.presence", guest=1, what="give-up")
    running.join(DEADLINE)
    assert not running.is_alive(), "it still waits for a page"
    assert " 0 wrong" not in pair.text[said:]
    with pytest.raises(RefusedError, match="missing"):
        client.call("memory.presence", guest=1, what="end")
    client.call("guest.stop", guest=1)
    moving.end()


def test_what_is_asked_of_the_machine_is_checked(pair: Pair) -> None:
    client = pair.room.client
    for arguments, text in (({"what": "now"}, "what"), ({"what": "begin"}, "running")):
        with pytest.raises(RefusedError, match=text):
            client.call("memory.presence", guest=1, **arguments)
    target = pair.rooms[1].client
    target.call("guest.receive", spec=client.call("guest.spec", guest=1))
    _, fds = target.call_fds("memory.presence", guest=1, what="begin")
    wire.close_all(fds)
    with pytest.raises(RefusedError, match="already"):
        target.call_fds("memory.presence", guest=1, what="begin")
    target.call("guest.destroy", guest=1)
