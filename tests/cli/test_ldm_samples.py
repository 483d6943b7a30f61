"""Outputs of the product's guides and of real servers, as they are printed here."""

from __future__ import annotations

import pytest
from ldm_samples import GIB, MIB, NOW, configuration, domain, guest, primary, seconds, status, strands

from emulator.platforms import PLATFORMS
from ldmd.cli import render_lists, render_parseable, render_text
from ldmd.cli.columns import bandwidth, memory, percent, uptime
from ldmd.model import Binding, Cpus, MemoryAmount, MemoryBlock, Policy, State, Vcons, Vhba, Vsan
from ldmd.planner.report import Going, View, by_guest, domains_report
from ldmd.planner.report_devices import devices_report
from ldmd.planner.report_services import services_report
from ldmd.planner.report_system import dependencies_report


def text(lines: object) -> str:
    return "\n".join(lines) + "\n"  # type: ignore[call-overload, no-any-return]


def three() -> View:
    """The published list of a 3.x server: two guests with long names, one of them bound."""
    one = guest("DR-PRD02-CBSAPP01", 1, state=State.ACTIVE, started_at=NOW - seconds(45, 7, 55), binding=Binding(
        id=1, vcpus=strands(16, 16), console_port=5004, memory=(MemoryBlock(0, 64 * GIB, 64 * GIB),)))
    two = guest("DR-PRD02-CBSDB02", 2, binding=Binding(
        id=2, vcpus=strands(32, 16), console_port=5006, memory=(MemoryBlock(0, 128 * GIB, 100 * GIB),)))
    statuses = by_guest([status(0, 7.0), status(1, 0.3)])
    return View(configuration=configuration(primary(), one, two), statuses=statuses, now=NOW)


def test_the_list_of_a_real_server() -> None:
    assert text(render_text.short_list(domains_report(three(), sections=()))) == """\
NAME             STATE      FLAGS   CONS    VCPU  MEMORY   UTIL  NORM  UPTIME
primary          active     -n-cv-  UART    16    32G      7.0%  7.0%  45d 8h 6m
DR-PRD02-CBSAPP01 active     -n----  5004    16    64G      0.3%  0.3%  45d 7h 55m
DR-PRD02-CBSDB02 bound      ------  5006    16    100G
"""


def test_the_list_of_a_real_server_for_programs() -> None:
    """Key names and their order are those of a published output; utilization has one decimal there too."""
    config = configuration(
        primary(cpus=Cpus(vcpus=5), started_at=NOW - 4772570, binding=Binding(
            id=0, vcpus=strands(0, 5), memory=(MemoryBlock(0, 0x20000000, 47272862140),))),
        domain("host1", state=State.ACTIVE, started_at=NOW - 173837, binding=Binding(
            id=1, vcpus=strands(8, 1), console_port=5000, memory=(MemoryBlock(0, 128 * GIB, 47272862140),))))
    view = View(configuration=config, statuses=by_guest([status(0, 0.4), status(1, 1.4, count=1)]), now=NOW)
    assert text([render_parseable.version_line("1.11"), *render_parseable.short_list(domains_report(view))]) == """\
VERSION 1.11
DOMAIN|name=primary|state=active|flags=-n-cv-|cons=UART|ncpu=5|mem=47272862140|util=0.4|uptime=4772570|norm_util=0.4
DOMAIN|name=host1|state=active|flags=-n----|cons=5000|ncpu=1|mem=47272862140|util=1.4|uptime=173837|norm_util=1.4
"""


