"""Chips and cpu-arch classes: which instructions a strand has, and the sizes that go with it.

Data only. Feature names are the words of Solaris' ``isainfo``; their bits stand in ``csrc/isa/feature.def``
and are joined to the names by `emulator.cpuarch`. Figures marked (inferred) have no published source.

Sources: OpenJDK's and GNU binutils' SPARC feature tables, Linux's sun4v support, illumos' CPU modules, the
vendors' data sheets, and for the classes the migration chapter of the Oracle VM Server for SPARC guide.
"""

from __future__ import annotations

from dataclasses import dataclass

from emulator.errors import UnknownCpuArchError, UnknownPlatformError

# TTE page-size codes as bits: 8K, 64K, 4M, 256M, then 2G and 16G. No sun4v chip offers 512K or 32M.
PAGES_256M = 0b0010_1011
PAGES_2G = PAGES_256M | 1 << 6
PAGES_16G = PAGES_2G | 1 << 7

MHZ = 1_000_000

MIN_VA_BITS_UNKNOWN_CHIP = 53
"""Linux takes a chip it does not know for an M8 and begins its linear map at 0xfff0000000000000."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# A 32-bit program sees these as well; every sun4v chip has them.
_BASE = _words("v8plus div32 mul32")
_T1 = _BASE | _words("asi_blk_init vis")
_T2 = _T1 | _words("vis2 popc")
_T3 = _T2 | _words("hpc vis3 fmaf")
_CRYPTO = _words("crc32c mont mpmul sha512 sha256 sha1 md5 camellia des aes")
_CLASS1 = _T3 | _CRYPTO | _words("cbcond pause ima")
_T4 = _CLASS1 | _words("kasumi")
_M7 = _CLASS1 | _words("vamask pause_nsec xmont xmpmul mwait sparc5 adi vis3b")  # without Kasumi
_M8 = _M7 | _words("mme sha3 rle fpcmpshl dictunp ondiv onmul onadd sparc6")
_S64X = _T3 | _words("cbcond pause fjfmau fjathplus fjathhpc fjdes fjaes")  # (inferred: no published list)
_S64X_PLUS = _S64X | _words("vis3b")
_S64XII = _S64X_PLUS | _words("ima fjathplus2 vis3c sparc5b")


@dataclass(frozen=True, kw_only=True)
class Chip:
    """A processor chip. Counts are those of the fully equipped chip."""

    name: str  # as platforms refer to it
    title: str  # as the maker writes it
    core: str  # core generation
    compatible: tuple[str, ...]  # first strings of the machine description's `compatible`, cpu-arch native
    cores: int
    strands_per_core: int
    clock_hz: int  # rate of TICK
    stick_hz: int  # rate of STICK
    features: frozenset[str]  # isainfo words
    va_bits: int
    ra_bits: int
    page_sizes: int = PAGES_2G  # bit n: TTE size code n
    max_tsbs: int = 4  # TSBs per context class
    max_ptl: int = 2  # deepest trap level of privileged code
    max_pgl: int = 2  # deepest global register set of privileged code
    windows: int = 8

    @property
    def strands(self) -> int:
        """Hardware threads of one chip."""
        return self.cores * self.strands_per_core


_GHZ = 1000 * MHZ

CHIPS: dict[str, Chip] = {
    chip.name: chip
    for chip in (
        Chip(
            name="t1", title="UltraSPARC T1", core="S1", compatible=("SUNW,UltraSPARC-T1",),
            cores=8, strands_per_core=4, clock_hz=1200 * MHZ, stick_hz=1200 * MHZ, features=_T1,
            va_bits=48, ra_bits=39, page_sizes=PAGES_256M, max_tsbs=2,
        ),
        Chip(
            name="t2", title="UltraSPARC T2", core="S2", compatible=("SUNW,UltraSPARC-T2",),
            cores=8, strands_per_core=8, clock_hz=1165 * MHZ, stick_hz=1165 * MHZ, features=_T2,
            va_bits=48, ra_bits=39, page_sizes=PAGES_256M,
        ),
        Chip(
            name="t2+", title="UltraSPARC T2 Plus", core="S2", compatible=("SUNW,UltraSPARC-T2+",),
            cores=8, strands_per_core=8, clock_hz=1400 * MHZ, stick_hz=1400 * MHZ, features=_T2,
            va_bits=48, ra_bits=39, page_sizes=PAGES_256M,
        ),
        Chip(
            name="t3", title="SPARC T3", core="C2", compatible=("SPARC-T3",),
            cores=16, strands_per_core=8, clock_hz=1650 * MHZ, stick_hz=1650 * MHZ, features=_T3,
            va_bits=48, ra_bits=43, page_sizes=PAGES_256M,
        ),
        Chip(
            name="t4", title="SPARC T4", core="C3", compatible=("SPARC-T4",),
            cores=8, strands_per_core=8, clock_hz=2850 * MHZ, stick_hz=_GHZ, features=_T4,
            va_bits=52, ra_bits=47,
        ),
        Chip(
            name="t5", title="SPARC T5", core="C3", compatible=("SPARC-T5",),
            cores=16, strands_per_core=8, clock_hz=3600 * MHZ, stick_hz=_GHZ, features=_T4,
            va_bits=52, ra_bits=47,
        ),
        Chip(
            name="m5", title="SPARC M5", core="C3", compatible=("SPARC-M5",),
            cores=6, strands_per_core=8, clock_hz=3600 * MHZ, stick_hz=_GHZ, features=_T4,
            va_bits=52, ra_bits=47,
        ),
        Chip(
            name="m6", title="SPARC M6", core="C3", compatible=("SPARC-M6",),
            cores=12, strands_per_core=8, clock_hz=3600 * MHZ, stick_hz=_GHZ, features=_T4,
            va_bits=52, ra_bits=47,
        ),
        Chip(
            name="m7", title="SPARC M7", core="C4", compatible=("SPARC-M7",),
            cores=32, strands_per_core=8, clock_hz=4133 * MHZ, stick_hz=_GHZ, features=_M7,
            va_bits=52, ra_bits=49, page_sizes=PAGES_16G,
        ),
        Chip(
            name="s7", title="SPARC S7", core="C4", compatible=("SPARC-S7",),
            cores=8, strands_per_core=8, clock_hz=4267 * MHZ, stick_hz=_GHZ, features=_M7,
            va_bits=52, ra_bits=49, page_sizes=PAGES_16G,
        ),
        Chip(
            name="m8", title="SPARC M8", core="C5", compatible=("SPARC-M8",),
            cores=32, strands_per_core=8, clock_hz=5067 * MHZ, stick_hz=_GHZ, features=_M8,
            va_bits=54, ra_bits=51, page_sizes=PAGES_16G,
        ),
        Chip(
            name="sparc64-x", title="SPARC64 X", core="Athena", compatible=("SPARC64-X",),
            cores=16, strands_per_core=2, clock_hz=2800 * MHZ, stick_hz=_GHZ, features=_S64X,
            va_bits=52, ra_bits=47,
        ),
        Chip(
            name="sparc64-x+", title="SPARC64 X+", core="Athena+", compatible=("SPARC64-X",),
            cores=16, strands_per_core=2, clock_hz=3200 * MHZ, stick_hz=_GHZ, features=_S64X_PLUS,
            va_bits=52, ra_bits=47,
        ),
        Chip(
            name="sparc64-xii", title="SPARC64 XII", core="Athena++", compatible=("SPARC64-XII",),
            cores=12, strands_per_core=8, clock_hz=3900 * MHZ, stick_hz=_GHZ, features=_S64XII,
            va_bits=52, ra_bits=47,
        ),
    )
}

# The server families by whose name people call the Fujitsu chips.
ALIASES = {"m10": "sparc64-x", "m10+": "sparc64-x+", "m12": "sparc64-xii", "t7": "m7", "t8": "m8"}

_FUJITSU = frozenset(name for name in CHIPS if name.startswith("sparc64"))
_CLASS1_CHIPS = frozenset({"t4", "t5", "m5", "m6", "m7", "s7", "m8"})


@dataclass(frozen=True, kw_only=True)
class CpuArch:
    """A value of ``cpu-arch`` other than native: the same instructions on every chip that offers it."""

    name: str
    features: frozenset[str]
    chips: frozenset[str]  # names of the chips that offer it


CPU_ARCHS: dict[str, CpuArch] = {
    arch.name: arch
    for arch in (
        # The T1 has no POPC and no VIS 2, see features(); domains cannot leave it for other chips anyway.
        CpuArch(name="generic", features=_T2, chips=frozenset(CHIPS)),
        CpuArch(name="migration-class1", features=_CLASS1, chips=_CLASS1_CHIPS),
        # (inferred: no published list) what SPARC64 X, X+ and XII have in common and is publicly described
        CpuArch(name="sparc64-class1", features=_T3 | _words("cbcond pause fjfmau"), chips=_FUJITSU),
    )
}

# CFR (ASR 26): feature -> bits, one per crypto instruction family; MONTMUL and MONTSQR are one isainfo word.
_CFR_BITS = {
    "aes": 1 << 0, "des": 1 << 1, "kasumi": 1 << 2, "camellia": 1 << 3, "md5": 1 << 4, "sha1": 1 << 5,
    "sha256": 1 << 6, "sha512": 1 << 7, "mpmul": 1 << 8, "mont": 1 << 9 | 1 << 10, "crc32c": 1 << 11,
}


def find_chip(name: str) -> Chip:
    """The chip of that name (``"t5"``, ``"M10"``), in any case. Raises UnknownPlatformError."""
    wanted = name.lower()
    chip = CHIPS.get(ALIASES.get(wanted, wanted))
    if chip is None:
        raise UnknownPlatformError(f"unknown chip {name!r} (known: {', '.join(CHIPS)})")
    return chip


def cpu_archs(chip: str) -> tuple[str, ...]:
    """The values of cpu-arch that a chip offers, native first. Raises UnknownPlatformError."""
    name = find_chip(chip).name
    return ("native", *(arch.name for arch in CPU_ARCHS.values() if name in arch.chips))


def features(chip: str, cpu_arch: str) -> frozenset[str]:
    """What a strand of that chip executes under that cpu-arch, as isainfo words.

    Never more than the chip has. Raises UnknownPlatformError for the chip, UnknownCpuArchError for a cpu-arch
    that does not exist or that the chip does not offer; its text names those it does.
    """
    found = find_chip(chip)
    if cpu_arch == "native":
        return found.features
    arch = CPU_ARCHS.get(cpu_arch)
    offered = " or ".join(cpu_archs(chip))
    if arch is None:
        raise UnknownCpuArchError(f"unknown cpu-arch {cpu_arch!r}: use {offered}")
    if found.name not in arch.chips:
        raise UnknownCpuArchError(f"cpu-arch {cpu_arch} is not available on {found.title}: use {offered}")
    return arch.features & found.features


def cfr_mask(names: frozenset[str]) -> int:
    """The value CFR (ASR 26) reads as for a strand with these features; 0 without crypto instructions."""
    return sum(bits for name, bits in _CFR_BITS.items() if name in names)


def va_bits(chip: str, cpu_arch: str) -> int:
    """Width of virtual addresses. Under a class the guest does not know the chip and may need 53 bits."""
    width = find_chip(chip).va_bits
    return width if cpu_arch == "native" else max(width, MIN_VA_BITS_UNKNOWN_CHIP)


def page_sizes(chip: str, cpu_arch: str) -> int:
    """Page sizes as bits of TTE codes. Under a class those of all its chips: the guest may move to any (inferred).

    Raises UnknownPlatformError for the chip, UnknownCpuArchError for a cpu-arch that the chip does not offer.
    """
    sizes = find_chip(chip).page_sizes
    if cpu_arch == "native":
        return sizes
    features(chip, cpu_arch)
    for other in CPU_ARCHS[cpu_arch].chips:
        sizes &= CHIPS[other].page_sizes
    return sizes


def compatible(chip: str, cpu_arch: str) -> tuple[str, ...]:
    """``compatible`` of a cpu node, most specific first: under a class without the chip's name (inferred)."""
    own = find_chip(chip).compatible if cpu_arch == "native" else ()
    return (*own, "SUNW,sun4v-cpu", "sun4v")
