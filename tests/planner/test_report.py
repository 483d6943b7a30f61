"""Reports: flags, console, utilization, uptime, memory, peers, paths. From configurations built by hand."""

from __future__ import annotations

from typing import Any

import pytest
from ldm_samples import GIB, NOW, configuration, domain, guest, primary, seconds, status, strands

from ldmd.model import (
    Binding,
    Configuration,
    Cpus,
    DiskServer,
    MemoryAmount,
    Pending,
    State,
    Vcons,
    Vdisk,
    Vnet,
    Volume,
    Vsw,
)
from ldmd.planner.report import SECTIONS, Going, View, by_guest, domains_report
from ldmd.planner.report_devices import devices_report
from ldmd.planner.report_io import io_report
from ldmd.planner.report_system import dependencies_report


def one(config: Configuration, name: str, *statuses: dict[str, Any], now: float = NOW, **going: Going) -> Any:
    view = View(configuration=config, statuses=by_guest(statuses), going=going, now=now)
    return domains_report(view, [name])["domains"][0]


ACTIVE = {"state": State.ACTIVE, "started_at": NOW - 60.0}


@pytest.mark.parametrize(
    ("changes", "said", "letters"),
    [
        ({}, None, "------"),
        ({"state": State.INACTIVE, "binding": None}, None, "------"),
        (ACTIVE, status(1, 1.0), "-n----"),
        (ACTIVE, status(1, 1.0, text="OpenBoot Running", normal=False, firmware=True), "-t----"),
        (ACTIVE, status(1, 1.0, text="Solaris booting", normal=False), "-t----"),
        (ACTIVE, None, "-t----"),
        ({"state": State.STARTING}, None, "st----"),
        ({"state": State.STOPPING}, status(1, 1.0), "sn----"),
        ({"state": State.STOPPING}, status(1, 1.0, normal=False), "st----"),
        ({"degraded": True}, None, "-d----"),
        ({**ACTIVE, "disk_servers": (DiskServer(name="ldg1-vds0"),)}, status(1, 1.0), "-n--v-"),
        ({"state": State.SUSPENDED}, status(1, 1.0), "-n----"),
    ],
)
def test_flags_of_a_guest(changes: dict[str, Any], said: dict[str, Any] | None, letters: str) -> None:
    config = configuration(primary(), guest("ldg1", 1, **changes))
    assert one(config, "ldg1", *([said] if said else []))["flag_letters"] == letters


def test_flags_of_the_control_domain() -> None:
    bare = primary(disk_servers=(), switches=(), vccs=())
    assert one(configuration(bare), "primary")["flags"] == ["normal", "control"]
    assert one(configuration(primary()), "primary")["flags"] == ["normal", "control", "vio-service"]
    delayed = configuration(primary()).but(pending=(Pending(domain=primary()),))
    assert one(delayed, "primary")["flag_letters"] == "-ndcv-"
    # what the machine says of guest 0, in which no program runs, does not matter
    assert one(configuration(primary()), "primary", status(0, 1.0, normal=False, firmware=True))["flags"][0] == "normal"


@pytest.mark.parametrize(
    ("going", "letters"),
    [
        (Going(operation="migration", role="source"), "-n---s"),
        (Going(operation="migration", role="target"), "-n---t"),
        (Going(operation="migration", role="source", error=True), "-n---e"),
        (Going(operation="memdr"), "-nr---"),
    ],
)
def test_flags_of_what_goes_on(going: Going, letters: str) -> None:
    config = configuration(primary(), guest("ldg1", 1, **ACTIVE))
    assert one(config, "ldg1", status(1, 1.0), ldg1=going)["flag_letters"] == letters


def test_utilization_is_the_average_and_only_of_what_runs() -> None:
    config = configuration(primary(), guest("ldg1", 1, **ACTIVE), guest("ldg2", 2))
    said = status(1, 0.0, count=8)
    said["vcpus"][0]["util"] = 100.0
    row = one(config, "ldg1", said)
    assert row["util_percent"] == row["norm_util_percent"] == 12.5
    assert [each["util_percent"] for each in row["vcpu"]] == [100.0] + [0.0] * 7
    assert one(config, "ldg2")["util_percent"] is None
    assert {each["util_percent"] for each in one(config, "ldg2")["vcpu"]} == {None}
    assert one(config, "primary")["util_percent"] == 0.0


def test_uptime_counts_from_the_start_and_never_backwards() -> None:
    config = configuration(primary(), guest("ldg1", 1, state=State.ACTIVE, started_at=NOW - 43.9))
    assert one(config, "ldg1")["uptime_seconds"] == 43
    assert one(config, "ldg1", now=NOW - seconds(1))["uptime_seconds"] == 0
    assert one(config, "primary")["uptime_seconds"] == seconds(45, 8, 6)


