"""An unmodified Linux whose domain changes while it runs: cpus and disks come, it ends when asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from guest_console import GuestConsole
from linux_guest import CRYPTO, Linux

from emulator import StopReason, StrandState
from emulator.devices.ds import CpuAction, CpuResult, Reply, UnitResult, UnitStatus
from emulator.devices.lab import DiskSpec, Domain, build_domain
from emulator.mdesc import Resources, build

pytestmark = [pytest.mark.slow, pytest.mark.nosan]
GONE, THERE = UnitStatus.UNCONFIGURED, UnitStatus.CONFIGURED


class LinuxLab(GuestConsole):
    """Linux in a machine whose description tells, at first, only of some strands and disks."""

    def __init__(self, linux: Linux, paths: Sequence[Path] = (), *, strands: int, append: str = "") -> None:
        disks = [DiskSpec(path) for path in paths]
        self.domain: Domain = build_domain(disks=disks, strands=strands, change=self.remember, deterministic=True)
        super().__init__(self.domain.machine)
        self.generation = 1
        self.machine.machine_description = self.describe(2, 1)
        self.machine.power_on(linux.program(f"{CRYPTO['none']} {append}"))
        self.shell()

    def remember(self, resources: Resources) -> Resources:
        self.resources = resources
        return resources

    def describe(self, vcpus: int, disks: int):  # type: ignore[no-untyped-def]
        self.generation += 1
        few = replace(
            self.resources, generation=self.generation, max_cpus=4, vcpus=self.resources.vcpus[:vcpus],
            devices=self.resources.devices[:disks],
        )  # fmt: skip
        return build(self.machine.platform, few)

    def tell(self, vcpus: int, disks: int) -> None:
        self.machine.machine_description = self.describe(vcpus, disks)
        reply = self.ask(self.domain.services.md_update())
        assert reply.ok, reply

    def ask(self, reply: Reply) -> Reply:
        self.run_until(lambda: reply if reply.done else None, f"no answer to {reply}", budget_insns=2_000_000_000)
        return reply

    @property
    def online(self) -> str:
        return self.command("cat /sys/devices/system/cpu/online").strip()


@pytest.fixture(scope="module")
def lab(linux: Linux, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinuxLab]:
    """One machine of four strands and two disks, of which Linux knows two and one; each test leaves it at a prompt."""
    folder = tmp_path_factory.mktemp("disks")
    paths = [folder / f"{n}.img" for n in range(2)]
    for path in paths:
        path.write_bytes(bytes(8 << 20))
    lab = LinuxLab(linux, paths, strands=4)
    with lab.domain:
        yield lab


def test_cpus_come(lab: LinuxLab) -> None:
    services = lab.domain.services
    assert lab.online == "0-1"
    (absent,) = lab.ask(services.cpu(CpuAction.CONFIGURE, [2])).units
    assert (absent.result, absent.status) == (CpuResult.NOT_IN_MD, UnitStatus.NOT_PRESENT)
    lab.tell(4, 1)
    assert lab.online == "0-1", "none comes by itself"
    reply = lab.ask(services.cpu(CpuAction.CONFIGURE, [2, 3]))
    assert reply.units == (UnitResult(2, 0, THERE), UnitResult(3, 0, THERE))
    assert lab.online == "0-3"
    assert all(strand.state is StrandState.RUNNING for strand in lab.machine.strands)
    assert lab.command("load cpus").strip() == "cpus: ok 4"


def test_cpus_do_not_go(lab: LinuxLab) -> None:
    """Linux 6.1 refuses: it does not register its cpus as such that can be unplugged. By hand it lets them go."""
    services = lab.domain.services
    reply = lab.ask(services.cpu(CpuAction.UNCONFIGURE, [3]))
    assert reply.units == (UnitResult(3, CpuResult.FAILURE, THERE),)
    assert lab.online == "0-3"
    lab.command("echo 0 > /sys/devices/system/cpu/cpu3/hotplug/target")
    assert lab.machine.strands[3].state is StrandState.STOPPED
    lab.tell(3, 1)
    assert lab.online == "0-2"
    assert lab.command("load cpus").strip() == "cpus: ok 3"


def test_disks_come_and_go(lab: LinuxLab) -> None:
    assert lab.command("ls /dev | grep vdisk").split() == ["vdiska"]
    for _ in range(2):
        lab.tell(3, 2)
        lab.expect(r"vdiskb: 16384 sectors")
        lab.command("echo hello > /dev/vdiskb; sync")
        assert lab.domain.disks[1].backend.read(0, 6) == b"hello\n"
        lab.tell(3, 1)
        assert lab.command("ls /dev | grep vdisk").split() == ["vdiska"]


def test_shutdown(lab: LinuxLab) -> None:
    reply = lab.domain.services.shutdown(0)
    lab.run_to_stop(StopReason.EXIT)
    assert reply.ok
    assert "ds-0: Shutdown request from LDOM manager received" in lab.text or "shutdown" in lab.text.lower()


def test_panic(linux: Linux, tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(bytes(1 << 20))
    lab = LinuxLab(linux, [path], strands=2, append="panic=-1")
    with lab.domain:
        reply = lab.domain.services.panic()
        lab.expect("Kernel panic - not syncing: PANIC requested by LDOM manager")
        lab.run_to_stop(StopReason.RESET)
        assert reply.ok
