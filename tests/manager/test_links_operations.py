"""Lists of network devices, initiator ports, resource groups, sockets, activations."""

from __future__ import annotations

from typing import Any

from manager_support import machine_of, make_manager
from services_support import done, put_guest, refused

from ldmd.model import State
from ldmd.planner import report_links


def test_network_devices() -> None:
    manager = make_manager()
    done(manager, "add-vsw", vswitch="vsw0", domain="primary", net_dev="net0", vid="7", mtu="9000")
    put_guest(manager, "ldg1")
    done(manager, "add-vnet", vnet="n0", vswitch="vsw0", domain="ldg1", pvid="3")
    rows = {each["domain"]: each["devices"] for each in done(manager, "list-netdev").result["domains"]}
    assert [(row["name"], row["class"]) for row in rows["primary"]] == [
        ("net0", "PHYS"), ("net1", "PHYS"), ("net2", "PHYS"), ("net3", "PHYS"), ("vsw0", "VSW")]  # fmt: skip
    assert rows["primary"][0]["loc"] == "/SYS/MB/NET0/IOVNET.PF0" and rows["primary"][4]["vlans"] == "1,7"
    (vnet,) = rows["ldg1"]
    assert (vnet["name"], vnet["class"], vnet["mtu"], vnet["loc"], vnet["vlans"], vnet["state"]) == (
        "net0", "VNET", 9000, "vsw0/n0", "3", "unknown")  # fmt: skip
    (only,) = done(manager, "list-netdev", domain="primary", device="net2").result["domains"]
    assert [row["name"] for row in only["devices"]] == ["net2"]
    assert refused(manager, "list-netdev", domain="nobody") == "domain.not-found"


def test_counters_are_the_machines(monkeypatch: Any) -> None:
    manager = make_manager()
    done(manager, "add-vsw", vswitch="vsw0", domain="primary")
    put_guest(manager, "ldg1", state=State.ACTIVE)
    done(manager, "add-vnet", vnet="n0", vswitch="vsw0", domain="ldg1")
    answer = {"switches": [{"name": "vsw0", "ports": [{"name": "ldg1/n0", "sent": 5, "received": 6,
                                                        "sent_bytes": 500, "received_bytes": 600}]}]}
    monkeypatch.setattr(machine_of(manager), "op_service_list", lambda: answer, raising=False)
    rows = {each["domain"]: each["devices"] for each in done(manager, "list-netstat").result["domains"]}
    assert rows["ldg1"] == [{"name": "net0", "ipackets": 5, "rbytes": 500, "opackets": 6, "obytes": 600}]
    assert rows["primary"][0] == {"name": "net0", "ipackets": None, "rbytes": None, "opackets": None, "obytes": None}


def test_links_that_are_down(monkeypatch: Any) -> None:
    manager = make_manager()
    done(manager, "add-vsw", vswitch="vsw0", domain="primary", net_dev="net1", linkprop="phys-state")
    done(manager, "add-vsw", vswitch="vsw1", domain="primary", net_dev="net2")
    put_guest(manager, "ldg1", state=State.ACTIVE)
    done(manager, "add-vnet", vnet="n0", vswitch="vsw0", domain="ldg1", linkprop="phys-state")
    done(manager, "add-vnet", vnet="n1", vswitch="vsw0", domain="ldg1")
    answer = {"devices": [{"name": "net1", "up": False}, {"name": "net2", "up": False}, {"name": "net0", "up": True}]}
    monkeypatch.setattr(machine_of(manager), "op_network_list", lambda: answer, raising=False)
    rows = {each["domain"]: {row["name"]: row["state"] for row in each["devices"]}
            for each in done(manager, "list-netdev").result["domains"]}  # fmt: skip
    assert rows["primary"] == {"net0": "up", "net1": "down", "net2": "down", "net3": "up", "vsw0": "down", "vsw1": "up"}
    guest = manager.configuration.find("ldg1")
    assert guest is not None
    on = guest.but(started_at=1.0)
    report = report_links.netdev_report(manager.configuration.with_domain(on), "ldg1", links={"net1": False})
    assert [row["state"] for row in report["domains"][0]["devices"]] == ["down", "up"]


def test_initiator_ports() -> None:
    manager = make_manager()
    done(manager, "add-vsan", iport="/SYS/MB/SASHBA0/HBA0/PORT2", vsan="vs0", domain="primary")
    ports = done(manager, "list-hba", domain="primary").result["ports"]
    assert [(row["path"], row["vsan"]) for row in ports] == [
        ("/SYS/MB/SASHBA0/HBA0/PORT1", ""), ("/SYS/MB/SASHBA0/HBA0/PORT2", "vs0"),
        ("/SYS/MB/SASHBA1/HBA0/PORT1", ""), ("/SYS/MB/SASHBA1/HBA0/PORT2", "")]  # fmt: skip
    put_guest(manager, "ldg1")
    assert done(manager, "list-hba", domain="ldg1").result["ports"] == []
    assert refused(manager, "list-hba") == "usage.missing"


def test_resource_groups_hold_all_of_the_server() -> None:
    manager = make_manager()
    groups = done(manager, "list-rsrc-group").result["groups"]
    assert [group["name"] for group in groups] == ["/SYS/MB/CM0", "/SYS/MB/CM1"]
    assert [core["cid"] for group in groups for core in group["cores"]] == list(range(32))
    assert sum(row["size_bytes"] for group in groups for row in group["memory"]) == 64 << 30
    assert [row["name"] for group in groups for row in group["io"]] == ["pci_0", "pci_1", "pci_2", "pci_3"]
    put_guest(manager, "ldg1")
    mine = done(manager, "list-rsrc-group", domain="ldg1").result["groups"]
    assert sum(row["size_bytes"] for group in mine for row in group["memory"]) == 256 << 20
    assert [len(group["cores"]) for group in mine].count(1) == 1
    assert refused(manager, "list-rsrc-group", group="/SYS/X") == "links.group"


def test_what_only_some_servers_have() -> None:
    oracle, fujitsu, m7 = make_manager(), make_manager("m10-4"), make_manager("t7-2")
    assert refused(oracle, "list-socket") == refused(oracle, "list-permits") == "links.platform"
    assert done(oracle, "list-cmi").result == {"cmi": []}
    assert len(done(m7, "list-cmi").result["cmi"]) == 16
    put_guest(fujitsu, "ldg1")
    sockets = done(fujitsu, "list-socket").result["sockets"]
    assert sum(row["vcpus"] for each in sockets for row in each["domains"]) == 17
    (permits,) = done(fujitsu, "list-permits").result["permits"]
    assert permits["permits"] == 64 and permits["in_use"] + permits["rest"] == 64 and permits["in_use"] <= 9
