"""Booting from a virtual disk: label, boot block, program; what is wrong with a disk ends at the prompt."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from asm_support import HERE, asm, code
from elf_support import Load, make_elf

from emulator import StopReason
from emulator.backends.bootdisk import PROGRAM_SECTOR, boot_block, make_bootable
from emulator.backends.file import FileDisk, create_disk
from emulator.cli import main
from emulator.devices.lab import DiskSpec, Domain, build_domain
from emulator.loader import parse_image

ROOT = Path(__file__).resolve().parents[2]
SECTOR = 512
CODE = 0x400000
SEED = 20261125
DISK = "/virtual-devices@100/channel-devices@200/disk@0"


def elf(words: tuple[int, ...] = (), data: bytes = b"") -> bytes:
    """A program at 4M: code, then data on another page, then a zeroed tail."""
    text = code(*(words or (asm("or", "g0", 0x5A, "g1"), HERE)))
    loads = [Load(data=text, pa=CODE), Load(data=data or b"\1", pa=CODE + 0x6000, memory_bytes=len(data) + 0x3000)]
    return make_elf(loads, entry=CODE)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    create_disk(path, 16 << 20)
    return path


def bootable(path: Path, program: bytes) -> Path:
    with FileDisk(path) as disk:
        make_bootable(disk, program)
    return path


@pytest.fixture
def domain(image: Path) -> Iterator[Domain]:
    data = random.Random(SEED).randbytes(70_000)
    bootable(image, elf(data=data))
    with build_domain("32M", disks=[DiskSpec(image, read_only=True)], deterministic=True) as domain:
        yield domain


def shown(domain: Domain) -> str:
    return domain.machine.console.read().decode("latin-1").replace("\r\n", "\n")


def test_a_program_is_booted_from_the_first_disk(domain: Domain) -> None:
    machine = domain.machine
    machine.memory.write(CODE + 0x6000 + 70_000, b"\xee" * 0x3000)  # what the tail must clear
    machine.power_on()
    stop = machine.run(2_000_000)
    assert stop.reason is StopReason.BUDGET
    assert f"Boot device: {DISK}  File and args: \n" in shown(domain)
    assert (machine.strands[0]["pc"], machine.strands[0]["g1"]) == (CODE + 4, 0x5A)
    assert machine.strands[0]["o4"] == 0xF020_0000
    data = random.Random(SEED).randbytes(70_000)
    assert machine.memory.read(CODE + 0x6000, 70_000) == data
    assert machine.memory.read(CODE + 0x6000 + 70_000, 0x3000) == bytes(0x3000)


def test_slices_and_arguments(domain: Domain) -> None:
    machine = domain.machine
    machine.power_on()
    machine.run(2_000_000)
    machine.firmware.variables.set("auto-boot?", "false")
    machine.reset()
    shown(domain)
    machine.console.feed(b"boot disk:a -x y\r")
    assert machine.run(2_000_000).reason is StopReason.BUDGET
    assert f"Boot device: {DISK}:a  File and args: -x y\n" in shown(domain)
    tree = machine.firmware.tree
    assert tree.find("/chosen").text("bootpath") == f"{DISK}:a"
    assert tree.find("/chosen").text("bootargs") == "-x y"
    for device, message in (("disk:f", "no slice"), ("disk:h", "executable"), ("disk:z", "no slice")):
        machine.reset()
        machine.console.feed(f"boot {device}\r".encode())
        assert machine.run(100_000).reason is StopReason.FIRMWARE
        assert message in shown(domain)


@pytest.mark.parametrize("damage", ["label", "block", "program", "empty"])
def test_a_damaged_disk_ends_at_the_prompt(image: Path, damage: str) -> None:
    if damage != "empty":
        bootable(image, elf())
        at, size = {"label": (0, SECTOR), "block": (SECTOR, 64), "program": (PROGRAM_SECTOR * SECTOR, 64)}[damage]
        with FileDisk(image) as disk:
            disk.write(at, random.Random(SEED).randbytes(size))
    with build_domain("32M", disks=[DiskSpec(image)], deterministic=True) as domain:
        domain.machine.power_on()
        stop = domain.machine.run(2_000_000)
        text = shown(domain)
        if damage == "label":  # without one, the disk is one slice, and the boot block is where it was
            assert stop.reason is StopReason.BUDGET
        else:
            assert stop.reason is StopReason.FIRMWARE
            assert "bootblk: no 64-bit SPARC V9 program" in text if damage == "program" else "executable" in text


def test_hostile_program_headers_do_not_get_far(image: Path) -> None:
    """Random ELF headers behind the boot block: the loader refuses them or loads what is there, and nothing breaks."""
    print(f"S4V_TEST_SEED={SEED}")
    rng = random.Random(SEED)
    bootable(image, elf())
    for _ in range(25):
        header = bytearray(elf())
        for _ in range(rng.randrange(1, 6)):
            header[rng.randrange(4, 176)] = rng.randrange(256)
        with FileDisk(image) as disk:
            disk.write(PROGRAM_SECTOR * SECTOR, bytes(header))
        with build_domain("32M", disks=[DiskSpec(image)], deterministic=True) as domain:
            domain.machine.power_on()
            stop = domain.machine.run(300_000)
            assert stop.reason in (StopReason.BUDGET, StopReason.FIRMWARE, StopReason.WATCHDOG)


def test_mkdisk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, disk = tmp_path / "p.elf", tmp_path / "d.img"
    program.write_bytes(elf())
    assert main(["mkdisk", "--boot", str(program), str(disk), "16M"]) == 0
    assert disk.stat().st_size == 16 << 20
    assert disk.stat().st_blocks * 512 < 1 << 20  # sparse
    assert main(["mkdisk", str(disk), "16M"]) == 2
    assert "File exists" in capsys.readouterr().err
    program.write_bytes(b"no program")
    assert main(["mkdisk", "--boot", str(program), str(tmp_path / "e.img"), "16M"]) == 2
    assert "not an ELF file" in capsys.readouterr().err
    assert not (tmp_path / "e.img").exists()
    program.write_bytes(elf(data=bytes(1 << 20)))
    assert main(["mkdisk", "--boot", str(program), str(tmp_path / "e.img"), "512K"]) == 2
    assert "needs a disk of" in capsys.readouterr().err
    assert not (tmp_path / "e.img").exists()


@pytest.mark.skipif(shutil.which("sparc64-linux-gnu-gcc") is None, reason="no sparc64-linux-gnu-gcc")
def test_the_boot_block_is_built_from_its_source(tmp_path: Path) -> None:
    target = tmp_path / "boot" / "bootblk.bin"
    subprocess.run(["make", "-s", "-C", ROOT / "images", f"OUT={tmp_path}", str(target)], check=True)
    assert target.read_bytes() == boot_block()


def test_the_program_of_the_tests_is_one() -> None:
    assert parse_image(elf()).entry == CODE
