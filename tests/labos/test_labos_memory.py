"""Memory of labos that comes and goes by dr-mem: what programs have in it moves, what the kernel has stays."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from device_support import PROMPT, Lab, image

from emulator.devices.ds import BlockResult, MemoryAction, MemoryResult, Reply, UnitStatus
from emulator.firmware.program import Program
from emulator.loader import Image, read_image
from emulator.mdesc import MachineDescription, Resources, build
from emulator.mdesc.resources import MemorySegment

SEED = int(os.environ.get("SUN4V_TEST_SEED", "1"))
MIB = 1 << 20
Block = tuple[int, int]
OK, ABSENT, GONE, THERE = MemoryResult.OK, UnitStatus.NOT_PRESENT, UnitStatus.UNCONFIGURED, UnitStatus.CONFIGURED


def placed(ra: int) -> Image:
    """The kernel at a real address, a multiple of 4 MiB."""
    linked = read_image(image())
    by = ra - 4 * MIB
    segments = tuple(replace(segment, ra=segment.ra + by) for segment in linked.segments)
    return replace(linked, segments=segments, entry=linked.entry + by)


class MemoryLab:
    """labos in a machine whose description tells only of some blocks of its memory."""

    def __init__(
        self, size: str, blocks: Sequence[Block], *, strands: int = 1, openboot: bool = False, image_at: int = 4 * MIB
    ) -> None:
        self.resources: list[Resources] = []
        self.lab = Lab(memory=size, strands=strands, boot=False, change=lambda r: self.change(r, blocks))
        if openboot:
            self.machine.power_on(Program(name="labos", image=read_image(image())))
        else:
            self.machine.boot(placed(image_at))
        self.lab.until(PROMPT)

    @property
    def machine(self):  # type: ignore[no-untyped-def]
        return self.lab.machine

    def change(self, resources: Resources, blocks: Sequence[Block]) -> Resources:
        self.resources.append(resources)
        return replace(resources, memory=tuple(MemorySegment(*block) for block in blocks))

    def describe(self, *blocks: Block) -> MachineDescription:
        return build(self.machine.platform, self.change(self.resources[0], blocks))

    def tell(self, *blocks: Block) -> None:
        """A new description, and word of it."""
        self.machine.machine_description = self.describe(*blocks)
        assert self.wait(self.lab.services.md_update()).ok

    def wait(self, reply: Reply, *, steps: int = 20_000) -> Reply:
        for _ in range(steps):
            if reply.done:
                return reply
            self.lab.run()
        raise AssertionError(f"no answer: {reply}, {self.lab.seen!r}")

    def ask(self, action: MemoryAction, *blocks: Block) -> Reply:
        return self.wait(self.lab.services.memory(action, blocks))

    def hold(self, megabytes: int) -> None:
        """A program that has so much memory, and looks at it all the time."""
        assert self.lab.command(f"start hold {megabytes}").startswith("[")
        for _ in range(4000):
            if f"hold: {megabytes} MB" in self.lab.seen:
                return
            self.lab.run()
        raise AssertionError(self.lab.seen)

    @property
    def total(self) -> int:
        return int(self.lab.command("mem").split()[1])

    def alive(self, programs: int = 1) -> None:
        """The programs that hold memory have found nothing wrong in some more rounds."""
        for _ in range(20):
            self.lab.run()
        assert "wrong" not in self.lab.seen
        assert sum(" hold " in row for row in self.lab.command("ps").splitlines()) == programs

    def destroy(self, base: int, size: int) -> None:
        """What was there is no more."""
        self.machine.memory.write(base, random.Random(SEED).randbytes(MIB) * (size // MIB))


def test_memory_comes() -> None:
    lab = MemoryLab("256M", [(0, 64 * MIB)])
    more = (128 * MIB, 64 * MIB)
    assert lab.lab.command("run hold 80").startswith("hold"), "it is killed where its memory ends"
    reply = lab.ask(MemoryAction.CONFIGURE, more)
    text = "memory is not in the machine description"
    assert reply.blocks == (BlockResult(*more, MemoryResult.NOT_IN_MD, ABSENT, text),)
    lab.tell((0, 64 * MIB), more)
    assert lab.total == 64, "nothing comes by itself"
    reply = lab.ask(MemoryAction.CONFIGURE, more)
    assert reply.ok and reply.blocks == (BlockResult(*more, OK, THERE),)
    assert lab.total == 128
    lab.hold(80)
    rows = lab.lab.command("mem -v").splitlines()
    assert rows[1].startswith("0x0000000008000000 - 0x000000000bffffff: 64 MB, free 0 MB")
    lab.alive()


def test_memory_goes_and_comes_back() -> None:
    low, high = (0, 64 * MIB), (64 * MIB, 64 * MIB)
    lab = MemoryLab("128M", [low, high], strands=4)
    lab.lab.command("spin 3")
    lab.hold(24)
    for _ in range(2):
        reply = lab.ask(MemoryAction.UNCONFIGURE, high)
        assert reply.blocks == (BlockResult(*high, OK, GONE),)
        lab.destroy(*high)
        lab.tell(low)
        assert lab.total == 64
        lab.alive()
        lab.tell(low, high)
        assert lab.ask(MemoryAction.CONFIGURE, high).ok
        assert lab.total == 128
        lab.hold(4)
        lab.lab.command(f"kill {max_pid(lab.lab)}")
    assert lab.lab.command("run check") == "check: ok\n"


def max_pid(lab: Lab) -> int:
    return max(int(row.split()[1]) for row in lab.command("ps").splitlines()[1:])


def test_what_the_kernel_has_stays() -> None:
    low, high = (0, 32 * MIB), (32 * MIB, 32 * MIB)
    lab = MemoryLab("64M", [low, high])
    lab.hold(2)
    reply = lab.ask(MemoryAction.UNCONFIGURE, low, high)
    assert reply.blocks == (
        BlockResult(*low, MemoryResult.PERMANENT, THERE, "permanent pages"), BlockResult(*high, OK, GONE),
    )  # fmt: skip
    assert not reply.ok
    assert lab.total == 32
    lab.destroy(*high)
    lab.alive()


def test_a_part_of_a_block() -> None:
    """The kernel image is in the first 8 MB; a query says what can go, and that goes."""
    lab = MemoryLab("64M", [(0, 64 * MIB)])
    reply = lab.ask(MemoryAction.QUERY, (0, 64 * MIB), (48 * MIB, 8 * MIB))
    whole, part = reply.queries
    assert (whole.address, whole.pages, whole.managed) == (0, 8192, 8192)
    assert 512 < whole.permanent < 2048 and whole.first_permanent == 0 and whole.last_permanent < 24 * MIB
    assert (part.pages, part.permanent, part.last_permanent) == (1024, 0, 0)
    assert lab.ask(MemoryAction.UNCONFIGURE, (48 * MIB, 8 * MIB)).ok
    assert lab.total == 56
    lab.destroy(48 * MIB, 8 * MIB)
    lab.hold(20)
    assert [lab.ask(MemoryAction.QUERY, (40 * MIB, 24 * MIB)).queries[0].managed] == [2048]
    assert lab.ask(MemoryAction.UNCONFIGURE, (40 * MIB, 24 * MIB)).ok, "what is gone already is no obstacle"
    assert lab.total == 40
    lab.alive()


def test_no_room_for_what_has_to_move() -> None:
    lab = MemoryLab("64M", [(0, 32 * MIB), (32 * MIB, 32 * MIB)])
    lab.hold(44)
    before = lab.lab.command("mem -v")
    reply = lab.ask(MemoryAction.UNCONFIGURE, (32 * MIB, 32 * MIB))
    text = "not enough memory is left for what has to be moved"
    assert reply.blocks == (BlockResult(32 * MIB, 32 * MIB, MemoryResult.RESOURCE, THERE, text),)
    assert lab.total == 64
    assert lab.lab.command("mem -v").splitlines()[-1] == before.splitlines()[-1]
    lab.alive()
    lab.lab.command(f"kill {max_pid(lab.lab)}")
    lab.hold(44)
    lab.alive()


def test_progress_and_cancel() -> None:
    high = (64 * MIB, 64 * MIB)
    lab = MemoryLab("128M", [(0, 64 * MIB), high], strands=2)
    lab.hold(40)
    services = lab.lab.services
    assert lab.ask(MemoryAction.STATUS).progress == (0, 0)
    refused = lab.ask(MemoryAction.CANCEL)
    assert (refused.ok, refused.result) == (False, MemoryResult.NOTHING_TO_DO)
    work = services.memory(MemoryAction.UNCONFIGURE, [high])
    seen = []
    while len({count for _, count in seen}) < 4:
        status = lab.ask(MemoryAction.STATUS)
        assert status.progress is not None and not work.done
        seen.append(status.progress)
    assert {total for total, _ in seen} == {8192}
    counts = [count for _, count in seen]
    assert counts == sorted(counts) and counts[-1] > counts[0] and counts[-1] < 8192
    busy = lab.ask(MemoryAction.UNCONFIGURE, high)
    assert (busy.ok, busy.result) == (False, MemoryResult.BUSY)
    assert lab.ask(MemoryAction.CANCEL).ok
    lab.wait(work)
    assert work.blocks == (BlockResult(*high, MemoryResult.CANCELLED, THERE, "operation cancelled"),)
    assert lab.total == 128
    lab.alive()
    assert lab.ask(MemoryAction.UNCONFIGURE, high).ok
    lab.destroy(*high)
    lab.alive()


@pytest.mark.parametrize(
    ("action", "block", "result", "status"),
    [
        (MemoryAction.CONFIGURE, (0, 64 * MIB), MemoryResult.IN_USE, THERE),
        (MemoryAction.CONFIGURE, (0, 0), MemoryResult.INVALID, ABSENT),
        (MemoryAction.CONFIGURE, (1, 4 * MIB), MemoryResult.INVALID, ABSENT),
        (MemoryAction.CONFIGURE, ((1 << 64) - 4 * MIB, 8 * MIB), MemoryResult.INVALID, ABSENT),
        (MemoryAction.CONFIGURE, (60 * MIB, 8 * MIB), MemoryResult.NOT_IN_MD, THERE),
        (MemoryAction.UNCONFIGURE, (1 << 40, 4 * MIB), MemoryResult.NOT_IN_MD, ABSENT),
        (MemoryAction.UNCONFIGURE, (0, 8192), MemoryResult.INVALID, ABSENT),
    ],
)
def test_blocks_that_cannot_be(action: MemoryAction, block: Block, result: MemoryResult, status: UnitStatus) -> None:
    lab = MemoryLab("64M", [(0, 64 * MIB)])
    (got,) = lab.ask(action, block).blocks
    assert (got.result, got.status) == (result, status)
    assert got.text
    assert lab.total == 64


def test_what_is_gone_is_gone() -> None:
    high = (32 * MIB, 32 * MIB)
    lab = MemoryLab("64M", [(0, 32 * MIB), high])
    assert lab.ask(MemoryAction.UNCONFIGURE, high).ok
    (again,) = lab.ask(MemoryAction.UNCONFIGURE, high).blocks
    assert (again.result, again.status) == (MemoryResult.NOTHING_TO_DO, GONE)
    lab.tell((0, 32 * MIB))
    (gone,) = lab.ask(MemoryAction.UNCONFIGURE, high).blocks
    assert (gone.result, gone.status) == (MemoryResult.NOT_IN_MD, ABSENT)


@pytest.mark.parametrize("mode", ["bare", "openboot"])
@pytest.mark.parametrize("strands", [1, 3])
def test_blocks_with_holes_and_none_at_zero(strands: int, mode: str) -> None:
    """Real address 0 is no memory, as on a real server; what firmware and kernel image have is not the allocator's."""
    blocks = [(32 * MIB, 64 * MIB), (128 * MIB, 32 * MIB), (192 * MIB, 32 * MIB)]
    lab = MemoryLab("256M", blocks, strands=strands, openboot=mode == "openboot", image_at=40 * MIB)
    if mode == "bare":
        lab.destroy(0, 32 * MIB)
    lab.destroy(160 * MIB, 32 * MIB)
    assert lab.total == 128
    assert [row.split()[0] for row in lab.lab.command("mem -v").splitlines()[:3]] == [
        f"0x{base:016x}" for base, _ in blocks
    ]
    lab.hold(70)
    lab.alive()
    lab.lab.command(f"kill {max_pid(lab.lab)}")
    assert lab.ask(MemoryAction.UNCONFIGURE, *blocks[1:]).ok
    (first,) = lab.ask(MemoryAction.UNCONFIGURE, blocks[0]).blocks
    assert first.result == MemoryResult.PERMANENT
    assert lab.total == 64
    for block in blocks[1:]:
        lab.destroy(*block)
    assert lab.lab.command("run check") == "check: ok\n"


