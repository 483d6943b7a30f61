"""labos under OpenBoot in memory that does not begin at real address 0, in several blocks, on strands of any number."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from labos_support import IMAGE, PROMPT, Lab

from emulator import Machine, StopReason
from emulator.backends.bootdisk import make_bootable
from emulator.backends.file import FileDisk, create_disk
from emulator.devices.lab import DiskSpec, build_domain
from emulator.errors import BusyError, ConfigError
from emulator.firmware.layout import Layout
from emulator.firmware.program import Program
from emulator.loader import read_image
from emulator.machine_resources import Block

MIB = 1 << 20
ONE: tuple[Block, ...] = ((0x1000_0000, 0x2000_0000, 96 * MIB),)
TWO: tuple[Block, ...] = ((0x8000_0000, 0x2000_0000, 64 * MIB), (0x1_0000_0000, 0x1_0000_0000, 64 * MIB))
THREE: tuple[Block, ...] = (
    (0x2000_0000, 0, 4 * MIB), (0x2080_0000, 0x6080_0000, 64 * MIB), (0x40_0000_0000, 0x10_0000_0000, 32 * MIB),
)  # fmt: skip


class BlockLab(Lab):
    """`Lab` in blocks of memory, under OpenBoot."""

    def __init__(self, blocks: tuple[Block, ...], **options: object) -> None:
        self.machine = Machine(blocks=blocks, deterministic=True, **options)  # type: ignore[arg-type]
        self.machine.power_on(Program(name="labos", image=read_image(IMAGE)))
        self.stop = None
        self.seen = ""
        self.banner = self.expect(PROMPT)


@pytest.mark.parametrize("blocks", [ONE, TWO, THREE], ids=["one", "two", "three"])
def test_labos_boots_and_uses_all_of_its_memory(blocks: tuple[Block, ...]) -> None:
    lab = BlockLab(blocks, strands=2)
    total = sum(size for _, _, size in blocks) // MIB
    assert f"Memory size: {total} Megabytes" in lab.command("prtconf")
    lab.command(f"dirty 20000 {total - 24}M")
    lab.machine.run(30_000_000)
    assert re.search(r"dirty: \d{4,} stamps, \d+ pages, 0 wrong", lab.command("dirty check"))
    touched = {ra for ra, pages in touched_pages(lab.machine).items() if pages > 100}
    assert touched >= {ra for ra, _, size in blocks if size > 4 * MIB}


def touched_pages(machine: Machine) -> dict[int, int]:
    """For each block, how many of its pages were written."""
    pages = machine.dirty_harvest()
    return {ra: sum(ra <= page * 8192 < ra + size for page in pages) for ra, _, size in machine.blocks}


def test_labos_on_strands_of_any_number() -> None:
    lab = BlockLab(TWO, strands=[2, 3, 7], max_strands=16)
    text = lab.command("psrinfo")
    assert re.findall(r"^(\d+)\s+on-line", text, re.MULTILINE) == ["2", "3", "7"]


def test_a_saved_guest_goes_on_at_other_physical_addresses() -> None:
    """As a migration does it: same real addresses, blocks cut elsewhere."""
    one = BlockLab(TWO, strands=2)
    one.command("dirty 5000 8M")
    other = (
        (0x8000_0000, 0x4000_0000, 32 * MIB), (0x8200_0000, 0xA200_0000, 32 * MIB), (0x1_0000_0000, 0, 64 * MIB),
    )  # fmt: skip
    two = BlockLab(other, strands=2)
    two.machine.load(one.machine.save())
    for lab in (one, two):
        lab.machine.run(5_000_000)
    assert one.machine.digest() == two.machine.digest()
    assert one.command("dirty check") == two.command("dirty check")


def test_memory_that_labos_does_not_use_can_go_and_the_firmwares_cannot() -> None:
    lab = BlockLab(TWO, strands=2)
    layout = Layout(lab.machine.memory.ranges, 2)
    assert layout.ra == TWO[0][0]
    with pytest.raises(BusyError, match="firmware"):
        lab.machine.remove_memory(layout.ra, 8192)
    with pytest.raises(BusyError, match=r"firmware|queue of cpu"):
        lab.machine.remove_memory(layout.low + 4 * MIB, 4 * MIB)  # the kernel
    lab.machine.remove_memory(TWO[1][0] + 32 * MIB, 32 * MIB)
    assert "labos" in lab.command("uname -a")


def test_a_reset_boots_in_the_memory_there_is_by_then() -> None:
    lab = BlockLab(ONE, strands=2)
    lab.machine.add_memory(0x9000_0000, 0x1_0000_0000, 32 * MIB)
    lab.machine.remove_memory(ONE[0][0] + 64 * MIB, 32 * MIB)
    lab.type("reboot")
    lab.settle()
    assert lab.stop is not None
    assert lab.stop.reason is StopReason.RESET
    lab.machine.reset()
    lab.expect(PROMPT)
    assert "Memory size" in lab.command("prtconf")


def test_a_boot_block_finds_its_place(tmp_path: Path) -> None:
    """OpenBoot reads it from a disk; it has its kernel mapped in 4 MiB pages, far from real address 0."""
    path = tmp_path / "disk.img"
    create_disk(path, 16 << 20)
    with FileDisk(path) as disk:
        make_bootable(disk, IMAGE.read_bytes())
    with build_domain(blocks=THREE, disks=[DiskSpec(path, read_only=True)], deterministic=True) as domain:
        domain.machine.power_on()
        text = ""
        for _ in range(400):
            domain.machine.run(500_000)
            text += domain.machine.console.read().decode("latin-1")
            if text.endswith(PROMPT):
                break
        assert text.endswith(PROMPT), text
        assert "labos 5.11" in text


@pytest.mark.parametrize(
    "blocks", [((0x1000_0000, 0, 4 * MIB),), ((0x1000_0000, 0, 4 * MIB), (0x2000_0000, 1 << 32, 4 * MIB))]
)
def test_too_little_memory_in_one_block(blocks: tuple[Block, ...]) -> None:
    with Machine(blocks=blocks) as machine, pytest.raises(ConfigError, match="8M in one block"):
        machine.power_on()


@pytest.mark.parametrize("strands", [1, 64, 256, 4096])
@pytest.mark.parametrize(
    "ranges",
    [
        [(0, 64 * MIB)], [(0, 128 * MIB), (1 << 32, MIB)], [(1 << 28, 96 * MIB)], [(MIB, 8 * MIB), (1 << 31, 1 << 30)],
    ],
)  # fmt: skip
def test_layout(ranges: list[tuple[int, int]], strands: int) -> None:
    """The firmware's piece, what is low for programs and where they end lie in one block, apart from each other."""
    try:
        layout = Layout(ranges, strands)
    except ConfigError:
        assert strands == 4096
        assert max(size for _, size in ranges) < 128 * MIB
        return
    base, size = layout.block
    assert base <= layout.ra < layout.end <= base + size
    assert layout.low % (4 * MIB) == 0
    assert (layout.low, layout.limit) == ((0, layout.ra) if base == 0 else (layout.low, base + size))
    assert layout.end <= layout.low < layout.limit or base == 0
    free = layout.without_firmware()
    assert sum(length for _, length in free) == sum(length for _, length in ranges) - layout.size_bytes
    assert layout.lowest_free == free[0][0]
