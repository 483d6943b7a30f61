"""A run with migrations by `ldm migrate-domain` at random instants is the run without: through both managers, their
rules, journals and workers, in virtual time, between unlike servers.

A system that suspends itself (domain-suspend) and is asked who it is (system-info) does something for that, reads the
new server's description, and says so: there the disk and what its peer has heard are the same. Where it has neither
service, as Linux, all is: console, disk, peer, instructions, and the digest of the memory.
"""

from __future__ import annotations

import hashlib
import os
import random
from dataclasses import dataclass, field

import pytest

from emulator.devices import ds
from emulator.devices.switch import join
from emulator.prebuilt import find_labos
from ldmd.testing.domain import Domain, DomainSetup
from ldmd.testing.room import Room

pytestmark = pytest.mark.nosan
SEED = int(os.environ.get("SUN4V_TEST_SEED", "1"))
MOVES = int(os.environ.get("S4V_RUN_MOVES", "4"))
MS = 1_000_000
SERVICES = tuple(name for name in ds.SERVICES if name not in ("domain-suspend", "system-info"))
SCRIPT = [
    ("dirty 20000 4194304", 30), ("write c0d1 0 pattern 64", 20), ("tcp-send 10.0.0.2 7 200000", 400),
    ("verify c0d1 0 64", 20), ("psrinfo -pv", 10), ("cksum c0d1", 60), ("date", 10), ("write c0d1 100 hello", 20),
    ("isainfo -v", 10), ("tcp-send 10.0.0.2 7 50000", 120), ("dirty check", 60), ("dirty stop", 30), ("date", 20),
]  # fmt: skip
"""Lines that are typed, and how many milliseconds after each the next one is."""


@dataclass
class End:
    """What a run has come to."""

    said: str = ""
    disk: str = ""
    heard: str = ""
    digest: str = ""
    insns: int = 0
    places: list[str] = field(default_factory=list)


def labos(name: str, **changes: object) -> DomainSetup:
    image = find_labos()
    if image is None:
        pytest.skip("no labos")
    return DomainSetup(**{"name": name, "image": image, "memory": "32M", "ready": "# ", "nets": 1,
                          **changes})  # type: ignore[arg-type]


def memory_of(domain: Domain) -> str:
    """SHA-256 of all real memory that is populated."""
    memory, found = domain.guest.powered().memory, hashlib.sha256()
    for ra, size in memory.ranges:
        for at in range(ra, ra + size, 1 << 20):
            data = memory.read(at, 1 << 20)
            if any(data):
                found.update(at.to_bytes(8, "big") + hashlib.sha256(data).digest())
    return found.hexdigest()


def run(moves: random.Random | None, *, spare: int = 0) -> End:
    """The script, typed at fixed times; with `moves` the domain changes its server at random ones.

    `spare`: milliseconds of them that are left for a system that suspends itself.
    """
    end, count = End(), 0
    with Room(seed=SEED) as room:
        alpha, beta, gamma = (room.add(name, platform=platform) for name, platform in
                              (("alpha", "t4-1"), ("beta", "t5-2"), ("gamma", "t4-1")))
        switches = [each.server.switches.find("primary-vsw0")[1] for each in (alpha, beta, gamma)]  # type: ignore[index]
        for other in switches[:2]:
            join(other, switches[2])
        peer = gamma.make_domain(labos("peer"))
        domain = alpha.make_domain(labos("ldg1", disks=(1 << 20,), cpu_arch="migration-class1"))
        peer.console.do("ifconfig vnet0 10.0.0.2/24")
        peer.console.do("tcp-echo")
        domain.console.do("ifconfig vnet0 10.0.0.1/24")
        when = room.now_ns
        chosen = sorted(moves.sample(range(len(SCRIPT)), MOVES)) if moves else []
        for number, (line, ms) in enumerate(SCRIPT):
            domain.console.sendline(line)
            when += ms * MS
            if moves and number in chosen:
                room.advance(moves.randrange(1, ms) * MS)
                left = (when - room.now_ns) // MS
                work = moves.randrange(max(1, left + 1 - spare))
                room.move(domain, beta if domain.machine is alpha else alpha, work_ms=work)
                count += 1
                end.places.append(f"{line}: {domain.machine.name}")
            assert spare or room.now_ns <= when, (line, room.now_ns - when)
            when = max(when, room.now_ns)  # a system that suspends itself needs time for it
            room.advance(when - room.now_ns)
        room.advance(200 * MS)
        assert count == (MOVES if moves else 0)
        end.said, end.heard = domain.console.text, peer.console.text
        end.disk = hashlib.sha256(domain.disks[1].read_bytes()).hexdigest()
        end.digest, end.insns = memory_of(domain), domain.guest.powered().insns
    return end


def test_guest_sees_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ds, "SERVICES", SERVICES)
    stays, moved = run(None), run(random.Random(SEED))
    print("seed", SEED, moved.places, f"{moved.insns:,} instructions")
    assert "200000 bytes came back, every byte right" in stays.said and " 0 wrong" in stays.said
    assert moved.said == stays.said
    assert (moved.disk, moved.heard) == (stays.disk, stays.heard)
    assert moved.insns == stays.insns
    assert moved.digest == stays.digest


def test_a_system_that_suspends_itself_sends_and_writes_the_same() -> None:
    stays, moved = run(None, spare=8), run(random.Random(SEED), spare=8)
    print("seed", SEED, moved.places)
    assert (moved.disk, moved.heard) == (stays.disk, stays.heard)
    for said in (stays.said, moved.said):
        assert said.count("bytes came back, every byte right") == 2 and said.count(" 0 wrong") == 1