def test_random_requests() -> None:
    """Nonsense is answered or ignored; and blocks come and go under load, in any order, with everything still there."""
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    blocks = [(n * 16 * MIB, 16 * MIB) for n in range(8)]
    lab = MemoryLab("128M", blocks, strands=2)
    lab.hold(12)
    lab.lab.command("dirty 20000 1M")
    services = lab.lab.services
    there = set(range(2, 8))
    for _ in range(30):
        if rng.randrange(3) == 0:
            services._number += 1
            services._post("dr-mem", rng.choice((b"\0\0MU", b"\0\0MC", b"\0\0MQ", b"\0\0MS", b"abcd"))
                           + rng.randbytes(rng.randrange(80)))  # fmt: skip
            services.flush()
        n = rng.randrange(2, 8)
        if n in there and len(there) > 2:
            reply = lab.ask(MemoryAction.UNCONFIGURE, blocks[n])
            if reply.ok:
                there.remove(n)
                lab.destroy(*blocks[n])
        elif n not in there and lab.ask(MemoryAction.CONFIGURE, blocks[n]).ok:
            there.add(n)
        lab.lab.run(rng.randrange(1, 200_000))
    assert lab.total == 16 * (len(there) + 2) and len(there) < 6
    assert lab.lab.command("dirty check").endswith("128 pages, 0 wrong\n")
    lab.alive()
