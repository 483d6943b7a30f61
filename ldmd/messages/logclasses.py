"""Classes of lines in ldmd's log that can be switched (`ldm set-logctl`), and which are on at first.

`warning` and `fatal` are always on (ldm-cli 3.10).
"""

from __future__ import annotations

LOG_DEFAULTS = {"cmd": True, "debug": False, "info": True, "notice": True}
LOG_FIXED = ("warning", "fatal")
