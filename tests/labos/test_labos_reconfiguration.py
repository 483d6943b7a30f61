"""Devices, cpus and crypto units of labos that come and go as the manager asks; what the guest says of itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from device_support import PROMPT, Lab, image, pattern

from emulator.devices.ds import CpuAction, CpuResult, Reply, UnitResult, UnitStatus, VioAction, VioResult
from emulator.devices.lab import DiskSpec, NetSpec
from emulator.devices.switch import Switch
from emulator.guest import StrandState
from emulator.mdesc import MachineDescription, Resources, build

GONE, THERE = UnitStatus.UNCONFIGURED, UnitStatus.CONFIGURED


class ChangeLab(Lab):
    """labos whose description can be made anew with other resources."""

    def __init__(self, **options: object) -> None:
        self.resources: Resources | None = None
        super().__init__(boot=False, change=self.remember, **options)  # type: ignore[arg-type]

    def remember(self, resources: Resources) -> Resources:
        self.resources = resources
        return resources

    def start(self, args: str = "") -> ChangeLab:
        self.machine.boot(image(), args=["labos", *args.split()])
        self.until(PROMPT)
        return self

    def describe(self, **changes: object) -> MachineDescription:
        assert self.resources is not None
        return build(self.machine.platform, replace(self.resources, **changes))  # type: ignore[arg-type]

    def tell(self, description: MachineDescription) -> None:
        self.machine.machine_description = description
        assert self.wait(self.services.md_update()).ok

    def wait(self, reply: Reply) -> Reply:
        for _ in range(5000):
            if reply.done:
                return reply
            self.run()
        raise AssertionError(f"no answer: {reply}, {self.seen!r}")

    def vio(self, action: VioAction, name: str, device: int) -> tuple[int | None, int | None, str]:
        reply = self.wait(self.services.vio(action, name, device))
        return reply.result, reply.status, reply.reason

    def cpu(self, action: CpuAction, *cpus: int) -> tuple[UnitResult, ...]:
        return self.wait(self.services.cpu(action, cpus)).units

    def turns(self, count: int) -> None:
        """As long as some turns of programs (10 ms) last, on one cpu."""
        for _ in range(count):
            self.run(40_000_000 * len(self.running()))

    def running(self) -> list[int]:
        return [n for n, strand in enumerate(self.machine.strands) if strand.state is StrandState.RUNNING]


def disk_file(path: Path, size: int = 1 << 20) -> DiskSpec:
    path.write_bytes(bytes(size))
    return DiskSpec(path)


# -- devices


def test_a_disk_goes_and_comes(tmp_path: Path) -> None:
    lab = ChangeLab(disks=[disk_file(tmp_path / "0"), disk_file(tmp_path / "1")], nets=[NetSpec(Switch())]).start()
    assert lab.command("devices") == "disk@0\tconfigured\ndisk@1\tconfigured\nnetwork@0\tconfigured\n"
    assert lab.vio(VioAction.STATUS, "disk", 1) == (VioResult.OK, THERE, "")
    assert lab.vio(VioAction.UNCONFIGURE, "disk", 1) == (VioResult.OK, GONE, "")
    assert lab.command("read c0d1 0") == "c0d1: no such disk\n"
    assert lab.command("devices").splitlines()[1] == "disk@1\tunconfigured"
    assert lab.wait(lab.services.md_update()).ok
    assert "c0d1" not in lab.command("disks"), "a new description does not bring back what was unconfigured"
    assert lab.vio(VioAction.UNCONFIGURE, "disk", 1) == (VioResult.OK, GONE, "")
    assert lab.vio(VioAction.CONFIGURE, "disk", 1) == (VioResult.OK, THERE, "")
    assert lab.vio(VioAction.CONFIGURE, "disk", 1) == (VioResult.OK, THERE, "")
    assert lab.command("write c0d1 0 back") == "c0d1: 1 block written at 0\n"
    assert (tmp_path / "1").read_bytes().startswith(b"back")


def test_a_busy_disk_stays_but_for_force(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    lab = ChangeLab(disks=[disk_file(path, 16 << 20)]).start()
    lab.seen = ""
    lab.type("write c0d0 0 pattern 32768")
    for _ in range(4):
        lab.run()
    assert lab.vio(VioAction.UNCONFIGURE, "disk", 0) == (VioResult.BLOCKED, THERE, "the disk is in use")
    while not lab.ended("write c0d0 0 pattern 32768"):
        lab.run()
    assert lab.seen.endswith("32768 blocks written at 0\n# ")
    assert path.read_bytes()[-4096:] == pattern(32760, 8)
    lab.seen = ""
    lab.type("cksum c0d0")
    for _ in range(4):
        lab.run()
    assert lab.vio(VioAction.FORCE, "disk", 0) == (VioResult.OK, GONE, "")
    while not lab.ended("cksum c0d0"):
        lab.run()
    assert "c0d0: read error at block" in lab.seen


def test_a_network_with_an_address_stays_but_for_force() -> None:
    lab = ChangeLab(nets=[NetSpec(Switch()), NetSpec(Switch())]).start()
    assert lab.vio(VioAction.UNCONFIGURE, "network", 1) == (VioResult.OK, GONE, "")
    assert "vnet1" not in lab.command("ifconfig -a")
    assert lab.command("ifconfig vnet1 10.0.0.2/24") == "ifconfig: vnet1: no such interface\n"
    lab.command("ifconfig vnet0 10.0.0.1/24")
    assert lab.vio(VioAction.UNCONFIGURE, "network", 0) == (VioResult.BLOCKED, THERE, "the interface has an address")
    assert lab.command("ifconfig vnet0 unplumb") == ""
    assert lab.vio(VioAction.UNCONFIGURE, "network", 0) == (VioResult.OK, GONE, "")
    for number in range(2):
        assert lab.vio(VioAction.CONFIGURE, "network", number) == (VioResult.OK, THERE, "")
    lab.command("ifconfig vnet1 10.0.0.1/24")
    assert lab.vio(VioAction.FORCE, "network", 1) == (VioResult.OK, GONE, "")
    assert "10.0.0.1" not in lab.command("ifconfig -a")


def test_devices_that_are_not_there(tmp_path: Path) -> None:
    lab = ChangeLab(disks=[disk_file(tmp_path / "0")])
    assert lab.resources is not None
    full, none = lab.machine.machine_description, lab.describe(devices=())
    lab.start()
    missing = (VioResult.NOT_IN_MD, UnitStatus.NOT_PRESENT, "the device is not in the machine description")
    assert lab.vio(VioAction.CONFIGURE, "disk", 7) == missing
    assert lab.vio(VioAction.STATUS, "disk", 7) == (VioResult.OK, UnitStatus.NOT_PRESENT, "")
    result = lab.vio(VioAction.CONFIGURE, "console", 1)
    assert result == (VioResult.FAILURE, GONE, "there is no driver for the device")
    assert lab.vio(VioAction.UNCONFIGURE, "disk", 0)[0] == VioResult.OK
    lab.tell(none)
    assert lab.vio(VioAction.CONFIGURE, "disk", 0) == missing
    lab.tell(full)
    assert lab.vio(VioAction.STATUS, "disk", 0) == (VioResult.OK, THERE, ""), "a new device is not that of before"


# -- cpus


def test_cpus_come_with_the_description() -> None:
    """The machine has four strands, and the guest is told of two at first."""
    lab = ChangeLab(strands=4)
    assert lab.resources is not None
    full, two = lab.machine.machine_description, lab.describe(vcpus=lab.resources.vcpus[:2])
    lab.machine.machine_description = two
    lab.start()
    assert lab.running() == [0, 1]
    gone = (UnitResult(3, CpuResult.NOT_IN_MD, UnitStatus.NOT_PRESENT, "CPU is not in the machine description"),)
    assert lab.cpu(CpuAction.CONFIGURE, 3) == gone
    lab.tell(full)
    assert lab.running() == [0, 1], "none comes by itself"
    assert lab.cpu(CpuAction.CONFIGURE, 2, 3) == (UnitResult(2, 0, THERE), UnitResult(3, 0, THERE))
    assert lab.running() == [0, 1, 2, 3]
    assert lab.command("cpus") == "".join(f"{n}\ton-line\n" for n in range(4))
    lab.command("spin 4")
    for _ in range(20):
        lab.run()
    used = {int(row.split()[3]) for row in lab.command("ps").splitlines() if row.endswith("spin")}
    assert {2, 3} <= used, "threads run there"
    assert lab.cpu(CpuAction.UNCONFIGURE, 2, 3) == (UnitResult(2, 0, GONE), UnitResult(3, 0, GONE))
    assert lab.running() == [0, 1]
    lab.tell(two)
    (left,) = lab.cpu(CpuAction.STATUS, 2)
    assert (left.result, left.status) == (CpuResult.NOT_IN_MD, UnitStatus.NOT_PRESENT)
    assert lab.command("cpus") == "0\ton-line\n1\ton-line\n"
    lab.command("spin stop")
    assert lab.command("run check") == "check: ok\n"


def test_a_cpu_that_has_left_the_description_can_still_go() -> None:
    lab = ChangeLab(strands=3)
    assert lab.resources is not None
    lab.start()
    lab.tell(lab.describe(vcpus=lab.resources.vcpus[:2]))
    assert lab.command("cpus").splitlines()[2] == "2\ton-line, not in the description"
    assert lab.cpu(CpuAction.UNCONFIGURE, 2) == (UnitResult(2, 0, UnitStatus.NOT_PRESENT),)
    assert lab.running() == [0, 1]


def test_a_bound_program_keeps_its_cpu() -> None:
    lab = ChangeLab(strands=3).start()
    pid = int(lab.command("start spin")[1:-2])
    assert lab.command(f"psrbind -b 9 {pid}") == "psrbind: processor 9 is not on-line\n"
    assert lab.command("psrbind -b 2 99") == "psrbind: 99: no such program\n"
    assert lab.command(f"psrbind -b 2 {pid}") == ""
    lab.command("spin 5")
    for _ in range(50):
        lab.run()
        (row,) = [row.split() for row in lab.command("ps").splitlines() if row.split()[1] == str(pid)]
        assert row[3] == "2"
    assert lab.command("cpus").splitlines()[2] == "2\ton-line, 1 bound"
    blocked = UnitResult(2, CpuResult.BLOCKED, THERE, "processes are bound to the CPU")
    assert lab.cpu(CpuAction.UNCONFIGURE, 1, 2) == (UnitResult(1, 0, GONE), blocked)
    assert lab.command("psradm -f 2") == "psradm: processor 2: processes are bound to the CPU\n"
    assert lab.cpu(CpuAction.FORCE, 2) == (UnitResult(2, 0, GONE),)
    assert lab.running() == [0]
    before = row[4]
    lab.turns(8)
    (row,) = [row.split() for row in lab.command("ps").splitlines() if row.split()[1] == str(pid)]
    assert (row[3], row[4] != before) == ("0", True), "it runs on, elsewhere"
    assert lab.cpu(CpuAction.CONFIGURE, 2) == (UnitResult(2, 0, THERE),)
    assert lab.command(f"psrbind -b 2 {pid}") == ""
    assert lab.command(f"psrbind -u {pid}") == ""
    assert lab.cpu(CpuAction.UNCONFIGURE, 2) == (UnitResult(2, 0, GONE),)


def test_a_bound_program_sleeps_and_wakes_on_its_cpu() -> None:
    lab = ChangeLab(strands=2).start()
    pid = int(lab.command("start hold 16")[1:-2])
    assert lab.command(f"psrbind -b 1 {pid}") == ""
    lab.command("spin 3")
    rows = []
    for _ in range(6):
        lab.turns(1)
        rows += [row.split() for row in lab.command("ps").splitlines() if row.split()[1] == str(pid)]
    assert {row[3] for row in rows[1:]} == {"1"}
    assert float(rows[-1][4]) > float(rows[0][4]), "and it gets its turns"


# -- crypto units


@pytest.mark.parametrize("platform", ["t2000", "t5120"])
def test_crypto_units(platform: str) -> None:
    kinds = ("mau",) if platform == "t2000" else ("mau", "cwq")
    lab = ChangeLab(strands=10, platform=platform).start()
    cores = [0, 4, 8] if platform == "t2000" else [0, 8]
    verdict = {"mau": "ok", "cwq": "configured"}
    units = lab.command("crypto").splitlines()[6:]
    assert units == [f"{kind} of cpu {cpu}: {verdict[kind]}" for kind in kinds for cpu in cores]
    for kind in kinds:
        reply = lab.wait(lab.services.crypto(kind, CpuAction.UNCONFIGURE, [cores[1], 99]))
        assert reply.units == (UnitResult(cores[1], 0, GONE), UnitResult(99, CpuResult.NOT_IN_MD, 0))
    units = lab.command("crypto").splitlines()[6:]
    assert [unit for unit in units if "unconfigured" in unit] == [
        f"{kind} of cpu {cores[1]}: unconfigured" for kind in kinds
    ]
    for unit in list(lab.machine.crypto_units):
        if cores[1] in unit.vcpus:
            lab.machine.remove_crypto_unit(unit.ino)
            taken = unit
    assert lab.command("echo alive") == "alive\n"
    failed = lab.wait(lab.services.crypto(taken.kind, CpuAction.CONFIGURE, [cores[1]]))
    assert failed.units == (UnitResult(cores[1], CpuResult.FAILURE, GONE),), "the hypervisor has none"
    lab.machine.add_crypto_unit(taken)
    back = lab.wait(lab.services.crypto(taken.kind, CpuAction.CONFIGURE, [cores[1] + 1]))
    assert back.ok
    assert lab.command("crypto").splitlines()[6:].count(f"{taken.kind} of cpu {cores[1]}: {verdict[taken.kind]}") == 1


# -- what it says of itself


def test_facts_and_services() -> None:
    lab = ChangeLab().start("hostname=earth")
    reply = lab.wait(
        lab.services.system_info(["uts-sysname", "uts-nodename", "uts-release", "uts-version", "uts-machine"])
    )
    assert reply.ok
    assert dict(reply.answer.values) == {
        "uts-sysname": "SunOS", "uts-nodename": "earth", "uts-release": "5.11", "uts-version": "11.3",
        "uts-machine": "sun4v",
    }  # fmt: skip
    reply = lab.wait(lab.services.system_info(["uts-release", "colour"]))
    assert (reply.result, reply.answer.values) == (1, (("uts-release", "5.11"),))
    rows = [row.split(maxsplit=1) for row in lab.command("services").splitlines()]
    assert [name for name, state in rows if state == "registered"] == list(lab.services.services)
