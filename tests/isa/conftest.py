"""The tests of this directory import the instruction table as ``csrc.isa`` and their helpers by name."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.append(str(HERE.parents[1]))  # last: an emulator built elsewhere (make sanitize) must not be hidden