OLD = """\
NAME             STATE      FLAGS   CONS    VCPU  MEMORY   UTIL  UPTIME
primary          active     -n-c--  SP      8     32544M   0.1%  9m

SOFTSTATE
Solaris running

UUID
    f063b0a8-8fb0-4e61-cd5b-91826d2c1550

MAC
    00:21:28:57:cd:16

HOSTID
    0x8557cd16

CONTROL
    failure-policy=ignore
    extended-mapin-space=on
    cpu-arch=native
    rc-add-policy=
    shutdown-group=0
    perf-counters=

DEPENDENCY
    master=

CORE
    CID    CPUSET
    0      (0, 1, 2, 3, 4, 5, 6, 7)

VCPU
    VID    PID    CID    UTIL STRAND
    0      0      0      0.8%   100%
    1      1      0      0.0%   100%
    2      2      0      0.0%   100%
    3      3      0      0.0%   100%
    4      4      0      0.0%   100%
    5      5      0      0.0%   100%
    6      6      0      0.0%   100%
    7      7      0      0.0%   100%

MAU
    ID     CPUSET
    0      (0, 1, 2, 3, 4, 5, 6, 7)

MEMORY
    RA               PA               SIZE
    0xe000000        0xe000000        32544M

CONSTRAINT
    physical-bindings=

VARIABLES
    auto-boot?=true

IO
    DEVICE           PSEUDONYM        OPTIONS
    pci@0            pci
    niu@80           niu_0

VCONS
    NAME             SERVICE                     PORT   LOGGING
    SP

"""


def test_the_long_list_of_an_old_server() -> None:
    """The published long list of 2.0, with the later additions; on a T5120 its buses have other names."""
    config = configuration(platform="t5120", memory=64 * GIB)
    config = config.but(domains=(primary(
        uuid="f063b0a8-8fb0-4e61-cd5b-91826d2c1550", mac=0x00212857CD16, hostid=0x8557CD16, started_at=NOW - 599,
        cpus=Cpus(vcpus=8), disk_servers=(), switches=(), vccs=(), variables=(("auto-boot?", "true"),),
        io=tuple(root.name for root in PLATFORMS["t5120"].roots),
        binding=Binding(id=0, vcpus=strands(0, 8), crypto=(0,),
                        memory=(MemoryBlock(0xE000000, 0xE000000, 32544 * MIB),))),))
    said = status(0, 0.0, count=8)
    said["vcpus"][0]["util"] = 0.8
    report = domains_report(View(configuration=config, statuses=by_guest([said]), now=NOW))
    shown = text(render_text.long_list(report, render_text.Style()))
    names = [(root.device, root.name) for root in
             PLATFORMS["t5120"].roots]
    expected = OLD
    start = expected.index("    pci@0 ")
    end = expected.index("\nVCONS")
    rows = "".join(f"    {device:<16} {name}\n" for device, name in names)
    assert shown == expected[:start] + rows + expected[end:]


def test_memory_of_one_domain() -> None:
    config = configuration(primary(), guest("ldg1", 1, binding=Binding(id=1, vcpus=strands(16, 8), memory=(
        MemoryBlock(0x80000000, 0x8400000000, 2 * GIB), MemoryBlock(0x400000000, 0x9080000000, 6 * GIB)))))
    report = domains_report(View(configuration=config, now=NOW), ["ldg1"], ["memory"])
    assert text(render_text.format_list(report, ["memory"], render_text.Style())) == """\
NAME
ldg1

MEMORY
    RA               PA               SIZE
    0x80000000       0x8400000000     2G
    0x400000000      0x9080000000     6G

"""


@pytest.mark.parametrize(("role", "title", "peer", "percent_done"), [("source", "TARGET", "system2", 17),
                                                                    ("target", "SOURCE", "system1", 55)])
def test_status_of_a_migration(role: str, title: str, peer: str, percent_done: int) -> None:
    """As in the guide's chapter on migration."""
    config = configuration(primary(), guest("ldg-src", 1, state=State.SUSPENDED, started_at=NOW - seconds(0, 2, 7)))
    going = {"ldg-src": Going(operation="migration", progress_percent=percent_done, role=role, peer=peer)}
    view = View(configuration=config, statuses=by_guest([status(1, 0.0)]), going=going, now=NOW)
    report = domains_report(view, ["ldg-src"])
    assert text(render_text.format_list(report, ["status"], render_text.Style())) == f"""\
NAME
ldg-src

STATUS
    OPERATION    PROGRESS    {title}
    migration    {percent_done}%         {peer}

"""
    first = list(render_text.short_list(report))[1]
    assert first.startswith(f"ldg-src          suspended  -n---{role[0]}  5000    8     2G       0.0%  0.0%  2h 7m")
    quiet = domains_report(View(configuration=config, now=NOW), ["ldg-src"], ["status"])
    assert "STATUS" not in text(render_text.format_list(quiet, ["status"], render_text.Style()))


