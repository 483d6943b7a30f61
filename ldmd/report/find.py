"""Records of migrations by the words a person has for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from emulator.places import machine_names, place
from ldmd.messages import refuse
from ldmd.migrationrecord import FOLDER, kept_in


@dataclass(frozen=True)
class Found:
    """A record of a machine: ``alpha/0007-ldg1``."""

    machine: str
    name: str
    path: Path

    @property
    def whole(self) -> str:
        """Its whole name."""
        return f"{self.machine}/{self.name}"


def all_records() -> list[Found]:
    """Those of all machines of this home, by machine, oldest first."""
    return [Found(machine, each.name, each.path) for machine in machine_names()
            for each in kept_in(place(machine).manager / FOLDER)]


def find(word: str) -> Found:
    """By whole name, name without the machine, number, domain (the newest of it), or a file. Raises RefusedError."""
    if word.endswith(".json"):
        return Found("", Path(word).stem, Path(word))
    records = all_records()
    tries = (
        lambda each: each.whole == word,
        lambda each: each.name == word,
        lambda each: word.isdecimal() and int(each.name.split("-")[0]) == int(word),
        lambda each: each.name.partition("-")[2] == word or each.machine + "/" + each.name.partition("-")[2] == word,
    )
    for fits in tries:
        found = [each for each in records if fits(each)]
        if found:
            return max(found, key=lambda each: each.path.stat().st_mtime)
    refuse("migration.no-record", name=word, known=", ".join(each.whole for each in records[-8:]) or "none")
