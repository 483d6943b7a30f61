"""The crash matrix in one process: every phase x every mishap x both sides, chosen by a seed; then all settles.

Never two running copies (the watch of the machines looks at every start, and at every piece of work), never none unless
the machine that had the memory died; what the domain did and somebody saw is there; nothing is left that holds the
domain; and it can be moved again. The workers are the shipped ones, with a relay in their link, in half of the runs and
wherever it is their link that fails. In a third of the runs a second mishap comes while the first is dealt with.

    S4V_MIGRATOR_RUNS=1000 S4V_MIGRATOR_SEED=1 pytest -q tests/migrator/test_migrator_crashes.py
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from migrator_support import PATIENCE, STAMP, Moving, Pair, Site, pause, until
from mishaps import KINDS, MATRIX, MATRIX_OF_PAGES, SIDES, Mishap, cell
from real_workers import RealWorkers
from relay import Relay

from emulator.stream import links
from ldmd.migration.phases import Phase
from ldmd.migrator.link import Pace
from ldmd.migrator.settings import Settings

LOOK = 0.02
HURRY = 2.0
RUNS = int(os.environ.get("S4V_MIGRATOR_RUNS", "24"))
FIRST = int(os.environ.get("S4V_MIGRATOR_SEED", "1"))
PACE = Pace(ping_seconds=0.25, dead_seconds=1.2, greeting_seconds=8.0)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silence of real seconds is what a test cannot hurry; so it is short."""
    monkeypatch.setattr(links, "DEAD_SECONDS", 2)


@dataclass(frozen=True)
class Way:
    """How the memory goes: its name, the settings of both managers, the matrix."""

    name: str
    settings: dict[str, Any]
    matrix: tuple[tuple[int, str, str], ...] = MATRIX


COPY = Way("copied", {})
HAND_OVER = Way("handed over", {"handover": "auto"})
FOLLOW = Way("pages follow", {"postcopy": "auto", "downtime_ms": 1, "compress": "none", "bandwidth_bps": 400_000},
             MATRIX_OF_PAGES)


def made(tmp_path: Path, rng: Random, *, of_data: bool, way: Way, leases: bool) -> Pair:
    """Two sites with relays between them, saved configurations, and the shipped workers or fake ones."""
    real = RealWorkers(rng) if of_data or rng.random() < 0.5 else None
    more: dict[str, Any] = {"handover_verify": rng.choice(("auto", "never"))} if way is HAND_OVER else {}
    more |= {"lease_directory": str(tmp_path / "leases")} if leases else {}
    pair = Pair(tmp_path, settings=Settings(**way.settings, **more), real=real, pace=PACE,
                relays=(Relay(rng), Relay(rng)), disk=leases, passwords=False)
    pair.workers.partial = way is FOLLOW
    if real is not None:
        real.partial = way is FOLLOW
    else:  # else it would be over before anything can go wrong
        pair.workers.on = lambda where, worker: pause(0.01) if where == "source.serving" else None
    for site in (pair.alpha, pair.beta):
        site.room.ok("add-spconfig", config="saved")
    return pair


def chosen(pair: Pair, rng: Random, seed: int, way: Way) -> list[Mishap]:
    """The one of the matrix, and maybe another one, which waits for it."""
    phase, what, side = cell(seed, way.matrix)
    # where nothing is copied, what the target has is the source's own memory
    kinds = [each for each in KINDS if not (way is HAND_OVER and each == "damage-memory")]
    if what not in kinds:
        what = "machine"
    found = [Mishap(pair, rng, phase=phase, what=what, side=side, way=way.name)]
    if rng.random() < 0.33:
        second = Mishap(pair, rng, phase=int(Phase.CHECK), what=rng.choice(kinds), side=rng.choice(SIDES), way=way.name)
        second.armed = False
        found.append(second)
    return found