def test_services() -> None:
    assert text(render_lists.services_text(services_report(configuration(primary())))) == """\
VCC
    NAME             LDOM             PORT-RANGE
    primary-vcc0     primary          5000-5100

VSW
    NAME             LDOM             MAC               NET-DEV   ID   DEVICE     LINKPROP   DEFAULT-VLAN-ID PVID VID\
                  MTU   MODE   INTER-VNET-LINK
    primary-vsw0     primary          00:14:4f:fb:54:f2 net0      0    switch@0              1               1   \
                      1500         on

VDS
    NAME             LDOM             VOLUME         OPTIONS          MPGROUP        DEVICE
    primary-vds0     primary          vol1                                           /dev/zvol/dsk/rpool/vol1
                                      iso            ro                              /export/sol.iso

"""


def test_devices_of_an_old_server() -> None:
    """The published list of a server with 32 GiB, all but one core and 28 GiB of it free in the middle."""
    blocks = (MemoryBlock(0, 0xE000000, 32 * MIB), MemoryBlock(32 * MIB, 0x710000000, 3840 * MIB))
    binding = Binding(id=0, vcpus=strands(0, 8), crypto=(0,), memory=blocks)
    report = devices_report(configuration(primary(binding=binding), platform="t5120", memory=32 * GIB))
    shown = text(render_lists.devices_text(report, ["core", "crypto", "memory"], all_of_them=True))
    assert shown.startswith("""\
CORE
    ID      %FREE   CPUSET
    0       0       (0, 1, 2, 3, 4, 5, 6, 7)
    1       100     (8, 9, 10, 11, 12, 13, 14, 15)
""")
    assert """\
MAU
    ID      CPUSET                                  BOUND
    0       (0, 1, 2, 3, 4, 5, 6, 7)                primary
    1       (8, 9, 10, 11, 12, 13, 14, 15)
""" in shown
    assert shown.endswith("""\
MEMORY
    PA                   SIZE            BOUND
    0x0                  512K            _sys_
    0x80000              1536K           _sys_
    0x200000             94M             _sys_
    0x6000000            32M             _sys_
    0x8000000            96M             _sys_
    0xe000000            32M             primary
    0x10000000           28G
    0x710000000          3840M           primary

""")
    assert text(render_lists.devices_text(report, ["memory"])) == """\
MEMORY
    PA                   SIZE
    0x10000000           28G

"""
    assert "    0       0       no\n" in text(render_lists.devices_text(report, ["cpu"], all_of_them=True))
    assert "    8       100     ---\n" in text(render_lists.devices_text(report, ["cpu"], all_of_them=True))


def test_dependencies() -> None:
    config = configuration(primary(), guest("ldg0", 1), domain("ldg1", io=("/SYS/MB/NET0",)))
    report = dependencies_report(config)
    assert text(render_lists.dependencies_text(report, long=True, reverse=False)) == """\
DOMAIN         DEPENDENCY      TYPE      DEVICE
primary
ldg0           primary         VDISK     primary-vds0/vdisk0
                               VNET      primary-vsw0/vnet0
ldg1           primary         IOV       /SYS/MB/NET0
"""


@pytest.mark.parametrize(
    ("marks", "line"),
    [({"current": True, "next_poweron": True}, "a [current]"), ({"current": False, "next_poweron": True},
     "a [next poweron]"), ({"newer": True}, "a [newer]"), ({}, "a")],
)
def test_configurations_on_the_sp(marks: dict[str, bool], line: str) -> None:
    key = "autosaves" if "newer" in marks else "configs"
    assert list(render_lists.spconfigs_text({key: [{"name": "a", **marks}]})) == [line]


