"""Physical I/O through the manager: buses, endpoints, virtual functions, root domains; consoles, SANs and the rest."""

from __future__ import annotations

import pytest
from manager_support import machine_of, make_manager
from services_support import done, put_guest, reboot, refused

from ldmd.manager import Manager
from ldmd.model import State
from ldmd.planner import iobuses

PF = "/SYS/MB/NET0/IOVNET.PF0"


@pytest.fixture
def manager() -> Manager:
    manager = make_manager()
    put_guest(manager, "ldg1")
    return manager


def row(manager: Manager, name: str) -> dict[str, object]:
    rows = done(manager, "list-io").result["io"]
    return next(each for each in rows if each["name"] == name)


def test_everything_belongs_to_the_control_domain_of_a_new_server(manager: Manager) -> None:
    rows = done(manager, "list-io").result["io"]
    assert {each["domain"] for each in rows} == {"primary"}
    assert [each["name"] for each in rows if each["type"] == "BUS"] == ["pci_0", "pci_1", "pci_2", "pci_3"]
    assert row(manager, PF) | {"properties": {}} == {
        "name": PF, "type": "PF", "bus": "pci_1", "domain": "primary", "status": "", "options": "",
        "device": "pci@340/pci@1/pci@0/pci@3/network@0", "class": "NETWORK", "properties": {}}  # fmt: skip
    assert len({each["device"] for each in rows}) == len(rows)


def test_a_bus_makes_a_root_domain_after_a_reboot(manager: Manager) -> None:
    assert refused(manager, "add-io", device="pci_2", domain="ldg1") == "io.owned"
    outcome = done(manager, "remove-io", device="pci_2", domain="primary")
    assert "delayed reconfiguration operation on the primary" in outcome.out
    assert row(manager, "pci_2")["domain"] == "primary"  # until then
    assert refused(manager, "add-io", device="pci_2", domain="ldg1") == "reconf.frozen"
    reboot(manager)
    assert row(manager, "pci_2")["domain"] == "" and row(manager, "/SYS/MB/NET2")["domain"] == ""
    assert refused(manager, "add-io", device="/SYS/MB/NET2", domain="ldg1") == "io.no-root"
    done(manager, "add-io", device="pci@380", domain="ldg1")
    guest = manager.configuration.find("ldg1")
    assert guest is not None and iobuses.is_root(manager.configuration, guest)
    assert iobuses.physical_devices(manager.configuration, guest) == [("BUS", "pci_2")]
    assert row(manager, "/SYS/MB/NET2")["domain"] == "ldg1"
    assert manager.configuration.pending == ()


def test_an_endpoint_leaves_and_comes_back(manager: Manager) -> None:
    slot = "/SYS/MB/PCIE1"
    assert done(manager, "remove-io", device=slot, domain="primary", no_reboot=True).out == (
        f"{slot} can be removed from LDom primary with its next reboot only\n")  # fmt: skip
    assert manager.configuration.pending == ()
    done(manager, "remove-io", device=slot, domain="primary")
    reboot(manager)
    assert row(manager, slot)["domain"] == "" and row(manager, "/SYS/MB/PCIE2")["domain"] == "primary"
    done(manager, "add-io", device=slot, domain="ldg1")
    guest = manager.configuration.find("ldg1")
    assert guest is not None and iobuses.physical_devices(manager.configuration, guest) == [("PCIE", slot)]
    assert not iobuses.is_root(manager.configuration, guest)
    assert refused(manager, "remove-io", device="pci_0", domain="primary") == "io.lent"
    done(manager, "remove-io", device=slot, domain="ldg1")
    done(manager, "add-io", device=slot, domain="primary")
    reboot(manager)
    assert row(manager, slot)["domain"] == "primary"
    assert manager.configuration.primary.io_without == ()


def test_an_active_guest_without_a_bus_must_be_stopped() -> None:
    manager = make_manager()
    put_guest(manager, "ldg1", state=State.ACTIVE)
    done(manager, "remove-io", device="/SYS/MB/PCIE1", domain="primary")
    reboot(manager)
    assert refused(manager, "add-io", device="/SYS/MB/PCIE1", domain="ldg1") == "io.stop-first"


