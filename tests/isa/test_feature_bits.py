"""Every row executes or is illegal as the features of a chip under a cpu-arch say, through a real `Machine`.

The features of each machine are written out here as `isainfo` prints them, apart from the tables of `emulator.chips`,
so that a wrong table and a wrong connection between table and engine both fail.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from engine_support import BLOCK, FP_DISABLED, FP_OTHER, ILLEGAL, PRIVILEGED, Bench, harmless_words, random_operands
from isa_support import SEED
from test_execution import ALWAYS_ILLEGAL, needs_fpu

from csrc.isa.groups import ALL
from csrc.isa.table import Op
from emulator.cpuarch import feature_names

T1 = "asi_blk_init vis"
GENERIC = "asi_blk_init vis2 vis popc"
T3 = "hpc vis3 fmaf " + GENERIC
CLASS1 = "crc32c cbcond pause mont mpmul sha512 sha256 sha1 md5 camellia des aes ima " + T3
T4 = "kasumi " + CLASS1
M7 = "vamask pause_nsec xmont xmpmul mwait sparc5 adi vis3b " + CLASS1
M10 = "fjfmau cbcond pause " + T3
M12 = "vis3b ima " + M10
# platform, cpu-arch -> features that are executed (what is not modelled left out)
MACHINES = {
    ("t1", "native"): T1, ("t2", "native"): GENERIC, ("t3", "native"): T3, ("t4", "native"): T4,
    ("t5", "native"): T4, ("m7", "native"): M7, ("m8", "native"): M7, ("m10", "native"): M10,
    ("m12", "native"): M12, ("t4", "generic"): GENERIC, ("t5", "generic"): GENERIC, ("m7", "generic"): GENERIC,
    ("m10", "generic"): GENERIC, ("t4", "migration-class1"): CLASS1, ("t5", "migration-class1"): CLASS1,
    ("m7", "migration-class1"): CLASS1, ("m10", "sparc64-class1"): M10,
}  # fmt: skip
ONLY_32BIT = {"v8plus", "div32", "mul32"}
CFR = {T4: 0xFFF, CLASS1: 0xFFB, M7: 0xFFB}
CFR_BITS = ("aes", "des", "kasumi", "camellia", "md5", "sha1", "sha256", "sha512", "mpmul", "mont", "mont", "crc32c")
HAS_CFR = {"t4", "t5", "m7", "m8"}
SPILLED = {"mpmul", "montmul", "montsqr", "xmpmul", "xmontmul", "xmontsqr"}  # read six windows back
HIDDEN = {"priv", "hpriv"}  # registers of the hypervisor among the privileged ones: %ver, writes of %tick
RANDOM_WORDS = 4  # of every row that must be illegal
both_ways = pytest.mark.parametrize("budget", [1, BLOCK], ids=["stepper", "blocks"])


@pytest.fixture(scope="module", params=list(MACHINES), ids="-".join)
def machine(request: pytest.FixtureRequest) -> Iterator[tuple[Bench, set[str]]]:
    """A strand and the features it must have."""
    with Bench(*request.param) as bench:
        yield bench, set(MACHINES[request.param].split())


def exists(row: Op, bench: Bench, features: set[str]) -> bool:
    """Whether a guest may execute the row at all."""
    if "hpriv" in row.flags or row.name in ALWAYS_ILLEGAL:
        return False
    if "quad" in row.flags:
        return bench.machine.platform.chip == "t1"
    if row.name == "rdcfr":
        return bench.machine.platform.chip in HAS_CFR
    return row.feature == "v9" or row.feature in features


def windows(row: Op) -> int:
    """Windows to be restorable, so that the row needs no window trap."""
    return 0 if row.name == "flushw" else 6 if row.name in SPILLED else 3


def test_the_machine_has_exactly_these_features(machine: tuple[Bench, set[str]]) -> None:
    bench, features = machine
    assert feature_names(bench.machine.cpu.features) == features | ONLY_32BIT


@both_ways
def test_rows_execute_or_are_illegal(machine: tuple[Bench, set[str]], budget: int) -> None:
    bench, features = machine
    executed = 0
    for row in ALL:
        for word in harmless_words(row):
            trap = bench.trap(word, windows=windows(row), budget=budget)
            if not exists(row, bench, features):
                assert trap == ILLEGAL, f"{row.name} {word:#010x}: {trap:#x}"
            else:
                allowed = {0x108, 0} if "ri8" in row.tokens() else {FP_OTHER} if "quad" in row.flags else {0}
                assert trap in allowed, f"{row.name} {word:#010x}: {trap:#x}"
                executed += 1
    assert executed > 500


def test_missing_rows_are_illegal_whatever_their_operands(machine: tuple[Bench, set[str]]) -> None:
    """And before any other trap: whatever the mode, and with the FPU off."""
    bench, features = machine
    rng = random.Random(SEED)
    print(f"S4V_TEST_SEED={SEED}")
    for row in ALL:
        if exists(row, bench, features):
            continue
        for word in random_operands(row, rng, RANDOM_WORDS):
            user, fpu = bool(rng.getrandbits(1)), bool(rng.getrandbits(1))
            expected = PRIVILEGED if user and row.flags >= HIDDEN else ILLEGAL
            assert bench.trap(word, user=user, fpu=fpu) == expected, f"{row.name} {word:#010x}"


@both_ways
def test_privileged_rows_in_user_mode(machine: tuple[Bench, set[str]], budget: int) -> None:
    bench, features = machine
    for row in ALL:
        for word in harmless_words(row):
            trap = bench.trap(word, user=True, fpu=False, windows=windows(row), budget=budget)
            if not exists(row, bench, features) and not HIDDEN.issubset(row.flags):
                assert trap == ILLEGAL, row.name
            else:
                assert (trap == PRIVILEGED) == ("priv" in row.flags), f"{row.name} {trap:#x}"


@both_ways
def test_rows_that_need_the_fpu(machine: tuple[Bench, set[str]], budget: int) -> None:
    bench, features = machine
    for row in ALL:
        for word in harmless_words(row):
            trap = bench.trap(word, fpu=False, windows=windows(row), budget=budget)
            if exists(row, bench, features):
                assert (trap == FP_DISABLED) == (needs_fpu(row) or "quad" in row.flags), f"{row.name} {trap:#x}"


def test_cfr_says_what_is_executed(machine: tuple[Bench, set[str]]) -> None:
    bench, features = machine
    read_cfr = 0x81468000 | 10 << 25  # rd %cfr, %o2
    trap = bench.trap(read_cfr, user=True, fpu=False)
    if bench.machine.platform.chip not in HAS_CFR:
        assert trap == ILLEGAL
        return
    assert trap == 0
    text = MACHINES[bench.machine.cpu.chip, bench.machine.cpu.cpu_arch]
    assert bench.regs["o2"] == CFR.get(text, 0)
    for bit, name in enumerate(CFR_BITS):
        assert (bench.regs["o2"] >> bit & 1) == (name in features), name
