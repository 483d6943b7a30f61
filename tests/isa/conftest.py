"""The tests of this directory import the instruction table as ``csrc.isa`` and their helpers by name."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# The models and sequences of the tests without an engine are run on the engine here.
sys.path[:0] = [str(HERE), str(HERE.parent / "unit"), str(HERE.parent / "differential")]
sys.path.append(str(HERE.parents[1]))  # last: an emulator built elsewhere (make sanitize) must not be hidden