def test_virtual_functions(manager: Manager) -> None:
    assert refused(manager, "create-vf", pf=PF, number="1") == "io.iov-off"
    done(manager, "set-io", device="pci_1", iov="on")
    reboot(manager)
    assert row(manager, "pci_1")["options"] == "iov"
    outcome = done(manager, "create-vf", pf=PF, number="2")
    assert outcome.out == f"Created new vf: {PF}.VF0\nCreated new vf: {PF}.VF1\n"
    outcome = done(manager, "create-vf", pf=PF, mac_addr="00:14:4f:fc:00:05", pvid="3", vid="4,5", mtu="9000")
    assert row(manager, f"{PF}.VF2")["properties"] == {
        "mac-addr": "00:14:4f:fc:00:05", "pvid": "3", "vid": "4,5", "mtu": "9000"}  # fmt: skip
    assert refused(manager, "create-vf", pf=PF, number="5") == "io.no-function-left"
    assert done(manager, "create-vf", pf=PF, number="max").result["functions"] == [f"{PF}.VF{n}" for n in range(3, 7)]
    addresses = [dict(each.properties)["mac-addr"] for each in manager.configuration.virtual_functions]
    assert len(set(addresses)) == 7
    assert len({str(each["device"]) for each in done(manager, "list-io").result["io"]}) == len(
        done(manager, "list-io").result["io"])  # fmt: skip
    assert refused(manager, "set-io", device="pci_1", iov="off") == "io.has-functions"
    assert refused(manager, "remove-io", device="pci_1", domain="primary") == "io.has-functions"
    assert refused(manager, "destroy-vf", device=f"{PF}.VF0") == "io.not-last"
    done(manager, "add-io", device=f"{PF}.VF6", domain="ldg1")
    assert refused(manager, "destroy-vf", device=f"{PF}.VF6") == "io.function-owned"
    assert refused(manager, "destroy-vf", device=PF, number="max") == "io.function-owned"
    guest = manager.configuration.find("ldg1")
    assert guest is not None and iobuses.physical_devices(manager.configuration, guest) == [("VF", f"{PF}.VF6")]
    done(manager, "remove-io", device=f"{PF}.VF6", domain="ldg1")
    assert done(manager, "destroy-vf", device=PF, number="2").result["functions"] == [f"{PF}.VF6", f"{PF}.VF5"]
    done(manager, "destroy-vf", device=PF, number="max")
    assert manager.configuration.virtual_functions == ()
    assert len(manager.configuration.freed_macs) == 6  # the one given by hand is not remembered


def test_a_running_guest_takes_a_function_of_a_virtualized_bus() -> None:
    manager = make_manager()
    put_guest(manager, "ldg1", state=State.ACTIVE)
    done(manager, "set-io", device="pci_1", iov="on")
    reboot(manager)
    done(manager, "create-vf", pf=PF, number="1")
    done(manager, "add-io", device=f"{PF}.VF0", domain="ldg1")
    assert row(manager, f"{PF}.VF0")["domain"] == "ldg1"
    assert refused(manager, "set-io", device=f"{PF}.VF0", pvid="3") == "device.active"


def test_wrong_io(manager: Manager) -> None:
    assert refused(manager, "add-io", device="/SYS/MB/PCIE99", domain="ldg1") == "io.not-found"
    assert refused(manager, "add-io", device=PF, domain="ldg1") == "io.is-pf"
    assert refused(manager, "add-io", device="/SYS/MB/PCIE1", domain="ldg1", iov="on") == "io.iov-choice"
    assert refused(manager, "remove-io", device="/SYS/MB/PCIE1", domain="ldg1") == "io.not-owned"
    assert refused(manager, "set-io", device="pci_0") == "property.needed"
    assert refused(manager, "set-io", device="pci_0", pvid="4") == "io.property"
    assert refused(manager, "set-io", device=PF, iov="on") == "io.iov-choice"
    assert refused(manager, "set-io", device=PF, **{"max-vlans": "3"}) == "io.fixed"
    assert refused(manager, "create-vf", pf="pci_0", number="1") == "io.not-pf"
    assert refused(manager, "create-vf", pf=PF, number="none") == "io.count"
    assert refused(manager, "destroy-vf", device=PF) == "usage.missing"
    assert refused(manager, "destroy-vf", device=f"{PF}.VF0") == "io.not-found"
    assert refused(manager, "destroy-vf", device=PF, number="1") == "io.iov-off"


