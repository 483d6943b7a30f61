"""QEMU's live migration of an x86-64 TCG guest, by QMP: the peer (QEMU cannot migrate a sparc64 machine)."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migrating.figures import Cell, CpuMeter, Figures
from migrating.x86guest import X86Guest

COME_UP_SECONDS = 240
MOVE_SECONDS = 300
ALIVE_SECONDS = 5.0
DOWNTIME_MS = 300
NO_LIMIT = 64 << 30


class QemuError(Exception):
    """It did not do what it should."""


@dataclass(frozen=True)
class Mode:
    """How it migrates. `multifd`: channels, 0: the default way. `prealloc`: the target's memory is populated before."""

    name: str
    multifd: int = 0
    prealloc: bool = False
    tls: bool = False
    converge: bool = False


MODES = {mode.name: mode for mode in (
    Mode("qemu"), Mode("qemu multifd", multifd=2), Mode("qemu prealloc", prealloc=True),
    Mode("qemu multifd prealloc", multifd=2, prealloc=True), Mode("qemu tls", tls=True),
    Mode("qemu tls prealloc", tls=True, prealloc=True), Mode("qemu auto-converge", converge=True))}  # fmt: skip


class Qmp:
    """Commands to one QEMU."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(120)
        for _ in range(600):
            with contextlib.suppress(OSError):
                self._socket.connect(str(path))
                break
            time.sleep(0.05)
        self._lines = self._socket.makefile("r")
        self._lines.readline()
        self("qmp_capabilities")

    def __call__(self, command: str, **arguments: Any) -> Any:
        self._socket.sendall((json.dumps({"execute": command, "arguments": arguments}) + "\n").encode())
        for line in self._lines:
            said = json.loads(line)
            if "return" in said:
                return said["return"]
            if "error" in said:
                raise QemuError(f"{command}: {said['error']['desc']}")
        raise QemuError(f"{command}: it has ended")

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


@contextmanager
def _machine(folder: Path, name: str, guest: X86Guest, cell: Cell, extra: list[str]) -> Iterator[tuple[Qmp, int]]:
    append = f"console=ttyS0 quiet panic=-1 no_timer_check rdinit=/init -- {cell.fill} {cell.region} {cell.rate}"
    command = ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-m", str(cell.memory), "-smp", "1", "-nodefaults",
               "-display", "none", "-no-reboot", "-kernel", str(guest.kernel), "-initrd", str(guest.initrd),
               "-append", append, "-serial", f"file:{folder}/{name}.log",
               "-qmp", f"unix:{folder}/{name}.qmp,server=on,wait=off", *extra]  # fmt: skip
    with (folder / f"{name}.err").open("w") as errors:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
    qmp = None
    try:
        qmp = Qmp(folder / f"{name}.qmp")
        yield qmp, process.pid
    finally:
        if qmp is not None:
            qmp.close()
        process.kill()
        process.wait()


def _said(folder: Path, name: str) -> str:
    path = folder / f"{name}.log"
    return path.read_text(errors="replace") if path.exists() else ""


def _ticks(folder: Path, name: str) -> int:
    return len(re.findall(r"dirtier: tick \d+, .*\n", _said(folder, name)))


def _until_it_ticks(folder: Path) -> None:
    deadline = time.monotonic() + COME_UP_SECONDS
    while _ticks(folder, "source") < 5:
        if time.monotonic() > deadline or "Kernel panic" in _said(folder, "source"):
            raise QemuError(f"the guest does not come up:\n{_said(folder, 'source')[-800:]}")
        time.sleep(0.2)


def _credentials(folder: Path) -> None:
    """A CA, and certificates of both ends in the names that QEMU wants."""
    def run(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca-key.pem", "-out", "ca-cert.pem", "-days", "2",
        "-subj", "/CN=ca", "-addext", "basicConstraints=critical,CA:true", "-addext", "keyUsage=critical,keyCertSign")
    for end in ("server", "client"):
        run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{end}-key.pem", "-out", f"{end}.csr", "-subj",
            "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
        run("x509", "-req", "-in", f"{end}.csr", "-CA", "ca-cert.pem", "-CAkey", "ca-key.pem", "-CAcreateserial",
            "-out", f"{end}-cert.pem", "-days", "2", "-copy_extensions", "copy")


def _set_up(qmp: Qmp, mode: Mode, cell: Cell) -> None:
    names = [name for name, wanted in (("multifd", mode.multifd), ("auto-converge", mode.converge)) if wanted]
    if names:
        qmp("migrate-set-capabilities", capabilities=[{"capability": name, "state": True} for name in names])
    parameters: dict[str, Any] = {"max-bandwidth": cell.cap or NO_LIMIT, "downtime-limit": DOWNTIME_MS}
    if mode.multifd:
        parameters["multifd-channels"] = mode.multifd
    if mode.tls:
        parameters |= {"tls-creds": "tls0", "tls-hostname": "localhost"}
    qmp("migrate-set-parameters", **parameters)


def _extra(folder: Path, mode: Mode, cell: Cell, *, target: bool) -> list[str]:
    found = ["-incoming", "defer"] if target else []
    if mode.prealloc:
        populate = ",prealloc=on" if target else ""
        found += ["-object", f"memory-backend-ram,id=m0,size={cell.memory}M{populate}", "-machine", "memory-backend=m0"]
    if mode.tls:
        end = "server" if target else "client"
        found += ["-object", f"tls-creds-x509,id=tls0,dir={folder},endpoint={end},verify-peer=on"]
    return found


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _wait(source: Qmp) -> dict[str, Any]:
    deadline = time.monotonic() + MOVE_SECONDS
    while True:
        found: dict[str, Any] = source("query-migrate")
        if found.get("status") in ("completed", "failed", "cancelled"):
            return found
        if time.monotonic() > deadline:
            source("migrate_cancel")
            return found | {"status": "not converged"}
        time.sleep(0.02)


def move(guest: X86Guest, cell: Cell, mode: Mode) -> Figures:
    """One migration of a guest that was booted for it. Raises QemuError."""
    folder = Path(tempfile.mkdtemp(prefix="s4v-qemu-"))
    try:
        if mode.tls:
            _credentials(folder)
        with _machine(folder, "source", guest, cell, _extra(folder, mode, cell, target=False)) as (source, one):
            _until_it_ticks(folder)
            with _machine(folder, "target", guest, cell, _extra(folder, mode, cell, target=True)) as (target, other):
                for qmp in (source, target):
                    _set_up(qmp, mode, cell)
                uri = f"tcp:127.0.0.1:{_free_port()}"
                target("migrate-incoming", uri=uri)
                meter = CpuMeter((one, other))
                source("migrate", uri=uri)
                found = _wait(source)
                cpu = meter.read()
                if found["status"] == "failed":
                    raise QemuError(f"it failed: {found.get('error-desc')}")
                return _figures(folder, found, cpu)
    finally:
        shutil.rmtree(folder)


def _figures(folder: Path, found: dict[str, Any], cpu: float) -> Figures:
    ram = found.get("ram", {})
    done = found["status"] == "completed"
    if done:
        deadline, before = time.monotonic() + ALIVE_SECONDS, _ticks(folder, "target")
        while _ticks(folder, "target") < before + 5 and time.monotonic() < deadline:
            time.sleep(0.1)
        said = _said(folder, "target")
        alive = _ticks(folder, "target") >= before + 5 and "CORRUPT" not in said and "panic" not in said
    return Figures(total_ms=float(found.get("total-time", 0)), downtime_ms=float(found.get("downtime", 0)),
                   cpu_seconds=cpu, wire_bytes=int(ram.get("transferred", 0)),
                   rounds=int(ram.get("dirty-sync-count", 0)), alive=done and alive, converged=done)


def version() -> str:
    """Of the peer."""
    done = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True,
                          env={**os.environ, "LC_ALL": "C"})
    return done.stdout.split("\n")[0]
