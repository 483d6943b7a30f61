"""State of the domain and of both managers on real servers: G60 to G63, M02 to M12, M17 to M28, M32."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hall import FAILED, VDS, VSW, WOULD_FAIL, Hall, said, until
from ldm_support import Done
from time_server import TimeServer

from emulator.hvctl.client import Hvctl
from emulator.places import place

pytestmark = [pytest.mark.slow, pytest.mark.nosan]
A, B = "t5a", "t5b"
OPENBOOT = "Migration is not supported while the domain {} is in the 'OpenBoot Running' state"
DEBUGGING = "Migration is not supported while the domain {} is in the 'Solaris debugging' state"


@pytest.fixture(scope="module")
def ready(hall: Hall) -> Iterator[Hall]:
    """Domain `state` runs on t5a; t5b has its disk."""
    hall.up(A, B)
    hall.add(A, "state", f"add-vnet vnet0 {VSW} state")
    hall.volume(B, "state")
    hall.allowed("state", A, B)
    yield hall
    hall.drop(A, "state")


@contextmanager
def debugging(hall: Hall, name: str) -> Iterator[None]:
    """The domain's kernel debugger has it; meanwhile it answers nobody."""
    console = hall.console(A, name)
    console.until(b"# ")
    console.type(b"debug\n")
    until(lambda: "Solaris debugging" in hall.ok(A, f"list -o domain {name}"), "it is not in the debugger")
    try:
        yield
    finally:
        console.type(b"go\n")
        console.socket.close()


class Running:
    """A command in a thread of its own."""

    def __init__(self, hall: Hall, machine: str, line: str) -> None:
        self.done: Done | None = None
        self._thread = threading.Thread(target=self._run, args=(hall, machine, line), daemon=True)
        self._thread.start()

    def _run(self, hall: Hall, machine: str, line: str) -> None:
        self.done = hall.ldm(machine, line)

    def wait(self) -> Done:
        self._thread.join(120)
        assert self.done is not None, "the command does not end"
        return self.done


@pytest.mark.parametrize(("machine", "side"), [(A, "source"), (B, "target")])
def test_g60_no_delayed_reconfiguration(ready: Hall, machine: str, side: str) -> None:
    with ready.changed(machine, "start-reconf primary", back=("cancel-reconf primary",)):
        ready.refused("state", A, B, f"A delayed reconfiguration of LDom primary is under way on the {side} machine "
                      f"{machine}")
    ready.allowed("state", A, B)


def test_g61_policies_are_no_obstacle_and_travel(hall: Hall) -> None:
    hall.up(A, B)
    policy = "add-policy enable=yes vcpu-min=1 vcpu-max=16 name=elastic"
    hall.ok(A, "add-domain saver", "set-vcpu 1 saver", "set-memory 64M saver", f"{policy} saver", "bind-domain saver")
    with hall.changed(B, "add-domain near", "set-vcpu 1 near", "set-memory 64M near", f"{policy} near",
                      "bind-domain near", back=("unbind-domain near", "remove-domain near")):
        hall.moved("saver", A, B)
        assert "elastic" in hall.ok(B, "list -o resmgmt saver")
    hall.drop(B, "saver")


def test_g62_m03_what_is_refused_while_a_domain_moves(ready: Hall) -> None:
    """States and flags at both ends, what others may not do, a second migration, and the end of it by a cancel."""
    hall = ready
    hall.up("t4a")
    for machine in (A, B):
        hall.ok(machine, "add-domain third", "set-vcpu 1 third", "set-memory 64M third")
    with hall.settings(A, bandwidth_bps=40000):
        moving = Running(hall, A, f"migrate-domain -c state {B}")
        until(lambda: hall.row(B, "state") == "bound -----t", "the target shows nothing")
        assert hall.row(A, "state") == "active -n---s"
        for machine in (A, B):
            for line in ("bind-domain third", "set-vcpu 2 third", f"add-vnet n {VSW} third", "start-reconf primary"):
                done = hall.ldm(machine, line)
                assert done.status == 1 and "is refused while LDom state migrates on this machine" in done.err, done
            assert hall.ldm(machine, "stop-domain state").status == 1
        assert said(hall.migrate("third", A, B).err)[0] == f"Another migration is under way on the source machine {A}"
        with hall.changed("t4a", "add-domain fourth", back=("remove-domain fourth",)):
            hall.refused("fourth", "t4a", B, f"Another migration is under way on the target machine {B}")
        assert "    OPERATION    PROGRESS    TARGET\n    migration" in hall.ok(A, "list -o status state")
        assert "    OPERATION    PROGRESS    SOURCE\n    migration" in hall.ok(B, "list -o status state")
        hall.ok(A, "cancel-operation migration state")
        assert moving.wait().err.endswith(FAILED.format("state") + "\n")
        until(lambda: (hall.row(A, "state"), hall.row(B, "state")) == ("active -n----", ""), "not settled")
        assert f"{A}  ldm migrate-domain state {B}  [the source gave it up]" in hall.ok(B, "list-history")
    for machine in (A, B):
        hall.drop(machine, "third")
    assert hall.type(A, "state", "echo alive") == ["alive"]


