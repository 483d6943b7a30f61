"""Chips, cpu-arch classes, and the bits of their features."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from emulator.chips import (
    CHIPS,
    CPU_ARCHS,
    cfr_mask,
    compatible,
    cpu_archs,
    features,
    find_chip,
    page_sizes,
    va_bits,
)
from emulator.cpuarch import (
    UNMODELLED,
    feature_mask,
    feature_names,
    feature_table,
    hwcap_list,
    isainfo_words,
    modelled,
    parse_features,
)
from emulator.errors import ConfigError, UnknownCpuArchError, UnknownPlatformError

ROOT = Path(__file__).resolve().parents[2]

# `isainfo -v` as the migration guide prints it for the classes, and as published for the native chips.
GENERIC = "asi_blk_init vis2 vis popc"
CLASS1 = "crc32c cbcond pause mont mpmul sha512 sha256 sha1 md5 camellia des aes ima hpc vis3 fmaf " + GENERIC
T4 = CLASS1.replace("camellia des", "camellia kasumi des")


def isainfo(chip: str, cpu_arch: str, bits: int = 64) -> str:
    return " ".join(isainfo_words(features(chip, cpu_arch), bits=bits))


@pytest.mark.parametrize(("chip", "cpu_arch", "expected"), [
    ("t1", "native", "asi_blk_init vis"),
    ("t2", "native", GENERIC),
    ("t2+", "native", GENERIC),
    ("t3", "native", "hpc vis3 fmaf " + GENERIC),
    ("t4", "native", T4), ("t5", "native", T4), ("m5", "native", T4), ("m6", "native", T4),
    ("m7", "native", "vamask pause_nsec xmont xmpmul mwait sparc5 adi vis3b " + CLASS1),
    ("s7", "native", "vamask pause_nsec xmont xmpmul mwait sparc5 adi vis3b " + CLASS1),
    ("t2", "generic", GENERIC), ("t3", "generic", GENERIC), ("t5", "generic", GENERIC),
    ("m8", "generic", GENERIC), ("m10", "generic", GENERIC),
    ("t1", "generic", "asi_blk_init vis"),  # the T1 has no POPC and no VIS 2 to offer
    ("t4", "migration-class1", CLASS1), ("m6", "migration-class1", CLASS1),
    ("m7", "migration-class1", CLASS1), ("m8", "migration-class1", CLASS1),
])
def test_isainfo(chip: str, cpu_arch: str, expected: str) -> None:
    assert isainfo(chip, cpu_arch) == expected
    assert isainfo(chip, cpu_arch, bits=32) == expected + " v8plus div32 mul32"


@pytest.mark.parametrize("cpu_arch", sorted(CPU_ARCHS))
def test_a_class_is_the_same_on_every_chip_that_offers_it(cpu_arch: str) -> None:
    sets = {features(name, cpu_arch) for name in CPU_ARCHS[cpu_arch].chips if name != "t1"}
    assert sets == {CPU_ARCHS[cpu_arch].features}


def test_sparc64_class_lies_between_generic_and_the_chips() -> None:
    own = features("m10", "sparc64-class1")
    assert features("m10", "generic") < own
    for chip in ("sparc64-x", "sparc64-x+", "sparc64-xii"):
        assert own <= features(chip, "native")


@pytest.mark.parametrize(("chip", "cpu_arch", "remedy"), [
    ("t3", "migration-class1", "migration-class1 is not available on SPARC T3: use native or generic"),
    ("t2", "migration-class1", "UltraSPARC T2: use native or generic"),
    ("m10", "migration-class1", "SPARC64 X: use native or generic or sparc64-class1"),
    ("t5", "sparc64-class1", "SPARC T5: use native or generic or migration-class1"),
    ("t5", "migration-class2", "unknown cpu-arch 'migration-class2': use native or generic or "),
])
def test_a_class_the_chip_lacks_is_refused_with_a_remedy(chip: str, cpu_arch: str, remedy: str) -> None:
    with pytest.raises(UnknownCpuArchError, match=re.escape(remedy)):
        features(chip, cpu_arch)


def test_unknown_chip() -> None:
    with pytest.raises(UnknownPlatformError, match=r"unknown chip 't9'.*known: t1, t2, "):
        features("t9", "native")


def test_names_in_any_case_and_server_families() -> None:
    assert find_chip("SPARC64-X").name == find_chip("M10").name == "sparc64-x"
    assert find_chip("T7").name == "m7"
    assert cpu_archs("m12") == ("native", "generic", "sparc64-class1")


@pytest.mark.parametrize(("chip", "cpu_arch", "expected"), [
    ("t4", "native", 0xFFF), ("t5", "migration-class1", 0xFFB), ("m7", "native", 0xFFB), ("t5", "generic", 0),
    ("t3", "native", 0), ("m10", "native", 0),
])
def test_cfr_agrees_with_the_features(chip: str, cpu_arch: str, expected: int) -> None:
    assert cfr_mask(features(chip, cpu_arch)) == expected


def test_sizes_per_chip() -> None:
    sizes = {name: (chip.strands, chip.va_bits, chip.ra_bits, chip.page_sizes, chip.max_tsbs)
             for name, chip in CHIPS.items()}
    assert sizes["t1"] == (32, 48, 39, 0x2B, 2)
    assert sizes["t2"] == (64, 48, 39, 0x2B, 4)
    assert sizes["t3"] == (128, 48, 43, 0x2B, 4)
    assert sizes["t5"] == (128, 52, 47, 0x6B, 4)
    assert sizes["m7"] == (256, 52, 49, 0xEB, 4)
    assert sizes["m8"] == (256, 54, 51, 0xEB, 4)
    assert sizes["sparc64-x"] == (32, 52, 47, 0x6B, 4)
    assert {(chip.max_ptl, chip.max_pgl, chip.windows) for chip in CHIPS.values()} == {(2, 2, 8)}
    assert (CHIPS["t5"].clock_hz, CHIPS["t5"].stick_hz) == (3_600_000_000, 1_000_000_000)


def test_page_sizes_of_a_class_are_those_of_all_its_chips() -> None:
    sizes = {pair: page_sizes(*pair) for pair in (("t5", "native"), ("t5", "generic"), ("m7", "native"),
             ("m7", "migration-class1"), ("m7", "generic"), ("m10", "sparc64-class1"))}
    assert list(sizes.values()) == [0x6B, 0x2B, 0xEB, 0x6B, 0x2B, 0x6B]
    with pytest.raises(UnknownCpuArchError):
        page_sizes("t3", "migration-class1")


def test_a_class_hides_the_chip() -> None:
    assert compatible("t5", "native") == ("SPARC-T5", "SUNW,sun4v-cpu", "sun4v")
    assert compatible("t5", "generic") == ("SUNW,sun4v-cpu", "sun4v")
    assert (va_bits("t5", "native"), va_bits("t5", "generic"), va_bits("m8", "generic")) == (52, 53, 54)


# ---- feature.def ----

def test_bits_are_those_of_getisax() -> None:
    table = feature_table()
    word1 = {"mul32": 0x1, "v8plus": 0x8, "popc": 0x10, "vis": 0x20, "vis2": 0x40, "asi_blk_init": 0x80,
             "fmaf": 0x100, "vis3": 0x400, "hpc": 0x800, "ima": 0x8000, "aes": 0x20000, "kasumi": 0x80000,
             "sha512": 0x1000000, "mont": 0x4000000, "pause": 0x8000000, "cbcond": 0x10000000,
             "crc32c": 0x20000000}
    word2 = {"vis3b": 0x2, "adi": 0x4, "sparc5": 0x8, "mwait": 0x10, "xmont": 0x40, "pause_nsec": 0x80,
             "sparc6": 0x200, "dictunp": 0x2000, "sha3": 0x10000}
    assert {name: 1 << table[name].bit for name in word1} == word1
    assert {name: 1 << table[name].bit >> 32 for name in word2} == word2


def test_every_feature_of_a_chip_has_a_bit() -> None:
    for chip in CHIPS.values():
        assert feature_names(feature_mask(chip.features)) == chip.features
    assert feature_mask(["popc", "sparc5"]) == 0x10 | 1 << 35


def test_unknown_feature_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown CPU features: vis9"):
        feature_mask(["vis", "vis9"])


@pytest.mark.parametrize("text", [
    'FEATURE(1, "a", "a")\n',
    'FEATURE(1, "a", "a", "x")\nFEATURE(1, "b", "b", "x")\n',
    'FEATURE(1, "a", "a", "x")\nFEATURE(2, "a", "b", "x")\n',
])
def test_a_malformed_feature_table_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_features(text)


def test_hwcap_list_of_the_generic_class() -> None:
    assert hwcap_list(features("t5", "generic")) == (
        "mul32", "div32", "v8plus", "popc", "vis", "vis2", "ASIBlkInit")
    assert {"montmul", "montsqr", "crc32c"} <= set(hwcap_list(features("t5", "migration-class1")))


def test_what_is_modelled_has_instructions_and_the_rest_has_none() -> None:
    """The instruction table and UNMODELLED agree: no guest is told of an instruction that would trap."""
    sys.path.insert(0, str(ROOT / "csrc"))
    try:
        from isa.groups import branch, crypto, fp, integer, memory, privileged, vis
    finally:
        sys.path.pop(0)
    groups = (branch, crypto, fp, integer, memory, privileged, vis)
    used = {row.feature for group in groups for row in group.ROWS} - {"v9"}
    assert used <= feature_table().keys()
    # MCDPER and ENTROPY are readable registers; tagged memory and the rest of sparc6 are not there.
    assert used & UNMODELLED <= {"adi", "sparc6"}
    # Known by ASI, ASR or width, or part of every V9 chip: no row of their own.
    without_rows = {"mul32", "div32", "fsmuld", "v8plus", "asi_blk_init", "pause", "mwait", "pause_nsec",
                    "vamask"}
    assert modelled(feature_table()) - used - without_rows == set()
