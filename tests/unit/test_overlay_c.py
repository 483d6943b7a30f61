"""In which order an overlay writes and makes stable (csrc/vio/overlay.c): csrc/tests/overlay.c, plain and sanitized."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def test_order_of_an_overlay(build_c: Callable[..., Path], run_c: Callable[..., str], flags: tuple[str, ...]) -> None:
    """Data, recent map; on a flush data, stable map; what fails, and what comes between, is not said to be stable."""
    program = build_c("overlay", ("vio/overlay.c", "vio/image.c", "vio/pool.c"), flags)
    assert run_c(program) == "overlay: ok\n"
