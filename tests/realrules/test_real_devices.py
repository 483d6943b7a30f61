"""Physical and virtual I/O on real servers: G30 to G49, and M21 to M23."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hall import BUS, ENDPOINT, PF, PORTS, VDS, VSW, Hall

pytestmark = [pytest.mark.slow, pytest.mark.nosan]
MAC = "00:14:4f:fc:00:01"
DATA, SWITCH, ADAPTERS = "add-vdsdev {}/data.img data@vds9", "add-vsw vsw9 primary", \
    "add-vsan -q /SYS/MB/SASHBA0 san9 primary"
PHYSICAL = "ldom {} contains physical I/O resources and cannot be migrated"
A, B = "t5a", "t5b"


@pytest.fixture(scope="module")
def rich(hall: Hall) -> Iterator[Hall]:
    """Domain `rich` runs on t5a, with a disk, a network device and a SCSI adapter of services that t5b has as well."""
    hall.up(A, B)
    hall.shell.sun4v("mkdisk", str(hall.home / "data.img"), "8M")
    for machine in (A, B):
        hall.ok(machine, "add-vds vds9 primary", DATA.format(hall.home), SWITCH, ADAPTERS)
    hall.add(A, "rich", f"add-vnet mac-addr={MAC} vnet0 vsw9 rich", "add-vhba vh0 san9 rich",
             "set-vhba timeout=0 vh0 rich", "add-vdisk data data@vds9 rich")
    hall.volume(B, "rich")
    hall.allowed("rich", A, B)
    yield hall
    hall.drop(A, "rich")


@pytest.fixture
def owner(hall: Hall) -> Iterator[Hall]:
    """A domain that may be given devices."""
    hall.up(A, B)
    hall.ok(A, "add-domain owner", "set-vcpu 1 owner", "set-memory 64M owner")
    yield hall
    hall.drop(A, "owner")


@pytest.mark.parametrize(("rule", "device", "kind"), [
    ("g30", BUS, "it owns pci_3"), ("g31", ENDPOINT, f"it owns the PCIe endpoint devices {ENDPOINT}"),
    ("g32", f"{PF}.VF0", f"it owns the virtual functions {PF}.VF0"),
])  # fmt: skip
def test_g30_g31_g32_physical_devices(owner: Hall, rule: str, device: str, kind: str) -> None:
    """Inactive, bound and active; it is told what it owns."""
    owner.allowed("owner", A, B)
    owner.ok(A, f"add-io {device} owner")
    for step in ("bind-domain owner", "start-domain owner"):
        owner.refused("owner", A, B, PHYSICAL.format("owner"))
        owner.ok(A, step)
    said = owner.migrate("owner", A, B).err.splitlines()
    assert said[:3] == [PHYSICAL.format("owner"), f"  {kind}",
                        f"  `ldm remove-io {device} owner` first, and all others"]
    assert "OpenBoot" in said[3], "the other rule that is unmet is told too"


def test_g33_hybrid_mode_is_kept_and_never_required(hall: Hall) -> None:
    """A T3 has network units, a T5 none: the constraint goes along all the same."""
    hall.up("t3a", B)
    hall.ok("t3a", "add-domain hybrid", "set-vcpu 1 hybrid", "set-memory 64M hybrid",
            f"add-vnet mode=hybrid vnet0 {VSW} hybrid", "bind-domain hybrid")
    hall.allowed("hybrid", "t3a", B)
    hall.moved("hybrid", "t3a", B)
    assert "mode=hybrid" in hall.ok(B, "list-bindings -p hybrid")
    hall.drop(B, "hybrid")


def test_g40_disk_servers_exist(rich: Hall) -> None:
    with rich.changed(B, "remove-vdsdev data@vds9", "remove-vds vds9",
                      back=("add-vds vds9 primary", DATA.format(rich.home))):
        rich.refused("rich", A, B, "The virtual disk server, vds9, does not exist on the target")
    rich.allowed("rich", A, B)


def test_g40_data_plane_services_exist(hall: Hall) -> None:
    hall.up(A, B)
    hall.ok(A, "add-vdpcs dp0 primary", "add-domain plane", "set-vcpu 1 plane", "set-memory 64M plane",
            "add-vdpcc c0 dp0 plane", "bind-domain plane")
    hall.refused("plane", A, B, "The virtual data plane channel service, dp0, does not exist on the target")
    hall.ok(B, "add-vdpcs dp0 primary")
    hall.allowed("plane", A, B)
    hall.drop(A, "plane")


def test_g41_volumes_exist_under_the_same_names(rich: Hall) -> None:
    other = rich.home / "elsewhere.img"
    other.symlink_to(rich.home / "data.img")
    with rich.changed(B, "remove-vdsdev data@vds9", back=(f"add-vdsdev {other} data@vds9",)):
        rich.refused("rich", A, B, "The VDisk service, vds9, or volume data does not exist on the target")
    rich.allowed("rich", A, B)  # the path may differ
    rich.ok(B, "remove-vdsdev data@vds9", DATA.format(rich.home))


def test_g42_other_contents_are_told_and_refused_where_asked_for(rich: Hall) -> None:
    text = "The contents of data@vds9 on the target are not those on this machine"
    (rich.home / "wrong.img").write_bytes(b"other" + bytes((8 << 20) - 5))
    with rich.changed(B, "remove-vdsdev data@vds9", f"add-vdsdev {rich.home}/wrong.img data@vds9",
                      back=("remove-vdsdev data@vds9", DATA.format(rich.home))):
        rich.warned("rich", A, B, text)
        with rich.settings(B, strict_storage=True):
            rich.refused("rich", A, B, text)
            rich.warned("rich", A, B, text, options="-f")
    rich.allowed("rich", A, B)


def test_g43_switches_exist(rich: Hall) -> None:
    with rich.changed(B, "remove-vsw vsw9", back=(SWITCH,)):
        rich.refused("rich", A, B, "Failed to find required vsw vsw9 on target machine")
    rich.allowed("rich", A, B)


def test_g44_nobody_asks_where_the_switch_leads(rich: Hall) -> None:
    with rich.changed(B, "set-vsw net-dev=net1 vsw9", back=("set-vsw net-dev= vsw9",)):
        rich.allowed("rich", A, B)


def test_g45_mac_addresses_are_free(rich: Hall) -> None:
    """One that was given by hand on both machines, while the other's manager could not answer that it has it."""
    with rich.changed(B, "add-domain other", back=("remove-domain other",)):
        rich.shell.kill_ldmd(A)
        try:
            rich.ok(B, f"add-vnet mac-addr={MAC} vnet0 vsw9 other")
        finally:
            rich.shell.run("ldmd.daemon", "--machine", A)
        rich.refused("rich", A, B, f"The MAC address {MAC} of the vnet/vsw is in use on the target")
    rich.allowed("rich", A, B)