@contextmanager
def working(pair: Pair) -> Iterator[None]:
    """The domain works, wherever it runs."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.001):
            pair.watch.work(pair.uuid)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE)


def settled(pair: Pair) -> bool:
    sites = (pair.alpha, pair.beta)
    return not any(each.holds or not each.idle for site in sites for each in site.migrations.attempts())


def pass_time(pair: Pair, seconds: float) -> None:
    for site in (pair.alpha, pair.beta):
        site.clock.advance(seconds)


def wait_for(mishap: Mishap, moving: Moving) -> None:
    """Until it happened, or there is nothing any more that it could happen to."""
    for _ in range(int(PATIENCE / LOOK)):
        mishap.while_pages_follow()
        if mishap.happened.wait(LOOK) or not moving.thread.is_alive():
            return
    raise AssertionError(f"neither an end nor {mishap}")


def last(pair: Pair, mishap: Mishap) -> None:
    """It lasts for a while, in which virtual time may run, and is repaired."""
    for _ in range(round(mishap.lasts / LOOK)):
        pause(LOOK)
        pass_time(pair, mishap.hurry)
    mishap.repair()


def settle(pair: Pair, what: str) -> None:
    """Time passes, until nothing holds the domain any more."""
    calm = 0
    for _ in range(int(PATIENCE / LOOK)):
        calm = calm + 1 if settled(pair) else 0
        if calm == 3:
            return
        pause(LOOK)
        if not calm:
            pass_time(pair, HURRY)
    raise AssertionError((what, *(
        (site.name, each.state, each.told, each.idle) for site in (pair.alpha, pair.beta)
        for each in site.migrations.attempts())))


def go_wrong(pair: Pair, mishaps: list[Mishap]) -> Moving:
    """Move the domain, and let it all happen."""
    def stepped(site: Site, where: str) -> None:
        for each in mishaps:
            each.at_step(site, where)

    for site in (pair.alpha, pair.beta):
        site.step = lambda where, site=site: stepped(site, where)  # type: ignore[misc]
    moving = pair.move()
    wait_for(mishaps[0], moving)
    for each in mishaps[1:]:
        each.armed = mishaps[0].happened.is_set()
    for each in mishaps:
        last(pair, each)
    return moving


@pytest.mark.parametrize("seed", range(FIRST, FIRST + RUNS))
def test_whatever_goes_wrong_one_copy_is_left(tmp_path: Path, seed: int) -> None:
    one_run(tmp_path, seed, COPY)


@pytest.mark.parametrize("seed", range(FIRST + 5000, FIRST + 5000 + RUNS // 4))
def test_whatever_goes_wrong_while_memory_is_handed_over(tmp_path: Path, seed: int) -> None:
    one_run(tmp_path, seed, HAND_OVER)


@pytest.mark.parametrize("seed", range(FIRST + 9000, FIRST + 9000 + RUNS // 2))
def test_whatever_goes_wrong_while_pages_follow(tmp_path: Path, seed: int) -> None:
    one_run(tmp_path, seed, FOLLOW)


def one_run(tmp_path: Path, seed: int, way: Way) -> None:
    """A move in which something goes wrong; then all must be well, and the domain moves once more."""
    print(f"seed {seed}")
    rng = Random(seed)
    open_before = descriptors()
    leases = rng.random() < 0.3
    pair = made(tmp_path, rng, of_data=cell(seed, way.matrix)[1].endswith("-data"), way=way, leases=leases)
    boots = pair.watch.boots
    mishaps = chosen(pair, rng, seed, way)
    with working(pair):
        moving = go_wrong(pair, mishaps)
        what = ", ".join(map(str, mishaps))
        print(what, "with real workers" if pair.real else "", "with leases" if leases else "")
        settle(pair, f"seed {seed}: {what}")
        until(lambda: not any(each.machine.absent(number) for each in (pair.alpha, pair.beta)
                              for number in tuple(each.machine.missing)), "pages are missing")
    where = judge(pair, mishaps, boots, moving)
    usable(pair, what)
    if where is not None:
        again(pair, where, what)
        usable(pair, what)
    pair.close()
    try:
        until(lambda: len(descriptors()) <= len(open_before))
    except AssertionError:
        left = set(descriptors().items()) - set(open_before.items())
        raise AssertionError(f"{what}: descriptors stay open: {left}") from None


def descriptors() -> dict[str, str]:
    """What this process has open."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[number] = os.readlink(f"/proc/self/fd/{number}")
    return found


