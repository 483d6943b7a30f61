"""Physical and virtual I/O: G30 to G49 and their neighbours."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rules_support import Move, allowed, refused

from ldmd.migration.facts import Known
from ldmd.migration.rule import Options
from ldmd.model import DiskServer, Vcc, Vdpcc, Vdpcs, Volume

PHYSICAL = "ldom ldg1 contains physical I/O resources and cannot be migrated"


def lent(device: str, upto: str) -> Move:
    """The domain owns a device that the control domain gave up."""
    move = Move(upto=upto)
    primary = move.source.domain("primary")
    configuration = move.source.manager.configuration.with_domain(
        primary.but(io=tuple(each for each in primary.io if each != device)))
    move.source.manager.commit(configuration.with_domain(move.domain.but(io=(device,))))
    return move


@pytest.mark.parametrize("upto", ["booted", "bound", "inactive"])
def test_g30_a_root_domain_stays(upto: str) -> None:
    move = lent("pci_1", upto)
    refused(move, "G30", PHYSICAL)
    assert "pci_1" in move.report().findings[0].cause


@pytest.mark.parametrize("upto", ["booted", "bound", "inactive"])
def test_g31_direct_io_stays(upto: str) -> None:
    move = lent("/SYS/MB/PCIE1", upto)
    refused(move, "G31", PHYSICAL)
    assert "endpoint" in move.report().findings[0].cause


@pytest.mark.parametrize("upto", ["booted", "bound", "inactive"])
def test_g32_a_virtual_function_stays(upto: str) -> None:
    move = Move(upto=upto)
    pf = "/SYS/MB/NET0/IOVNET.PF0"
    from ldmd.model import VirtualFunction

    configuration = move.source.manager.configuration.but(virtual_functions=(
        VirtualFunction(name=f"{pf}.VF0", pf=pf),))
    move.source.manager.commit(configuration.with_domain(move.domain.but(io=(f"{pf}.VF0",))))
    refused(move, "G32", PHYSICAL)
    assert "virtual functions" in move.report().findings[0].cause


def test_g40_disk_servers_exist() -> None:
    move = Move().with_devices(disk=True)
    allowed(move)
    move.target_primary(disk_servers=())
    refused(move, "G40", "The virtual disk server, primary-vds0, does not exist on the target")


def test_g40_data_plane_services_exist() -> None:
    move = Move(upto="inactive")
    primary = move.source.domain("primary").but(vdpcss=(Vdpcs(name="dp0"),))
    move.source.manager.commit(move.source.manager.configuration.with_domain(primary))
    move.on_source(vdpccs=(Vdpcc(name="c0", service="dp0"),)).up("booted")
    refused(move, "G40", "The virtual data plane channel service, dp0, does not exist on the target")
    allowed(move.target_primary(vdpcss=(Vdpcs(name="dp0"),)))


def test_g40_nothing_is_asked_for_an_inactive_domain() -> None:
    move = Move(upto="inactive").with_devices(disk=True, net=True, adapter=5)
    allowed(move.target_primary(disk_servers=(), switches=(), vsans=(), vccs=()))


@pytest.mark.parametrize("upto", ["booted", "bound"])
def test_g41_volumes_exist_under_the_same_names(upto: str) -> None:
    move = Move(upto=upto).with_devices(disk=True)
    move.target_primary(disk_servers=(DiskServer(name="primary-vds0", volumes=(
        Volume(name="other", backend="/alpha/1"),)),))
    refused(move, "G41", "The VDisk service, primary-vds0, or volume vol1 does not exist on the target")
    allowed(move.target_primary(disk_servers=(DiskServer(name="primary-vds0", volumes=(
        Volume(name="vol1", backend="/elsewhere"),)),)))


def other_contents() -> Move:
    move = Move().with_devices(disk=True)
    move.here = Known(identities={"/alpha/1": "aaaa"})
    move.there = Known(identities={"/beta/1": "bbbb"})
    return move


def test_g42_other_storage_is_a_warning() -> None:
    text = "The contents of vol1@primary-vds0 on the target are not those on this machine"
    move = other_contents()
    refused(move, "G42", text, warning=True)
    move.plan()
    move.options = Options(strict_storage=True)
    refused(move, "G42", text)
    move.options = Options(strict_storage=True, force=True)
    refused(move, "G42", text, warning=True)


def test_g42_only_what_is_proved_counts() -> None:
    move = other_contents()
    move.there = Known(identities={"/beta/1": "aaaa"})
    allowed(move)
    move.there = Known()
    allowed(move)


@pytest.mark.parametrize("upto", ["booted", "bound"])
def test_g43_switches_exist(upto: str) -> None:
    move = Move(upto=upto).with_devices(net=True)
    allowed(move)
    move.target_primary(switches=())
    refused(move, "G43", "Failed to find required vsw primary-vsw0 on target machine")


@pytest.mark.parametrize("upto", ["booted", "bound", "inactive"])
def test_g45_mac_addresses_are_free(upto: str) -> None:
    move = Move(upto=upto).with_devices(net=True)
    move.target.ok("add-domain", domains=["other"])
    other = move.target.domain("other").but(mac=0x00144FF90001)
    move.target.manager.commit(move.target.manager.configuration.with_domain(other))
    refused(move, "G45", "The MAC address 00:14:4f:f9:00:01 of the vnet/vsw is in use on the target")


def test_g45_holds_for_the_domains_own_address() -> None:
    move = Move()
    other = move.target
    other.ok("add-domain", domains=["other"])
    other.manager.commit(other.manager.configuration.with_domain(other.domain("other").but(mac=move.domain.mac)))
    assert [each.rule for each in move.report().findings] == ["G45"]


@pytest.mark.parametrize("upto", ["booted", "bound"])
@pytest.mark.parametrize("vccs", [(), (Vcc(name="primary-vcc0", first_port=5000, last_port=5000),)])
def test_g46_a_console_port_is_free(upto: str, vccs: tuple[Vcc, ...]) -> None:
    move = Move(upto=upto)
    if vccs:
        move.target.ok("set-vcc", vcc="primary-vcc0", **{"port-range": "5000-5000"})
        move.target.ok("add-domain", domains=["holder"])
        move.target.ok("set-vcpu", count="1", domain="holder")
        move.target.ok("set-memory", size="1G", domain="holder")
        move.target.ok("bind-domain", domain="holder")
    else:
        move.target_primary(vccs=())
    refused(move, "G46", "No console port is free on the target for LDom ldg1")


@pytest.mark.parametrize("upto", ["booted", "bound"])
def test_g48_the_console_group_does_not_exist(upto: str) -> None:
    move = Move(upto=upto)
    move.target.ok("add-domain", domains=["other"])
    move.target.ok("set-vconsole", domain="other", group="ldg1")
    move.target.ok("set-vcpu", count="1", domain="other")
    move.target.ok("set-memory", size="1G", domain="other")
    allowed(move)
    move.target.ok("bind-domain", domain="other")
    refused(move, "G48", "A console group named ldg1 already exists on the target")
    move.options = Options(new_name="moved")
    allowed(move)


@pytest.mark.parametrize("upto", ["booted", "bound"])
def test_g49_virtual_sans_exist(upto: str) -> None:
    move = Move(upto=upto).with_devices(adapter=0)
    allowed(move)
    refused(move.target_primary(vsans=()), "G49", "The virtual SAN san1 does not exist on the target")


def test_m21_gpt_labels_need_firmware_also_when_inactive() -> None:
    for upto in ("booted", "bound", "inactive"):
        move = Move(upto=upto).with_devices(disk=True)
        move.here = Known(gpt=("/alpha/1",))
        allowed(move)
        move.edit_target = lambda facts: replace(facts, server=replace(facts.server, firmware="9.0.2"))
        text = "Volume vol1@primary-vds0 has an EFI GPT disk label, which the target does not support"
        refused(move, "M21", text, also=("M19",) if upto == "booted" else ())


@pytest.mark.parametrize(("firmware", "knows"), [
    ("7.4.5", False), ("8.3.0", False), ("8.4", True), ("9.0.2", False), ("9.1", True), ("9.10.1", True),
    ("XCP 2221", False), ("XCP 2230", True), ("XCP 3021", True), ("10.1", True),
])  # fmt: skip
def test_m21_which_firmware(firmware: str, knows: bool) -> None:
    from ldmd.migration.checks.devices import knows_gpt

    assert knows_gpt(firmware) is knows


def test_m22_volume_options_of_an_active_domain() -> None:
    for upto in ("booted", "bound"):
        move = Move(upto=upto).with_devices(disk=True)
        move.target_primary(disk_servers=(DiskServer(name="primary-vds0", volumes=(
            Volume(name="vol1", backend="/x", options=("ro",), mpgroup="g"),)),))
        if upto == "bound":
            allowed(move)
            continue
        texts = ("Volume vol1@primary-vds0 has other options on the target: ro, here: none",
                 "Volume vol1@primary-vds0 has other mpgroup on the target: g, here: none")
        refused(move, "M22", *texts)
        move.options = Options(force=True)
        refused(move, "M22", *texts, warning=True)


def test_m23_adapters_wait_for_ever() -> None:
    move = Move().with_devices(adapter=30)
    refused(move, "M23", "The timeout of vHBA vh0 is 30, not 0")
    move.options = Options(force=True)
    refused(move, "M23", "The timeout of vHBA vh0 is 30, not 0", warning=True)
    allowed(Move(upto="bound").with_devices(adapter=30))


def test_m24_channels_of_the_target() -> None:
    move = Move().with_devices(disk=True, net=True)
    move.edit_target = lambda facts: replace(facts, endpoints_per_domain=3)
    refused(move, "M24", "LDom ldg1 needs 4 LDC endpoints, a domain of the target has 3")
