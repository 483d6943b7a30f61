"""Versions of OpenBoot by chip: what the banner and /openprom tell.

Those of the T2 and T4 are from listings; the others are recalled from release notes and not checked.
"""

from __future__ import annotations

DEFAULT = ("4.33.6", "2012/03/14 08:42")
# Chip -> version, date and time.
BY_CHIP: dict[str, tuple[str, str]] = {
    "t1": ("4.30.4", "2009/08/19 07:18"), "t2": DEFAULT, "t2+": DEFAULT, "t3": ("4.33.6", "2012/03/14 08:28"),
    "t4": ("4.34.2", "2013/04/17 14:28"), "t5": ("4.35.3", "2013/08/14 11:20"), "m5": ("4.35.3", "2013/08/14 11:20"),
    "m6": ("4.36.0", "2013/11/22 09:11"), "m7": ("4.40.3", "2016/04/25 06:24"), "s7": ("4.40.3", "2016/04/25 06:24"),
    "m8": ("4.42.4", "2017/12/08 15:25"), "sparc64-x": ("4.34.0", "2013/04/05 11:10"),
    "sparc64-x+": ("4.36.0", "2014/02/07 10:22"), "sparc64-xii": ("4.38.5", "2017/03/09 17:02"),
}  # fmt: skip


def openboot_version(chip: str) -> tuple[str, str]:
    """Version, and when it was made, of the firmware of a chip's servers."""
    return BY_CHIP.get(chip, DEFAULT)
