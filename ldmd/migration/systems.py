"""Which system a guest's own words mean: what domain service system-info tells, as `facts.System` wants it.

Solaris 11 tells its release as the version ("11.3"), Solaris 10 the patch of its kernel ("Generic_142909-17"), from
which the update follows. What nobody can tell is left out: nothing is concluded from it then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

NAMES = ("uts-sysname", "uts-release", "uts-version", "kernel-zones", "memory-tags")
"""What is asked of the guest. The last two are names of ours: how many kernel zones run, "on" where version tags of
memory are in use; a system that does not know a name leaves it out."""
COUNT_DIGITS = 6
UPDATES = {
    118822: "10 3/05", 118833: "10 11/06", 120011: "10 8/07", 127127: "10 5/08", 137137: "10 10/08",
    139555: "10 5/09", 141444: "10 10/09", 142909: "10 9/10", 144500: "10 9/10", 147440: "10 8/11",
    147147: "10 1/13", 148888: "10 1/13", 150400: "10 1/13",
}  # fmt: skip
"""Update of Solaris 10 by the number of the kernel's patch: that it came with, or that came after it. (recalled)"""
_TEN, _ELEVEN = "5.10", "5.11"
_PATCH = re.compile(r"Generic_(\d{6})-\d+")
_RELEASE = re.compile(r"\d+(\.\d+)*")
WORD_LETTERS = 256


def system_told(values: object) -> dict[str, Any]:
    """`os` of a status: "name" and "version", "kernel_zones" and "tags" (true or not there), as far as they are known.
    `values`: pairs of an answer of system-info.
    """
    words = dict(_pairs(values))
    name, release, version, zones, tags = (words.get(each, "") for each in NAMES)
    more = {"kernel_zones": zones.isdecimal() and len(zones) <= COUNT_DIGITS and int(zones) > 0, "tags": tags == "on"}
    return {**_named(name, release, version), **{key: True for key, there in more.items() if there}}


def _named(name: str, release: str, version: str) -> dict[str, Any]:
    if name == "Linux":
        return {"name": name, "version": release}
    if name != "SunOS":
        return {"name": name} if name else {}
    return {"name": "Solaris", "version": _solaris(release, version)}


def _pairs(values: object) -> Iterable[tuple[str, str]]:
    if isinstance(values, Mapping):
        values = list(values.items())
    for pair in values if isinstance(values, list | tuple) else ():
        if isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(each, str) for each in pair):
            yield pair[0], pair[1][:WORD_LETTERS]


def _solaris(release: str, version: str) -> str:
    if release == _ELEVEN:
        return version if _RELEASE.fullmatch(version) else ""
    patch = _PATCH.fullmatch(version) if release == _TEN else None
    return "" if patch is None else UPDATES.get(int(patch[1]), "")
