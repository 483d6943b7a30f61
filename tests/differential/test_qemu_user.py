"""Random instruction sequences: our machine against qemu-sparc64, state by state.

The same ELF (sequence_driver.c with the guest runtime) runs as a Linux process under qemu-sparc64 and privileged in a
Machine. S4V_SEQUENCES sets how many sequences (default 3000), S4V_SEED the seed; both are printed.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from sequence_runs import (
    Difference,
    RunError,
    build,
    differences,
    disassembly,
    missing_tool,
    records,
    run_qemu_user,
)
from sequences import Generator, Sequence, make_pools

emulator = pytest.importorskip("emulator")

COUNT = int(os.environ.get("S4V_SEQUENCES", "3000"))
SEED = int(os.environ.get("S4V_SEED", "20130326"))
BATCH = 500
FEATURES = frozenset({"v9", "vis", "vis2", "popc", "mul32", "div32", "fsmuld"})
EXCLUDED = {
    "taddcctv": "traps on overflow", "tsubcctv": "traps on overflow", "shutdown": "privileged",
    "mulscc": "bits 63:32 and xcc are undefined",
    **dict.fromkeys(("fstoi", "fdtoi", "fstox", "fdtox"), "QEMU 7.2 makes a negative NaN the largest number"),
    "fstod": "QEMU 7.2 raises NV for a signalling NaN only with a later instruction",
    "siam": "QEMU 7.2 has no SIAM",
    "bshuffle": "QEMU 7.2 takes the mask from the wrong end",
    "fexpand": "QEMU 7.2 reads the rs1 field",
    "fmul8ulx16": "QEMU 7.2 drops 8 bits of the product, not 16",
    "fmuld8sux16": "QEMU 7.2 rounds where it should shift", "fmuld8ulx16": "as fmuld8sux16",
    **dict.fromkeys(("fmul8x16", "fmul8x16au", "fmul8x16al", "fpmerge"), "QEMU 7.2 reads singles as doubles"),
    **dict.fromkeys(("fpsub16", "fpsub16s", "fpsub32", "fpsub32s"), "QEMU 7.2 subtracts the wrong way round"),
    **{f"edge{bits}{kind}": "QEMU 7.2 writes the source registers, and the masks are wrong"
       for bits in (8, 16, 32) for kind in ("cc", "lcc", "n", "ln")},
    **{f"array{bits}": "QEMU 7.2 places the upper fields wrongly" for bits in (8, 16, 32)},
    **{f"fpcmp{test}{bits}": "QEMU 7.2 compares unsigned" for test in ("gt", "le") for bits in (16, 32)},
}

pytestmark = pytest.mark.skipif(missing_tool() is not None, reason=f"needs {missing_tool()}")


LIMIT_INSNS = 200_000_000


def run_ours(elf: Path, count: int, slice_insns: int = LIMIT_INSNS) -> list[tuple[int, ...]]:
    """Final states in a Machine that runs ``slice_insns`` instructions at a time."""
    output = b""
    with emulator.Machine("16M", deterministic=True) as machine:
        machine.boot(elf)
        stop = machine.run(slice_insns)
        while stop.reason in (emulator.StopReason.CONSOLE, emulator.StopReason.BUDGET) and machine.insns < LIMIT_INSNS:
            output += machine.console.read()
            stop = machine.run(slice_insns)
        output += machine.console.read()
        if stop.reason is not emulator.StopReason.EXIT or stop.exit_code != 0:
            raise RunError(f"{stop}: {output[-200:]!r}\n{machine.strands[0].print()}")
    return records(output, count)


def report(found: list[Difference], sequences: list[Sequence], folder: Path) -> str:
    """The first sequence that differs, in full."""
    first = found[0].sequence
    lines = [str(d) for d in found if d.sequence == first]
    count = len({d.sequence for d in found})
    lines = [f"{count} sequences differ; number {first}:", *lines, disassembly(sequences[first], folder)]
    return "\n".join(lines)


@pytest.mark.parametrize("batch", range((COUNT + BATCH - 1) // BATCH))
def test_sequences_leave_the_state_qemu_leaves(batch: int, tmp_path: Path) -> None:
    seed = SEED + batch
    print(f"S4V_SEED={seed}")
    generator = Generator(random.Random(seed), make_pools(frozenset(EXCLUDED), FEATURES))
    sequences = [generator.sequence() for _ in range(min(BATCH, COUNT - batch * BATCH))]
    elf = build(sequences, tmp_path)
    theirs = run_qemu_user(elf, len(sequences))
    ours = run_ours(elf, len(sequences))
    found = differences(sequences, ours, theirs)
    assert not found, report(found, sequences, tmp_path)


@pytest.mark.parametrize("slice_insns", [1, 7, 97])
def test_slices_of_a_run_leave_the_same_state(slice_insns: int, tmp_path: Path) -> None:
    count = min(200, 2 * slice_insns)
    generator = Generator(random.Random(f"{SEED} {slice_insns}"), make_pools(frozenset(EXCLUDED), FEATURES))
    sequences = [generator.sequence() for _ in range(count)]
    elf = build(sequences, tmp_path)
    found = differences(sequences, run_ours(elf, count, slice_insns), run_ours(elf, count))
    assert not found, report(found, sequences, tmp_path)


def test_comparison_sees_a_wrong_bit() -> None:
    generator = Generator(random.Random(1), make_pools(frozenset(EXCLUDED), FEATURES))
    sequence = generator.sequence()
    record = (*sequence.state, 5)
    for index in (1, 32, 33, 36, 38, 69, 70):
        wrong = list(record)
        wrong[index] ^= 1
        assert [d.sequence for d in differences([sequence], [record], [tuple(wrong)])] == [0]
