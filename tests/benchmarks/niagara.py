"""Run a guest program of images/ bare metal on ``qemu-system-sparc64 -M niagara``.

QEMU's machine wants Sun's firmware files, which nobody ships; images/lib/niagara_reset.S replaces them with a few
hundred bytes that serve the hypercalls of our runtime. The program is loaded at its ELF addresses by QEMU's loader
device (hypervisor RAM: real addresses 1 MiB to 64 MiB) and runs unchanged.

CPU time is that of all QEMU threads between the start mark and the end mark on the serial port, so it holds the
translation of guest code but not the start of QEMU. Read from /proc/PID/task/*/schedstat (nanoseconds on a CPU).
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

CROSS_GCC = "sparc64-linux-gnu-gcc"
OBJCOPY = "sparc64-linux-gnu-objcopy"
QEMU = "qemu-system-sparc64"
LIB = Path(__file__).resolve().parents[2] / "images" / "lib"
MARK = b"\x01"
RESET_BYTES = 0x10000  # the machine puts the next file here


class NiagaraError(Exception):
    """QEMU ended, timed out, or the program took a trap that the reset image does not serve."""


@dataclass(frozen=True)
class NiagaraRun:
    """Outcome of one run: what the program wrote, its exit code, and CPU seconds between the marks."""

    output: bytes
    exit_code: int
    cpu_seconds: float


def missing_tool() -> str | None:
    """Name of a tool this module needs and this host lacks, or None."""
    return next((t for t in (CROSS_GCC, OBJCOPY, QEMU) if shutil.which(t) is None), None)


def elf_entry(elf: Path) -> int:
    """Entry address of a big-endian ELF64 file."""
    header = elf.read_bytes()[:32]
    if header[:6] != b"\x7fELF\x02\x02":
        raise ValueError(f"{elf}: not a big-endian ELF64 file")
    return int(struct.unpack_from(">Q", header, 24)[0])


def build_firmware(folder: Path, entry: int) -> None:
    """Write the reset image for a program entry, and the empty files the machine insists on, into ``folder``."""
    obj = folder / "reset.o"
    subprocess.run([CROSS_GCC, "-mcpu=niagara", "-Wa,-Av9d", f"-I{LIB}", f"-DENTRY={entry:#x}", "-c",
                    str(LIB / "niagara_reset.S"), "-o", str(obj)], check=True)
    image = folder / "reset.bin"
    subprocess.run([OBJCOPY, "-O", "binary", "-j", ".text", str(obj), str(image)], check=True)
    if image.stat().st_size > RESET_BYTES:
        raise ValueError("reset image too large")
    for name in ("nvram1", "1up-md.bin", "1up-hv.bin", "q.bin", "openboot.bin"):
        (folder / name).write_bytes(bytes(64))


def thread_seconds(pid: int) -> float:
    """CPU seconds of all live threads of a process."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except OSError:  # the thread ended meanwhile
            continue
    return total * 1e-9


class _Console:
    """Serial output of QEMU, split into the program's bytes and the marks of the reset image."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.data = b""

    def read_to(self, mark: bytes, timeout_s: float) -> bytes:
        """Block until MARK + ``mark`` + rest of line has come; return that rest, keeping program output in data."""
        while True:
            at = self.data.find(MARK)
            end = self.data.find(b"\n", at) if at >= 0 else -1
            if end >= 0:
                line, self.data = self.data[at + 1:end], self.data[:at] + self.data[end + 1:]
                if not line.startswith(mark):
                    raise NiagaraError(f"unexpected mark {line!r} after {self.data!r}")
                return line[len(mark):].strip()
            if not select.select([self.fd], [], [], timeout_s)[0]:
                raise NiagaraError(f"silent for {timeout_s} s after {self.data!r}")
            chunk = os.read(self.fd, 65536)
            if not chunk:
                raise NiagaraError(f"QEMU ended after {self.data!r}")
            self.data += chunk


def run(elf: Path, folder: Path, *, timeout_s: float = 120.0) -> NiagaraRun:
    """Run ``elf``; ``folder`` is scratch space for the firmware files."""
    build_firmware(folder, elf_entry(elf))
    command = [QEMU, "-M", "niagara", "-L", str(folder), "-m", "256", "-display", "none", "-monitor", "none",
               "-serial", "stdio", "-device", f"loader,file={elf}"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        console = _Console(process.stdout.fileno())
        console.read_to(b"S", timeout_s)
        before = thread_seconds(process.pid)
        code = console.read_to(b"E", timeout_s)
        seconds = thread_seconds(process.pid) - before
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    return NiagaraRun(console.data.replace(b"\r\n", b"\n"), int(code, 16), seconds)