def pause_of(hall: Hall, here: str, name: str) -> dict[str, object]:
    """The last record of a domain's migrations: its summary."""
    found: dict[str, object] = json.loads(hall.shell.sun4v("report", name, "--json"))["summary"]
    return found


def clock(hall: Hall, machine: str) -> float:
    """The server's time of day, which is its host's."""
    with hall.in_home():
        client = Hvctl(place(machine).hvctl)
    try:
        info = client.call("machine.info")
    finally:
        client.close()
    return float(info["started_at"] + info["time_ns"] / 1e9)


def test_g02_the_clock_is_late_by_the_pause(hall: Hall) -> None:
    """T4 to T5. The target's manager stands still for seconds while the domain is suspended: so late is its clock, and
    it keeps the rate that it was told; the time of day that the hypervisor gives is right. Nothing corrects the clock
    until a time server of the network is asked, or the domain is booted."""
    hall.up("t4a", A)
    hall.add("t4a", "late", f"add-vnet vnet0 {VSW} late", arch="migration-class1")
    hall.volume(A, "late")
    behind = [clock(hall, "t4a") - int(hall.type("t4a", "late", "date +%s")[0])]
    with hall.settings("t4a", bandwidth_bps=30_000_000):
        moving = Running(hall, "t4a", f"migrate-domain -c late {A}")
        until(lambda: re.search(r"migration    [4-9]\d%", hall.ok("t4a", "list -o status late")) is not None,
              "it is not being copied")
        pid = int((hall.home / "run" / A / "ldmd.pid").read_text())
        os.kill(pid, signal.SIGSTOP)
        try:
            until(lambda: hall.row("t4a", "late") == "suspended -n---s", "it is not suspended")
            stood = clock(hall, A)
            until(lambda: clock(hall, A) - stood > 4, "time stands still")
        finally:
            os.kill(pid, signal.SIGCONT)
        assert moving.wait() == Done(0, "", "")
    pause = float(str(pause_of(hall, "t4a", "late")["downtime_ms"])) / 1000
    now, psrinfo = hall.type(A, "late", "date +%s", "psrinfo -pv")
    behind.append(clock(hall, A) - int(now))
    assert pause > 4 and abs(behind[1] - behind[0] - pause) < 3
    assert "clock 2850 MHz" in psrinfo
    with hall.changed(A, f"set-vsw net-dev=net0 {VSW}", back=(f"set-vsw net-dev= {VSW}",)):
        server = TimeServer(hall.home / "run" / A / "net.net0", "10.0.9.66", now=lambda: clock(hall, A))
        try:
            told = hall.type(A, "late", "ifconfig vnet0 10.0.9.1/24", "ntp 10.0.9.66", "date +%s")
        finally:
            server.close()
    assert "step time server 10.0.9.66" in told[1] and abs(clock(hall, A) - int(told[2])) < 3, told
    hall.ok(A, "stop-domain -f late", "start-domain late")
    hall.booted(A, "late")
    assert abs(clock(hall, A) - int(hall.type(A, "late", "date +%s")[0]) - behind[0]) < 3
    hall.drop(A, "late")


def test_g01_the_smaller_control_domain_bounds_the_connections(hall: Hall) -> None:
    """With one virtual CPU in the target's control domain one connection carries memory, else as many as are set."""
    hall.up(A, B)
    hall.add(A, "links")
    hall.volume(B, "links")
    hall.moved("links", A, B)
    assert pause_of(hall, A, "links")["channels"] == 2
    hall.ok(B, "start-reconf primary", "set-vcpu 1 primary", "stop-domain -r primary")
    hall.volume(A, "links")
    hall.moved("links", B, A)
    assert pause_of(hall, B, "links")["channels"] == 1
    hall.ok(B, "start-reconf primary", "set-vcpu 8 primary", "stop-domain -r primary")
    hall.drop(A, "links")


def test_g63_in_openboot(hall: Hall) -> None:
    """The guide's words, exactly; a reset puts a system that ran before there too."""
    hall.up(A, B)
    hall.add(A, "firm", upto="active")
    hall.volume(B, "firm")
    until(lambda: "OpenBoot" in hall.ok(A, "list -o domain firm"), "OpenBoot does not say that it runs")
    hall.refused("firm", A, B, OPENBOOT.format("firm"))
    done = hall.migrate("firm", A, B, "")
    assert [line for line in done.err.splitlines() if not line.startswith("  ")] == [
        OPENBOOT.format("firm"), FAILED.format("firm")]
    hall.drop(A, "firm")


