"""The pytest plugin: machines, domains and migrations in tests, in virtual time. docs/howto/testing.md shows its use.

    def test_my_driver_survives(domain, migrate):
        assert domain.console.do("echo hello") == "hello"
        migrate(domain)
        assert domain.console.do("echo hello") == "hello"

pytest loads it in every run, so nothing of the emulator is imported before a fixture is used.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ldmd.testing.console import Console
    from ldmd.testing.domain import Domain, DomainSetup
    from ldmd.testing.machine import RoomMachine, Said
    from ldmd.testing.room import Room
    from ldmd.testing.saved import Saved

MARKER = (
    "sun4v(budget, platform, server_memory, image, vcpus, memory, cpu_arch, disks, nets, variables, prompt, ready, "
    "start): what the fixtures of a test are made of, and how many instructions its guests may complete"
)
DEFAULT_BUDGET = "2G"
DEFAULT_SEED = 1
FOLDER = "sun4v-failures"
ROOM = pytest.StashKey["Room"]()
PROPERTY = "sun4v_seed"
"""Of a test that used the run's seed."""
SEED = pytest.StashKey[int]()
SERVER_WORDS = ("budget", "platform", "server_memory")
PLATFORM = "t5-2"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options and settings."""
    group = parser.getgroup("sun4v", "emulated SPARC servers")
    group.addoption("--sun4v-seed", metavar="N", default=None,
                    help=f"seed of all that is chance (default {DEFAULT_SEED}); random: another one in each run")
    group.addoption("--sun4v-failures", metavar="DIR", default=None,
                    help=f"where states, traces and captures of failed tests are kept (default {FOLDER})")
    parser.addini("sun4v_image", "the program that domains boot where a test names none", default="")
    parser.addini("sun4v_budget", "instructions that the guests of a test may complete", default=DEFAULT_BUDGET)


def pytest_configure(config: pytest.Config) -> None:
    """The marker, and the seed of this run."""
    config.addinivalue_line("markers", MARKER)
    given = config.getoption("--sun4v-seed")
    worker = getattr(config, "workerinput", {}).get(PROPERTY)  # of pytest-xdist: all have the seed of the run
    if worker is not None:
        config.stash[SEED] = worker
    elif given == "random":
        config.stash[SEED] = secrets.randbits(32)
    elif given is None or re.fullmatch(r"\d{1,18}", given):
        config.stash[SEED] = DEFAULT_SEED if given is None else int(given)
    else:
        raise pytest.UsageError(f"--sun4v-seed {given}: a number is wanted, or random")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """pytest-xdist starts a worker."""
    node.workerinput[PROPERTY] = node.config.stash[SEED]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The seed, where it was used."""
    reports = (report for reports in terminalreporter.stats.values() for report in reports)
    if any(PROPERTY in dict(getattr(report, "user_properties", ())) for report in reports):
        terminalreporter.write_line(f"sun4v: seed {config.stash[SEED]} (--sun4v-seed {config.stash[SEED]} repeats)")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Of a test that failed with a room: keep what can be looked at afterwards."""
    outcome: Any = yield
    report: pytest.TestReport = outcome.get_result()
    room = item.stash.get(ROOM, None)
    if room is None or not report.failed or call.when == "teardown":
        return
    try:
        report.sections.append(("sun4v", _keep(item, room)))
    except Exception as error:  # the test's own failure is what counts
        report.sections.append(("sun4v", f"nothing was kept: {type(error).__name__}: {error}"))


def _keep(item: pytest.Item, room: Room) -> str:
    from ldmd.testing.evidence import save_evidence

    base = Path(item.config.getoption("--sun4v-failures") or FOLDER)
    base = base if base.is_absolute() else item.config.invocation_params.dir / base
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", item.nodeid.rpartition("/")[2]).strip("-")[:100]
    number = 1
    while (folder := base / f"{stem}.{number}").exists():
        number += 1
    session_seed = item.config.stash[SEED]
    kept = save_evidence(room, folder, nodeid=item.nodeid, seed=session_seed)
    return (f"seed {session_seed}; kept in {folder}:\n  " + "\n  ".join(kept)
            + f"\n{folder / 'README.txt'} tells how to have it again")


# -- fixtures


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """This test's own seed: the same whenever the run has the same seed, whichever other tests run."""
    config = request.config
    request.node.user_properties.append((PROPERTY, config.stash[SEED]))
    words = f"{config.stash[SEED]} {request.node.nodeid.rpartition('/')[2]}"
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:4], "big")


