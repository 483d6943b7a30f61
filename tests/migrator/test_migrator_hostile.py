"""Peers that were let in and lie, recordings that are played again, guesses all at once: nothing is lost by them."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from random import Random
from typing import Any

import pytest
from migrator_support import STAMP, Pair, Site, until
from real_workers import RealWorkers
from relay import Relay
from test_migrator_security import knock, pin, stranger

from emulator.hvctl.wire import encode
from ldmd.log import Log
from ldmd.migration import records as rec
from ldmd.migration.phases import Kind
from ldmd.migrator import door
from ldmd.migrator.greeting import Join, RefusedGreetingError, Welcome, introduce
from ldmd.migrator.link import Link, Pace, connect
from ldmd.migrator.listener import Listener

DIGEST = "0123456789abcdef" * 2


def message_at_random(rng: Random, uuid: str) -> rec.Message:
    """One of the protocol's own, of a number near those that are in use."""
    mid = rng.choice((1, 1, 1, 2, 3, 1 << 40))
    made = (rec.Offer(mid, uuid, rng.choice(list(Kind)), False, rng.random() < 0.3), rec.Accept(mid),
            rec.Refuse(mid, ("no",)), rec.Final(mid, DIGEST), rec.Ready(mid, DIGEST), rec.Commit(mid),
            rec.Running(mid, rng.random() < 0.5), rec.Never(mid), rec.Abort(mid), rec.Rescue(mid), rec.Close(mid))
    return rng.choice(made)


def frame_at_random(rng: Random, uuid: str) -> dict[str, Any]:
    """Mostly messages; also the other frames, right and wrong."""
    if rng.random() < 0.7:
        return {"type": "message", "body": rec.pack(message_at_random(rng, uuid))}
    return rng.choice((
        {"type": "facts", "facts": {}, "options": {}}, {"type": "report", "report": {"findings": []}},
        {"type": "data", "port": rng.choice((0, 1, 65536, "x")), "secret": rng.randbytes(32)},
        {"type": "data", "port": 1, "secret": rng.randbytes(rng.choice((0, 31, 32)))},
        {"type": "forgotten", "mid": rng.choice((-1, 1, 2))}, {"type": "ping"}, {"type": rng.randbytes(3).hex()}))


# -- recordings


def play(tape: bytes, address: tuple[str, int]) -> None:
    """A recording once more, to the end."""
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=10) as sock:
        sock.sendall(tape)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(1 << 16):
            pass


def test_a_recorded_migration_cannot_be_played_again(tmp_path: Path) -> None:
    """All that both links carried: after it, when the domain has gone back, and into the next one under way."""
    rng = Random(5)
    real, relays = RealWorkers(rng), (Relay(rng), Relay(rng))
    pair = Pair(tmp_path, real=real, relays=relays)
    assert pair.move().done().done
    until(lambda: pair.alpha.migrations.view() == () and pair.beta.migrations.view() == ())
    tapes = [bytes(tape) for relay in (relays[1], *real.relays) for tape in relay.tapes]
    assert len(tapes) >= 2 and all(len(tape) > 500 for tape in tapes)
    greatest, boots = pair.beta.means.greatest(pair.uuid), pair.watch.boots
    for tape in tapes:
        play(tape, pair.beta.address)
    assert pair.beta.runs(pair.uuid) and pair.watch.boots == boots
    pair.beta.machine.boot_os(pair.beta.number("ldg1"))
    assert pair.move(pair.beta, "root@alpha").done().done
    until(lambda: pair.alpha.migrations.view() == () and pair.beta.migrations.view() == ())
    for tape in tapes:
        play(tape, pair.beta.address)
    assert not pair.beta.has("ldg1") and pair.alpha.runs(pair.uuid)
    assert pair.beta.means.greatest(pair.uuid) == greatest + 1
    pair.alpha.machine.boot_os(pair.alpha.number("ldg1"))
    players = list[threading.Thread]()

    def into(port: int) -> None:
        for tape in tapes:
            players.append(threading.Thread(target=play, args=(tape, ("127.0.0.1", port)), daemon=True))
            players[-1].start()

    real.on_listening = into
    assert pair.move().done().done and len(players) == len(tapes)
    for each in players:
        each.join(30)
    assert pair.beta.machine.peek(pair.beta.number("ldg1"), 8192, len(STAMP)) == STAMP
    pair.close()


