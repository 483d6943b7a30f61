"""Memory handed over on one host: by settings, proven, verified, given up for a copy where it cannot be."""

from __future__ import annotations

import os
import random
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from migrator_support import STAMP, Pair, cancel, until

from emulator.hvctl.wire import Receiver, WireError, encode, send
from ldmd.messages import RefusedError
from ldmd.migration.events import Cancel
from ldmd.migrator.samehost import HandedState, HandError, Handing, Taking, Waiting, proof
from ldmd.migrator.settings import Settings, read_settings

SEED = int(os.environ.get("SUN4V_TEST_SEED", "1"))
SECRET = bytes(range(32))


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Pair]]:
    made: list[Pair] = []

    def one(**settings: Any) -> Pair:
        made.append(Pair(tmp_path, settings=Settings(**settings)))
        return made[-1]

    yield one
    for each in made:
        each.close()


def moved(pair: Pair) -> bool:
    return pair.beta.machine.peek(pair.beta.number("ldg1"), 8192, len(STAMP)) == STAMP


@pytest.mark.parametrize("verify", ["auto", "always", "never"])
def test_nothing_is_copied(make: Callable[..., Pair], verify: str) -> None:
    pair = make(handover="auto", handover_verify=verify)
    before = os.fstat(pair.alpha.machine.memory[pair.alpha.number("ldg1")]).st_ino
    outcome = pair.move().done()
    assert outcome.done and moved(pair) and pair.beta.runs(pair.uuid) and not pair.alpha.has("ldg1")
    assert os.fstat(pair.beta.machine.memory[pair.beta.number("ldg1")]).st_ino == before  # the very same memory
    summary = outcome.summary
    assert summary["handover"] and summary["pages"] == 0 and summary["strict"] == (verify != "never")
    assert (summary["verified_pages"] > 0) == (verify != "never") and summary["downtime_ms"] >= 0
    until(lambda: pair.workers.alive == [])
    until(lambda: not any(each.holds or not each.idle for each in pair.beta.migrations.attempts()))
    pair.beta.machine.boot_os(pair.beta.number("ldg1"))
    assert pair.move(pair.beta, "root@alpha").done().done


@pytest.mark.parametrize("who", ["alpha", "beta"])
def test_off_on_either_side_is_a_copy(make: Callable[..., Pair], who: str, tmp_path: Path) -> None:
    pair = make(handover="auto")
    getattr(pair, who).means.settings = Settings(handover="off")
    outcome = pair.move().done()
    assert outcome.done and moved(pair) and "handover" not in outcome.summary and outcome.summary["pages"] > 0
    assert pair.beta.machine.adopted == 0


def test_what_cannot_be_taken_over_is_copied(make: Callable[..., Pair]) -> None:
    pair = make(handover="auto")
    pair.beta.machine.refuses_memory = True
    outcome = pair.move().done()
    assert outcome.done and moved(pair) and "handover" not in outcome.summary
    until(lambda: pair.workers.alive == [])


def test_memory_that_changes_meanwhile_is_noticed(make: Callable[..., Pair]) -> None:
    """A writer that is not the guest, in the pause: the digest after differs, and the source has the domain again."""
    pair = make(handover="auto", handover_verify="always")

    def at(where: str) -> None:
        if where == "target.Verify.begin":
            pair.alpha.machine.poke(pair.alpha.number("ldg1"), 16384, b"behind its back")

    pair.beta.step = at
    outcome = pair.move().done()
    assert not outcome.done and pair.alpha.runs(pair.uuid)
    until(lambda: not pair.beta.has("ldg1") and pair.workers.alive == [])
    pair.beta.step = lambda where: None
    assert pair.move().done().done and moved(pair)


def test_a_cancel_gives_the_memory_back(make: Callable[..., Pair]) -> None:
    pair = make(handover="auto")
    held: list[bool] = []

    def at(where: str) -> None:
        if where == "source.SendFinal.begin" and not held:
            held.append(True)
            pair.alpha.migrations.attempts()[0].post(Cancel())

    pair.alpha.step = at
    outcome = pair.move().done()
    assert not outcome.done and outcome.problems == ("cancelled",) and pair.alpha.runs(pair.uuid)
    assert pair.alpha.machine.peek(pair.alpha.number("ldg1"), 8192, len(STAMP)) == STAMP
    assert cancel(pair.alpha).error is not None
    until(lambda: not pair.beta.has("ldg1"))


