"""vsw and vnet through the manager: MAC addresses, VLANs, MTU, what needs a stopped domain."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from manager_support import machine_of, make_manager
from services_support import done, put_guest, refused

from ldmd.manager import Manager
from ldmd.model import State, Vnet
from ldmd.planner import macs


@pytest.fixture
def manager() -> Manager:
    manager = make_manager()
    done(manager, "add-vsw", vswitch="vsw0", domain="primary", net_dev="net0")
    put_guest(manager, "ldg1")
    return manager


def vnet(manager: Manager, name: str, domain: str = "ldg1") -> Vnet:
    found = manager.configuration.find(domain)
    assert found is not None
    return next(each for each in found.vnets if each.name == name)


def test_a_switch_has_the_defaults_of_the_product(manager: Manager) -> None:
    _, switch = manager.configuration.find_vsw("vsw0")  # type: ignore[misc]
    assert switch.mac in macs.AUTOMATIC and switch.automatic_mac
    assert (switch.default_vlan, switch.pvid, switch.vids, switch.mtu, switch.linkprop, switch.mode) == (
        1, 1, (), 1500, "", "")  # fmt: skip
    assert (switch.inter_vnet_link, switch.relay_mode, switch.id) == ("auto", "local", None)
    spec = machine_of(manager).switches[0]
    assert (spec["name"], spec["pvid"], spec["mtu"]) == ("vsw0", 1, 1500)


def test_wrong_switches(manager: Manager) -> None:
    def code(**more: str) -> str:
        return refused(manager, "add-vsw", **({"vswitch": "vsw1", "domain": "primary"} | more))

    assert code(vswitch="vsw0") == "service.exists"
    assert code(net_dev="net0") == "network.device-used"
    assert code(net_dev="a/b") == code(net_dev="n" * 33) == "network.device-name"
    assert code(mtu="1499") == code(mtu="16001") == code(mtu="big") == "network.mtu"
    assert code(vid="0") == code(vid="4095") == code(vid="5,") == code(pvid="x") == "network.vlan"
    assert code(vid="5,6,5") == "network.vlan-twice"
    assert code(pvid="5", vid="5") == "network.vlan-both"
    assert code(vid="1", pvid="3") == "network.vlan-default"
    assert code(linkprop="up") == code(mode="x") == code(inter_vnet_link="maybe") == "usage.choice"
    assert code(mac_addr="00:14:4f:f9:00:00") == "network.mac-automatic-range"
    assert code(mac_addr="zz") == "network.mac-syntax"
    assert refused(manager, "set-vsw", vswitch="vsw0") == "property.needed"


def test_an_unknown_device_is_a_warning_unless_quick(manager: Manager) -> None:
    outcome = done(manager, "add-vsw", vswitch="vsw1", domain="primary", net_dev="aggr1")
    assert [kind for kind, _ in outcome.lines] == ["warn"] and "aggr1" in outcome.lines[0][1]
    assert done(manager, "add-vsw", vswitch="vsw2", domain="primary", net_dev="aggr2", quick=True).lines == ()
    assert done(manager, "add-vsw", vswitch="vsw3", domain="primary", net_dev="net3").lines == ()


def test_vlans_are_added_and_taken_with_signs(manager: Manager) -> None:
    def vids() -> tuple[int, ...]:
        found = manager.configuration.find_vsw("vsw0")
        assert found is not None
        return found[1].vids

    for text, after in (("5,6", (5, 6)), ("+7", (5, 6, 7)), ("-5", (6, 7)), ("+8,9", (6, 7, 8, 9)),
                        ("-8,9,+10", (6, 7, 10)), ("", ())):  # fmt: skip
        done(manager, "set-vsw", vswitch="vsw0", vid=text)
        assert vids() == after
    assert refused(manager, "set-vsw", vswitch="vsw0", vid="-5") == "network.vlan-not-there"
    done(manager, "set-vsw", vswitch="vsw0", vid="+5")
    assert refused(manager, "set-vsw", vswitch="vsw0", vid="+5") == "network.vlan-there"
    assert refused(manager, "set-vsw", vswitch="vsw0", vid="+") == "network.vlan"


def test_a_network_of_a_bound_domain(manager: Manager) -> None:
    done(manager, "add-vnet", vnet="vnet0", vswitch="vsw0", domain="ldg1", maxbw="500", pvid="3", vid="4,5",
         alt_mac_addrs="auto,00:14:4f:fc:00:07,auto", priority="high", cos="5",
         protection="ip-nospoof,mac-nospoof", allowed_ips="10.0.0.1,::1")  # fmt: skip
    net = vnet(manager, "vnet0")
    assert net.maxbw_bps == 500_000_000 and net.cos == 5 and net.protection == ("mac-nospoof", "ip-nospoof")
    assert len({net.mac, *net.alt_macs}) == 4 and net.alt_macs[1] == 0x144FFC0007
    assert net.automatic_alt_macs == (net.alt_macs[0], net.alt_macs[2])
    spec = machine_of(manager).guests[1].spec["nets"][0]
    assert (spec["number"], spec["channel"], spec["pvid"], spec["vids"], spec["mtu"]) == (0, 1, 3, [4, 5], 1500)
    assert spec["alt_macs"] == list(net.alt_macs) and spec["maxbw_bps"] == 500_000_000


def test_wrong_networks(manager: Manager) -> None:
    done(manager, "add-vnet", vnet="vnet0", vswitch="vsw0", domain="ldg1", mac_addr="00:14:4f:fc:00:01")

    def code(**more: str) -> str:
        return refused(manager, "add-vnet", **({"vnet": "vnet1", "vswitch": "vsw0", "domain": "ldg1"} | more))

    assert code(vnet="vnet0") == "device.exists"
    assert code(vswitch="vsw9") == "service.not-found"
    assert code(mac_addr="00:14:4f:fc:00:01") == "network.mac-in-use"
    assert code(mac_addr="00:14:4f:fc:00:02", alt_mac_addrs="00:14:4f:fc:00:02") == "network.mac-in-use"
    assert code(alt_mac_addrs="00:14:4f:fc:00:02,00:14:4f:fc:00:02") == "network.mac-in-use"
    assert code(mtu="9000") == "network.mtu-switch"
    assert code(pvlan="7,isolated", vid="8") == "network.pvlan-vid"
    assert code(pvlan="1,community") == "network.pvlan-pvid"
    assert code(pvlan="7") == code(pvlan="7,open") == "network.pvlan"
    assert code(vid="1") == "network.vlan-both"
    assert code(maxbw="0") == code(maxbw="5T") == code(maxbw="-1") == code(maxbw="99999G") == "network.maxbw"
    assert code(cos="8") == "property.number"
    assert code(allowed_ips="10.0.0.1") == code(allowed_dhcp_cids="host1") == "network.allowed"
    assert code(protection="ip-nospoof", allowed_ips="10.0.0.256") == "network.ip"
    assert code(protection="dhcp-nospoof", allowed_dhcp_cids="a b") == "network.cid"
    assert code(mode="hybrid") == "network.no-niu"  # a T5-2 has none
    assert code(protection="all") == "network.protection"
    assert refused(manager, "set-vsw", vswitch="vsw0", pvid="1", vid="1") == "network.vlan-both"


def test_hybrid_needs_a_network_interface_unit() -> None:
    manager = make_manager("t5120")
    done(manager, "add-vsw", vswitch="vsw0", domain="primary")
    put_guest(manager, "ldg1")
    done(manager, "add-vnet", vnet="vnet0", vswitch="vsw0", domain="ldg1", mode="hybrid")
    assert vnet(manager, "vnet0").mode == "hybrid"


def test_what_an_active_guest_can_take_up(manager: Manager) -> None:
    done(manager, "add-vsw", vswitch="vsw1", domain="primary")
    put_guest(manager, "ldg2", state=State.ACTIVE)
    machine_of(manager).boot_os(2)
    done(manager, "add-vnet", vnet="vnet0", vswitch="vsw0", domain="ldg2")
    for name, value in (("mtu", "1600"), ("mac_addr", "00:14:4f:fc:00:09"), ("alt_mac_addrs", "auto")):
        assert refused(manager, "set-vnet", vnet="vnet0", domain="ldg2", **{name: value}) == "device.active"
    done(manager, "set-vnet", vnet="vnet0", domain="ldg2", pvid="9", maxbw="1G", vid="+4", vswitch="vsw1")
    spec = machine_of(manager).guests[2].spec["nets"][0]
    assert (spec["pvid"], spec["maxbw_bps"], spec["vids"], spec["switch"]) == (9, 10**9, [4], "vsw1")
    done(manager, "set-vnet", vnet="vnet0", domain="ldg2", pvid="", maxbw="")
    assert vnet(manager, "vnet0", "ldg2").pvid is None


def test_addresses_come_back(manager: Manager) -> None:
    done(manager, "add-vnet", vnet="vnet0", vswitch="vsw0", domain="ldg1", alt_mac_addrs="auto,auto")
    first = vnet(manager, "vnet0")
    done(manager, "set-vnet", vnet="vnet0", domain="ldg1", alt_mac_addrs="auto")
    assert vnet(manager, "vnet0").alt_macs == first.alt_macs[:1]
    assert manager.configuration.freed_macs == first.alt_macs[1:]
    done(manager, "remove-vnet", vnet="vnet0", domain="ldg1")
    assert manager.configuration.freed_macs[-1] == first.mac
    done(manager, "add-vnet", vnet="other", vswitch="vsw0", domain="ldg1")
    assert vnet(manager, "other").mac == first.mac
    done(manager, "set-vnet", vnet="other", domain="ldg1", mac_addr="00:14:4f:fc:00:09")
    assert not vnet(manager, "other").automatic_mac and manager.configuration.freed_macs[-1] == first.mac
    done(manager, "set-vnet", vnet="other", domain="ldg1", mac_addr="")
    assert vnet(manager, "other").mac == first.mac and vnet(manager, "other").automatic_mac


class Others:
    """Another machine that has some addresses; counts how often it is asked."""

    def __init__(self, has: Collection[int]) -> None:
        self.has, self.asked = has, 0

    def taken(self, addresses: Collection[int]) -> frozenset[int]:
        self.asked += 1
        return frozenset(addresses) & frozenset(self.has)


def test_an_address_that_another_machine_has_is_not_taken(manager: Manager) -> None:
    twin = make_manager()
    done(twin, "add-vsw", vswitch="vsw0", domain="primary", net_dev="net0")
    put_guest(twin, "ldg1")
    done(twin, "add-vnet", vnet="vnet0", vswitch="vsw0", domain="ldg1")
    would = vnet(twin, "vnet0").mac  # same seed: the same choice
    others = Others({would, 0x144FFC0001})
    manager.neighbours = others  # type: ignore[assignment]
    done(manager, "add-vnet", vnet="vnet0", vswitch="vsw0", domain="ldg1")
    assert vnet(manager, "vnet0").mac != would and others.asked == 2
    code = refused(manager, "add-vnet", vnet="v", vswitch="vsw0", domain="ldg1", mac_addr="00:14:4f:fc:00:01")
    assert code == "network.mac-elsewhere"


def test_a_switch_with_networks(manager: Manager) -> None:
    done(manager, "add-vnet", vnet="vnet0", vswitch="vsw0", domain="ldg1")
    assert refused(manager, "remove-vsw", vswitch="vsw0") == "service.attached"
    mac = manager.configuration.find_vsw("vsw0")[1].mac  # type: ignore[index]
    done(manager, "remove-vsw", vswitch="vsw0", force=True)
    assert machine_of(manager).switches == [] and manager.configuration.freed_macs[-1] == mac
    assert not machine_of(manager).guests[1].spec["nets"][0]["online"]


def test_a_switch_of_the_running_control_domain_waits_for_its_reboot(manager: Manager) -> None:
    done(manager, "set-vsw", vswitch="vsw0", mtu="9000", linkprop="phys-state")
    assert manager.configuration.find_vsw("vsw0")[1].mtu == 1500  # type: ignore[index]
    pending = manager.configuration.pending_for("primary")
    assert pending is not None and pending.domain.switches[0].mtu == 9000


def test_a_switch_of_a_running_service_domain_must_be_stopped(manager: Manager) -> None:
    put_guest(manager, "svc", state=State.ACTIVE)
    done(manager, "add-vsw", vswitch="svc-vsw0", domain="svc")
    assert refused(manager, "set-vsw", vswitch="svc-vsw0", mtu="9000") == "device.active"
    done(manager, "set-vsw", vswitch="svc-vsw0", vid="7")


def test_mtu_of_a_switch_not_below_its_networks() -> None:
    manager = make_manager()
    put_guest(manager, "svc")
    done(manager, "add-vsw", vswitch="vsw0", domain="svc", mtu="9000")
    put_guest(manager, "ldg1")
    done(manager, "add-vnet", vnet="vnet0", vswitch="vsw0", domain="ldg1", mtu="8000")
    assert refused(manager, "set-vsw", vswitch="vsw0", mtu="1500") == "network.mtu-clients"
    done(manager, "set-vsw", vswitch="vsw0", mtu="8000")


def test_domains_ask_the_network_when_they_are_made_and_when_they_start(manager: Manager) -> None:
    mine = manager.configuration.find("ldg1")
    assert mine is not None
    others = Others({mine.mac, 0x144FFC0001})
    manager.neighbours = others  # type: ignore[assignment]
    outcome = manager.execute("start-domain", {"domains": ["ldg1"]})
    assert outcome.error is not None and outcome.error.code == "network.mac-elsewhere"
    assert manager.configuration.find("ldg1").state is State.BOUND  # type: ignore[union-attr]
    code = refused(manager, "add-domain", domains=["ldg2"], mac_addr="00:14:4f:fc:00:01")
    assert code == "network.mac-elsewhere"
    done(manager, "unbind-domain", domain="ldg1")
    code = refused(manager, "set-domain", domain="ldg1", mac_addr="00:14:4f:fc:00:01")
    assert code == "network.mac-elsewhere"
    middle = macs.AUTOMATIC[len(macs.AUTOMATIC) // 2]
    manager.neighbours = Others(range(macs.AUTOMATIC[0], middle))  # type: ignore[assignment]
    done(manager, "add-domain", domains=["a", "b"])
    assert all(manager.configuration.find(name).mac >= middle for name in "ab")  # type: ignore[union-attr]