def _words(request: pytest.FixtureRequest) -> dict[str, Any]:
    """All that markers say, the nearest one first."""
    found: dict[str, Any] = {}
    for marker in request.node.iter_markers("sun4v"):
        if marker.args:
            raise pytest.UsageError("@pytest.mark.sun4v takes keywords only")
        found = {**marker.kwargs, **found}
    return found


@pytest.fixture
def room(request: pytest.FixtureRequest, seed: int) -> Iterator[Room]:
    """All machines of the test: one, or two where it asks for `two_servers` or `migrate`. They share one time."""
    from emulator.units import parse_count
    from ldmd.testing.room import Room

    words = _words(request)
    budget = parse_count(str(words.get("budget", request.config.getini("sun4v_budget"))))
    both = {"two_servers", "migrate"} & set(request.fixturenames)
    platforms = words.get("platform", PLATFORM)
    platforms = [platforms] * 2 if isinstance(platforms, str) else list(platforms)
    with Room(seed=seed, budget_insns=budget) as made:
        request.node.stash[ROOM] = made
        for name, platform in zip(("alpha", "beta") if both else ("alpha",), platforms, strict=False):
            made.add(name, platform=platform, memory=words.get("server_memory", "16G"))
        yield made
        del request.node.stash[ROOM]


@pytest.fixture
def machine(room: Room) -> RoomMachine:
    """A server that is on, with its manager: `machine.ldm("list-domain")`."""
    return room.machines[0]


@pytest.fixture
def two_servers(room: Room) -> tuple[RoomMachine, RoomMachine]:
    """Two servers that know and trust each other."""
    return room.machines[0], room.machines[1]


@pytest.fixture
def domain(request: pytest.FixtureRequest, machine: RoomMachine) -> Domain:
    """A domain on the (first) machine, as the marker describes it: ready to be used."""
    return machine.make_domain(_setup(request))


@pytest.fixture
def console(domain: Domain) -> Console:
    """The console of `domain`."""
    return domain.console


class Migrate:
    """`migrate(domain)`: to the other machine, or to a named one (`ldmd.testing.room.Room.move`)."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def __call__(self, domain: Domain, target: RoomMachine | str | None = None, *, work_ms: float = 0,
                 check: bool = True, dry_run: bool = False) -> Said:
        """Raises RefusedMoveError where the domain does not go."""
        machines = self._room.machines
        if target is None:
            target = next(each for each in machines if each is not domain.machine)
        elif isinstance(target, str):
            target = next(each for each in machines if each.name == target)
        return self._room.move(domain, target, work_ms=work_ms, check=check, dry_run=dry_run)


@pytest.fixture
def migrate(room: Room) -> Migrate:
    """Moves a running domain by `ldm migrate-domain`."""
    return Migrate(room)


def _setup(request: pytest.FixtureRequest) -> DomainSetup:
    from emulator.prebuilt import find_labos
    from emulator.units import parse_size
    from ldmd.testing.domain import DomainSetup

    words = {name: value for name, value in _words(request).items() if name not in SERVER_WORDS}
    given = words.pop("image", None) or request.config.getini("sun4v_image")
    labos = find_labos()
    image = Path(given) if given else labos
    if image is None:
        pytest.fail("no program to boot: name one with @pytest.mark.sun4v(image=FILE), or sun4v_image in the settings "
                    "of pytest", pytrace=False)
    if not image.is_absolute():
        image = request.config.rootpath / image
    if image == labos and words.get("start", True):
        words.setdefault("ready", "# ")
    disks = tuple(each if isinstance(each, Path) else parse_size(str(each)) for each in words.pop("disks", ()))
    variables = tuple(dict(words.pop("variables", {})).items())
    try:
        return DomainSetup(image=image, disks=disks, variables=variables, **words)
    except TypeError as error:
        raise pytest.UsageError(f"@pytest.mark.sun4v: {error}") from None


def open_saved(folder: str | Path, domain: str) -> Saved:
    """A domain of a failed test, as it stood then. Raises SetupError."""
    from ldmd.testing.saved import Saved

    return Saved(folder, domain)
