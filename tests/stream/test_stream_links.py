"""Links that are cut, damaged or silent, and what is done about it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
from stream_support import PAGE, Manager, Memory, Pair, Proxy, fill, make_certificate

from emulator.stream import links

CERTIFICATES = (make_certificate("one"), make_certificate("two"))
RANGES = [(0, 1024 * PAGE)]


@pytest.fixture(autouse=True)
def _lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S4V_STREAM_PLAIN", "1")


@pytest.fixture
def memories() -> Iterator[tuple[Memory, Memory]]:
    source, target = Memory(RANGES), Memory(RANGES)
    fill(source, random.Random(3), populated=1.0)
    yield source, target
    source.close()
    target.close()


def through(pair: Pair, mischief: object, *, channels: int = 1) -> Proxy:
    proxy = Proxy(pair.listen(), mischief)  # type: ignore[arg-type]
    pair.begin(proxy.port, channels=channels)
    return proxy


def finish(pair: Pair) -> dict[str, object]:
    pair.source.wait("converged")
    pair.final(b"the state")
    final = pair.source.wait("final")
    pair.target.wait("received")
    assert pair.source.memory.content() == pair.target.memory.content()
    return final


def flip_at(place: int, count: int = 1) -> object:
    """Changes a bit at a place of what the source sends, so many times (of what is sent again, too)."""
    passed, left = 0, count

    def mischief(direction: int, data: bytes) -> bytes:
        nonlocal passed, left
        if direction:
            return data
        begin, passed = passed, passed + len(data)
        if left and begin <= place < passed:
            left -= 1
            damaged = bytearray(data)
            damaged[place - begin] ^= 1
            return bytes(damaged)
        return data

    return mischief


def test_a_damaged_payload_is_sent_again_on_the_same_link(memories: tuple[Memory, Memory]) -> None:
    pair = Pair(*memories, CERTIFICATES, plain=True, compress="none")
    proxy = through(pair, flip_at(300_000))
    final = finish(pair)
    assert int(str(final["resent_bytes"])) > 0
    assert proxy.links == 1
    pair.stop()
    proxy.close()


def test_a_damaged_byte_under_tls_costs_the_link_and_nothing_else(memories: tuple[Memory, Memory]) -> None:
    pair = Pair(*memories, CERTIFICATES, compress="none")
    proxy = through(pair, flip_at(300_000))
    finish(pair)
    assert proxy.links >= 2
    assert pair.source.seen("lost")
    pair.stop()
    proxy.close()


def test_damage_twice_ends_the_transfer(memories: tuple[Memory, Memory]) -> None:
    """Every piece of the bulk is damaged: the second time the same chunk comes so, both sides give up."""
    pair = Pair(*memories, CERTIFICATES, plain=True, compress="none")

    def mischief(direction: int, data: bytes) -> bytes:
        if direction or len(data) < 30_000:
            return data
        return data[:20_000] + bytes([data[20_000] ^ 1]) + data[20_001:]

    proxy = through(pair, mischief)
    with pytest.raises(AssertionError):
        pair.source.wait("final")
    assert pair.source.seen("failed")[0]["code"] == "integrity"
    assert pair.target.wait("failed")["code"] == "integrity"
    pair.stop()
    proxy.close()


@pytest.mark.parametrize("channels", [1, 3])
def test_after_a_cut_only_what_was_on_its_way_goes_again(memories: tuple[Memory, Memory], channels: int) -> None:
    pair = Pair(*memories, CERTIFICATES, plain=True, compress="none")
    passed = cuts = 0

    def mischief(direction: int, data: bytes) -> bytes | None:
        nonlocal passed, cuts
        passed += 0 if direction else len(data)
        if passed > 2_000_000 * (cuts + 1) and cuts < 2:
            cuts += 1
            return None
        return data

    proxy = through(pair, mischief, channels=channels)
    final = finish(pair)
    assert cuts == 2
    assert proxy.links == channels + 2
    assert int(str(final["resent_bytes"])) <= 2 * 16 * 270_400  # a window for each cut
    assert len(pair.source.seen("connected")) >= 2
    pair.stop()
    proxy.close()


def test_a_silent_link_is_given_up_and_made_anew(
    memories: tuple[Memory, Memory], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "DEAD_SECONDS", 1)
    pair = Pair(*memories, CERTIFICATES, plain=True, compress="none")
    passed, silent = 0, False

    def mischief(direction: int, data: bytes) -> bytes:
        nonlocal passed, silent
        passed += 0 if direction else len(data)
        if passed > 1_000_000 and not silent and proxy.links == 1:
            silent = True
        return b"" if silent and proxy.links == 1 else data

    proxy = Proxy(pair.listen(), mischief)
    pair.begin(proxy.port)
    finish(pair)
    assert proxy.links == 2
    pair.stop()
    proxy.close()


def test_no_link_for_too_long_fails_on_both_sides(memories: tuple[Memory, Memory]) -> None:
    pair = Pair(*memories, CERTIFICATES, plain=True, reconnect_seconds=1)
    passed = 0

    def mischief(direction: int, data: bytes) -> bytes | None:
        nonlocal passed
        passed += len(data)
        return data if passed < 500_000 else None

    proxy = through(pair, mischief)
    for side in (pair.source, pair.target):
        assert side.wait("failed")["code"] == "link"
    pair.stop()
    proxy.close()


def test_nobody_listens(memories: tuple[Memory, Memory]) -> None:
    pair = Pair(*memories, CERTIFICATES, reconnect_seconds=1)
    port = pair.listen()
    pair.target.stop()
    pair.begin(port)
    assert pair.source.wait("failed")["code"] == "link"
    pair.source.stop()


def test_a_mark_that_was_lost_is_caught_by_strict_verification(memories: tuple[Memory, Memory]) -> None:
    pair = Pair(*memories, CERTIFICATES, plain=True, verify="strict")
    through_port = pair.listen()
    pair.begin(through_port)
    pair.source.wait("converged")
    memories[0].write(5 * PAGE, b"written without a mark", mark=False)
    pair.final(b"")
    failed = pair.source.wait("failed")
    assert failed["code"] == "integrity" and "1 pages" in str(failed["why"]) and hex(5 * PAGE) in str(failed["why"])
    pair.stop()


def test_a_mark_that_was_lost_is_found_by_the_audit(memories: tuple[Memory, Memory]) -> None:
    pair = Pair(*memories, CERTIFICATES, plain=True, verify="background")
    pair.begin(pair.listen())
    pair.source.wait("converged")
    memories[0].write(7 * PAGE, b"written without a mark", mark=False)
    pair.final(b"x")
    pair.source.wait("final")
    pair.source.ask("audit")
    found = pair.source.wait("audited")
    assert (found["mismatches"], found["examples"]) == (1, [7 * PAGE])
    pair.stop()


@contextmanager
def busy(pair: Pair) -> Iterator[None]:
    """A guest that writes to all its pages in each round: at the round's barrier."""
    memory, original = pair.source.memory, Manager._event

    def event_comes(self: Manager, event: dict[str, object]) -> None:
        original(self, event)
        if event["event"] == "barrier" and self is pair.source:
            rng = random.Random(int(str(event["n"])))
            for page in range(memory.pages):
                memory.write(page * PAGE, rng.randbytes(64))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Manager, "_event", event_comes)
        yield