def test_g46_a_console_port_is_free(rich: Hall) -> None:
    """Whoever is bound on the target has one; the range ends behind the last of them."""
    used = sum("|name=primary|" not in line and "|state=inactive|" not in line
               for line in rich.ok(B, "list -p").splitlines() if line.startswith("DOMAIN|"))
    first = rich.on[B]
    with rich.changed(B, "add-domain holder", "set-vcpu 1 holder", "set-memory 64M holder", "bind-domain holder",
                      back=("unbind-domain holder", "remove-domain holder")), \
            rich.changed(B, f"set-vcc port-range={first}-{first + used} primary-vcc0",
                         back=(f"set-vcc port-range={first}-{first + PORTS - 1} primary-vcc0",)):
        rich.refused("rich", A, B, "No console port is free on the target for LDom rich")
        rich.ok(B, f"set-vcc port-range={first}-{first + used + 1} primary-vcc0")
        rich.allowed("rich", A, B)


def test_g48_the_console_group_does_not_exist(rich: Hall) -> None:
    with rich.changed(B, "add-domain other", "set-vconsole group=rich other", "set-vcpu 1 other",
                      "set-memory 64M other", back=("remove-domain other",)):
        rich.allowed("rich", A, B)
        with rich.changed(B, "bind-domain other", back=("unbind-domain other",)):
            rich.refused("rich", A, B, "A console group named rich already exists on the target")
            rich.allowed("rich", A, B, to="moved")


