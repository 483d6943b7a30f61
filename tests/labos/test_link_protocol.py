"""The link protocol of labos (images/labos/link.c), built for the host: two ends, damaged packets, resets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from net_support import build, numbers, run

SEED = int(os.environ.get("SUN4V_TEST_SEED", "1"))


@pytest.mark.parametrize("mode", ["unreliable", "stream"])
def test_ends_find_each_other_again(tmp_path: Path, mode: str) -> None:
    """Whole messages in order, whoever calls; each restart leads both ends up again; damage never passes."""
    print(f"seed {SEED}")
    found = numbers(run(build(tmp_path, "link_fuzz", "link.c"), SEED, 1_000_000, mode))
    assert found["messages"] > 50_000
    assert found["breaks"] > 100
    assert found["restarts"] > found["breaks"]
    assert 1.9 * found["restarts"] < found["ups"] <= 2 * found["restarts"]