def limits_of(pair: Pair, *, before: str = "") -> list[int | None]:
    """What the machine was asked to limit the guest to, until the event `before`."""
    events = itertools.takewhile(lambda event: event["event"] != before, pair.source.seen("limit", "converged"))
    found = [event["pages_per_second"] for event in events if event["event"] == "limit"]
    return [limit if isinstance(limit, int) else None for limit in found]


def test_a_guest_that_writes_faster_than_the_link_is_limited(memories: tuple[Memory, Memory]) -> None:
    """All pages are written in each round: a limit is asked for, and taken back; at the end it goes by `at_limit`."""
    source = memories[0]
    pair = Pair(
        *memories, CERTIFICATES, plain=True, compress="none", bandwidth_bps=50_000_000, downtime_ms=10, max_rounds=5
    )
    with busy(pair):
        pair.begin(pair.listen())
        converged = pair.source.wait("converged")
        assert float(str(converged["predicted_downtime_ms"])) > 10
        limits = limits_of(pair, before="converged")
        assert limits and all(limit is not None and limit >= 64 for limit in limits)
        assert limits == sorted(limits, key=lambda limit: limit or 0, reverse=True)
        pair.source.wait("limit", count=len(limits) + 3)
        looser = limits_of(pair)[len(limits) - 1:]
        assert all(after is None or after == 2 * (before or 0) for before, after in pairwise(looser)), \
            "a guest that was asked to suspend must write to do that"
    pair.final(b"")
    pair.source.wait("final")
    assert pair.source.limit is None
    assert source.content() == memories[1].content()
    percents = [float(str(event["percent"])) for event in pair.source.seen("progress")]
    assert percents == sorted(percents) and percents[-1] == 100.0
    pair.stop()


def test_not_converged_may_be_a_failure(memories: tuple[Memory, Memory]) -> None:
    pair = Pair(*memories, CERTIFICATES, plain=True, downtime_ms=1, max_rounds=1, at_limit="fail")
    with busy(pair):
        pair.begin(pair.listen())
        assert pair.source.wait("failed")["code"] == "limit"
    pair.stop()