def test_g63_m05_in_the_kernel_debugger_and_while_another_command_waits(ready: Hall) -> None:
    with debugging(ready, "state"):
        ready.refused("state", A, B, DEBUGGING.format("state"))
        other = Running(ready, A, "add-vcpu 1 state")
        until(lambda: len(said(ready.migrate("state", A, B).err)) == 3, "the other command is not seen")
        ready.refused("state", A, B, DEBUGGING.format("state"), "Another operation on LDom state is under way")
        assert "  ldm add-vcpu runs" in ready.migrate("state", A, B).err.splitlines()
    assert other.wait().status == 0
    ready.allowed("state", A, B)


def test_m04_not_while_it_stops(hall: Hall) -> None:
    """A domain that does not answer is stopping until it is forced."""
    hall.up(A, B)
    hall.add(A, "ending")
    hall.volume(B, "ending")
    with debugging(hall, "ending"):
        stopping = Running(hall, A, "stop-domain -t 100 ending")
        until(lambda: hall.row(A, "ending").startswith("stopping"), "it is not stopping")
        texts = said(hall.migrate("ending", A, B).err)
        assert "LDom ending cannot be migrated while it is stopping" in texts
        assert "Another operation on LDom ending is under way" in texts
    assert stopping.wait().status == 0
    hall.drop(A, "ending")


@pytest.mark.parametrize(("machine", "side"), [(A, "source"), (B, "target")])
def test_m02_switched_off(ready: Hall, machine: str, side: str) -> None:
    with ready.settings(machine, **{"outgoing" if side == "source" else "incoming": False}):
        done = ready.migrate("state", A, B)
        assert done.status == 1
        assert said(done.err)[0] == f"Migration is switched off on the {side} machine {machine}"


def test_m06_the_control_domain_stays(ready: Hall) -> None:
    texts = said(ready.migrate("primary", A, B).err)
    assert texts == ["LDom primary is the control domain and cannot be migrated", WOULD_FAIL.format("primary")], \
        "no other remedy would help"


def test_m07_a_service_domain_stays(hall: Hall) -> None:
    hall.up(A, B)
    with hall.changed(A, "add-domain server", "add-vds server-vds0 server",
                      back=("remove-vds server-vds0", "remove-domain server")):
        hall.refused("server", A, B, "LDom server is a service domain and cannot be migrated")


def fields(hall: Hall, machine: str, name: str) -> dict[str, str]:
    """uuid and hostid of a domain."""
    rows = hall.ok(machine, f"list -o domain -p {name}").splitlines()
    found = [row.partition("|")[2].split("|")[0] for row in rows if row.startswith(("UUID|", "HOSTID|"))]
    return dict(each.split("=", 1) for each in found)


def test_m08_m09_m10_names_and_numbers_that_another_has(ready: Hall) -> None:
    found = fields(ready, A, "state")
    with ready.changed(B, "add-domain state", back=("remove-domain state",)):
        ready.refused("state", A, B, "An LDom with the name 'state' already exists on the target machine")
        ready.allowed("state", A, B, to="other")
    with ready.changed(B, f"add-domain uuid={found['uuid']} twin", back=("remove-domain twin",)):
        ready.refused("state", A, B, f"LDom twin of the target has the uuid {found['uuid']} as well")
    with ready.changed(B, f"add-domain hostid={found['hostid'].removeprefix('0x')} twin", back=("remove-domain twin",)):
        ready.warned("state", A, B, f"LDom twin of the target has the hostid {found['hostid']} as well")


def test_m12_named_resources(hall: Hall) -> None:
    hall.up(A, B)
    hall.ok(A, "add-domain named", "set-core cid=20 named", "set-memory 64M named")
    text = "LDom named has named resources (physical-bindings=core) and cannot be migrated"
    hall.refused("named", A, B, text)
    hall.ok(A, "bind-domain named")
    hall.refused("named", A, B, text)
    hall.ok(A, "unbind-domain named", "set-core cid= named")
    hall.allowed("named", A, B)
    hall.drop(A, "named")