# -- peers that lie


def lying_target(pair: Pair, rng: Random) -> Listener:
    """A manager whose certificate alpha trusts, and which says anything."""
    def arrived(join: Join, pem: str, link: Link) -> None:
        link.start(lambda frame: [link.send(frame_at_random(rng, pair.uuid)) for _ in range(rng.randrange(4))] and None,
                   lambda why: None)
        for _ in range(rng.randrange(1, 12)):
            link.send(frame_at_random(rng, pair.uuid))
        if rng.random() < 0.5:
            link.close()

    return Listener(("127.0.0.1", 0), identity=pair.beta.identity, judge=lambda join, pem, address: Welcome(
        machine="beta", greatest=rng.choice((0, 0, 7)), home="", release="x"), arrived=arrived, log=Log(), pace=Pace())


@pytest.mark.parametrize("seed", range(6))
def test_a_target_that_lies_does_not_get_the_domain(pair: Pair, seed: int) -> None:
    """Whatever it says before the source has released it: the domain runs on, where it was, with what it had."""
    print(f"seed {seed}")
    rng = Random(seed)
    liar = lying_target(pair, rng)
    hosts = pair.alpha.directory / "hosts.toml"
    right = hosts.read_text()
    hosts.write_text(right.replace(str(pair.beta.address[1]), str(liar.address[1])))
    moving = pair.move()
    for _ in range(3000):
        if not moving.thread.is_alive():
            break
        moving.thread.join(0.02)
        pair.alpha.clock.advance(1.0)
    assert not moving.thread.is_alive()
    assert moving.outcome is None or not moving.outcome.done
    liar.close()
    hosts.write_text(right)
    until(lambda: pair.alpha.runs(pair.uuid), "it does not run any more")
    until(lambda: all(not each.holds for each in pair.alpha.migrations.attempts()))
    assert pair.alpha.machine.peek(pair.alpha.number("ldg1"), 8192, len(STAMP)) == STAMP
    assert pair.move().done().done


@pytest.mark.parametrize("seed", range(6))
def test_a_source_that_lies_does_not_touch_a_domain_that_is_here(pair: Pair, seed: int) -> None:
    """One that sent the domain once, and one that may send domains at all: it runs on, and is not started again."""
    print(f"seed {seed}")
    rng = Random(seed)
    assert pair.move().done().done
    until(lambda: pair.alpha.migrations.view() == ())
    boots, runs = pair.watch.boots, pair.beta.machine.digest(pair.beta.number("ldg1"))
    for how in ("session", "certificate"):
        sock = connect(*pair.beta.address, pin(pair.beta), identity=pair.alpha.identity, seconds=10)
        introduce(sock, Join(uuid=pair.uuid, how=how, machine="alpha", mid=rng.choice((1, 2))), seconds=10)
        with contextlib.suppress(OSError):
            for _ in range(rng.randrange(4, 30)):
                sock.sendall(encode(frame_at_random(rng, pair.uuid)))
        sock.close()
    until(lambda: all(each.idle for each in pair.beta.migrations.attempts()))
    assert pair.beta.runs(pair.uuid) and pair.watch.boots == boots
    assert pair.beta.machine.digest(pair.beta.number("ldg1")) == runs


# -- guesses


def test_guesses_all_at_once_are_no_more_than_one_after_another(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried, others = list[str](), threading.Event()

    def wrong(path: Path, user: str, password: str) -> bool:
        tried.append(password)
        others.wait(0.3)  # what is looked at meanwhile is counted
        return False

    monkeypatch.setattr(door, "check_password", wrong)
    identity = stranger(tmp_path)

    def guess(site: Site, number: int) -> None:
        with contextlib.suppress(RefusedGreetingError, OSError):
            knock(site, identity, how="password", user="root", password=f"guess {number}")

    threads = [threading.Thread(target=guess, args=(pair.beta, number), daemon=True) for number in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert len(tried) == 3
