"""Loads inside the guest, each with a result known beforehand (images/linux/programs)."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from guest_console import GuestConsole
from linux_guest import ROOT, Linux, boot_linux

pytestmark = [pytest.mark.slow, pytest.mark.nosan]

# What `load` prints at its end: equal to a native build of the same sources, see test_linux_programs.py.
RESULTS = {
    "forks": "forks: ok 200 children, a0cfc4c21fcfff25",
    "signals": "signals: ok 2000 queued, fb25a30bfb2291db",
    "faults": "faults: ok",
    "fp": "fp: ok 16 processes, 43fabe4dcf66b16f",
    "threads": "threads: ok 8 threads, 9000",
    "dirty": "dirty: ok 16 MiB",
    "altstack": "altstack: ok 20 rounds",
    "maps": "maps: ok 200 rounds",
    "contexts": "contexts: ok 85437ba1a20dab5c",
    "pingpong": "pingpong: ok 500 turns, 0ce0a89f0965a45d",
    "sockets": "sockets: ok 512 KiB",
    "sums 3": "sums: ok b2cefc238d914c48",
}


@dataclass(frozen=True)
class Case:
    platform: str
    vcpus: int
    cpu_arch: str = "native"
    deterministic: bool = True

    def __str__(self) -> str:
        return f"{self.platform}-{self.cpu_arch}-{self.vcpus}{'' if self.deterministic else '-realtime'}"


CASES = [Case("t5-2", 4), Case("m7-8", 2, "generic"), Case("t4-1", 3, deterministic=False)]


@pytest.fixture(scope="module", params=CASES, ids=str)
def guest(request: pytest.FixtureRequest, linux: Linux) -> Iterator[GuestConsole]:
    case: Case = request.param
    guest = boot_linux(linux, platform=case.platform, vcpus=case.vcpus, cpu_arch=case.cpu_arch,
                       deterministic=case.deterministic)  # fmt: skip
    with guest.machine:
        yield guest


@pytest.mark.parametrize("load", RESULTS)
def test_load(guest: GuestConsole, load: str) -> None:
    assert guest.command(f"load {load}").strip().splitlines()[-1] == RESULTS[load]


def test_32_bit_program(guest: GuestConsole) -> None:
    assert guest.command("load32").strip() == "load32: ok"


def test_every_cpu_works(guest: GuestConsole) -> None:
    assert guest.command("load cpus").strip().splitlines()[-1] == f"cpus: ok {len(guest.machine.strands)}"


def test_timers(guest: GuestConsole) -> None:
    """Never early is checked in the guest. How late, and STICK against the clock, only where time is virtual."""
    hertz = guest.machine.platform.stick_hz
    found = re.fullmatch(r"timers: ok late_us=(\d+) stick_ppm=(\d+)", guest.command(f"load timers 2 {hertz}").strip())
    assert found is not None
    if guest.machine.deterministic:
        assert int(found[1]) < 10_000
        assert int(found[2]) < 200


def test_shell_load_as_on_the_host(guest: GuestConsole, tmp_path: Path) -> None:
    """The script runs on the host with the host's tools, and must print the same there."""
    for tool in ("awk", "bzip2", "md5sum", "gzip", "tar", "split"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is missing")
    script = ROOT / "images" / "linux" / "rootfs" / "usr" / "bin" / "shellload"
    host = subprocess.run(["sh", str(script), "2000", "20"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert host.stdout.endswith("shellload: ok\n")
    assert guest.command("shellload 2000 20") == host.stdout


def test_everything_at_once(guest: GuestConsole) -> None:
    """Loads that compete for cpus and memory."""
    loads = ["fp 8 4", "threads 4 200", "forks 40", "sums 2", "maps 40", "pingpong 50", "contexts 500"]
    script = " ".join(f"(load {load} >/tmp/out.{n} || echo {load} >>/tmp/failed) &" for n, load in enumerate(loads))
    guest.command(f"rm -f /tmp/failed; {script} wait; ! test -e /tmp/failed")
    for n, load in enumerate(loads):
        assert f"{load.split()[0]}: ok" in guest.command(f"cat /tmp/out.{n}")
