"""The six positions of FLAGS, as words and as letters, and utilization.

Positions: starting or stopping; normal, transition or degraded; delayed reconfiguration or memory DR; control;
virtual I/O service; migration ("Flag Definitions" of the Administration Guide).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from ldmd.model import Domain, State

LETTERS: Mapping[str, tuple[int, str]] = {
    "starting": (0, "s"),
    "stopping": (0, "s"),
    "normal": (1, "n"),
    "transition": (1, "t"),
    "degraded": (1, "d"),
    "delayed-modify": (2, "d"),
    "memory-dr": (2, "r"),
    "control": (3, "c"),
    "vio-service": (4, "v"),
    "migration-source": (5, "s"),
    "migration-target": (5, "t"),
    "migration-error": (5, "e"),
}
POSITIONS = 6
ROLES = {"source": "migration-source", "target": "migration-target", "error": "migration-error"}
_RUNNING = {State.ACTIVE, State.STARTING, State.STOPPING, State.SUSPENDED}


def flag_letters(words: Iterable[str]) -> str:
    """``-n-cv-``."""
    row = ["-"] * POSITIONS
    for word in words:
        place, letter = LETTERS[word]
        row[place] = letter
    return "".join(row)


def flag_words(
    domain: Domain, status: Mapping[str, Any], *, pending: bool = False, operation: str = "", role: str = ""
) -> list[str]:
    """The flags that are set, in the order of their positions."""
    words = []
    if domain.state is State.STARTING:
        words.append("starting")
    if domain.state is State.STOPPING:
        words.append("stopping")
    if health := _health(domain, status):
        words.append(health)
    if pending:
        words.append("delayed-modify")
    elif operation == "memdr":
        words.append("memory-dr")
    if domain.control:
        words.append("control")
    if domain.serves:
        words.append("vio-service")
    if role:
        words.append(ROLES[role])
    return words


def _health(domain: Domain, status: Mapping[str, Any]) -> str:
    if domain.degraded:
        return "degraded"
    if domain.state not in _RUNNING:
        return ""
    if domain.control:  # no program of its own runs in it here
        return "normal"
    normal = status.get("soft_state", {}).get("normal", False) and not status.get("firmware", False)
    if domain.state is State.SUSPENDED:  # a system that suspended itself for a migration says so; the guide's sample
        return "normal"
    return "normal" if normal else "transition"


def vcpu_utils(domain: Domain, status: Mapping[str, Any]) -> list[float]:
    """Utilization of each virtual CPU of the binding, percent; 0 where the machine says nothing."""
    known = {each["vid"]: float(each.get("util", 0.0)) for each in status.get("vcpus", ())}
    vids = [vid for vid, _ in domain.binding.vcpus] if domain.binding else []
    return [known.get(vid, 0.0) for vid in vids]


def mean(values: Sequence[float]) -> float:
    """The average; of nothing 0."""
    return fmean(values) if values else 0.0