def test_adapters_and_policies() -> None:
    svc = domain("svcdom", vsans=(Vsan(name="vs1", iport="/SYS/MB/SASHBA0/HBA0/PORT4"),))
    busy = Policy(name="high-usage", enable=True, priority=1, util_lower=25, util_upper=75, vcpu_max=16,
                  tod_begin=9 * 3600, tod_end=18 * 3600)
    ldg1 = domain("ldg1", vhbas=(Vhba(name="vh1", vsan="vs1", id=0),), policies=(busy,))
    report = domains_report(View(configuration=configuration(primary(), svc, ldg1), now=NOW), ["ldg1"])
    assert """\
    NAME             VSAN                        DEVICE  TOUT SERVER
    vh1              vs1                         vhba@0  0    svcdom
""" in text(render_text.format_list(report, ["hba"], render_text.Style()))
    assert """\
    STATUS  PRI   MIN  MAX  LO   UP   BEGIN     END       RATE  EM  ATK  DK   NAME
    on      1     2    16   25   75   09:00:00  18:00:00  10    5   U    1    high-usage
""" in text(render_text.format_list(report, ["resmgmt"], render_text.Style()))


def test_a_line_of_78_dashes_stands_between_domains() -> None:
    view = View(configuration=configuration(primary(), guest("ldg1", 1), guest("ldg2", 2)), now=NOW)
    shown = text(render_text.long_list(domains_report(view), render_text.Style()))
    assert shown.count("\n" + "-" * 78 + "\nNAME ") == 2
    assert "\n\n" + "-" * 78 in shown


def test_sections_without_content_are_left_out() -> None:
    view = View(configuration=configuration(primary(), domain("ldg1", cpus=Cpus(vcpus=1))), now=NOW)
    shown = text(render_text.long_list(domains_report(view, ["ldg1"]), render_text.Style()))
    titles = [line for line in shown.splitlines() if line.isupper() and line[0] != " "]
    assert titles[1:] == ["UUID", "MAC", "HOSTID", "CONTROL", "DEPENDENCY", "CONSTRAINT"]


def test_health_is_a_column_more() -> None:
    report = domains_report(View(configuration=configuration(primary()), now=NOW))
    shown = text(render_text.long_list(report, render_text.Style(health=True)))
    assert "    RA               PA               SIZE             STATUS\n" in shown
    assert "    0x20000000       0x20000000       32G              ok\n" in shown


def test_constraints() -> None:
    ldg1 = domain("ldg1", cpus=Cpus(vcpus=8), memory=MemoryAmount(size_bytes=4 * GIB), vcons=Vcons(port=5007),
                  variables=(("boot-device", "disk net"),))
    report = domains_report(View(configuration=configuration(primary(), ldg1), now=NOW), ["ldg1"])
    shown = text(render_lists.constraints_text(report))
    for part in ("VCPU\n    COUNT:    8\n", "MEMORY\n    SIZE:    4G\n", "VARIABLES\n", "    boot-device=disk net\n"):
        assert part in shown
    records = list(render_lists.constraints_records(report))
    assert "|boot-device=disk net" in records and "MEMORY|size=4294967296" in records
    assert "VCONS|type=|group=|service=|port=5007|log=on" in records


@pytest.mark.parametrize(
    ("size", "shown"),
    [(32544 * MIB, "32544M"), (1536 << 10, "1536K"), (32 * GIB, "32G"), (1 << 42, "4096G"), (0, "0"), (8193, "8193")],
)
def test_memory_is_the_largest_exact_unit(size: int, shown: str) -> None:
    assert memory(size) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(seconds(45, 8, 6), "45d 8h 6m"), (seconds(0, 2, 7), "2h 7m"), (540, "9m"), (43, "43s"), (0, "0s"), (60, "1m"),
     (seconds(1), "1d"), (seconds(1, 0, 3) + 59, "1d 3m"), (3600, "1h"), (None, "")],
)
def test_uptime(value: int | None, shown: str) -> None:
    assert uptime(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0.0%"), (0.14, "0.1%"), (9.94, "9.9%"), (9.96, "10%"), (23.4, "23%"), (100.0, "100%"), (None, "")],
)
def test_percent(value: float | None, shown: str) -> None:
    assert percent(value) == shown


@pytest.mark.parametrize(("bits", "shown"), [(None, ""), (100_000_000, "100M"), (2_000_000_000, "2G"), (1500, "1500")])
def test_bandwidth(bits: int | None, shown: str) -> None:
    assert bandwidth(bits) == shown
