"""Build a batch of sequences into a program, run it under an engine, and compare the states they leave."""

from __future__ import annotations

import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sequences import (
    ASI_WORD,
    CCR_WORD,
    D_WORDS,
    FPRS_WORD,
    FSR_WORD,
    GSR_BITS,
    GSR_WORD,
    STATE_WORDS,
    Y_WORD,
    Sequence,
    pack_batch,
)

HERE = Path(__file__).resolve().parent
LIB = HERE.parents[1] / "images" / "lib"
CROSS_GCC, OBJDUMP, QEMU_USER = "sparc64-linux-gnu-gcc", "sparc64-linux-gnu-objdump", "qemu-sparc64"
RECORD_WORDS = STATE_WORDS + 1
FSR_BITS = 0x3F_CF80_0FFF  # RD, TEM, the four fcc, aexc, cexc; VER, ftt and qne differ by chip
NOT_COMPARED = {0, 5, 6, 7, 14, 30}  # %g0, what the driver keeps, %sp and %fp
FLAGS = ["-O2", "-mcpu=niagara4", "-Wa,-Av9m8", "-mno-vis", "-mcmodel=medlow", "-ffreestanding", "-fno-pic", "-fno-pie",
         "-fno-stack-protector", "-fno-tree-loop-distribute-patterns", "-static", "-nostdlib", "-no-pie",
         "-Wl,--build-id=none", "-Wl,-z,noexecstack", "-Wl,-z,max-page-size=0x2000"]


class RunError(Exception):
    """The engine ended before the batch did."""


def missing_tool() -> str | None:
    return next((t for t in (CROSS_GCC, OBJDUMP, QEMU_USER) if shutil.which(t) is None), None)


def build(sequences: list[Sequence], folder: Path) -> Path:
    """Link the batch with the driver and the guest runtime; returns the ELF file."""
    (folder / "batch.bin").write_bytes(pack_batch(sequences))
    elf = folder / "batch.elf"
    runtime = [str(LIB / name) for name in ("start.S", "traps.S", "runtime.c", "format.c", "string.c")]
    # VIS and FPU code may not be used by the C half: the -mcpu is only for the assembler.
    command = [CROSS_GCC, *FLAGS, "-mcpu=ultrasparc", "-Wa,-Av9m8", "-I", str(LIB), "-I", str(folder),
               f"-Wa,-I{folder}", f"-Wl,-T,{LIB / 'link.ld'}", str(HERE / "sequence_driver.S"),
               str(HERE / "sequence_driver.c"), *runtime, "-o", str(elf)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return elf


def records(output: bytes, count: int) -> list[tuple[int, ...]]:
    size = 8 * RECORD_WORDS
    if len(output) < size * count:
        raise RunError(f"ended in sequence {len(output) // size} of {count}: {output[len(output) // size * size:]!r}")
    return [struct.unpack_from(f">{RECORD_WORDS}Q", output, size * n) for n in range(count)]


def run_qemu_user(elf: Path, count: int) -> list[tuple[int, ...]]:
    """Final states under qemu-sparc64."""
    done = subprocess.run([QEMU_USER, str(elf)], capture_output=True, timeout=120, check=False)
    return records(done.stdout, count)


def comparable(record: tuple[int, ...]) -> list[int]:
    """The record without what may differ between correct machines."""
    words = [0 if i in NOT_COMPARED else w for i, w in enumerate(record)]
    words[FSR_WORD] &= FSR_BITS
    words[GSR_WORD] &= GSR_BITS
    words[FPRS_WORD] = 0
    return words


def word_name(index: int) -> str:
    if index < 32:
        return f"%{'goli'[index // 8]}{index % 8}"
    names = {Y_WORD: "%y", CCR_WORD: "%ccr", ASI_WORD: "%asi", GSR_WORD: "%gsr", FSR_WORD: "%fsr",
             STATE_WORDS: "scratch"}
    return names.get(index) or f"%d{2 * (index - D_WORDS)}"


@dataclass(frozen=True)
class Difference:
    """A register that two machines left with different values."""

    sequence: int
    register: str
    start: int
    ours: int
    theirs: int

    def __str__(self) -> str:
        return f"{self.register}: ours {self.ours:#018x}, theirs {self.theirs:#018x} (start {self.start:#x})"


def is_nan(value: int, bits: int) -> bool:
    exponent = 0x7F800000 if bits == 32 else 0x7FF0000000000000
    return value & exponent == exponent and value & (1 << (23 if bits == 32 else 52)) - 1 != 0


def is_nan_choice(index: int, x: int, y: int) -> bool:
    """An FP register that holds a NaN on both machines, another one on each.

    Which of two NaN operands an operation hands on is where QEMU 7.2 departs from SPARC V9; test_fp_oracle.py holds
    ours to the manual.
    """
    if not D_WORDS <= index < STATE_WORDS:
        return False
    if is_nan(x, 64) and is_nan(y, 64):
        return True
    halves = [((x >> s) & 0xFFFFFFFF, (y >> s) & 0xFFFFFFFF) for s in (0, 32)]
    return all(a == b or (is_nan(a, 32) and is_nan(b, 32)) for a, b in halves)


def differences(sequences: list[Sequence], ours: list[tuple[int, ...]],
                theirs: list[tuple[int, ...]]) -> list[Difference]:
    out = []
    for number, (sequence, a, b) in enumerate(zip(sequences, ours, theirs, strict=True)):
        for index, (x, y) in enumerate(zip(comparable(a), comparable(b), strict=True)):
            if x != y and not is_nan_choice(index, x, y):
                start = sequence.state[index] if index < STATE_WORDS else sequence.scratch_seed
                out.append(Difference(number, word_name(index), start, x, y))
    return out


def disassembly(sequence: Sequence, folder: Path) -> str:
    """objdump of a sequence, for reports."""
    image = folder / "sequence.bin"
    image.write_bytes(struct.pack(f">{len(sequence.code)}I", *sequence.code))
    command = [OBJDUMP, "-D", "-b", "binary", "-m", "sparc:v9m8", "-EB", str(image)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return "\n".join(lines[7:])