def test_g47_the_console_is_placed_anew(hall: Hall) -> None:
    """Group and port that were asked for do not count there; the name on the target is the group."""
    hall.up(A, B)
    hall.ok(A, "add-domain talker", "set-vcpu 1 talker", "set-memory 64M talker",
            f"set-vconsole group=mine port={hall.on[A] + 9} talker", "bind-domain talker")
    assert f"group=mine|service=primary-vcc0@primary|port={hall.on[A] + 9}" in hall.ok(A, "list-bindings -p talker")
    hall.moved("talker", A, B, to="speaker")
    row = next(line for line in hall.ok(B, "list-bindings -p speaker").splitlines() if line.startswith("VCONS|"))
    assert "group=speaker" in row and "service=primary-vcc0@primary" in row
    assert int(row.partition("port=")[2].split("|")[0]) in range(hall.on[B], hall.on[B] + 12)
    hall.drop(B, "speaker")


def test_g49_virtual_sans_exist(rich: Hall) -> None:
    with rich.changed(B, "remove-vsan san9", back=(ADAPTERS,)):
        rich.refused("rich", A, B, "The virtual SAN san9 does not exist on the target")
    rich.allowed("rich", A, B)


def test_m22_volume_options_of_an_active_domain(rich: Hall) -> None:
    texts = ("Volume data@vds9 has other options on the target: ro, here: none",
             "Volume data@vds9 has other mpgroup on the target: g, here: none")
    with rich.changed(B, "remove-vdsdev data@vds9",
                      f"add-vdsdev options=ro mpgroup=g {rich.home}/data.img data@vds9",
                      back=("remove-vdsdev data@vds9", DATA.format(rich.home))):
        rich.refused("rich", A, B, *texts)
        rich.warned("rich", A, B, *texts, options="-f")


def test_m23_adapters_wait_for_ever(rich: Hall) -> None:
    text = "The timeout of vHBA vh0 is 30, not 0"
    with rich.changed(A, "set-vhba timeout=30 vh0 rich", back=("set-vhba timeout=0 vh0 rich",)):
        rich.refused("rich", A, B, text)
        rich.warned("rich", A, B, text, options="-f")


def test_g40_nothing_is_asked_of_the_services_of_an_inactive_domain(rich: Hall) -> None:
    """Nor whether it has room there."""
    with rich.changed(A, "add-domain later", "set-vcpu 200 later", "add-vnet n vsw9 later", "add-vhba h san9 later",
                      back=("remove-domain later",)), \
            rich.changed(B, "remove-vsw vsw9", "remove-vsan san9", back=(SWITCH, ADAPTERS)):
        rich.allowed("later", A, B)


def test_all_that_is_unmet_is_told_at_once(rich: Hall) -> None:
    """In the rules' order, each with a cause or a remedy; the last line once."""
    rich.up("m10a")
    texts = ("The target machine is running cpu type SPARC64 X but the domain was started on a machine running cpu "
             "type SPARC T5", "The virtual disk server, vds9, does not exist on the target",
             f"The VDisk service, {VDS}, or volume rich does not exist on the target",
             "Failed to find required vsw vsw9 on target machine", "The virtual SAN san9 does not exist on the target",
             "An LDom with the name 'rich' already exists on the target machine")
    with rich.changed("m10a", "add-domain rich", back=("remove-domain rich",)):
        rich.refused("rich", A, "m10a", *texts)
        lines = rich.migrate("rich", A, "m10a").err.splitlines()
        assert all(lines[lines.index(text) + 1].startswith("  ") for text in texts)
