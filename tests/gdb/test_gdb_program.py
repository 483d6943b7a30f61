"""gdb-multiarch at a program that runs under Linux: by its own addresses, from its code and from the kernel's."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from gdb_bench import ROOT, Bench, in_order
from linux_found import CRYPTO, Linux

sys.path.insert(0, str(ROOT / "images" / "linux"))
from linuxbuild.cpio import Archive

pytestmark = [pytest.mark.slow, pytest.mark.nosan]
GCC = "sparc64-linux-gnu-gcc"
SOURCE = Path(__file__).with_name("victim.c")


def archive_with(program: Path) -> bytes:
    """What the kernel unpacks over its RAM disk: the program, as /victim."""
    archive = Archive()
    archive.add_file("victim", program, 0o755)
    return gzip.compress(archive.to_bytes(), mtime=0)


def test_a_program_of_linux(bench: Bench, linux: Linux, tmp_path: Path) -> None:
    """Its code, data, stack and heap; the same, read and written, while the kernel works for it; a watched global."""
    if shutil.which(GCC) is None:
        pytest.skip(f"{GCC} is not installed")
    victim, initrd = tmp_path / "victim", tmp_path / "initrd"
    subprocess.run([GCC, "-O1", "-g", "-static", "-o", str(victim), str(SOURCE)], check=True)
    initrd.write_bytes(linux.initrd.read_bytes() + archive_with(victim))
    bench.boot(kernel=str(linux.kernel), initrd=str(initrd),
               arguments=f"console=ttyHV0 {CRYPTO['none']} rdinit=/bin/sh")  # fmt: skip
    bench.until(b"/ # ")
    said = bench.gdb(
        linux.kernel, f"add-symbol-file {victim}", bench.keys(r"/victim bob\n"), "tbreak visit", "continue",
        "print *of", "print visits", "tbreak visit if depth == 0", "continue", "bt", "print *of->next->next",
        "tbreak ksys_write", "continue", "print $pstate", "print visits", "print first", "x/s $o1",
        "set var visits = 1000", "set var *(char *) $o1 = 66", "watch first.balance", "continue", "detach",
    )  # fmt: skip
    in_order(
        said, r"hit Temporary breakpoint 1, visit \(of=0x\w+ <first>, depth=3\)", r'= {number = 7, name = "ann", ',
        r"= 0\n", r"hit Temporary breakpoint 2, visit \(of=0x7\w+, depth=0\)", r"#0  visit ", r"#3 .* in visit ",
        r"#4 .* in main ", r"= {number = 7, .*balance = 1\.25", r"hit Temporary breakpoint 3, 0x\w+ in ksys_write",
        r"= \[.*PRIV.*\]\n", r"= 4\n", r"= {number = 7, .*balance = 5\.5", r'"bob has visited ann 4 times\\n"',
        r"hit Hardware watchpoint 4: first\.balance\n\nOld value = 5\.5\nNew value = 14\nmain ", r"detached",
    )  # fmt: skip
    assert "annot access" not in said
    told = bench.until(b"1008 times\n")  # what GDB has written from the kernel's side is what the program says
    assert b"Bob has visited ann 4 times\nbob has visited ann 1004 times\n" in told
