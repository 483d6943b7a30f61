"""An unmodified Linux boots on servers of every kind, and finds there what the emulator says it has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from guest_console import GuestConsole
from linux_guest import Linux, boot_linux

from emulator.cpuarch import UNMODELLED, feature_names, hwcap_list

pytestmark = [pytest.mark.slow, pytest.mark.nosan]


@dataclass(frozen=True)
class Case:
    platform: str
    vcpus: int
    cpu_arch: str = "native"
    deterministic: bool = True
    crypto: str = "vectors"

    def __str__(self) -> str:
        return f"{self.platform}-{self.cpu_arch}-{self.vcpus}{'' if self.deterministic else '-realtime'}"


# Every chip family once, one to eight strands, each cpu-arch, both ways to run.
CASES = [
    Case("t4-1", 1),
    Case("t5-2", 8, crypto="random"),
    Case("m7-8", 4, crypto="random"),
    Case("t5-2", 2, "generic"),
    Case("m7-8", 3, "migration-class1"),
    Case("t2000", 2),
    # Linux's driver of the T2's crypto units fails the kernel's tests on any machine: it cannot export the state of a
    # hash (ENOSYS), gives no IV back after CTR, and does not ask for the copy back of a block that lies in two pieces
    # (skcipher_walk_complete). What it can do is compared with the kernel's own code (docs/internals/crypto.md).
    Case("t5120", 3, crypto="none"),
    Case("t8-1", 2),
    Case("m10-1", 5),
    Case("t5-2", 4, deterministic=False),
]


@pytest.fixture(scope="module", params=CASES, ids=str)
def booted(request: pytest.FixtureRequest, linux: Linux) -> Iterator[tuple[Case, GuestConsole]]:
    case: Case = request.param
    guest = boot_linux(linux, platform=case.platform, vcpus=case.vcpus, cpu_arch=case.cpu_arch,
                       deterministic=case.deterministic, crypto=case.crypto)  # fmt: skip
    with guest.machine:
        yield case, guest


def test_all_cpus_are_online(booted: tuple[Case, GuestConsole]) -> None:
    case, guest = booted
    assert guest.command("nproc").strip() == str(case.vcpus)
    assert "Processor" not in guest.text  # "Processor 1 is stuck."
    brought = re.search(r"Brought up 1 node, (\d+) CPUs?\b", guest.text)
    assert brought is not None
    assert int(brought[1]) == case.vcpus


# Lines of level 4 (warning) that a real machine prints as well. Most have no level in Linux's source, and 4 is the
# default: arch/sparc/kernel/{prom_64,setup_64,mdesc,time_64}.c, arch/sparc/mm/init_64.c, arch/sparc/prom/init_64.c.
EXPECTED_WARNINGS = (
    r"PROMLIB: (Sun IEEE Boot Prom 'OBP |Root node compatible: sun4v$)",
    r"Ethernet address: ",
    r"Kernel: Using \d locked TLB entries",
    r"Remapping the kernel\.\.\. $",
    r"done\.$",
    r"OF stdout device is: ",
    r"MDESC: Size is \d+ bytes",
    r"PLATFORM: (banner-name|name|hostid|serial#|stick-frequency|mac-address|watchdog-\S+|max-cpus) \[",
    r"Allocated \d+ bytes for kernel page tables",
    r"Booting Linux\.\.\.$",
    r"clock(source|event): mult\[",
    r"hrtimer: interrupt took \d+ ns$",  # of a host that had no time for the guest
    r"alg: extra crypto tests enabled",  # the kernel is configured with them
    r"CPU: Unknown sun4v cpu type \[SUNW,sun4v-cpu\]",  # a cpu-arch that hides the chip hides its name
    r"This architecture does not have kernel memory protection",  # sparc64 has none
)


def test_no_warnings(booted: tuple[Case, GuestConsole]) -> None:
    """Raw kernel messages carry their level; less is worse."""
    _, guest = booted
    messages = re.findall(r"^<(\d+)>(.*)$", guest.command("dmesg -r"), re.MULTILINE)
    assert len(messages) > 100
    serious = [re.sub(r"^\[ *[\d.]+\] ", "", text) for level, text in messages if int(level) & 7 <= 4]
    assert any(text.startswith("Booting Linux") for text in serious)
    assert [text for text in serious if not any(re.match(p, text) for p in EXPECTED_WARNINGS)] == []


BASE_CAPS = {"flush", "stbar", "swap", "muldiv", "v9"}  # of every sun4v machine: arch/sparc/kernel/setup_64.c
CHIP_CAPS = {"blkinit", "n2", "ultra3"}  # Linux concludes these from the chip's name
LINUX_KNOWS = {
    *("mul32", "div32", "fsmuld", "v8plus", "popc", "vis", "vis2", "ASIBlkInit", "fmaf", "vis3", "hpc", "random"),
    *("trans", "fjfmau", "ima", "cspare", "pause", "cbcond", "adp"),
    *("aes", "des", "kasumi", "camellia", "md5", "sha1", "sha256", "sha512", "mpmul", "montmul", "montsqr", "crc32c"),
}


def test_cpuinfo_names_what_the_emulator_executes(booted: tuple[Case, GuestConsole]) -> None:
    case, guest = booted
    info = guest.command("cat /proc/cpuinfo")
    found = re.search(r"cpucaps\s*: (.*)", info)
    assert found is not None
    names = set(found[1].split(","))
    told = feature_names(guest.machine.cpu.features) - UNMODELLED
    wanted = set(hwcap_list(told)) & LINUX_KNOWS
    assert names - CHIP_CAPS - BASE_CAPS == wanted
    assert names >= BASE_CAPS
    assert info.count("online") == case.vcpus
    assert re.search(r"MMU Type\s*: Hypervisor \(sun4v\)", info)
    sizes = re.search(r"MMU PGSZs\s*: (.*)", info)
    assert sizes is not None
    printed = {"8K": 0, "64K": 1, "512K": 2, "4MB": 3, "32MB": 4, "256MB": 5, "2GB": 6, "16GB": 7}
    # Linux does not use, and so does not name, 512K and 32M.
    assert sum(1 << printed[size] for size in sizes[1].split(",")) == guest.machine.cpu.page_sizes & ~0b10100
    hertz = {int(value, 16) for value in re.findall(r"Cpu\d+ClkTck\s*: (\w+)", info)}
    assert hertz == {guest.machine.platform.clock_hz}


# Feature of the chip -> kernel drivers that use it (arch/sparc/crypto).
DRIVERS = {
    "aes": {"aes-sparc64", "ecb-aes-sparc64", "cbc-aes-sparc64", "ctr-aes-sparc64"},
    "des": {"des-sparc64", "ecb-des-sparc64", "cbc-des-sparc64",
            "des3_ede-sparc64", "ecb-des3_ede-sparc64", "cbc-des3_ede-sparc64"},
    "camellia": {"camellia-sparc64", "ecb-camellia-sparc64", "cbc-camellia-sparc64"},
    "md5": {"md5-sparc64"},
    "sha1": {"sha1-sparc64"},
    "sha256": {"sha224-sparc64", "sha256-sparc64"},
    "sha512": {"sha384-sparc64", "sha512-sparc64"},
    "crc32c": {"crc32c-sparc64"},
}  # fmt: skip


def test_crypto_drivers_pass_the_kernels_own_tests(booted: tuple[Case, GuestConsole]) -> None:
    _, guest = booted
    text = guest.command("cat /proc/crypto")
    tested = dict(re.findall(r"driver\s*: (\S+)\n(?:.*\n)*?selftest\s*: (\w+)", text))
    assert set(tested.values()) == {"passed"}
    features = feature_names(guest.machine.cpu.features)
    wanted = set().union(*(drivers for name, drivers in DRIVERS.items() if name in features))
    assert {driver for driver in tested if driver.endswith("-sparc64")} == wanted


UNITS = {"ecb-des", "cbc-des", "ecb-3des", "cbc-3des", "ecb-aes", "cbc-aes", "ctr-aes"}
HASHES = {"md5", "sha1", "sha224", "sha256"}


def test_drivers_give_what_the_kernels_own_code_gives(booted: tuple[Case, GuestConsole]) -> None:
    """n2_core on the units of the T2, by its queues; the drivers of the instructions on one later chip."""
    case, guest = booted
    if case.platform == "t5120":
        before = guest.machine.crypto_counters
        found = set(guest.command("load units n2").rpartition("units: ok")[2].split())
        names = {*UNITS, *HASHES, "hmac-md5", "hmac-sha1", "hmac-sha256"}
        assert found == {f"{name}-n2" for name in names}
        done = [(jobs - before[ino][0], errors) for ino, (jobs, errors) in guest.machine.crypto_counters.items()]
        assert max(done)[0] >= 12 * (len(names) + len(UNITS))
        assert {errors for _, errors in done} == {0}
    elif case.platform == "m7-8" and case.cpu_arch == "native":
        found = set(guest.command("load units sparc64").rpartition("units: ok")[2].split())
        wanted = {f"{name.replace('3des', 'des3_ede')}-sparc64" for name in UNITS | HASHES}
        assert found == wanted


def test_instructions_work_where_the_kernel_says_so(booted: tuple[Case, GuestConsole]) -> None:
    _, guest = booted
    output = guest.command("load hwcaps")
    named = set(output.removeprefix("hwcaps: ok").split())
    features = feature_names(guest.machine.cpu.features)
    tried = {"fmaf", "vis3", "hpc", "ima", "cbcond", "pause", "aes", "des", "kasumi", "camellia", "md5", "sha1",
             "sha256", "sha512", "crc32c"}  # fmt: skip
    assert named == features & tried


WITHOUT_RNG = {"t2000", "m10-1"}  # a T1 has none, and of the SPARC64 none is known that sun4v guests see


def test_devices_are_found(booted: tuple[Case, GuestConsole]) -> None:
    case, guest = booted
    assert "console [ttyHV0] enabled" in guest.text
    if case.platform not in WITHOUT_RNG:
        assert guest.command("cat /sys/class/misc/hw_random/rng_current").strip() == "n2rng"
        assert len(guest.command("head -c 64 /dev/hwrng | od -An -v -tx1").split()) == 64
    assert guest.command("cat /sys/class/rtc/rtc0/name").startswith("rtc-sun4v")
    assert guest.machine.soft_state.normal
    assert guest.machine.soft_state.text == "Linux running"
