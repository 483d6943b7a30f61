"""labos in a machine that really gains and loses memory and strands: the whole way, as the manager goes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from device_support import PROMPT, Lab, image

from emulator import Machine, StopReason, StrandState
from emulator.devices.ds import CpuAction, DomainServices, MemoryAction, MemoryResult, Reply
from emulator.devices.lab import Domain
from emulator.errors import BusyError, StrandError
from emulator.firmware.program import Program
from emulator.loader import read_image
from emulator.mdesc import Port, Resources, build, plain_resources
from emulator.mdesc.resources import MemorySegment, Vcpu
from emulator.platforms import find_platform

MIB, GIB = 1 << 20, 1 << 30
LOW = (512 * MIB, 4 * GIB, 64 * MIB)  # real address, physical address, bytes
HIGH = (64 * GIB, 32 * GIB, 32 * MIB)
SLICE_SECONDS = 0.02


class MachineLab(Lab):
    """labos under OpenBoot, with domain services. What the machine has and what the guest is told are one."""

    def __init__(self, *, deterministic: bool = True) -> None:
        self.seen = ""
        self.generation = 1
        server = find_platform("t5-2")
        self.timed = {} if deterministic else {"seconds": SLICE_SECONDS}
        machine = Machine(
            blocks=[LOW], strands=2, max_strands=4, platform="t5-2", deterministic=deterministic,
            machine_description=build(server, self.resources([LOW], 2)),
        )  # fmt: skip
        machine.attach(DomainServices("domain-services", 0))
        self.domain = Domain(machine, [], [])
        machine.power_on(Program(name="labos", image=read_image(image())))
        self.until(PROMPT)

    def resources(self, blocks: list[tuple[int, int, int]], strands: int) -> Resources:
        self.generation += 1
        return replace(
            plain_resources(find_platform("t5-2"), strands, MIB),
            generation=self.generation, max_cpus=4, vcpus=tuple(Vcpu(n, n) for n in range(strands)),
            memory=tuple(MemorySegment(ra, size, pa) for ra, pa, size in blocks), domain_services=(Port(0, (0,)),),
        )  # fmt: skip

    def run(self, budget: int = 200_000) -> StopReason:
        stop = self.machine.run(budget, **self.timed)
        self.seen += self.machine.console.read().decode("latin-1").replace("\r", "")
        return StopReason.BUDGET if stop.reason is StopReason.TIME else stop.reason

    def tell(self) -> None:
        """The description of what the machine has now, and word of it."""
        description = self.resources(list(self.machine.blocks), len(self.machine.strands))
        self.machine.machine_description = build(self.machine.platform, description)
        assert self.wait(self.services.md_update()).ok

    def wait(self, reply: Reply) -> Reply:
        for _ in range(20_000):
            if reply.done:
                return reply
            self.run()
        raise AssertionError(f"no answer: {reply}, {self.seen!r}")

    def memory(self, action: MemoryAction) -> Reply:
        return self.wait(self.services.memory(action, [(HIGH[0], HIGH[2])]))

    def hold(self, megabytes: int) -> None:
        assert self.command(f"start hold {megabytes}").startswith("[")
        while f"hold: {megabytes} MB" not in self.seen:
            self.run()

    def alive(self, programs: int) -> None:
        for _ in range(20):
            self.run()
        assert "wrong" not in self.seen
        assert sum(" hold " in row for row in self.command("ps").splitlines()) == programs


@pytest.fixture(params=[True, False], ids=["deterministic", "threads"])
def lab(request: pytest.FixtureRequest) -> Iterator[MachineLab]:
    lab = MachineLab(deterministic=request.param)
    yield lab
    lab.domain.close()


def test_memory(lab: MachineLab) -> None:
    """It comes, is used, and goes from under the program that uses it; twice."""
    assert lab.command("mem").startswith("total 64 MB")
    lab.hold(12)
    for turn in range(2):
        lab.machine.add_memory(*HIGH)
        lab.tell()
        assert lab.memory(MemoryAction.CONFIGURE).ok
        assert lab.command("mem").startswith("total 96 MB")
        lab.hold(8)
        (query,) = lab.memory(MemoryAction.QUERY).queries
        assert (query.pages, query.permanent) == (4096, 0)
        assert any(lab.machine.memory.read(HIGH[0] + HIGH[2] - MIB, MIB)), "somebody lives there"
        reply = lab.memory(MemoryAction.UNCONFIGURE)
        assert reply.ok, reply
        lab.machine.remove_memory(HIGH[0], HIGH[2])
        lab.tell()
        assert lab.command("mem").startswith("total 64 MB")
        lab.alive(2 + turn)


def test_memory_that_the_kernel_needs_is_not_taken(lab: MachineLab) -> None:
    reply = lab.wait(lab.services.memory(MemoryAction.UNCONFIGURE, [(LOW[0], LOW[2])]))
    assert reply.blocks[0].result == MemoryResult.PERMANENT
    with pytest.raises(BusyError):
        lab.machine.remove_memory(LOW[0], LOW[2])
    assert lab.command("run check") == "check: ok\n"


def test_strands(lab: MachineLab) -> None:
    for _ in range(2):
        lab.machine.add_strands([2, 3])
        lab.tell()
        assert lab.wait(lab.services.cpu(CpuAction.CONFIGURE, [2, 3])).ok
        assert [strand.state for strand in lab.machine.strands] == [StrandState.RUNNING] * 4
        lab.command("spin 4")
        for _ in range(10):
            lab.run()
        with pytest.raises(StrandError):
            lab.machine.remove_strands([2])
        assert lab.wait(lab.services.cpu(CpuAction.UNCONFIGURE, [0, 2, 3])).ok
        assert lab.wait(lab.services.cpu(CpuAction.CONFIGURE, [0])).ok
        lab.machine.remove_strands([2, 3])
        lab.tell()
        assert lab.command("cpus") == "0\ton-line\n1\ton-line\n"
        lab.command("spin stop")
        assert lab.command("run check") == "check: ok\n"
