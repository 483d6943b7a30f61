"""Disks of an unmodified Linux: a file system with very many files outlives the machine; checked by tools not ours."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from linux_guest import CRYPTO, Linux

from emulator.backends.file import create_disk
from emulator.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.nosan]
FILES = {kind: int(os.environ.get("S4V_TEST_FILES", files)) for kind, files in {"raw": 30000, "overlay": 10000}.items()}
MIB = 1 << 20
DONE = re.compile(rb"<(\d+)>\r?\n")


def tool(name: str) -> str:
    """Where a program of the host is; the test is skipped where it is not."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


class Running:
    """`sun4v run` with Linux, its shell as first process, and a disk; killed at the end as nothing else can."""

    def __init__(self, linux: Linux, disk: Path) -> None:
        words = ["run", "--engine", "translator", "--memory", "512M", "--initrd", str(linux.initrd), "--disk",
                 str(disk), "--append",
                 f"console=ttyHV0 {CRYPTO['none']} rdinit=/bin/sh quiet", str(linux.kernel)]  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, "-m", "emulator.cli", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.said = b""
        self._until(re.compile(rb"/ # $"))
        self.do("mkdir -p /dev /mnt /proc; mount -t devtmpfs d /dev; mount -t proc p /proc; stty -echo; PS1=")

    def _until(self, end: re.Pattern[bytes], begin: int = 0) -> re.Match[bytes]:
        assert self.process.stdout is not None
        while (match := end.search(self.said, begin)) is None:
            part = os.read(self.process.stdout.fileno(), 65536)
            assert part, f"it ended: {self.said[-2000:]!r}"
            self.said += part
        return match

    def do(self, command: str) -> str:
        """What a command prints; it has to succeed."""
        assert self.process.stdin is not None
        begin = len(self.said)
        self.process.stdin.write(f'{command}; echo "<"$?">"\n'.encode())
        self.process.stdin.flush()
        match = self._until(DONE, begin)
        text = self.said[begin : match.start()].decode("latin-1")
        assert match[1] == b"0", f"{command}: {text}"
        return text.replace("\r", "")

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


def contents(files: int) -> str:
    """Digest of all files one after the other, in the order of their names."""
    return hashlib.sha256(b"".join(b"file number %d\n" % n for n in range(files))).hexdigest()


@pytest.mark.parametrize("kind", ["raw", "overlay"])
def test_a_file_system_outlives_the_machine(linux: Linux, tmp_path: Path, kind: str) -> None:
    check, files = tool("e2fsck"), FILES[kind]
    disk = tmp_path / "disk.img"
    create_disk(disk, 256 * MIB)
    if kind == "overlay":
        base, disk = disk, tmp_path / "disk.overlay"
        assert main(["disk", "overlay", str(base), str(disk)]) == 0
    with Running(linux, disk) as guest:
        guest.do("mke2fs -b 4096 -i 4096 /dev/vdiska >/dev/null && mount -t ext2 /dev/vdiska /mnt && mkdir /mnt/d")
        guest.do(f"i=0; while [ $i -lt {files} ]; do d=/mnt/d/$((i/500)); [ -d $d ] || mkdir $d; "
                 "echo file number $i > $d/f$((i%500)); i=$((i+1)); done; sync")  # fmt: skip
    image = disk
    if kind == "overlay":
        assert base.stat().st_blocks == 0, "the disk below was written"
        image = tmp_path / "flat.img"
        assert main(["disk", "convert", str(disk), str(image)]) == 0
    done = subprocess.run([check, "-f", "-n", str(image)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    problems = re.findall(r"^(.*)\nFix\? no", done.stdout, re.MULTILINE)
    assert all(problem.startswith("Free ") for problem in problems), done.stdout  # totals: Linux writes them at umount
    assert "Pass 5" in done.stdout and len(problems) <= 2
    with Running(linux, disk) as guest:
        guest.do("mount -t ext2 /dev/vdiska /mnt")
        assert guest.do("find /mnt/d -type f | wc -l").split()[-1] == str(files)
        order = f"i=0; while [ $i -lt {files // 500} ]; do cd /mnt/d/$i; cat $(ls | sort -k1.2n); i=$((i+1)); done"
        assert contents(files) in guest.do(f"({order}) | sha256sum")
        guest.do("cd / && umount /mnt")