def judge(pair: Pair, mishaps: list[Mishap], boots: int, moving: Moving) -> Site | None:
    """One copy, with all that was acknowledged. Returns where it runs, if it is to be moved again."""
    what = ", ".join(map(str, mishaps))
    runs = [site for site in (pair.alpha, pair.beta) if site.runs(pair.uuid)]
    has = [site for site in (pair.alpha, pair.beta) if site.has("ldg1")]
    died = any(each.died for each in mishaps)
    lost_power = any(each.what == "machine" for each in mishaps)
    assert pair.watch.wrong == []
    # a power-on brings what its saved configuration has; a domain that went elsewhere is there then, but is not started
    down = pair.alpha.has("ldg1") and pair.alpha.room.state("ldg1") == "bound"
    saved = lost_power and len(runs) == 1 and down
    assert len(has) == 1 or saved, (what, has)
    assert len(runs) == 1 or died, what
    assert all(site in has for site in runs)
    if pair.watch.boots != boots and not died:  # pages that were missing went with who would have brought them
        assert mishaps[0].way == FOLLOW.name and any(each.what in ("kill", "worker", "full", "stall-data", "cut-data")
                                     for each in mishaps), what
        assert runs == [pair.beta], what
        assert said(pair, moving), (what, moving.outcome, pair.beta.manager.history(50))
    assert not runs or pair.watch.kept(runs[0].machine, pair.uuid), f"{what}: work was lost"
    if not runs or died or len(has) != 1:
        return None
    if pair.watch.boots == boots:
        where = runs[0]
        assert where.machine.peek(where.number("ldg1"), 8192, len(STAMP)) == STAMP
    return runs[0]


def said(pair: Pair, moving: Moving) -> bool:
    """That the domain was given up: to who waits at the source, or in its history; and in the target's history."""
    moving.thread.join(PATIENCE)
    told = [line for each in pair.alpha.migrations.attempts() for line in each.told]
    told += [*moving.outcome.told, *moving.outcome.problems] if moving.outcome is not None else []
    told += [row["text"] for row in pair.alpha.manager.history(50)]  # where it was in doubt, and nobody waited any more
    here = any("boots there anew" in line for line in told) or pair.alpha.kills > 0
    return here and any("booted anew" in row["text"] for row in pair.beta.manager.history(50))


def usable(pair: Pair, what: str) -> None:
    """Nothing is left of it on either side: no migration in a list, no flag, no held guest, no memory, no worker, no
    lease of another one; commands that write work."""
    for site in (pair.alpha, pair.beta):
        assert site.migrations.view() == () and site.migrations.role("ldg1") == "", what
        assert site.room.run("add-domain", domains=["probe"]).error is None, what
        assert site.room.run("remove-domain", domains=["probe"]).error is None, what
        if not site.machine.up:
            continue
        guests = {number: each for number, each in site.machine.guests.items() if each.spec["uuid"] == pair.uuid}
        assert all(each.state in ("running", "defined", "stopped") for each in guests.values()), (what, guests)
        assert len(guests) <= int(site.has("ldg1")), (what, site.name, guests)
        for number in set(site.machine.memory) & set(guests):
            assert guests[number].state == "running", (what, "memory is left")
        assert set(site.machine.memory) <= set(site.machine.guests), (what, "memory of no guest is left")
        value = site.means.leases.value(pair.uuid) if site.means.leases is not None else None
        if value is not None and site.runs(pair.uuid) and value.mid:
            assert value.server == site.means.leases.server or value.holder != "target", (what, value)
    until(lambda: pair.workers.alive == [], f"{what}: a worker is left")


def again(pair: Pair, where: Site, what: str) -> None:
    """The domain moves once more."""
    other = pair.beta if where is pair.alpha else pair.alpha
    where.machine.boot_os(where.number("ldg1"))
    with working(pair):
        outcome = pair.move(where, f"root@{other.name}").done()
        until(lambda: not other.machine.missing, f"{what}: pages are missing")
    assert outcome.done, (what, outcome.problems)
    assert other.runs(pair.uuid) and not where.has("ldg1")
    assert pair.watch.kept(other.machine, pair.uuid) and pair.watch.wrong == []
    settle(pair, what)


def test_the_matrix_has_every_phase_mishap_and_side() -> None:
    for matrix in (MATRIX, MATRIX_OF_PAGES):
        for turn in range(2):
            seeds = range(turn * len(matrix), (turn + 1) * len(matrix))
            assert {cell(seed, matrix) for seed in seeds} == set(matrix)
