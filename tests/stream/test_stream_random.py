"""Whole transfers at random: memory of any kind, a guest that writes, links that are cut and damaged anywhere.

Every one of them must end with the same memory and state at the target.
`S4V_STREAM_RUNS` and `S4V_TEST_SEED` choose how many and which.
"""

from __future__ import annotations

import os
import random

import pytest
from stream_support import PAGE, Memory, Pair, Proxy, fill, make_certificate, writing

RUNS = int(os.environ.get("S4V_STREAM_RUNS", "40"))
SEED = int(os.environ.get("S4V_TEST_SEED", "1"))
CERTIFICATES = (make_certificate("one"), make_certificate("two"))


@pytest.fixture(autouse=True)
def _lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S4V_STREAM_PLAIN", "1")


class Mischief:
    """Cuts the link after so many bytes of a direction, damages a byte at such a place; each once."""

    def __init__(self, rng: random.Random, reach: int) -> None:
        # both ways there are some; the way back carries little
        self.cuts = sorted((rng.randrange(2), rng.randrange(1, reach)) for _ in range(rng.randrange(4)))
        self.flips = [(0, rng.randrange(1, reach))] if rng.random() < 0.5 else []
        self.passed = [0, 0]
        self.done = 0

    def __call__(self, direction: int, data: bytes) -> bytes | None:
        begin, end = self.passed[direction], self.passed[direction] + len(data)
        self.passed[direction] = end
        for flip in list(self.flips):
            if flip[0] == direction and begin <= flip[1] < end:
                self.flips.remove(flip)
                self.done += 1
                damaged = bytearray(data)
                damaged[flip[1] - begin] ^= 0x10
                data = bytes(damaged)
        for cut in list(self.cuts):
            reach = cut[1] if cut[0] == 0 else cut[1] // 1000
            if cut[0] == direction and begin <= reach < end:
                self.cuts.remove(cut)
                self.done += 1
                return None
        return data


def random_ranges(rng: random.Random) -> list[tuple[int, int]]:
    found, at = [], rng.randrange(64) * PAGE
    for _ in range(rng.randrange(1, 4)):
        size = rng.randrange(1, 200) * PAGE
        found.append((at, size))
        at += size + rng.choice((0, PAGE, 1 << 30))
    return found


def cut_otherwise(rng: random.Random, ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same memory in other blocks."""
    found = []
    for ra, size in ranges:
        first = rng.randrange(size // PAGE) * PAGE if rng.random() < 0.5 else 0
        found += [(ra, first)] if first else []
        found.append((ra + first, size - first))
    return found


def one_transfer(seed: int) -> None:
    rng = random.Random(seed)
    ranges = random_ranges(rng)
    source, target = Memory(ranges), Memory(cut_otherwise(rng, ranges))
    fill(source, rng, populated=rng.random())
    if rng.random() < 0.3:
        fill(target, rng)  # what is there before is wiped
    options = {"plain": rng.random() < 0.7, "compress": rng.choice(("auto", "none", "lz4", "zstd", "zlib")),
               "verify": rng.choice(("auto", "background", "strict")), "downtime_ms": rng.choice((5, 100)),
               "max_rounds": rng.choice((1, 3, 30)), "reconnect_seconds": 50}  # fmt: skip
    pair = Pair(source, target, CERTIFICATES, **options)
    mischief = Mischief(rng, max(2, source.populated_bytes() * 3 // 2))
    proxy = Proxy(pair.listen(), mischief)
    state = rng.randbytes(rng.choice((0, 1, 5000, 600_000)))
    try:
        pair.begin(proxy.port, channels=rng.randrange(1, 4))
        with writing(source, random.Random(seed), working_set=rng.choice((0.01, 0.2, 1.0))) as stand:
            pair.source.wait("converged" if rng.random() < 0.8 else "connected")
            stand()
        pair.final(state)
        final, received = pair.source.wait("final"), pair.target.wait("received")
        pair.source.ask("audit")
        assert pair.source.wait("audited")["mismatches"] == 0
        assert source.content() == target.content()
        assert final["digest"] == received["digest"]
        assert len(state) == 0 or os.pread(pair.target.state_fd or -1, len(state), 0) == state
    finally:
        pair.stop()
        proxy.close()
        source.close()
        target.close()


@pytest.mark.parametrize("seed", range(SEED, SEED + RUNS))
def test_memory_and_state_arrive(seed: int) -> None:
    one_transfer(seed)
