"""What public tools that drive `ldm` take out of its output, written anew from how they parse it.

OpenSVC's drivers for domains and their disks, Salt and Ansible modules, an inventory discovery, test suites for
resilient I/O, and scripts. Each test names the habit that it holds us to.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from ldm_samples import NOW, configuration, domain, guest, primary, seconds, status
from ldm_support import ldm, ldm_ok
from manager_support import make_manager

from ldmd.manager import Manager
from ldmd.model import Cpus, DiskServer, MemoryAmount, State, VirtualFunction, Volume
from ldmd.operations.context import HypervisorError


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Manager:
    """A server with an active, a bound and an inactive guest, whose configuration is set as it is."""
    made = make_manager()
    nvram = '." Started" cr\n." ChassisSerialNumber AK0012 " cr'
    paths = tuple(DiskServer(name=f"{owner}-vds0", volumes=(
        Volume(name="vol1", backend="/dev/dsk/c1t0d0", mpgroup="mp1"),
        Volume(name="iso", backend="/export/sol.iso", options=("ro",)))) for owner in ("primary", "secondary"))
    second = guest("secondary", 3, vdisks=(), vnets=(), disk_servers=(paths[1],), state=State.ACTIVE, started_at=NOW)
    active = guest("ldg1", 1, state=State.ACTIVE, started_at=NOW - seconds(0, 1), masters=("primary", "secondary"),
                   variables=(("boot-device", "disk net"), ("nvramrc", nvram), ("pm_boot_policy", "a=0;b=1;")))
    waiting = domain("ldg3", cpus=Cpus(vcpus=8), memory=MemoryAmount(size_bytes=4 << 30))
    config = configuration(primary(disk_servers=(paths[0],)), active, guest("ldg2", 2), second, waiting)
    function = VirtualFunction(name="/SYS/MB/NET0/IOVNET.PF0.VF0", pf="/SYS/MB/NET0/IOVNET.PF0")
    made._configuration = config.but(virtual_functions=(function,))
    made._configuration = made._configuration.with_domain(active.but(io=(function.name,)))
    statuses = [status(number, 1.5) for number in (0, 1, 3)]
    monkeypatch.setattr(made.hypervisor, "op_guest_list", lambda: statuses, raising=False)
    return made


# -- OpenSVC: container and disk drivers


def words(output: str) -> list[list[str]]:
    return [word.split("=") for word in output.split("|")]


@pytest.mark.parametrize(("name", "state"), [("ldg1", "active"), ("ldg2", "bound"), ("ldg3", "inactive")])
def test_the_state_is_a_word_of_two_halves(manager: Manager, name: str, state: str) -> None:
    """All of `ldm list -p NAME` is cut at bars, lines or not; the first state= of exactly two halves counts."""
    found = [word[1] for word in words(ldm_ok(manager, f"list -p {name}")) if len(word) == 2 and word[0] == "state"]
    assert found == [state]


def test_an_unknown_domain_fails(manager: Manager) -> None:
    done = ldm(manager, "list -p nobody")
    assert done.status == 1 and done.out == "" and "not found" in done.err


def test_a_variable_is_one_line(manager: Manager) -> None:
    assert ldm_ok(manager, "list-variable boot-device ldg1") == "boot-device=disk net\n"
    assert "not found" in ldm(manager, "list-variable auto-boot? ldg1").err


def test_disks_lead_to_backends(manager: Manager) -> None:
    """Volumes of `list-services -p` by name@server, then the volumes of `list -o disk -p`."""
    backends, server = {}, ""
    for line in ldm_ok(manager, "list-services -p").split("\n"):
        keys = line.split("|")
        pairs = [key.split("=") for key in keys]
        if keys[0] == "VDS" and len(keys) > 1:
            server = next(pair[1] for pair in pairs if pair[0] == "name" and len(pair) == 2)
        elif server and keys[0] == "":
            row = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
            if "vol" in row:
                backends[f"{row['vol']}@{server}"] = row["dev"]
        else:
            server = ""
    assert backends["vol1@primary-vds0"] == "/dev/dsk/c1t0d0" and len(backends) == 4
    used = {key.removeprefix("vol=") for line in ldm_ok(manager, "list -o disk -p ldg1").split("\n")
            if line.startswith("VDISK|") for key in line.split("|") if key.startswith("vol=")}
    assert used == {"vol1@primary-vds0"}


# -- Salt: an execution module around ldm


def strict(line: str) -> dict[str, str]:
    """Every item behind the keyword has exactly one equals sign."""
    return dict(item.split("=") for item in line.split("|")[1:])  # type: ignore[misc]


@pytest.mark.parametrize(("line", "keyword", "keys"), [
    ("list-domain -p", "DOMAIN", {"name", "state", "flags", "cons", "ncpu", "mem", "util", "uptime", "norm_util"}),
    ("list-domain -o net -p ldg1", "VNET", {"name", "service", "pvid", "mac-addr", "id"}),
    ("list-domain -o disk -p ldg1", "VDISK", {"name", "vol", "server", "mpgroup", "id", "timeout"}),
    ("ls-services -p", "VSW", {"name", "ldom", "mac-addr", "net-dev", "vid", "pvid", "mtu"}),
])
def test_items_have_one_equals_sign(manager: Manager, line: str, keyword: str, keys: set[str]) -> None:
    rows = [strict(each) for each in ldm_ok(manager, line).splitlines() if each.startswith(keyword)]
    assert rows and all(keys <= set(row) for row in rows)


def test_ids_of_disks_are_numbers(manager: Manager) -> None:
    rows = [strict(line) for line in ldm_ok(manager, "list-domain -o disk -p ldg1").splitlines()
            if line.startswith("VDISK")]
    assert [int(row["id"]) for row in rows] == [0]


def test_constraints_are_read_line_by_line(manager: Manager) -> None:
    lines = [line for line in ldm_ok(manager, "list-constraints -p ldg1").splitlines()
             if line.startswith(("DOMAIN", "UUID", "VNET", "VDISK", "CONTROL"))]
    assert lines[0].split("=")[1] == "ldg1"
    assert re.fullmatch(r"[0-9a-f-]{36}", lines[1].split("=")[1])
    control = dict(item.partition("=")[::2] for item in lines[2].split("|")[1:])
    assert (control["failure-policy"], control["cpu-arch"]) == ("ignore", "native")
    assert lines[3].startswith("VNET|name=vnet0|dev=")
    assert lines[4].startswith("VDISK|name=vdisk0|vol=vol1@primary-vds0")
    assert "VCONS" not in ldm_ok(manager, "list-constraints -p ldg1"), "only a console that was asked for has a port"


def test_free_cores_and_memory(manager: Manager) -> None:
    """Each line with a bar is a core, free ones contain free=100; memory that is not free contains `bound`."""
    cores = [line for line in ldm_ok(manager, "list-devices -a -p core").splitlines() if "|" in line]
    assert (len(cores), sum("free=100" in line for line in cores)) == (32, 27)
    total = bound = 0
    for line in ldm_ok(manager, "list-devices -a -p mem").splitlines():
        if "|" in line:
            size = int(line.split("|")[2].split("=")[1])
            total, bound = total + size, bound + (size if "bound" in line else 0)
    assert total == 1 << 40 and bound == (32 + 3 * 2 + 1) << 30  # with 512M of firmware on each of two nodes


def test_the_active_path_of_a_disk(manager: Manager) -> None:
    """In `ls-bindings -p` the fourth field of a line with mpg-path=active is the service domain."""
    rows = [line.split("|")[3].split("=")[1] for line in ldm_ok(manager, "ls-bindings -p ldg1").splitlines()
            if "mpg-path=active" in line]
    assert rows == ["primary"]


def test_a_migration_is_watched_by_a_word(manager: Manager) -> None:
    assert "STATUS" not in ldm_ok(manager, "ls -o status ldg1")
    assert "not found" in ldm(manager, "ls -o status gone").err


def test_network_devices(manager: Manager) -> None:
    """Every line but DOMAIN is items of one equals sign; the class says what it is."""
    lines = [line for line in ldm_ok(manager, "list-netdev -l -p ldg1").splitlines() if not line.startswith("DOMAIN")]
    rows = [dict(item.split("=") for item in line.split("|")) for line in lines]  # type: ignore[misc]
    assert [(row["name"], row["class"]) for row in rows] == [("net0", "ESR-VF"), ("net1", "VNET")]


# -- Ansible modules


def test_records_are_found_by_their_first_word(manager: Manager) -> None:
    info: dict[str, str] = {}
    for line in ldm_ok(manager, "list -p ldg1").splitlines():
        if line.startswith("DOMAIN|"):
            info.update(field.split("=", 1) for field in line.split("|") if "=" in field)  # type: ignore[arg-type]
    assert (info["name"], info["state"], info["ncpu"]) == ("ldg1", "active", "8")
    counts = ldm_ok(manager, "list-constraints -p ldg3")
    assert re.search(r"^VCPU\|.*count=8", counts, re.MULTILINE) and re.search(r"^MEMORY\|.*size=", counts, re.MULTILINE)


# -- an inventory discovery: keywords, then lines of attributes


def tokens(output: str) -> list[tuple[str, list[dict[str, str]]]]:
    """(keyword, [attributes]) with its way with values of several lines and its complaint about malformed lines."""
    assert re.match(r"VERSION\s+\d+\.\d+", output)
    output = re.sub(r"^VERSION\s+\d+\.\d+\s+", "", output)
    parts = re.split(r"^([A-Z0-9]+)(?=\s+|\|)", output, flags=re.MULTILINE)
    found = []
    for keyword, text in zip(parts[1::2], parts[2::2], strict=True):
        body = re.sub(r'=\."(.*?)"\s+cr', r"=\1", text)
        joined = re.sub(r'\n\."(.*?)"\s+cr', r"%NEWLINE%\1", body)
        rows = []
        for line in filter(None, (each.strip() for each in joined.split("\n"))):
            fields = line.split("|")
            assert len(fields) > 1 and fields[0] == "", f"cannot parse {line!r} of {keyword}"
            pairs = [field.split("=", 1) for field in fields[1:]]
            assert all(len(pair) == 2 for pair in pairs), line
            rows.append({name.strip(): value for name, value in pairs})
        found.append((keyword, rows))
    return found


@pytest.fixture
def topology(manager: Manager) -> dict[str, dict[str, list[list[dict[str, str]]]]]:
    domains: dict[str, dict[str, list[list[dict[str, str]]]]] = {}
    current: dict[str, list[list[dict[str, str]]]] = {}
    for keyword, rows in tokens(ldm_ok(manager, "list-bindings -p")):
        if keyword == "DOMAIN":
            current = domains.setdefault(rows[0]["name"], {})
        current.setdefault(keyword, []).append(rows)
    return domains


def test_domains_with_roles(topology: Any) -> None:
    assert list(topology) == ["primary", "ldg1", "ldg2", "secondary", "ldg3"]
    heads = {name: rows["DOMAIN"][0][0] for name, rows in topology.items()}
    assert all(head["state"] and head["flags"] for head in heads.values()), "an empty one drops the domain"
    assert heads["primary"]["flags"].split(",") == ["normal", "control", "vio-service"]
    assert heads["ldg1"]["softstate"] == "Solaris running"
    assert [name for name, head in heads.items() if "control" in head["flags"].split(",")] == ["primary"]


def test_identity_of_a_domain(topology: Any) -> None:
    ldg1 = topology["ldg1"]
    assert re.fullmatch(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", ldg1["MAC"][0][0]["mac-addr"])
    assert ldg1["HOSTID"][0][0]["hostid"].startswith("0x") and ldg1["UUID"][0][0]["uuid"]
    assert ldg1["CONTROL"][0][0]["failure-policy"] == "ignore"
    assert ldg1["DEPENDENCY"][0][0]["master"].split(",") == ["primary", "secondary"]
    nvramrc = next(row["nvramrc"] for row in ldg1["VARIABLES"][0] if next(iter(row)) == "nvramrc")
    serial = re.search(r".*\s*ChassisSerialNumber (\w+)\s*", nvramrc)
    assert serial is not None and serial[1] == "AK0012"


def test_services_and_devices(topology: Any) -> None:
    switch = topology["primary"]["VSW"][0][0]
    assert (switch["name"], switch["net-dev"], switch["dev"], switch["id"]) == ("primary-vsw0", "net0", "switch@0", "0")
    assert re.match(r"switch@(\d+)", switch["dev"])
    assert (int(switch["default-vlan-id"]), int(switch["mtu"])) == (1, 1500)
    server = topology["primary"]["VDS"][0]
    assert [row["vol"] for row in server[1:] if next(iter(row)) == "vol"] == ["vol1", "iso"]
    assert [row["opts"] for row in server[1:] if next(iter(row)) == "vol"] == ["", "ro"]
    ports = re.match(r"(\d+)-(\d+)", topology["primary"]["VCC"][0][0]["port-range"])
    assert ports is not None and ports.groups() == ("5000", "5100")
    net, disk = topology["ldg1"]["VNET"][0][0], topology["ldg1"]["VDISK"][0][0]
    assert (net["service"], net["dev"], net["id"]) == ("primary-vsw0@primary", "network@0", "0")
    assert (disk["vol"], disk["server"], disk["dev"], disk["mpgroup"], disk["id"]) == (
        "vol1@primary-vds0", "primary", "disk@0", "mp1", "0")
    console = topology["ldg1"]["VCONS"][0][0]
    assert (console["group"], console["service"], console["port"]) == ("ldg1", "primary-vcc0@primary", "5000")
    assert topology["primary"]["VCONS"][0][0]["type"] == "UART"


def test_sizes_of_the_server(manager: Manager) -> None:
    """A strand is a line of four fields; memory is the sum of all size=."""
    lines = [line.strip().split("|") for line in ldm_ok(manager, "list-devices -a -p cpu").split("\n") if line.strip()]
    assert sum(len(fields) == 4 for fields in lines) == 256
    sizes = re.findall(r"size=(\d+)", ldm_ok(manager, "list-devices -a -p memory"))
    assert sum(int(size) >> 20 for size in sizes) == 1 << 20


def test_versions(manager: Manager) -> None:
    output = ldm_ok(manager, "-V")
    version = re.search(r"Logical Domains? Manager \(v (.+)\)", output)
    assert version is not None and re.match(r"(\d+)(\.(\d+))?", version[1])
    assert re.search(r"Hypervisor control protocol v (\d+)\.(\d+)", output)
    hypervisor = re.search(r"@\(#\)Hypervisor\s+([\w.]+)", output)
    assert hypervisor is not None and re.match(r"(\d+)\.(\d+)", hypervisor[1])


def test_words_for_missing_rights(manager: Manager) -> None:
    from ldmd.messages import message

    text = message("access.write", user="x", file="f").text
    assert re.search(r"Authorization failed|insufficient privileges", text, re.IGNORECASE)


# -- test suites for resilient I/O, and scripts that cut fields by their number


def cut(line: str, number: int) -> str:
    """Field of that number, from 1, as cut(1) and awk(1) count."""
    return line.split("|")[number - 1]


def test_fields_by_number(manager: Manager) -> None:
    last = ldm_ok(manager, "list -p ldg1").splitlines()[-1]
    assert (cut(last, 3), cut(last, 5)) == ("state=active", "cons=5000")
    disk = next(line for line in ldm_ok(manager, "list-bindings -p ldg1").splitlines() if "VDISK" in line)
    assert re.split(r"[|=@]", disk)[4] == "vol1"
    volume = next(line for line in ldm_ok(manager, "list-services -p").splitlines() if "vol1" in line)
    assert cut(volume, 4) == "dev=/dev/dsk/c1t0d0"
    consoles = re.findall(r"cons=([0-9]+)", "\n".join(
        line for line in ldm_ok(manager, "list -p").splitlines() if "state=active" in line))
    assert consoles == ["5000", "5002"]


def test_free_resources_by_grep(manager: Manager) -> None:
    output = ldm_ok(manager, "ls-devices -p")
    assert sum("|pid=" in line for line in output.splitlines()) == 256 - 16 - 8 * 3
    sizes = [re.sub(r"^.*size=", "", line) for line in ldm_ok(manager, "ls-devices -p memory").splitlines()
             if "size=" in line]
    assert sizes and all(size.isdecimal() for size in sizes), "size is the last field"


def test_mac_address_by_sed(manager: Manager) -> None:
    line = next(each for each in ldm_ok(manager, "ls-bindings -p ldg1").splitlines() if each.startswith("VNET"))
    found = re.match(r"^.*vice=([^|]*).*addr=([^|]*).*$", line)
    assert found is not None and found.groups() == ("primary-vsw0@primary", "00:14:4f:f8:00:01")
    switch = next(each for each in ldm_ok(manager, "ls-bindings -p").splitlines() if "net-dev=net0" in each)
    assert re.match(r"VSW\|name=([^|]*).*$", switch)


def test_functions_by_field(manager: Manager) -> None:
    """dev, alias, status, domain, type, then the class of a function or the bus of a device."""
    rows = {cut(line, 3): line for line in ldm_ok(manager, "list-io -l -p").splitlines() if line.startswith("|")}
    function = rows["alias=/SYS/MB/NET0/IOVNET.PF0"]
    assert (cut(function, 6), cut(function, 7)) == ("type=PF", "class=NETWORK")
    assert cut(rows["alias=/SYS/MB/NET0"], 7) == "bus=pci_1"
    assert cut(rows["alias=/SYS/MB/NET0/IOVNET.PF0.VF0"], 5) == "domain=ldg1"
    assert [line for line in ldm_ok(manager, "list-io -p").splitlines() if "domain=primary" in line and "BUS" in line]


def test_configurations_by_line(manager: Manager) -> None:
    assert re.match(r"^factory-default", ldm_ok(manager, "ls-spconfig").splitlines()[0])


def test_a_machine_that_does_not_answer_does_not_break_the_list(manager: Manager) -> None:
    manager.hypervisor.refuse["guest.list"] = HypervisorError("timeout", "no answer")  # type: ignore[attr-defined]
    done = ldm(manager, "list -p ldg1")
    assert done.status == 0 and "state=active|flags=-t----" in done.out and "no answer" in done.err
