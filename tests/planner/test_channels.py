"""Device numbers and channels: lowest free, stable, links between networks, limits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from planner_support import disk, guest, net, shrunk

from ldmd.messages import RefusedError
from ldmd.model import Binding, Configuration, DiskServer, Domain, State, Volume, Vsw
from ldmd.planner.channels import INTER_VNET_LINK_LIMIT, endpoints, settle


def bound(domain: Domain, number: int) -> Domain:
    return domain.but(state=State.BOUND, binding=Binding(id=number, console_service="primary-vcc0"))


def devices(configuration: Configuration, name: str) -> list[tuple[str, str, int, tuple[int, ...]]]:
    domain = configuration.find(name)
    assert domain is not None and domain.binding is not None
    return [(each.kind, each.name, each.number, each.channels) for each in domain.binding.devices]


def test_disks_come_before_networks_and_channel_0_is_kept() -> None:
    domain = bound(guest("a", vnets=(net("n0"),), vdisks=(disk("d0"), disk("d1", "vol2"))), 1)
    assert devices(settle(shrunk().with_domain(domain)), "a") == [
        ("disk", "d0", 0, (1,)), ("disk", "d1", 1, (2,)), ("network", "n0", 0, (3,))]


def test_a_number_asked_for_is_given_and_others_go_round_it() -> None:
    domain = bound(guest("a", vdisks=(disk("d0"), disk("d1", id=0), disk("d2"))), 1)
    assert [each[1:3] for each in devices(settle(shrunk().with_domain(domain)), "a")] == [
        ("d0", 1), ("d1", 0), ("d2", 2)]
    twice = bound(guest("a", vdisks=(disk("d0", id=3), disk("d1", id=3))), 1)
    with pytest.raises(RefusedError) as refused:
        settle(shrunk().with_domain(twice))
    assert refused.value.code == "device.number-taken" and "d0" in str(refused.value)


def test_what_is_there_stays_where_it_is_and_the_lowest_free_is_next() -> None:
    domain = bound(guest("a", vdisks=(disk("d0"), disk("d1"), disk("d2"))), 1)
    configuration = settle(shrunk().with_domain(domain))
    domain = configuration.domains[-1].but(vdisks=(disk("d2"), disk("d3")))
    assert devices(settle(configuration.with_domain(domain)), "a") == [
        ("disk", "d2", 2, (3,)), ("disk", "d3", 0, (1,))]


def test_each_path_of_a_multipath_group_has_a_channel() -> None:
    configuration = shrunk()
    server = DiskServer(name="primary-vds0", volumes=(Volume(name="vol1", backend="/a", mpgroup="m"),))
    other = DiskServer(name="other-vds", volumes=(Volume(name="x", backend="/b", mpgroup="m"),))
    configuration = configuration.with_domain(configuration.primary.but(disk_servers=(server, other)))
    configuration = settle(configuration.with_domain(bound(guest("a", vdisks=(disk("d0"), disk("d1"))), 1)))
    assert [each[3] for each in devices(configuration, "a")] == [(1, 2), (3, 4)]
    assert endpoints(configuration)["primary"] == 1 + 1 + 4 + 1  # services, services of a, four paths, console


def nets_on(configuration: Configuration, count: int) -> Configuration:
    for number in range(count):
        configuration = configuration.with_domain(bound(guest(f"g{number}", vnets=(net("n0", number),)), number + 1))
    return settle(configuration)


def test_networks_of_one_switch_have_links_until_there_are_too_many() -> None:
    few = nets_on(shrunk(), 3)
    assert devices(few, "g0") == [("network", "n0", 0, (1, 2, 3))]
    many = nets_on(few, INTER_VNET_LINK_LIMIT + 1)
    assert all(devices(many, f"g{n}") == [("network", "n0", 0, (1,))] for n in range(INTER_VNET_LINK_LIMIT + 1))


def test_links_can_be_switched_off() -> None:
    configuration = shrunk()
    off = configuration.primary.but(switches=(Vsw(name="primary-vsw0", mac=1, inter_vnet_link="off"),))
    assert devices(nets_on(configuration.with_domain(off), 3), "g0") == [("network", "n0", 0, (1,))]


def test_more_endpoints_than_the_platform_has_are_refused() -> None:
    domain = bound(guest("a", vdisks=tuple(disk(f"d{n}") for n in range(600))), 1)
    assert settle(shrunk("t5-2").with_domain(domain))
    with pytest.raises(RefusedError) as refused:
        settle(shrunk("netra-t5220", 32).with_domain(domain))
    assert refused.value.code == "channels.domain" and "512" in refused.value.cause


def link_ends(configuration: Configuration) -> set[frozenset[tuple[str, int]]]:
    """Both ends of each link: names of the domains, and the channels there."""
    ends: dict[frozenset[int], list[tuple[str, int]]] = {}
    for domain in configuration.domains:
        for device in domain.binding.devices if domain.binding else ():
            own = {each.name: each.mac for each in domain.vnets}.get(device.name, 0)
            for channel, peer in zip(device.channels[1:], device.peers, strict=True):
                ends.setdefault(frozenset((own, peer)), []).append((domain.name, channel))
    assert all(len(each) == 2 for each in ends.values())
    return {frozenset(each) for each in ends.values()}


def test_a_link_keeps_its_channels_when_another_comes_or_goes() -> None:
    few = nets_on(shrunk(), 3)
    links = link_ends(few)
    assert len(links) == 3
    without = settle(few.but(domains=tuple(each for each in few.domains if each.name != "g1")))
    assert link_ends(without) == {each for each in links if "g1" not in dict(each)}
    again = settle(without.with_domain(bound(guest("g5", vnets=(net("n0", 5),)), 2)))
    assert link_ends(again) > link_ends(without) and len(link_ends(again)) == 3


@pytest.mark.parametrize("change", [
    {"pvid": 7}, {"vids": (5,)}, {"pvlan": "9,isolated"}, {"protection": ("mac-nospoof",)}, {"maxbw_bps": 10**6},
])  # fmt: skip
def test_what_only_the_switch_can_enforce_goes_through_it(change: dict[str, object]) -> None:
    few = nets_on(shrunk(), 3)
    domain = few.find("g1")
    assert domain is not None
    net = replace(domain.vnets[0], **change)  # type: ignore[arg-type]
    changed = settle(few.with_domain(domain.but(vnets=(net,))))
    assert link_ends(changed) == {each for each in link_ends(few) if "g1" not in dict(each)}
