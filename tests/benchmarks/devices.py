"""Disk and network of Linux guests: MB/s, requests and packets a second, round trips; ours beside QEMU's virtio.

    python tests/benchmarks/devices.py [--runs 3] [--engines sun4v,switch,two,qemu] [--scale 1.0] [--json FILE]

The same kernel and the same program (`load blockio`, `load netload`; images/linux/programs) run in every guest. `sun4v`
is one machine process, with both guests of the network on it and a link between them; `switch` the same with all frames
through the switch; `two` is two machines, joined by their network devices
(network rows only); `qemu` is one qemu-system-sparc64 for a guest, with virtio-blk-pci and virtio-net-pci, two of them
joined by a socket. Disks are raw files in the same folder. Runs are interleaved; the table has medians, the share of
the host's CPU (of one processor, all processes of the engine together), and ours over QEMU's: above 1 we are faster.
Every byte is checked by the guests, and a run in which a check fails ends with status 1.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "images" / "linux"))

from linuxbuild.command import find_result  # noqa: E402
from linuxbuild.cpio import Archive  # noqa: E402

from emulator.backends.qcow2 import create_qcow2  # noqa: E402
from emulator.hvctl.client import Hvctl  # noqa: E402
from emulator.places import holder, place  # noqa: E402
from emulator.power.children import end  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1 << 20
DISK_MIB = 256
GUEST_SECONDS = 240
APPEND = "cryptomgr.notests=1 quiet"
MARK = re.compile(rb"s4v-(begin|end) (\S+)\r?\n")
FIGURE = {"MB/s": re.compile(rb"([\d.]+) MB/s"), "IOPS": re.compile(rb"([\d.]+) IOPS"),
          "us": re.compile(rb"([\d.]+) us"), "packets/s": re.compile(rb"(\d+) of \d+ came, ([\d.]+) s")}  # fmt: skip

# row: (unit, arguments of `load blockio DEVICE ...`; the mebibytes are multiplied by --scale)
DISK_ROWS = {
    "read-64k-qd1": ("MB/s", "read", 65536, 1, 128), "read-64k-qd16": ("MB/s", "read", 65536, 16, 128),
    "write-64k-qd1": ("MB/s", "write", 65536, 1, 64), "write-64k-qd16": ("MB/s", "write", 65536, 16, 64),
    "randread-4k-qd1": ("IOPS", "randread", 4096, 1, 8), "randread-4k-qd16": ("IOPS", "randread", 4096, 16, 8),
    "randwrite-4k-qd1": ("IOPS", "randwrite", 4096, 1, 8), "randwrite-4k-qd16": ("IOPS", "randwrite", 4096, 16, 8),
}  # fmt: skip
NET_ROWS = {
    "stream": ("MB/s", "stream", 32), "echo-64": ("us", "echo", 1000, 64),
    "packets-64": ("packets/s", "packets", 8000, 64),
}  # fmt: skip


class BenchError(Exception):
    """A guest failed, or did not end."""


@dataclass
class Guest:
    """A console to read, and the processes whose CPU time counts."""

    console: int
    pids: list[int]


@dataclass
class Row:
    """Figures and CPU shares by engine, one for each run."""

    unit: str
    figures: dict[str, list[float]] = field(default_factory=dict)
    shares: dict[str, list[float]] = field(default_factory=dict)

    def median(self, engine: str) -> float | None:
        return statistics.median(self.figures[engine]) if self.figures.get(engine) else None

    def share(self, engine: str) -> float | None:
        return statistics.median(self.shares[engine]) if self.shares.get(engine) else None

    def ratio(self, engine: str) -> float | None:
        ours, theirs = self.median(engine), self.median("qemu")
        if not ours or not theirs:
            return None
        return theirs / ours if self.unit == "us" else ours / theirs


# -- what the guests do


def make_initrd(base: Path, device: str, scale: float) -> bytes:
    """The built RAM disk and behind it one with the script `devices disk|serve|ask`."""
    lines = ["#!/bin/sh", "case $1 in", "disk)"]
    for name, (_, what, size, depth, mebibytes) in DISK_ROWS.items():
        amount = max(1, round(mebibytes * scale))
        command = f"load blockio {device} {what} {size} {depth} {amount}"
        lines += [f"echo s4v-begin {name}", command, f"echo s4v-end {name}"]
    lines += [";;", "serve) ip addr add 10.0.0.1/24 dev eth0; ip link set eth0 up; load netload serve;;", "ask)",
              "ip addr add 10.0.0.2/24 dev eth0; ip link set eth0 up",
              "until ping -c 1 -W 1 10.0.0.1 >/dev/null; do :; done"]  # fmt: skip
    for name, (_, what, amount, *rest) in NET_ROWS.items():
        words = " ".join(map(str, [max(1, round(amount * scale)), *rest]))
        lines += [f"echo s4v-begin {name}", f"load netload {what} 10.0.0.1 {words}", f"echo s4v-end {name}"]
    archive = Archive()
    archive.add_file("usr/bin/devices", "\n".join([*lines, ";;", "esac", ""]).encode(), 0o755)
    data = base.read_bytes()
    return data + bytes(-len(data) % 4) + archive.to_gzip()


# -- the engines


@contextmanager
def machine(name: str) -> Iterator[tuple[Hvctl, int]]:
    """A machine process without a manager."""
    command = ["power-on", name, "--platform", "t5-2", "--memory", "16G", "--no-ldmd"]
    subprocess.run([sys.executable, "-m", "emulator.cli", *command], check=True, stdout=subprocess.DEVNULL)
    where = place(name)
    try:
        pid = holder(where.machine_pid)
        assert pid is not None
        with Hvctl(where.hvctl) as hvctl:
            yield hvctl, pid
    finally:
        end(where.machine_pid)


def start(hvctl: Hvctl, number: int, kernel: Path, initrd: Path, role: str, **devices: Any) -> int:
    """A guest with 512 MB and a virtual CPU; its console."""
    spec = {
        "id": number, "name": role, "uuid": f"00000000-0000-4000-8000-{number:012d}", "mac": 0x00144F000000 + number,
        "vcpus": [[0, 8 * number]], "max_vcpus": 1, "memory": [[1 << 29, number << 30, 1 << 29]],
        "boot": {"kernel": str(kernel), "initrd": str(initrd),
                 "arguments": f"console=ttyHV0 {APPEND} s4v.run=devices,{role}"}, **devices,
    }  # fmt: skip
    hvctl.call("guest.configure", spec=spec)
    console = hvctl.call_fds("console.open", guest=number, replay=True)[1][0]
    hvctl.call("guest.start", guest=number)
    return console


def net(number: int, *, peers: list[int] | None = None) -> list[dict[str, Any]]:
    """`peers`: numbers of guests to which there are links past the switch."""
    links = [[2 + place, 0x00144F100000 + peer] for place, peer in enumerate(peers or [])]
    return [{"name": "net0", "number": 0, "channel": 1, "mac": 0x00144F100000 + number, "switch": "lan",
             "peers": links}]  # fmt: skip


KINDS = ("overlay", "qcow2", "mpgroup")  # backends of the disk, for --engines
SWITCH = {"name": "lan", "net_dev": "net0"}


@contextmanager
def backed(files: Files, kind: str) -> Iterator[dict[str, Any]]:
    """disk0 of a guest, with another backend than the raw file itself."""
    disk = {"name": "disk0", "number": 0, "channels": [1], "backend": str(files.disk)}
    other = files.disk.with_name(f"disk.{kind}")
    with ExitStack() as stack:
        stack.callback(other.unlink, missing_ok=True)
        if kind == "overlay":
            disk["overlay"] = str(other)
        elif kind == "qcow2":
            create_qcow2(other, files.disk.stat().st_size)
            disk["backend"] = str(other)
        elif kind == "mpgroup":
            paths = [{"channel": channel, "backend": str(files.disk)} for channel in (1, 2)]
            disk = {"name": "disk0", "number": 0, "channels": [1, 2], "paths": paths}
        yield disk


@contextmanager
def ours(
    files: Files, role: str, machines: int, *, kind: str = "raw", links: bool = False
) -> Iterator[Guest]:
    with ExitStack() as stack:
        found = [stack.enter_context(machine(f"bench{i}")) for i in range(machines)]
        for hvctl, _ in found:
            hvctl.call("service.configure", switches=[SWITCH])
        first, last = found[0][0], found[-1][0]
        pids = [pid for _, pid in found]
        if role == "disk":
            disk = stack.enter_context(backed(files, kind))
            yield Guest(start(first, 1, files.kernel, files.ours, "disk", disks=[disk]), pids)
            return
        start(first, 1, files.kernel, files.ours, "serve", nets=net(1, peers=[2] if links else []))
        yield Guest(start(last, 2, files.kernel, files.ours, "ask", nets=net(2, peers=[1] if links else [])), pids)


@contextmanager
def qemu(files: Files, role: str) -> Iterator[Guest]:
    program = shutil.which("qemu-system-sparc64")
    assert program is not None

    def run(what: str, *devices: str) -> subprocess.Popen[bytes]:
        command = [program, "-M", "sun4u", "-m", "512", "-nographic", "-vga", "none", "-no-reboot", "-nic", "none",
                   "-kernel", str(files.image), "-initrd", str(files.qemu), *devices,
                   "-append", f"console=ttyS0 {APPEND} s4v.run=devices,{what}"]  # fmt: skip
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    running: list[subprocess.Popen[bytes]] = []
    try:
        if role == "disk":
            drive = f"file={files.disk},format=raw,if=none,id=d"
            running.append(run("disk", "-drive", drive, "-device", "virtio-blk-pci,drive=d,bus=pciB"))
        else:
            with socket.create_server(("127.0.0.1", 0)) as probe:
                port = probe.getsockname()[1]
            for what, way, mac in (("serve", "listen", 1), ("ask", "connect", 2)):
                device = f"virtio-net-pci,netdev=n,bus=pciB,romfile=,mac=52:54:00:00:00:0{mac}"
                running.append(run(what, "-netdev", f"socket,id=n,{way}=127.0.0.1:{port}", "-device", device))
                time.sleep(0.5)  # the listener first; it says nowhere that it listens
        assert running[-1].stdout is not None
        yield Guest(running[-1].stdout.fileno(), [each.pid for each in running])
    finally:
        for each in running:
            each.kill()
            each.wait()


@dataclass(frozen=True)
class Files:
    """What the guests are made of."""

    kernel: Path
    image: Path
    ours: Path
    qemu: Path
    disk: Path


def engines(files: Files) -> dict[str, Any]:
    kinds = {kind: lambda role, kind=kind: ours(files, role, 1, kind=kind) for kind in KINDS}
    return {"sun4v": lambda role: ours(files, role, 1, links=True), "switch": lambda role: ours(files, role, 1),
            "two": lambda role: ours(files, role, 2), "qemu": lambda role: qemu(files, role), **kinds}


# -- measuring


def cpu_seconds(pids: list[int]) -> float:
    fields = [Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in pids]
    return sum(int(each[11]) + int(each[12]) for each in fields) / TICKS


def figure(unit: str, said: bytes) -> float:
    """What `load` said."""
    match = FIGURE[unit].search(said)
    if match is None or b"ok" not in said:
        raise BenchError(said.decode("latin-1").strip()[-400:])
    return float(match[1]) / float(match[2]) if unit == "packets/s" else float(match[1])


def watch(guest: Guest, engine: str, rows: dict[str, Row]) -> None:
    """Until the last row's end. Raises BenchError."""
    text, left, begun = b"", list(rows), (0.0, 0.0)
    deadline = time.monotonic() + GUEST_SECONDS
    while left:
        if not select.select([guest.console], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise BenchError(f"{engine}: no end of {left[0]} in {GUEST_SECONDS} s; {text[-400:].decode('latin-1')}")
        data = os.read(guest.console, 65536)
        if not data:
            raise BenchError(f"{engine} ended before {left[0]}; {text[-400:].decode('latin-1')}")
        text += data
        now = cpu_seconds(guest.pids), time.monotonic()
        while match := MARK.search(text):
            said, text, name = text[: match.start()], text[match.end() :], match[2].decode()
            if match[1] == b"begin":
                begun = now
                continue
            rows[name].figures.setdefault(engine, []).append(figure(rows[name].unit, said))
            rows[name].shares.setdefault(engine, []).append((now[0] - begun[0]) / max(now[1] - begun[1], 1e-3))
            left.remove(name)


def number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def as_markdown(rows: dict[str, Row], names: list[str]) -> str:
    head = [cell for name in names for cell in (name, "CPU")] + [f"{name} / qemu" for name in names if name != "qemu"]
    lines = ["| | unit | " + " | ".join(head) + " |", "|---|---|" + "--:|" * len(head)]
    for row_name, row in rows.items():
        cells = [cell for name in names for cell in (number(row.median(name)), number(row.share(name), 2))]
        cells += [number(row.ratio(name), 2) for name in names if name != "qemu"]
        lines.append(f"| {row_name} | {row.unit} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="interleaved runs; the median counts (default 3)")
    words = {"type": lambda text: text.split(",")}
    parser.add_argument("--engines", **words, default=["sun4v", "switch", "two", "qemu"], metavar="NAME,...")
    parser.add_argument("--roles", **words, default=["disk", "ask"], metavar="disk,ask")
    parser.add_argument("--scale", type=float, default=1.0, help="multiply the work")
    parser.add_argument("--linux", type=Path, metavar="FOLDER", help="what images/linux/build has made")
    parser.add_argument("--json", type=Path, help="write the measurements to this file")
    options = parser.parse_args(argv)
    if not shutil.which("qemu-system-sparc64") and "qemu" in options.engines:
        print("devices: no qemu column: qemu-system-sparc64 is missing", file=sys.stderr)
        options.engines.remove("qemu")
    return options


def prepare(folder: Path, work: Path, scale: float) -> Files:
    """Everything that the guests boot and write to."""
    files = Files(folder / "vmlinux", folder / "image", work / "ours.cpio.gz", work / "qemu.cpio.gz", work / "disk.img")
    for path, device in ((files.ours, "/dev/vdiska"), (files.qemu, "/dev/vda")):
        path.write_bytes(make_initrd(folder / "initramfs.cpio.gz", device, scale))
    with files.disk.open("wb") as file:
        for _ in range(DISK_MIB):
            file.write(os.urandom(MIB))
    return files


def main(argv: list[str]) -> int:
    """Measure and print."""
    options = parse_arguments(argv)
    folder = options.linux or find_result()
    if folder is None:
        print("devices: Linux is not built: run images/linux/build", file=sys.stderr)
        return 1
    rows = {name: Row(row[0]) for name, row in [*DISK_ROWS.items(), *NET_ROWS.items()]}
    with tempfile.TemporaryDirectory(prefix="s4v-") as name:
        os.environ["S4V_HOME"] = name
        known = engines(prepare(folder, Path(name), options.scale))
        try:
            for turn in range(options.runs):
                for role, names in (("disk", list(DISK_ROWS)), ("ask", list(NET_ROWS))):
                    for engine in options.engines:
                        if role not in options.roles or engine in {"disk": ("switch", "two"), "ask": KINDS}[role]:
                            continue
                        with known[engine](role) as guest:
                            watch(guest, engine, {each: rows[each] for each in names})
                        print(f"devices: {turn + 1}/{options.runs} {engine} {role}", file=sys.stderr, flush=True)
        except BenchError as error:
            print(f"devices: {error}", file=sys.stderr)
            return 1
    print(as_markdown(rows, options.engines))
    if options.json:
        table = {name: {"unit": row.unit, "figures": row.figures, "cpu_share": row.shares}
                 for name, row in rows.items()}
        whole = {"runs": options.runs, "scale": options.scale, "rows": table}
        options.json.write_text(json.dumps(whole, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
