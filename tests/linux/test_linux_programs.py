"""The guest's programs under QEMU's user mode: the results that the guest must give come from there as well."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from linux_guest import ROOT
from test_linux_work import RESULTS

sys.path.insert(0, str(ROOT / "images" / "linux"))

from linuxbuild.programs import FOLDER, build_programs

# QEMU 7.2's user mode has other faults, no limit of the stack, another /proc/self/exe, and takes forever for signals.
NOT_THERE = {"forks", "faults", "altstack", "signals"}
NATIVE = ["threads", "dirty", "contexts", "pingpong", "sockets", "sums 3", "forks", "signals"]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    if shutil.which("sparc64-linux-gnu-gcc") is None or not Path("/usr/sparc64-linux-gnu/lib/libc.a").exists():
        pytest.skip("gcc-sparc64-linux-gnu or libc6-dev-sparc64-cross is missing")
    folder = tmp_path_factory.mktemp("programs")
    return build_programs(folder, folder / "log")


def last_line(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().splitlines()[-1]


@pytest.mark.parametrize("load", sorted(set(RESULTS) - NOT_THERE))
def test_results_under_qemu(programs: dict[str, Path], load: str) -> None:
    if shutil.which("qemu-sparc64") is None:
        pytest.skip("qemu-sparc64 is missing")
    assert last_line(["qemu-sparc64", str(programs["load"]), *load.split()]) == RESULTS[load]


def test_32_bits_under_qemu(programs: dict[str, Path]) -> None:
    if shutil.which("qemu-sparc32plus") is None:
        pytest.skip("qemu-sparc32plus is missing")
    assert last_line(["qemu-sparc32plus", str(programs["load32"])]) == "load32: ok"


def test_programs_are_the_same_bytes_twice(programs: dict[str, Path], tmp_path: Path) -> None:
    again = build_programs(tmp_path, tmp_path / "log")
    assert {name: path.read_bytes() for name, path in again.items()} == {n: p.read_bytes() for n, p in programs.items()}


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same sources compiled for this host."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is missing")
    binary = tmp_path_factory.mktemp("native") / "load"
    sources = [str(path) for path in sorted(FOLDER.glob("*.c")) if path.name != "load32.c"]
    command = ["gcc", "-O2", "-std=gnu11", "-ffp-contract=off", "-fno-tree-vectorize", "-w", "-pthread", *sources,
               "-o", str(binary), "-lm"]  # fmt: skip
    subprocess.run(command, check=True)
    return binary


@pytest.mark.parametrize("load", NATIVE)
def test_results_on_this_host(native: Path, load: str) -> None:
    """Not fp: quadruple precision is sparc's alone."""
    assert last_line([str(native), *load.split()]) == RESULTS[load]
