"""A plan of faults: frozen data, from TOML or made in Python.

    seed = 7
    [[fault]]
    point = "disk.write"          # of `points.POINTS`
    action = "error"
    domain = "ldg1"               # what the point selects by: shell patterns
    after = 3                     # occasions that pass first
    times = 1                     # most firings (the default); 0: no limit
    probability = 1.0             # of each occasion after these
    phase = "copy"                # only while the migration is in it (worker, migration.message)
    at-ms = 250                   # timed points: since the power-on (virtual time), or since it was armed
    at-insns = 1_000_000          # or instructions that the domain has completed
    every-ms = 100                # again after so long
    machine = "alpha"             # of a lab: only there
"""

from __future__ import annotations

import errno
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from emulator.errors import EmulatorError
from emulator.faults.points import BY_NAME, POINTS, Point

MAX_RULES = 256
MAX_FILE_BYTES = 1 << 20
MAX_NUMBER = (1 << 63) - 1
PHASES = ("check", "prepare", "copy", "suspend", "handoff")


class FaultsError(EmulatorError):
    """A plan that is none. `problems`: one line each."""

    code = "faults"
    of_usage = True

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """When, where, what. Checked when a `Plan` is made of it."""

    point: str
    action: str
    select: tuple[tuple[str, str], ...] = ()
    """(what, pattern) of what the point selects by."""
    values: tuple[tuple[str, object], ...] = ()
    """What the action takes, defaults included."""
    after: int = 0
    times: int = 1
    probability: float = 1.0
    phase: str = ""
    at_ms: float | None = None
    at_insns: int | None = None
    every_ms: float | None = None
    machine: str = "*"

    def value(self, name: str) -> Any:
        """What the action takes."""
        return dict(self.values)[name]

    def matches(self, facts: Mapping[str, object]) -> bool:
        """Is it about such an occasion?"""
        if self.phase and facts.get("phase") != self.phase:
            return False
        return all(fnmatchcase(str(facts.get(name, "")), pattern) for name, pattern in self.select)

    def plain(self) -> dict[str, Any]:
        """As in the file."""
        out: dict[str, Any] = {"point": self.point, "action": self.action, **dict(self.select), **dict(self.values)}
        for each in fields(self)[4:]:
            value = getattr(self, each.name)
            if value != each.default:
                out[each.name.replace("_", "-")] = value
        return out


@dataclass(frozen=True)
class Plan:
    """All rules, and the seed of their chance."""

    rules: tuple[Rule, ...] = ()
    seed: int = 1

    def at(self, machine: str) -> Plan:
        """What is about one machine."""
        return Plan(tuple(rule for rule in self.rules if fnmatchcase(machine, rule.machine)), self.seed)

    def plain(self) -> dict[str, Any]:
        """As in the file."""
        return {"seed": self.seed, "fault": [rule.plain() for rule in self.rules]}


def read_plan(path: Path) -> Plan:
    """The plan of a file. Raises FaultsError, OSError."""
    raw = path.read_bytes()[: MAX_FILE_BYTES + 1]
    try:
        if len(raw) > MAX_FILE_BYTES:
            raise ValueError("larger than 1 MiB")
        table = tomllib.loads(raw.decode())
    except ValueError as error:
        raise FaultsError([f"{path}: {error}"]) from None
    try:
        return parse_plan(table)
    except FaultsError as error:
        lines = _Lines(raw.decode())
        raise FaultsError([f"{path}{lines.of(problem)}: {problem}" for problem in error.problems]) from None


