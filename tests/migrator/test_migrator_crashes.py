"""The crash matrix in one process: every phase x every mishap x both sides, chosen by a seed; then all settles.

Never two running copies (the watch of the machines looks at every start, and at every piece of work), never none unless
the machine that had the memory died; what the domain did and somebody saw is there; nothing is left that holds the
domain; and it can be moved again. The workers are the shipped ones, with a relay in their link, in half of the runs and
wherever it is their link that fails. In a third of the runs a second mishap comes while the first is dealt with.

    S4V_MIGRATOR_RUNS=1000 S4V_MIGRATOR_SEED=1 pytest -q tests/migrator/test_migrator_crashes.py
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from migrator_support import PATIENCE, STAMP, Moving, Pair, Site, pause
from mishaps import KINDS, MATRIX, SIDES, Mishap, cell
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


def made(tmp_path: Path, rng: Random, *, of_data: bool, settings: Settings | None) -> Pair:
    """Two sites with relays between them, saved configurations, and the shipped workers or fake ones."""
    real = RealWorkers(rng) if of_data or rng.random() < 0.5 else None
    pair = Pair(tmp_path, settings=settings, real=real, pace=PACE, relays=(Relay(rng), Relay(rng)))
    for site in (pair.alpha, pair.beta):
        site.room.ok("add-spconfig", config="saved")
    return pair


def chosen(pair: Pair, rng: Random, seed: int) -> list[Mishap]:
    """The one of the matrix, and maybe another one, which waits for it."""
    phase, what, side = cell(seed)
    shared = pair.alpha.means.settings.handover == "auto"  # what the target has is the source's own memory
    kinds = [each for each in KINDS if not (shared and each == "damage-memory")]
    if what not in kinds:
        what = "machine"
    found = [Mishap(pair, rng, phase=phase, what=what, side=side)]
    if rng.random() < 0.33:
        second = Mishap(pair, rng, phase=Phase.CHECK, what=rng.choice(kinds), side=rng.choice(SIDES))
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


def go_wrong(pair: Pair, mishaps: list[Mishap]) -> None:
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


@pytest.mark.parametrize("seed", range(FIRST, FIRST + RUNS))
def test_whatever_goes_wrong_one_copy_is_left(tmp_path: Path, seed: int) -> None:
    one_mishap(tmp_path, seed)


@pytest.mark.parametrize("seed", range(FIRST + 5000, FIRST + 5000 + RUNS // 4))
def test_whatever_goes_wrong_while_memory_is_handed_over(tmp_path: Path, seed: int) -> None:
    one_mishap(tmp_path, seed, Settings(handover="auto", handover_verify=("auto", "never")[seed % 2]))


def one_mishap(tmp_path: Path, seed: int, settings: Settings | None = None) -> None:
    print(f"seed {seed}")
    rng = Random(seed)
    pair = made(tmp_path, rng, of_data=cell(seed)[1].endswith("-data"), settings=settings)
    boots = pair.watch.boots
    mishaps = chosen(pair, rng, seed)
    with working(pair):
        go_wrong(pair, mishaps)
        what = ", ".join(map(str, mishaps))
        print(what, "with real workers" if pair.real else "")
        settle(pair, f"seed {seed}: {what}")
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
    assert pair.watch.boots == boots or died, what
    assert not runs or pair.watch.kept(runs[0].machine, pair.uuid), f"{what}: work was lost"
    if runs and not died and len(has) == 1:
        where = runs[0]
        assert where.machine.peek(where.number("ldg1"), 8192, len(STAMP)) == STAMP
        again(pair, where, what)
    pair.close()


def again(pair: Pair, where: Site, what: str) -> None:
    """Both sides are clean: the domain moves once more."""
    other = pair.beta if where is pair.alpha else pair.alpha
    where.machine.boot_os(where.number("ldg1"))
    with working(pair):
        outcome = pair.move(where, f"root@{other.name}").done()
    assert outcome.done, (what, outcome.problems)
    assert other.runs(pair.uuid) and not where.has("ldg1")
    assert pair.watch.kept(other.machine, pair.uuid) and pair.watch.wrong == []


def test_the_matrix_has_every_phase_mishap_and_side() -> None:
    for turn in range(2):
        assert {cell(seed) for seed in range(turn * len(MATRIX), (turn + 1) * len(MATRIX))} == set(MATRIX)