def test_inactive_domains_show_what_they_ask_for() -> None:
    whole = domain("ldg1", cpus=Cpus(whole_core=True, cores=2), memory=MemoryAmount(size_bytes=GIB))
    named = domain("ldg2", cpus=Cpus(whole_core=True, cids=(4, 5, 6), max_cores=3),
                   memory=MemoryAmount(mblocks=((0, GIB), (4 * GIB, GIB))))
    config = configuration(primary(), whole, named)
    assert (one(config, "ldg1")["vcpus"], one(config, "ldg1")["memory_bytes"]) == (16, GIB)
    assert (one(config, "ldg2")["vcpus"], one(config, "ldg2")["memory_bytes"]) == (24, 2 * GIB)
    assert one(config, "ldg1")["constraint"] == {
        "cpu": "whole-core", "max-cores": "unlimited", "physical-bindings": ""}
    assert one(config, "ldg2")["constraint"] == {
        "cpu": "whole-core", "max-cores": "3", "physical-bindings": "core,memory"}
    assert one(config, "ldg1")["console"] == ""


@pytest.mark.parametrize(("platform", "console", "norm"), [("t5-2", "UART", True), ("t5240", "SP", False),
                                                           ("m10-1", "UART", True), ("t3-1", "SP", True)])
def test_console_and_norm_depend_on_the_server(platform: str, console: str, norm: bool) -> None:
    config = configuration(primary(io=()), platform=platform, memory=64 * GIB)
    report = domains_report(View(configuration=config, now=NOW), sections=())
    assert (report["domains"][0]["console"], report["norm"]) == (console, norm)


def test_only_the_sections_that_were_asked_for_are_made() -> None:
    view = View(configuration=configuration(primary()), now=NOW)
    short = domains_report(view, sections=())["domains"][0]
    assert not set(short) & set(SECTIONS)
    some = domains_report(view, sections=("uuid", "vds"))["domains"][0]
    assert set(some) - set(short) == {"uuid", "vds"}
    assert set(domains_report(view)["domains"][0]) - set(short) == set(SECTIONS)


def test_domains_come_in_the_order_they_were_named_in() -> None:
    view = View(configuration=configuration(primary(), guest("a", 1), guest("b", 2)), now=NOW)
    assert [each["name"] for each in domains_report(view, ["b", "primary"])["domains"]] == ["b", "primary"]


def test_peers_are_the_switch_and_with_links_the_other_interfaces() -> None:
    idle = guest("ldg3", 3, binding=None, state=State.INACTIVE)
    config = configuration(primary(), guest("ldg1", 1), guest("ldg2", 2), idle)
    peers = one(config, "ldg1")["vnet"][0]["peers"]
    assert [each["name"] for each in peers] == ["primary-vsw0@primary", "vnet0@ldg2"]
    assert [each["name"] for each in one(config, "primary")["vsw"][0]["peers"]] == ["vnet0@ldg1", "vnet0@ldg2"]
    off = primary(switches=(Vsw(name="primary-vsw0", mac=1, inter_vnet_link="off"),))
    config = config.with_domain(off)
    assert [each["name"] for each in one(config, "ldg1")["vnet"][0]["peers"]] == ["primary-vsw0@primary"]
    assert one(config, "ldg3")["vnet"][0]["peers"] == []


@pytest.mark.parametrize(("count", "linked"), [(8, True), (9, False)])
def test_auto_links_end_with_the_ninth_interface(count: int, linked: bool) -> None:
    vnets = tuple(Vnet(name=f"vnet{n}", service="primary-vsw0", mac=n + 1) for n in range(count))
    server = primary(switches=(Vsw(name="primary-vsw0", mac=1),))
    config = configuration(server, guest("ldg1", 1, vnets=vnets))
    assert one(config, "primary")["vsw"][0]["linked"] is linked
    assert len(one(config, "ldg1")["vnet"][0]["peers"]) == (count if linked else 1)


def test_an_interface_has_the_switch_settings_it_has_none_of() -> None:
    vsw = Vsw(name="primary-vsw0", mac=1, default_vlan=7, mtu=9000)
    plain = Vnet(name="a", service="primary-vsw0", mac=2)
    own = Vnet(name="b", service="primary-vsw0", mac=3, pvid=5, mtu=1500)
    rows = one(configuration(primary(switches=(vsw,)), guest("ldg1", 1, vnets=(plain, own))), "ldg1")["vnet"]
    assert [(row["pvid"], row["mtu"]) for row in rows] == [(7, 9000), (5, 1500)]


