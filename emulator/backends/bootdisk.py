"""Make a disk that OpenBoot boots: a label, a boot block, and a program behind it."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files

from emulator.backends.file import Backend
from emulator.devices.disklabel import Slice, default_label
from emulator.errors import ConfigError

SECTOR_BYTES = 512
PROGRAM_SECTOR = 16
ROOT_TAG = 2
DATA_SLICE = 7
"""``h``: what is left of the disk."""


def boot_block() -> bytes:
    """Our boot block, built from images/boot."""
    return files("emulator.backends").joinpath("bootblk.bin").read_bytes()


def make_bootable(backend: Backend, program: bytes) -> None:
    """Give an empty disk slice a with a boot block and an ELF program, and slice h with the rest.

    What was on the disk is lost. Raises ConfigError where it is too small, OSError.
    """
    label = default_label(backend.size_bytes // SECTOR_BYTES)
    unit = label.geometry.cylinder_blocks
    total = label.geometry.cylinders * unit
    needed = PROGRAM_SECTOR + -(-len(program) // SECTOR_BYTES)
    blocks = -(-needed // unit) * unit
    if blocks > total:
        raise ConfigError(f"the program needs a disk of {blocks * SECTOR_BYTES} bytes")
    slices = list(label.slices)
    slices[0] = Slice(ROOT_TAG, 0, 0, blocks)
    if blocks < total:
        slices[DATA_SLICE] = Slice(ROOT_TAG, 0, blocks, total - blocks)
    block = boot_block()
    backend.write(0, replace(label, slices=tuple(slices)).pack())
    backend.write(SECTOR_BYTES, block.ljust((PROGRAM_SECTOR - 1) * SECTOR_BYTES, b"\0"))
    backend.write(PROGRAM_SECTOR * SECTOR_BYTES, program)
    backend.flush()
