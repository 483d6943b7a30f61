"""The committed guest programs give the same output as a Linux process and on bare metal under QEMU.

Together with tests/unit/test_guest_programs.py, which runs them on a Machine: one ELF file, three environments.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import niagara
from bench import build_native, prepare, run_process

IMAGES = Path(__file__).resolve().parents[2] / "images"
NAMES = sorted(p.stem for p in (IMAGES / "programs" / "bench").glob("*.c") if p.stem != "main")
QEMU_USER = "qemu-sparc64"
needs_user = pytest.mark.skipif(shutil.which(QEMU_USER) is None, reason=f"needs {QEMU_USER}")
needs_niagara = pytest.mark.skipif(niagara.missing_tool() is not None, reason=f"needs {niagara.missing_tool()}")


@needs_user
@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
@pytest.mark.parametrize("name", NAMES)
def test_linux_process_and_native_build_agree(name: str, tmp_path: Path) -> None:
    program = prepare(name, IMAGES / "programs" / "bench" / f"{name}.c", 1e-9, tmp_path)
    assert program.work == 1
    native, _ = run_process([str(build_native(program, tmp_path))])
    theirs, _ = run_process([QEMU_USER, str(program.elf)])
    assert native == theirs
    assert native.startswith(f"{name} ")


@needs_niagara
@pytest.mark.parametrize("name", ["crc", "nbody", "calls", "traps"])
def test_bare_metal_and_linux_process_agree(name: str, tmp_path: Path) -> None:
    program = prepare(name, IMAGES / "programs" / "bench" / f"{name}.c", 1e-9, tmp_path)
    theirs, _ = run_process([QEMU_USER, str(program.elf)])
    run = niagara.run(program.elf, tmp_path)
    assert (run.output.decode().strip(), run.exit_code) == (theirs, 0)
    assert run.cpu_seconds >= 0


@needs_niagara
@pytest.mark.parametrize(("name", "code", "output"), [
    ("hello", 0, b"hello, sun4v\n"),
    ("check-windows", 0, b"windows: ok\n"),
    ("check-smc", 0, b"smc: ok\n"),
])
def test_programs_on_bare_metal(name: str, code: int, output: bytes, tmp_path: Path) -> None:
    run = niagara.run(IMAGES / "prebuilt" / f"{name}.elf", tmp_path)
    assert (run.exit_code, run.output) == (code, output)


@needs_niagara
def test_bare_metal_reports_a_trap(tmp_path: Path) -> None:
    run = niagara.run(IMAGES / "prebuilt" / "check-nohandler.elf", tmp_path)
    assert run.exit_code == 0xE1
    assert run.output.startswith(b"trap 0x010 at pc 0x1")


@needs_user
def test_echo_as_a_linux_process() -> None:
    done = subprocess.run([QEMU_USER, str(IMAGES / "prebuilt" / "echo.elf")], input=b"a\nbb\nquit\nc\n",
                          capture_output=True, check=False)
    assert (done.stdout, done.returncode) == (b"a\nbb\n", 2)