def test_paths_of_a_multipathing_group() -> None:
    path = Volume(name="vol1", backend="/x", mpgroup="mp1")
    second = guest("secondary", 5, state=State.ACTIVE, vdisks=(), vnets=(),
                   disk_servers=(DiskServer(name="secondary-vds0", volumes=(path,)),))
    first = primary(disk_servers=(DiskServer(name="primary-vds0", volumes=(path,)),))
    disk = Vdisk(name="vdisk0", volume="vol1", service="secondary-vds0")
    config = configuration(first, second, guest("ldg1", 1, vdisks=(disk,)))
    paths = one(config, "ldg1")["vdisk"][0]["paths"]
    assert [(path["server"], path["state"]) for path in paths] == [("secondary", "active"), ("primary", "standby")]
    paths = one(config.with_domain(second.but(state=State.BOUND)), "ldg1")["vdisk"][0]["paths"]
    assert [(path["server"], path["state"]) for path in paths] == [("secondary", "unknown"), ("primary", "active")]


def test_devices_without_a_service_do_not_break_the_list() -> None:
    lost = guest("ldg1", 1, vdisks=(Vdisk(name="d", volume="v", service="gone"),),
                 vnets=(Vnet(name="n", service="gone", mac=1),))
    row = one(configuration(primary(), lost), "ldg1")
    assert (row["vdisk"][0]["server"], row["vnet"][0]["service"], row["vnet"][0]["peers"]) == ("", "gone", [])
    assert row["vdisk"][0]["id"] is None


def test_consoles() -> None:
    config = configuration(primary(), guest("ldg1", 1), domain("ldg2"), domain("ldg3", vcons=Vcons(group="web")))
    assert one(config, "primary")["vcons"]["type"] == "UART"
    assert one(config, "ldg1")["vcons"] == {
        "type": "vcons", "group": "ldg1", "service": "primary-vcc0@primary", "port": 5000, "log": True}
    assert one(config, "ldg2")["vcons"] is None
    assert one(config, "ldg3")["vcons"]["group"] == "web"
    assert one(config, "primary")["vcc"][0]["clients"] == [{"name": "ldg1@primary-vcc0", "port": 5000, "log": True}]


def test_every_strand_core_and_byte_is_listed_once() -> None:
    config = configuration(primary(), guest("ldg1", 1))
    report = devices_report(config)
    assert [row["pid"] for row in report["vcpus"]] == list(range(256))
    assert [row["free_percent"] for row in report["cores"]] == [0, 0, 0] + [100] * 29
    half = configuration(primary(), guest("ldg1", 1, binding=Binding(id=1, vcpus=strands(16, 4))))
    assert devices_report(half)["cores"][2]["free_percent"] == 50
    assert sum(row["size_bytes"] for row in report["memory"]) == 1024 * GIB
    owned = {row["bound"]: row["size_bytes"] for row in report["memory"] if row["bound"] in {"primary", "ldg1"}}
    assert owned == {"primary": 32 * GIB, "ldg1": 2 * GIB}
    assert [row["bound"] for row in report["io"]] == ["primary", "primary", "", ""]
    assert report["crypto"] == []


def test_crypto_units_are_listed_where_there_are_some() -> None:
    binding = Binding(id=0, vcpus=strands(0, 8), crypto=(0,))
    report = devices_report(configuration(primary(binding=binding, io=()), platform="t5120", memory=64 * GIB))
    assert [row["bound"] for row in report["crypto"]] == ["primary"] + [""] * 7
    assert report["crypto"][1]["strands"] == list(range(8, 16))


def test_dependencies_both_ways() -> None:
    config = configuration(primary(), guest("ldg1", 1), domain("ldg2", io=("/SYS/MB/NET0",)))
    needs = {row["domain"]: row["needs"] for row in dependencies_report(config)["dependencies"]}
    assert needs["primary"] == []
    assert needs["ldg1"] == [{"domain": "primary", "devices": [
        {"type": "VDISK", "device": "primary-vds0/vdisk0"}, {"type": "VNET", "device": "primary-vsw0/vnet0"}]}]
    assert needs["ldg2"] == [{"domain": "primary", "devices": [{"type": "IOV", "device": "/SYS/MB/NET0"}]}]
    turned = dependencies_report(config, "primary", reverse=True)["dependencies"]
    assert [row["domain"] for row in turned[0]["needs"]] == ["ldg1", "ldg2"] and len(turned) == 1


def test_io_rows_stand_below_their_device() -> None:
    config = configuration(primary())
    rows = io_report(config)["io"]
    assert [row["type"] for row in rows[:4]] == ["BUS"] * 4
    names = [row["name"] for row in io_report(config, "/SYS/MB/NET0")["io"]]
    assert names == ["/SYS/MB/NET0", "/SYS/MB/NET0/IOVNET.PF0", "/SYS/MB/NET0/IOVNET.PF1"]
    assert {row["bus"] for row in io_report(config, "pci_2")["io"]} == {"pci_2"}
    assert io_report(config, "/SYS/MB/NET")["io"] == []

