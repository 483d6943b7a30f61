"""Classes of lines in ldmd's log that can be switched (`ldm set-logctl`), and which are on at first.

`warning` and `fatal` are always on (ldm(1M) of 3.3).
"""

from __future__ import annotations

LOG_DEFAULTS = {"cmd": True, "debug": False, "info": True, "notice": True}
LOG_FIXED = ("warning", "fatal")