class _Lines:
    """Where in a file the tables [[fault]] are, and their keys."""

    _HEAD = re.compile(r"\s*\[\[\s*fault\s*\]\]")
    _PLACE = re.compile(r"(?:fault\[(\d+)\])?\.?([\w-]*)")

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()
        self._heads = [number for number, line in enumerate(self._lines) if self._HEAD.match(line)]

    def of(self, problem: str) -> str:
        """``:LINE`` of the key that a problem names, or of its table; "" where it cannot be told."""
        place = self._PLACE.match(problem)
        index, key = place.groups() if place else (None, "")
        if index is not None and int(index) >= len(self._heads):
            return ""  # written in another way
        begin = self._heads[int(index)] if index is not None else 0
        ends = self._heads[int(index) + 1 :] if index is not None else self._heads
        end = ends[0] if ends else len(self._lines)
        pattern = re.compile(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=")
        found = (number for number in range(begin, end) if key and pattern.match(self._lines[number]))
        number = next(found, begin if index is not None else None)
        return "" if number is None else f":{number + 1}"


def parse_plan(table: object) -> Plan:
    """A plan from plain data. All that is wrong is told at once. Raises FaultsError."""
    problems: list[str] = []
    if not isinstance(table, Mapping):
        raise FaultsError(["a table is wanted"])
    seed, rows = table.get("seed", 1), table.get("fault", [])
    if type(seed) is not int or not 0 <= seed <= MAX_NUMBER:
        problems.append(f"seed: a number of 0 or more is wanted, not {seed!r:.80}")
        seed = 1
    problems += [f"{name}: no such key; there are seed and fault" for name in table if name not in ("seed", "fault")]
    if not isinstance(rows, list | tuple) or len(rows) > MAX_RULES:
        raise FaultsError([*problems, f"fault: at most {MAX_RULES} tables [[fault]] are wanted"])
    rules = [_Reader(row, f"fault[{number}]", problems).rule() for number, row in enumerate(rows)]
    if problems:
        raise FaultsError(problems)
    return Plan(tuple(rule for rule in rules if rule is not None), seed)


class _Reader:
    """One row."""

    def __init__(self, row: object, where: str, problems: list[str]) -> None:
        self._row = dict(row) if isinstance(row, Mapping) else {}
        self._where, self._problems = where, problems
        if not isinstance(row, Mapping):
            self._wrong("", "a table is wanted")

    def _wrong(self, key: str, text: str) -> None:
        self._problems.append(f"{self._where}{'.' if key else ''}{key}: {text}")

    def _take(self, key: str, kinds: tuple[type, ...], wanted: str, default: Any) -> Any:
        if key not in self._row:
            return default
        value = self._row.pop(key)
        if type(value) in kinds and (isinstance(value, str) or 0 <= value <= MAX_NUMBER):
            return value
        self._wrong(key, f"{wanted} is wanted, not {value!r:.80}")
        return default

    def _number(self, key: str, default: Any = None) -> Any:
        return self._take(key, (int,), "a number of 0 or more", default)

    def rule(self) -> Rule | None:
        """The rule; None where it is none."""
        point = BY_NAME.get(self._take("point", (str,), "a point's name", ""))
        if point is None:
            self._wrong("point", f"no such point; there are {', '.join(each.name for each in POINTS)}")
            return None
        name = self._take("action", (str,), "an action's name", "")
        action = point.action(name)
        if action is None:
            known = ", ".join(each.name for each in point.actions)
            self._wrong("action", f"{point.name} has no action {name!r}; there are {known}")
            return None
        chosen = [key for key in point.selects if key in self._row]
        select = tuple((key, str(self._take(key, (str,), "a pattern", "*"))) for key in chosen)
        values = tuple((key, self._value(key, default)) for key, default in action.takes)
        rule = Rule(
            point=point.name, action=name, select=select, values=values, after=self._number("after", 0),
            times=self._number("times", 1), machine=self._take("machine", (str,), "a pattern", "*"),
            probability=float(self._take("probability", (int, float), "a number from 0 to 1", 1.0)),
            phase=self._take("phase", (str,), "a phase", ""), at_insns=self._number("at-insns"),
            at_ms=self._take("at-ms", (int, float), "milliseconds", None),
            every_ms=self._take("every-ms", (int, float), "milliseconds", None),
        )  # fmt: skip
        self._check(rule, point)
        return rule

    def _value(self, key: str, default: object) -> object:
        if key not in self._row and default is None:
            self._wrong(key, "is missing")
        if isinstance(default, str) or key in ("device", "outlet"):
            text = self._take(key, (str,), "a text", default or "")
            if key == "errno" and text not in errno.errorcode.values():
                self._wrong(key, f"a name of errno(3) is wanted, as EIO or ENOSPC, not {text!r:.80}")
            return text
        return self._number(key, default or 0)

    def _check(self, rule: Rule, point: Point) -> None:
        for key in self._row:
            self._wrong(key, f"{rule.action} at {point.name} does not know it")
        if rule.probability > 1:
            self._wrong("probability", "a number from 0 to 1 is wanted")
        if rule.phase and ("side" not in point.selects or rule.phase not in PHASES):
            self._wrong("phase", f"of worker and migration.message: {', '.join(PHASES)}")
        timed = rule.at_ms is not None or rule.at_insns is not None
        if point.timed and not timed:
            self._wrong("at-ms", f"{point.name} is timed: at-ms or at-insns is wanted")
        if not point.timed and (timed or rule.every_ms is not None):
            self._wrong("at-ms", f"{point.name} has occasions: after, times and probability say when")
        if rule.at_insns is not None and "domain" not in point.selects:
            self._wrong("at-insns", "no domain's instructions: say at-ms")
        if rule.every_ms == 0:
            self._wrong("every-ms", "more than 0 is wanted")
