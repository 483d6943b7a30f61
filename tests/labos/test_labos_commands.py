"""What the commands print, exactly. The outputs for generic and migration-class1 are the guide's."""

from __future__ import annotations

import pytest
from labos_support import PROMPT, Lab

GENERIC = """\
64-bit sparcv9 applications
        asi_blk_init vis2 vis popc
32-bit sparc applications
        asi_blk_init vis2 vis popc v8plus div32 mul32
"""
CLASS1 = """\
64-bit sparcv9 applications
        crc32c cbcond pause mont mpmul sha512 sha256 sha1 md5
        camellia des aes ima hpc vis3 fmaf asi_blk_init vis2
        vis popc
32-bit sparc applications
        crc32c cbcond pause mont mpmul sha512 sha256 sha1 md5
        camellia des aes ima hpc vis3 fmaf asi_blk_init vis2
        vis popc v8plus div32 mul32
"""


@pytest.mark.parametrize("platform", ["t5-2", "t5220", "m10-1", "m8-8"])
def test_isainfo_generic(platform: str) -> None:
    lab = Lab(platform=platform, cpu_arch="generic", vcpus=1)
    assert lab.command("isainfo -v") == GENERIC
    assert lab.command("isainfo") == "sparcv9 sparc\n"


@pytest.mark.parametrize("platform", ["t4-1", "m8-8"])
def test_isainfo_class1(platform: str) -> None:
    assert Lab(platform=platform, cpu_arch="migration-class1", vcpus=1).command("isainfo -v") == CLASS1


def test_isainfo_native_names_what_the_chip_has() -> None:
    words = Lab(platform="t3-1", vcpus=1).command("isainfo -v").split("32-bit")[0].split()
    assert words[3:] == ["hpc", "vis3", "fmaf", "asi_blk_init", "vis2", "vis", "popc"]


def test_psrinfo_native() -> None:
    assert Lab(vcpus=2).command("psrinfo -pv") == (
        "The physical processor has 2 virtual processors (0 1)\n  SPARC-T5 (chipid 0, clock 3600 MHz)\n"
    )
    assert Lab(vcpus=1, platform="t2000").command("psrinfo -pv") == (
        "The physical processor has 1 virtual processor (0)\n  UltraSPARC-T1 (chipid 0, clock 1200 MHz)\n"
    )


def test_psrinfo_of_a_class() -> None:
    assert Lab(vcpus=13, cpu_arch="generic").command("psrinfo -pv") == (
        "The physical processor has 2 cores and 13 virtual processors (0-12)\n"
        "  The core has 8 virtual processors (0-7)\n"
        "  The core has 5 virtual processors (8-12)\n"
        "    sun4v-cpu (chipid 0, clock 3600 MHz)\n"
    )


def test_psrinfo_of_two_chips() -> None:
    text = Lab(vcpus=130, memory="128M").command("psrinfo -pv")
    first, second = text.split("The physical processor has ")[1:]
    assert first.startswith("16 cores and 128 virtual processors (0-127)\n")
    assert second == "2 virtual processors (128 129)\n  SPARC-T5 (chipid 1, clock 3600 MHz)\n"


@pytest.mark.parametrize(
    ("platform", "sizes"),
    [
        ("t2000", [8192, 65536, 4194304, 268435456]),
        ("t5-2", [8192, 65536, 4194304, 268435456, 2147483648]),
        ("m7-8", [8192, 65536, 4194304, 268435456, 2147483648, 17179869184]),
    ],
)
def test_pagesize(platform: str, sizes: list[int]) -> None:
    lab = Lab(platform=platform, vcpus=1)
    assert lab.command("pagesize -a") == "".join(f"{size}\n" for size in sizes)
    assert lab.command("pagesize") == "8192\n"


def test_prtconf() -> None:
    assert Lab(vcpus=2).command("prtconf") == (
        "System Configuration:  Oracle Corporation  sun4v\n"
        "Memory size: 64 Megabytes\n"
        "System Peripherals (Software Nodes):\n"
        "\n"
        "ORCL,SPARC-T5-2\n"
        "    virtual-devices, instance #0\n"
        "        console, instance #0\n"
        "        rtc, instance #0\n"
        "        random-number-generator, instance #0\n"
        "        channel-devices, instance #0\n"
        "    cpu, instance #0\n"
        "    cpu, instance #1\n"
    )


def test_uname() -> None:
    lab = Lab(args="hostname=ldg7")
    assert lab.command("uname -a") == "SunOS ldg7 5.11 11.3 sun4v sparc sun4v\n"
    assert lab.command("uname") == "SunOS\n"
    assert lab.command("uname -nr") == "ldg7 5.11\n"
    assert lab.command("uname -x") == "usage: uname [-asnrvmpi]\n"


