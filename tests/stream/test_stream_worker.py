"""The worker process and its manager: requests that are wrong, ends at any time, nothing left behind."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import pytest
from stream_support import DEADLINE, PAGE, Manager, Memory, Pair, fill, make_certificate

from emulator.hvctl import wire
from emulator.stream import worker
from emulator.stream.control import Control, Sample
from emulator.stream.requests import Options

CERTIFICATES = (make_certificate("one"), make_certificate("two"))
RANGES = [(0, 512 * PAGE)]


@pytest.fixture(autouse=True)
def _lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S4V_STREAM_PLAIN", "1")


@pytest.fixture
def pair() -> Iterator[Pair]:
    source, target = Memory(RANGES), Memory(RANGES)
    fill(source, random.Random(3), populated=1.0)
    made = Pair(source, target, CERTIFICATES)
    yield made
    source.close()
    target.close()


def test_a_process_says_who_it_is_and_ends_when_its_manager_does() -> None:
    mine, theirs = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, "-m", "emulator.stream.worker", str(theirs.fileno())], pass_fds=[theirs.fileno()]
    )
    theirs.close()
    frame = wire.Receiver(mine).receive()
    assert frame is not None
    assert (frame.message["event"], frame.message["version"], frame.message["pid"]) == ("hello", [1, 0], process.pid)
    mine.close()
    assert process.wait(DEADLINE) == 0


def test_usage() -> None:
    assert worker.main([]) == 2
    assert worker.main(["x"]) == 2


def descriptors() -> Counter[tuple[int, int]]:
    """What this process has open. Others of its tests may still be losing theirs."""
    found: Counter[tuple[int, int]] = Counter()
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            status = os.fstat(int(name))
            found[status.st_dev, status.st_ino] += 1
    return found


@pytest.mark.parametrize("when", ["listening", "connected", "barrier", "converged", "final"])
def test_stop_at_any_time_leaves_no_descriptor(pair: Pair, when: str) -> None:
    pair.stop()
    before = descriptors()
    again = Pair(pair.source.memory, pair.target.memory, CERTIFICATES)
    port = again.listen()
    if when != "listening":
        again.begin(port, channels=2)
        if when == "final":
            again.source.wait("converged")
            again.final(b"s" * 100)
        again.source.wait(when)
    again.stop()
    assert again.source.seen("stopped") and again.target.seen("stopped")
    assert not descriptors() - before


def test_the_rest_goes_while_the_state_is_being_saved(pair: Pair) -> None:
    """After `stands` the worker is about the last pages; `final` brings the state alone."""
    pair.begin(pair.listen(), channels=2)
    pair.source.wait("converged")
    source, target = pair.source, pair.target

    def finishing() -> bool:
        return any(each.get("phase") == "final" for each in source.events if each["event"] == "progress")

    source.memory.write(PAGE, b"the last")
    source.ask("stands")
    with source.changed:
        assert source.changed.wait_for(finishing, DEADLINE)
    looks = itertools.count()
    while target.memory.bytes[PAGE : PAGE + 8] != b"the last":
        assert next(looks) < DEADLINE * 100, "the page does not come before the state"
        threading.Event().wait(0.01)
    pair.final(b"s" * 100)
    source.wait("final")
    target.wait("received")
    assert target.seen("state")[0]["sha256"] == hashlib.sha256(b"s" * 100).digest()
    assert source.memory.digest() == target.memory.digest()
    pair.stop()


def test_a_manager_that_goes_ends_everything(pair: Pair) -> None:
    pair.begin(pair.listen())
    pair.source.wait("connected")
    pair.source.sock.shutdown(socket.SHUT_RDWR)
    pair.source._worker.join(DEADLINE)
    assert not pair.source._worker.is_alive()
    pair.target.wait("lost")
    pair.stop()


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"op": "dance"}, "comes first"),
        ({"op": "barrier", "n": 1}, "comes first"),
        ({"op": "begin"}, "mid is missing"),
        ({"op": "receive", "mid": 0}, "mid"),
        ({"op": "receive", "mid": 1, "blocks": []}, "one block"),
        ({"op": "receive", "mid": 1, "blocks": [{"ra": 0, "size": 8192, "memory": 0, "map": 0, "memory_offset": 0,
                                                 "page_map_offset": 0, "region_map_offset": 0}]}, "memory"),
        ({}, "comes first"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_a_failure_with_its_reason(pair: Pair, request_: dict[str, object], text: str) -> None:
    wire.send(pair.source.sock, request_)
    failed = pair.source.wait("failed")
    assert failed["code"] == "request" and text in str(failed["why"])
    pair.stop()


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"options": {"compress": "rar"}}, "request", "options.compress"),
        ({"options": {"downtime_ms": 0}}, "request", "downtime_ms"),
        ({"options": {"warp": 9}}, "request", "warp"),
        ({"channels": 99}, "request", "channels"),
        ({"secret": b"short"}, "request", "32 bytes"),
        ({"certificate": "no PEM"}, "request", "certificate"),
        ({"peer_certificate": ""}, "request", "certificate"),
        ({"port": 0}, "request", "port"),
    ],
)
def test_a_wrong_member_is_named(pair: Pair, change: dict[str, object], code: str, text: str) -> None:
    memory = pair.source.memory
    fields = {"blocks": memory.blocks(), "host": "127.0.0.1", "port": 9, **pair.identity(0), **change}
    pair.source.ask("begin", (memory.fd, memory.map_fd), **fields)
    failed = pair.source.wait("failed")
    assert failed["code"] == code and text in str(failed["why"])
    pair.stop()


def test_plain_must_be_allowed_by_the_environment(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("S4V_STREAM_PLAIN")
    pair.options["plain"] = True
    with pytest.raises(AssertionError, match="S4V_STREAM_PLAIN"):
        pair.listen()
    pair.stop()


def test_the_state_must_be_what_was_said(pair: Pair) -> None:
    pair.begin(pair.listen())
    pair.source.wait("converged")
    fd = os.memfd_create("state")
    os.write(fd, b"other")
    pair.source.ask("final", (fd,), bytes=5, sha256=bytes(32))
    os.close(fd)
    assert pair.source.wait("failed")["code"] == "request"
    pair.stop()


def test_final_may_come_before_it_has_converged(pair: Pair) -> None:
    pair.options["bandwidth_bps"] = 20_000_000
    pair.begin(pair.listen(), channels=2)
    pair.source.wait("barrier")
    pair.final(b"early")
    pair.source.wait("final")
    pair.target.wait("received")
    assert pair.source.memory.content() == pair.target.memory.content()
    pair.stop()


def test_descriptors_of_a_worker_are_its_own(pair: Pair) -> None:
    manager = Manager(pair.source.memory)
    manager.stop()
    pair.stop()


# -- convergence, in numbers


def sample(at: float, **fields: int) -> Sample:
    given: dict[str, object] = {"acked_bytes": 0, "wire_bytes": 0, "raw_bytes": 0, "in_flight": 0, "pending": 0,
                                "marked": 0, "busy": True, **fields}  # fmt: skip
    return Sample(at=at, **given)  # type: ignore[arg-type]


def test_the_pause_is_what_is_left_over_the_rate_that_was_measured() -> None:
    control = Control(Options(downtime_ms=100), 1)
    for n in range(11):
        done = n * 10_000_000
        control.sample(sample(n / 10, acked_bytes=done, wire_bytes=done, raw_bytes=2 * done))
    assert control.rate == pytest.approx(100e6)
    assert control.ratio == pytest.approx(2.0)
    left = sample(1.0, pending=10_000, in_flight=1_000_000)
    assert control.pause_ms(left) == pytest.approx((10_000 * 8192 / 2 + 1_000_000) / 100e6 * 1000 + 8)
    assert not control.short_enough(left)
    assert control.short_enough(sample(1.0, pending=100))


def test_what_leaves_faster_than_pages_are_marked_goes_before_the_pause() -> None:
    control = Control(Options(downtime_ms=300), 1)
    for n in range(11):
        done = n * 10_000_000
        control.sample(sample(n / 10, acked_bytes=done, wire_bytes=done, raw_bytes=done, marked=n * 122))
    assert control.dirty_rate == pytest.approx(10e6, rel=0.01)
    few = sample(1.0, pending=1000, marked=100)
    assert control.short_enough(few) and control.worth_going_on(few)
    assert control.worth_going_on(sample(1.0, in_flight=1_000_000))  # what is not acknowledged is in the pause, too
    assert not control.worth_going_on(sample(1.0, pending=50, marked=100))  # 4 ms
    control.sample(sample(1.1, acked_bytes=110_000_000, wire_bytes=110_000_000, raw_bytes=110_000_000, marked=7000))
    assert not control.worth_going_on(few)  # 52 MB/s of pages written: more would be left afterwards


def test_a_round_that_stalls_is_seen_before_its_end() -> None:
    def measured(**options: object) -> Control:
        control = Control(Options(downtime_ms=10, **options), 1)  # type: ignore[arg-type]
        for n in range(11):
            control.sample(sample(n / 10, acked_bytes=n * 8_192_000, wire_bytes=n * 8_192_000, raw_bytes=n * 8_192_000))
        assert control.round_begins(1000, sample(1.0, pending=100_000)) is False
        return control

    control = measured()
    assert not control.inside_round(sample(1.1, pending=900, marked=600))  # not yet: few were sent
    assert not control.inside_round(sample(1.2, pending=400, marked=590))  # 983 at the end: fewer than there were
    assert not control.inside_round(sample(1.3, pending=390, marked=620)) and control.limit is None  # the first stall
    assert not control.inside_round(sample(1.4, pending=100, marked=900))  # of the same round
    assert not control.round_begins(950, sample(1.5, pending=100_000))
    assert control.inside_round(sample(1.6, pending=940, marked=700)) and control.limit == 2500  # certain at once
    assert not control.round_begins(940, sample(1.7, pending=100_000))  # counted already
    certain = measured(dirty_limit=False)
    assert not certain.inside_round(sample(1.1, pending=999, marked=701)) and not certain.hopeless
    certain.round_begins(990, sample(1.2, pending=100_000))
    assert not certain.inside_round(sample(1.3, pending=980, marked=700)) and certain.hopeless


def test_a_goal_that_cannot_be_met_is_met_as_well_as_it_can() -> None:
    control = Control(Options(downtime_ms=1), 1)
    control.rtt_seconds = 1.0
    assert control.short_enough(sample(0.0))


def test_the_limit_comes_after_two_rounds_that_stall_and_falls() -> None:
    control = Control(Options(downtime_ms=10), 1)
    for n in range(11):
        control.sample(sample(n / 10, acked_bytes=n * 8_192_000, wire_bytes=n * 8_192_000, raw_bytes=n * 8_192_000))
    busy = sample(1.0, pending=100_000)
    found = [(control.round_begins(left, busy), control.limit) for left in (1000, 990, 980, 970, 400, 390)]
    assert found == [(False, None), (False, None), (True, 2500), (True, 1750), (False, 1750), (True, 1225)]
    assert Control(Options(dirty_limit=False, downtime_ms=10), 1).round_begins(1, busy) is False
    loosened = [(control.loosen(), control.limit) for _ in range(5)]  # the guest must write to suspend itself
    assert loosened == [(True, 2450), (True, 4900), (True, 9800), (True, None), (False, None)]


@pytest.mark.parametrize(("pages", "seconds", "limited"), [
    (1000, 0.01, True),  # all of them again long before the round of 0.1 s is over
    (1000, 0.13, True),  # three quarters of them in it
    (1000, 0.2, False),  # half of them
    (1000, 9.9, False),
    (3000, 0.35, True),
    (3000, 1.0, False),
    (100, 0.1, False),  # the pause would be short enough
])
def test_a_round_that_will_stall_is_foreseen(pages: int, seconds: float, limited: bool) -> None:
    """10,000 pages a second leave; the guest writes `pages` of its memory in so many seconds, again and again."""
    control = Control(Options(downtime_ms=30), 1)
    control.cleared(0.0)
    for n in range(1001):
        control.sample(sample(n / 100, acked_bytes=n * 819_200, wire_bytes=n * 819_200, raw_bytes=n * 819_200,
                              marked=min(pages, round(pages * n / 100 / seconds))))
    now = sample(10.0, marked=pages)
    control.cleared(10.0)
    assert control.round_begins(pages, now) is limited and control.limit == (2500 if limited else None)
    without = Control(Options(downtime_ms=30, dirty_limit=False), 1)
    assert without.round_begins(pages, now) is False
