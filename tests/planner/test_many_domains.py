"""What a change of one domain among many costs: the others are not looked at again."""

from __future__ import annotations

from random import Random

import pytest
from domain_support import Room, guest, ready

from ldmd.model import Domain, State
from ldmd.planner import channels, invariants


@pytest.fixture(scope="module")
def room() -> Room:
    found = ready("t5-2", "64G")
    found.ok("add-vsw", vswitch="vsw0", domain="primary")
    for number in range(12):
        guest(found, f"g{number}", vcpus=1, size="256M", upto="bound")
        found.ok("add-vnet", vnet="net0", vswitch="vsw0", domain=f"g{number}")
    return found


def test_a_commit_checks_the_domain_that_it_changes(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    real = invariants._devices

    def counted(domain: Domain) -> object:
        looked.append(domain.name)
        return real(domain)

    monkeypatch.setattr(invariants, "_devices", counted)
    room.ok("set-variable", assignments=["boot-device=disk"], domain="g5")
    assert looked == ["g5"]


def test_what_is_remembered_of_a_domain_is_that_domain(room: Room) -> None:
    """Wrong and right ones of the same name, made and forgotten: each is judged by itself."""
    rng = Random(4)
    right = room.manager.configuration
    g3 = room.domain("g3")
    for _ in range(200):
        wrong = rng.random() < 0.5
        now = right.with_domain(g3.but(state=State.INACTIVE if wrong else State.BOUND))
        assert (invariants.problems(now) == ("g3: inactive and a binding",)) == wrong
    del now
    assert len(invariants._OWN) < 1000


@pytest.mark.parametrize(("mode", "nets", "links"), [
    ("on", 12, 11), ("off", 5, 0), ("auto", 8, 7), ("auto", 9, 0), ("auto", 1, 0), ("on", 0, 0)])
def test_links_of_a_switch(room: Room, mode: str, nets: int, links: int) -> None:
    """Networks of domains that are not bound do not count."""
    configuration = room.manager.configuration
    primary = configuration.primary
    switch = primary.switches[0]
    configuration = configuration.with_domain(primary.but(
        switches=(type(switch)(name="vsw0", mac=switch.mac, inter_vnet_link=mode),)))
    for number in range(nets, 12):
        domain = room.domain(f"g{number}")
        configuration = configuration.with_domain(domain.but(binding=None, state=State.INACTIVE))
    found = channels.links_of(configuration)
    assert {len(peers) for peers in found.values()} <= {links} and len(found) == (nets if links else len(found))