def test_settings(tmp_path: Path) -> None:
    path = tmp_path / "ldmd.toml"
    path.write_text('[migration]\nhandover = "auto"\nhandover-verify = "never"\n', encoding="utf-8")
    assert read_settings(path).handover == "auto"
    for line in ('handover = "on"', 'handover-verify = "yes"', "handover = true"):
        path.write_text(f"[migration]\n{line}\n", encoding="utf-8")
        with pytest.raises(RefusedError) as refused:
            read_settings(path)
        assert "handover" in str(refused.value.cause) + refused.value.text
    assert Settings().handover == "off"


# -- the connection


class Noted(Taking):
    def __init__(self) -> None:
        self.done: list[str] = []

    def adopt(self, blocks: list[Any], fds: Any, *, verify: bool) -> None:
        self.done.append("adopted")

    def take_state(self, state: HandedState) -> None:
        self.done.append("state")

    def lost(self, why: str) -> None:
        self.done.append("lost")


@pytest.fixture
def waiting() -> Iterator[tuple[Waiting, Noted]]:
    noted = Noted()
    made = Waiting(7, SECRET, noted, lambda text: None)
    yield made, noted
    made.close()


def begin(waiting: Waiting, **change: Any) -> Handing:
    given: dict[str, Any] = {"mid": 7, "secret": SECRET, "blocks": [{}], "fds": [0], "verify": False}
    return Handing.begin(waiting.name, **(given | change))


def test_strangers_get_nothing(waiting: tuple[Waiting, Noted]) -> None:
    for change in ({"secret": bytes(32)}, {"mid": 8}):
        with pytest.raises((HandError, WireError, OSError)):
            begin(waiting[0], **change)
    with pytest.raises(OSError, match="refused"):
        Handing.begin("sun4v-hand-over-nobody", mid=7, secret=SECRET, blocks=[], fds=[0], verify=False)
    assert waiting[1].done == []
    hand = begin(waiting[0])
    hand.send_state(0, size=1, sha256=SECRET, digest="0" * 32)
    assert waiting[1].done == ["adopted", "state"]
    hand.close()


def test_a_target_that_does_not_know_the_secret_gets_no_memory() -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0sun4v-test-{os.getpid()}")
        listener.listen()
        got: list[int] = []

        def impostor() -> None:
            sock, _ = listener.accept()
            with sock:
                receiver = Receiver(sock, max_fds=8)
                receiver.receive()
                send(sock, {"type": "welcome", "proof": proof(bytes(32), "target", 7)})
                try:
                    frame = receiver.receive()
                    got.extend(frame.fds if frame else [])
                except Exception:
                    return

        thread = threading.Thread(target=impostor)
        thread.start()
        with pytest.raises(HandError, match="not the target"):
            Handing.begin(f"sun4v-test-{os.getpid()}", mid=7, secret=SECRET, blocks=[], fds=[0], verify=False)
        thread.join()
        assert got == []


def test_hostile_frames(waiting: tuple[Waiting, Noted]) -> None:
    """Whatever is said, at any step: nothing is taken, nothing hangs, no descriptor stays; then the source comes."""
    rng = random.Random(SEED)
    print("seed", SEED)
    made, noted = waiting
    before = len(os.listdir("/proc/self/fd"))
    right: list[tuple[dict[str, Any], int]] = [
        ({"type": "hello", "mid": 7, "proof": proof(SECRET, "source", 7)}, 0),
        ({"type": "memory", "blocks": [{}], "verify": True}, 1),
        ({"type": "state", "bytes": 5, "sha256": SECRET, "digest": "ab" * 16}, 1),
    ]
    junk: list[Any] = [None, -1, 1 << 63, "x", b"", [], {}, 1.5, True, "0" * 33, bytes(31), [[[]]]]
    for _ in range(200):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(f"\0{made.name}")
            upto = rng.randrange(len(right))
            for number, (good, fitting) in enumerate(right[: upto + 1]):
                message, count = dict(good), fitting
                if number == upto:
                    message[rng.choice(list(message))] = rng.choice(junk)
                    count = rng.choice([count, 0, 2])
                try:
                    if rng.random() < 0.1:
                        data = bytearray(encode(message))
                        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
                        sock.sendall(data)
                        sock.shutdown(socket.SHUT_WR)
                    else:
                        send(sock, message, [0] * count)
                    while number < upto and not sock.recv(4096):
                        break
                except OSError:
                    break
    begin(made).close()
    assert "state" not in noted.done or noted.done.count("adopted") >= noted.done.count("state")
    until(lambda: len(os.listdir("/proc/self/fd")) <= before)
