"""Explicit-state exploration of `world`: every reachable world, and whether each can still end well."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from migration_world import Budget, Rules, Violation, World, clean, needs_nobody, without_luck


@dataclass
class Found:
    """`wrong`: what was violated, with the steps that lead there. `helpless`: worlds that only a person can end."""

    worlds: int = 0
    moves: int = 0
    ends: int = 0
    helpless: int = 0
    wrong: str = ""
    helped: list[World] = field(default_factory=list)


def _trace(parents: dict[World, tuple[World, str] | None], world: World | None) -> str:
    steps: list[str] = []
    while world is not None and (parent := parents[world]) is not None:
        steps.append(parent[1])
        world = parent[0]
    return "\n  ".join(reversed(steps))


def explore(rules: Rules, budget: Budget, *, limit: int = 5_000_000) -> Found:
    """All worlds within the budget; stops at the first violation."""
    start = rules.start(budget)
    numbers = {start: 0}
    worlds = [start]
    parents: dict[World, tuple[World, str] | None] = {start: None}
    alone: list[list[int]] = [[]]  # predecessors by moves that need nobody
    helped: list[list[int]] = [[]]  # by moves of people
    queue = deque([0])
    found = Found()
    while queue:
        here = queue.popleft()
        world = worlds[here]
        name = ""
        moves = rules.moves(world)
        while True:
            try:
                name, after = next(moves)
            except StopIteration:
                break
            except Violation as violation:
                found.wrong = f"{violation}, after\n  {_trace(parents, world)}\n  (and one more after {name})"
                return found
            found.moves += 1
            there = numbers.get(after)
            if there is None:
                there = numbers[after] = len(worlds)
                worlds.append(after)
                parents[after] = (world, name)
                alone.append([])
                helped.append([])
                queue.append(there)
                if there >= limit:
                    raise RuntimeError(f"more than {limit} worlds")
            if needs_nobody(name):
                alone[there].append(here)
            elif without_luck(name):
                helped[there].append(here)
    found.worlds = len(worlds)
    _judge(found, worlds, parents, alone, helped)
    return found


def _judge(found: Found, worlds: list[World], parents: dict[World, tuple[World, str] | None],
           alone: list[list[int]], helped: list[list[int]]) -> None:
    """From every world a clean one can be reached without further bad luck."""
    ends = [n for n, world in enumerate(worlds) if clean(world)]
    found.ends = len(ends)
    by_itself = _backwards(ends, [alone])
    with_help = _backwards(ends, [alone, helped])
    for n, world in enumerate(worlds):
        if n not in with_help:
            found.wrong = f"nothing ends this: {world}, after\n  {_trace(parents, world)}"
            return
    found.helped = [world for n, world in enumerate(worlds) if n not in by_itself]
    found.helpless = len(found.helped)


def _backwards(ends: list[int], ways: list[list[list[int]]]) -> set[int]:
    good, stack = set(ends), list(ends)
    while stack:
        here = stack.pop()
        for way in ways:
            for before in way[here]:
                if before not in good:
                    good.add(before)
                    stack.append(before)
    return good
