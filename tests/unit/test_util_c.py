"""Shared small things of the C core (csrc/util): SHA-256 against hashlib, the bounded state buffer."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path

BuildC = Callable[..., Path]
RunC = Callable[..., str]
SEED = int(os.environ.get("SUN4V_TEST_SEED", "1"))


def test_sha256_is_hashlibs(build_c: BuildC, run_c: RunC, flags: tuple[str, ...]) -> None:
    """Every length around the block and padding borders, and long inputs, taken in in uneven pieces."""
    program = build_c("sha256_test", ("util/sha256.c",), flags)
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    for size in (*range(132), 4095, 4096, 100_000):
        data = rng.randbytes(size)
        pieces = [rng.randrange(1, 200) for _ in range(3)]
        assert run_c(program, *pieces, data=data).strip() == hashlib.sha256(data).hexdigest(), (size, pieces)
    data = rng.randbytes(3 << 20)
    for pieces in ([1 << 20], [64], [63, 65, 0, 1]):
        assert run_c(program, *pieces, data=data).strip() == hashlib.sha256(data).hexdigest(), pieces


def test_state_buffer(build_c: BuildC, run_c: RunC, flags: tuple[str, ...]) -> None:
    """Layout, sticky errors at every length that is too short, lengths that would wrap."""
    assert run_c(build_c("buffer_test", (), flags)) == "ok\n"