def test_without_sriov() -> None:
    manager = make_manager("t5120")
    assert {each["type"] for each in done(manager, "list-io").result["io"]} == {"BUS", "NIU", "PCIE"}
    assert refused(manager, "set-io", device="pci_0", iov="on") == "io.no-iov"


# -- consoles, storage, data plane


def test_console_concentrators() -> None:
    manager = make_manager()
    put_guest(manager, "ldg2", state=State.INACTIVE)
    done(manager, "add-vcc", vcc="primary-vcc0", domain="primary", port_range="5000-5100")
    assert refused(manager, "add-vcc", vcc="v", domain="primary", port_range="6000-6001") == "console.one"
    assert refused(manager, "add-vcc", vcc="v", domain="ldg2", port_range="5050-5200") == "console.overlap"
    for text in ("5000", "5100-5000", "0-9", "5000-70000", "a-b", "1-2-3"):
        assert refused(manager, "add-vcc", vcc="v", domain="ldg2", port_range=text) == "console.range"
    assert refused(manager, "set-vconsole", domain="primary", port="5001") == "console.control"
    put_guest(manager, "ldg1")
    assert refused(manager, "set-vconsole", domain="ldg1", port="5001") == "console.bound"
    done(manager, "set-vconsole", domain="ldg1", log="off")
    assert manager.configuration.find("ldg1").vcons.log is False  # type: ignore[union-attr]
    done(manager, "unbind-domain", domain="ldg1")
    done(manager, "set-vconsole", domain="ldg2", port="5001", group="g", service="primary-vcc0")
    assert refused(manager, "set-vconsole", domain="ldg2", port="4999") == "console.port-outside"
    assert refused(manager, "set-vconsole", domain="ldg2", service="vcc9") == "service.not-found"
    assert refused(manager, "set-vcc", vcc="primary-vcc0", port_range="5002-5100") == "console.port-used"
    assert refused(manager, "remove-vcc", vcc="primary-vcc0") == "service.attached"
    done(manager, "set-vconsole", domain="ldg2", port="", group="", service="")
    done(manager, "remove-vcc", vcc="primary-vcc0")


def test_storage_networks(manager: Manager) -> None:
    port = "/SYS/MB/SASHBA0/HBA0/PORT1"
    assert refused(manager, "add-vsan", iport="/SYS/X", vsan="vsan0", domain="primary") == "storage.no-port"
    done(manager, "add-vsan", iport=port, vsan="vsan0", domain="primary")
    assert refused(manager, "add-vsan", iport=port, vsan="vsan1", domain="primary") == "storage.port-used"
    done(manager, "add-vsan", iport="/SYS/X", vsan="vsan1", domain="primary", quick=True)
    done(manager, "add-vhba", vhba="vh0", vsan="vsan0", domain="ldg1", id="4")
    device = manager.configuration.find("ldg1").binding.device("vhba", "vh0")  # type: ignore[union-attr]
    assert device is not None and (device.number, device.channels) == (4, (1,))
    done(manager, "set-vhba", vhba="vh0", domain="ldg1", timeout="30")
    done(manager, "rescan-vhba", vhba="vh0", domain="ldg1")
    assert refused(manager, "remove-vsan", vsan="vsan0") == "service.attached-fast"
    done(manager, "remove-vhba", vhba="vh0", domain="ldg1")
    done(manager, "remove-vsan", vsan="vsan0")


def test_data_plane_channels(manager: Manager) -> None:
    done(manager, "add-vdpcs", vdpcs="dp0", domain="primary")
    done(manager, "add-vdpcc", vdpcc="c0", vdpcs="dp0", domain="ldg1")
    assert refused(manager, "add-vdpcc", vdpcc="c0", vdpcs="dp0", domain="ldg1") == "device.exists"
    assert refused(manager, "remove-vdpcs", vdpcs="dp0") == "service.attached"
    put_guest(manager, "ldg2", state=State.ACTIVE)
    assert refused(manager, "add-vdpcc", vdpcc="c0", vdpcs="dp0", domain="ldg2") == "device.active"
    done(manager, "remove-vdpcc", vdpcc="c0", domain="ldg1")
    done(manager, "remove-vdpcs", vdpcs="dp0")
    assert machine_of(manager).guests[1].spec["disks"] == []