def test_an_older_release_says_so() -> None:
    lab = Lab(args="release=old")
    assert lab.banner.startswith("labos 5.10 Version Generic_142909-17 64-bit\n")
    assert lab.command("uname -a") == "SunOS labos 5.10 Generic_142909-17 sun4v sparc sun4v\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Thu Jan  1 00:00:00 UTC 1970"),
        (1_356_998_400, "Tue Jan  1 00:00:00 UTC 2013"),
        (951_782_400 - 1, "Mon Feb 28 23:59:59 UTC 2000"),
        (951_782_400, "Tue Feb 29 00:00:00 UTC 2000"),
        (4_107_542_400, "Mon Mar  1 00:00:00 UTC 2100"),
    ],
)
def test_date(seconds: int, text: str) -> None:
    lab = Lab(vcpus=1, tod_seconds=seconds)
    assert lab.command("date") == f"{text}\n"
    assert lab.command("date +%s") == f"{seconds}\n"


def test_time_runs() -> None:
    """A strand that runs makes a tick an instruction; while all sleep time goes to the next timer."""
    lab = Lab(vcpus=1, tod_seconds=1_356_998_400 + 43_200)
    assert lab.command("uptime") == " 12:00pm  up 0 min(s),  1 user\n"
    assert lab.command("sleep 7384") == ""
    assert lab.command("date") == "Tue Jan  1 14:03:04 UTC 2013\n"
    assert lab.command("uptime") == "  2:03pm  up  2:03,  1 user\n"
    assert lab.command("sleep 86400") == ""
    assert lab.command("uptime") == "  2:03pm  up 1 day(s),  2:03,  1 user\n"


def test_echo_and_status() -> None:
    lab = Lab()
    assert lab.command("echo a  b") == "a b\n"
    assert lab.command("nothing") == "nothing: not found\n"
    assert lab.command("echo $?") == "127\n"
    assert lab.command("echo $?") == "0\n"
    assert lab.command("pagesize -x") == "usage: pagesize [-a]\n"
    assert lab.command("echo $?") == "2\n"
    assert lab.command("# a remark") == ""


def test_help_names_every_command() -> None:
    lab = Lab()
    rows = lab.command("help").splitlines()
    names = [row.split()[0] for row in rows]
    assert names == sorted(names)
    for name in ("crypto", "date", "dirty", "isainfo", "psrinfo", "uname", "halt", "help"):
        assert name in names
    for name in names:
        usage, about = lab.command(f"help {name}").splitlines()
        assert usage.split()[0] == name and about.startswith("    ")


def test_editing_of_a_line() -> None:
    lab = Lab()
    lab.type("garbage\x15echo erased")
    assert lab.expect(PROMPT).endswith(f"echo erased\nerased\n{PROMPT}")
    lab.type("sle\x7f\x7f\x7fecho rubbed")
    assert lab.expect(PROMPT).endswith(f"echo rubbed\nrubbed\n{PROMPT}")
    lab.machine.console.feed(b"half a line\x03")
    assert lab.expect(PROMPT) == f"half a line^C\n{PROMPT}" or lab.seen.endswith(f"^C\n{PROMPT}")


def test_much_typed_ahead_is_kept() -> None:
    lab = Lab()
    lines = [f"echo line {number}" for number in range(100)]
    for line in lines:
        lab.type(line)
    lab.type("echo end of it")
    text = lab.expect(f"end of it\n{PROMPT}")
    results = [row.removeprefix(PROMPT) for row in text.splitlines() if "line " in row and "echo" not in row]
    assert results == [f"line {number}" for number in range(100)]


@pytest.mark.parametrize(
    ("platform", "arch", "how"),
    [
        ("t5-2", "native", "instructions"), ("t4-1", "migration-class1", "instructions"),
        ("m8-8", "native", "instructions"), ("t5-2", "generic", "software    "),
        ("t2000", "native", "software    "), ("m10-1", "native", "software    "),
    ],
)  # fmt: skip
def test_crypto(platform: str, arch: str, how: str) -> None:
    """By the instructions where the domain has them, and never where it has not: they would be illegal."""
    lab = Lab(platform=platform, cpu_arch=arch, vcpus=1)
    names = ("aes", "md5", "sha1", "sha256", "sha512", "crc32c")
    units = "mau of cpu 0: ok\n" if platform == "t2000" else ""  # the one of these with units
    assert lab.command("crypto") == "".join(f"{name:7} {how} ok\n" for name in names) + units
    illegal = lab.command("run crash aes")
    assert ("illegal instruction" in illegal) == (how != "instructions")


def test_mem_counts_what_is_used() -> None:
    lab = Lab(vcpus=1)
    free = int(lab.command("mem").split()[-2])
    lab.command("dirty 1 16M")
    assert free - int(lab.command("mem").split()[-2]) in (16, 17)
    lab.command("dirty stop")
    assert lab.command("dirty 1 100G") == "dirty: not enough memory\n"
    assert abs(int(lab.command("mem").split()[-2]) - free) <= 1