def test_m11_m19_m21_m24_a_server_with_less(hall: Hall) -> None:
    """Old firmware, one more domain at most, few channels; and a disk with a GPT label: all four are told at once."""
    hall.kind("odd", "t5-2", 'firmware = "9.0.2"')
    text = (hall.home / "odd.toml").read_text().replace("max_domains = 128", "max_domains = 2")
    (hall.home / "odd.toml").write_text(text.replace("[memory]", "[channels]\nper_domain = 3\n\n[memory]"))
    hall.up(A, "odd")
    hall.add(A, "gpt", f"add-vnet vnet0 {VSW} gpt")
    hall.volume("odd", "gpt")
    hall.shell.sun4v("mkdisk", str(hall.home / "gpt.raw"), "8M")
    disk = hall.home / "gpt.raw"
    data = bytearray(disk.read_bytes())
    data[512:520] = b"EFI PART"
    disk.write_bytes(data)
    for machine in (A, "odd"):
        hall.ok(machine, f"add-vdsdev {disk} label@{VDS}")
    hall.ok(A, f"add-vdisk label label@{VDS} gpt")
    label = f"Volume label@{VDS} has an EFI GPT disk label, which the target does not support"
    with hall.changed("odd", "add-domain only", "set-vcpu 1 only", "set-memory 64M only", "bind-domain only",
                      back=("unbind-domain only", "remove-domain only")):
        texts = said(hall.migrate("gpt", A, "odd").err)
    assert texts == [
        "The target machine odd cannot have another domain",
        "Domain gpt is using features of the system firmware that are not supported in",
        "the version of the firmware running on the target machine.", label,
        texts[4], "Domain Migration of LDom gpt would fail if attempted"]
    assert texts[4].startswith("LDom gpt needs ") and texts[4].endswith("LDC endpoints, a domain of the target has 3")
    hall.ok(A, "stop-domain -f gpt", "unbind-domain gpt")
    hall.refused("gpt", A, "odd", label)  # also when it is not active
    hall.drop(A, "gpt")


def test_m17_the_least_firmware(hall: Hall) -> None:
    hall.kind("late", "t3-1", 'firmware = "8.2.1"')
    hall.up("t3a", "late")
    hall.add("t3a", "fw", arch="generic", vcpus=1)
    hall.volume("late", "fw")
    hall.refused("fw", "t3a", "late", "Firmware 8.2.1 of the target machine late does not support live migration")


def test_m18_m20_families_of_firmware(hall: Hall) -> None:
    """A T2 Plus has firmware 7; an M5-32 with newer firmware takes none from older."""
    hall.kinds |= {"t2a": "t5240", "m5a": "m5-32"}
    hall.up("t3a", "t2a", "m5a")
    hall.guest("t3a", "fw", arch="generic", vcpus=1)
    for machine in ("t2a", "m5a"):
        hall.volume(machine, "fw")
    hall.refused("fw", "t3a", "t2a", "No live migration between firmware 8.2.2.c and 7.4.5")
    texts = said(hall.migrate("fw", "t3a", "m5a").err)
    assert texts[0].startswith("No live migration from firmware 8.2.2.c to an M5-32 with firmware 9")
    hall.drop("t3a", "fw")


def test_m26_m27_performance_counters(hall: Hall) -> None:
    hall.up(A, B)
    for machine in (A, B):
        hall.ok(machine, "set-domain perf-counters= primary")
    hall.ok(A, "add-domain perf", "set-domain perf-counters=global perf")
    with hall.changed(B, "add-domain perf2", "set-domain perf-counters=global perf2", back=("remove-domain perf2",)):
        hall.refused("perf", A, B, "LDom perf has perf-counters=global, and so has LDom perf2 of the target")
    hall.moved("perf", A, B)
    assert "perf-counters=global" in hall.ok(B, "list -l perf")
    hall.drop(B, "perf")


def test_m28_a_master_that_is_not_there(hall: Hall) -> None:
    hall.up(A, B)
    with hall.changed(A, "add-domain master1", "add-domain master=master1,primary slave",
                      back=("remove-domain master1",)):
        hall.warned("slave", A, B, "LDom slave will not depend on master1, which does not exist on the target")
        assert hall.migrate("slave", A, B, "").status == 0
    assert "master=primary" in hall.ok(B, "list -l slave")
    hall.drop(B, "slave")


def test_m32_m33_identity_travels_and_the_source_forgets_it(hall: Hall) -> None:
    hall.up(A, B)
    hall.add(A, "who", f"add-vnet vnet0 {VSW} who", "set-variable nvramrc=hello who",
             "set-domain failure-policy=reset shutdown-group=3 who")
    hall.volume(B, "who")
    before = hall.ok(A, "list-constraints -p who"), fields(hall, A, "who"), hall.ok(A, "list-bindings -p who")
    hall.moved("who", A, B)
    assert f"{A}  ldm migrate-domain who {B}  [OK]" in hall.ok(B, "list-history")
    assert hall.ldm(A, "list who").err.startswith("LDom who was not found")
    assert (hall.ok(B, "list-constraints -p who"), fields(hall, B, "who")) == before[:2]
    macs = [row for row in before[2].splitlines() if "mac-addr=" in row and row.startswith(("MAC|", "VNET|"))]
    assert macs and all(row in hall.ok(B, "list-bindings -p who") for row in macs)
    hall.drop(B, "who")
