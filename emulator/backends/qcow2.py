"""qcow2 images through a tool of QEMU: it reads and writes the image, and a socket of NBD leads to it.

The format has many features and a long history of hostile images; QEMU's own implementation is the one that is kept
well, and no library outside it writes all of it. `qemu-nbd` (Debian: qemu-utils) or `qemu-storage-daemon`
(qemu-system-common) does the work, in a process of its own that ends with this one, whatever ends this one.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from emulator.backends.file import BLOCK, MAX_BYTES, Identity, round_up
from emulator.backends.nbd import NbdDisk
from emulator.errors import ConfigError

MAGIC = b"QFI\xfb"
SUFFIX = ".qcow2"
TOOLS = ("qemu-nbd", "qemu-storage-daemon")
_ELSEWHERE = "/usr/bin:/usr/local/bin:/bin"
_START_SECONDS, _ANSWER_SECONDS, _END_SECONDS = 30.0, 120.0, 60.0
_CLUSTER_BITS = 16
# The tool ends when our end of its keeper's standard input is closed: by us, or by the kernel when we are killed.
_KEEPER = '"$@" </dev/null & tool=$!; read -r _; kill "$tool" 2>/dev/null; wait "$tool"'


def find_tool() -> tuple[str, str]:
    """Name and path of the tool. Raises ConfigError with what to install."""
    for name in TOOLS:
        path = shutil.which(name) or shutil.which(name, path=_ELSEWHERE)
        if path is not None:
            return name, path
    raise ConfigError("qcow2 images need qemu-nbd or qemu-storage-daemon: install qemu-utils, or turn the image into "
                      "a raw one with `qemu-img convert -O raw`")  # fmt: skip


def command_line(name: str, tool: str, image: Path, *, address: str, read_only: bool) -> list[str]:
    """How the tool is called to export an image at a unix socket."""
    if name == "qemu-nbd":
        return [tool, "--format=qcow2", "--cache=writeback", "--discard=unmap", "--persistent", "--shared=1",
                "--export-name=disk", f"--socket={address}", *(["--read-only"] if read_only else []), "--",
                str(image)]  # fmt: skip
    file = {"driver": "file", "node-name": "file", "filename": str(image), "read-only": read_only}
    node = {"driver": "qcow2", "node-name": "disk", "file": "file", "read-only": read_only, "discard": "unmap"}
    server = {"addr": {"type": "unix", "path": address}, "max-connections": 1}
    export = {"type": "nbd", "id": "disk", "node-name": "disk", "name": "disk", "writable": not read_only}
    return [tool, "--blockdev", json.dumps(file), "--blockdev", json.dumps(node), "--nbd-server", json.dumps(server),
            "--export", json.dumps(export)]  # fmt: skip


class Qcow2Disk:
    """A qcow2 image. Safe from several threads.

    Where the tool dies, it is started again if nothing was written since the last flush; otherwise something may be
    lost that the guest believes written, and every request fails until the disk is opened anew.
    """

    fd = None
    base = 0

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        self.path = Path(os.path.abspath(path))
        self.read_only = read_only
        self._lock = threading.RLock()
        self._keeper: subprocess.Popen[bytes] | None = None
        self._unflushed = False
        self._closed = False
        check_magic(self.path)
        self._nbd = self._start()
        self.size_bytes = self._nbd.size_bytes
        self.identity = Identity.of(self.path)

    # -- the tool

    def _start(self) -> NbdDisk:
        name, tool = find_tool()
        with tempfile.TemporaryDirectory(prefix="s4v-") as folder, tempfile.TemporaryFile() as said:
            address = os.path.join(folder, "nbd")
            command = command_line(name, tool, self.path, address=address, read_only=self.read_only)
            try:
                self._keeper = subprocess.Popen(
                    ["/bin/sh", "-c", _KEEPER, "sh", *command], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                    stderr=said, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise ConfigError(f"{self.path}: {tool}: {error.strerror}") from None
            connection = None
            try:
                connection = self._connect(address, name, said.fileno())
                return NbdDisk(connection, "disk", read_only=self.read_only)
            except (OSError, ConfigError) as error:
                if connection is not None:
                    connection.close()
                self._end()
                raise ConfigError(f"{self.path}: {_explained(str(error), said.fileno())}") from None

    def _connect(self, address: str, name: str, said: int) -> socket.socket:
        """Wait for the tool's socket. Raises ConfigError where the tool gives up instead."""
        end = time.monotonic() + _START_SECONDS
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(address)
                connection.settimeout(_ANSWER_SECONDS)
                return connection
            except (FileNotFoundError, ConnectionRefusedError):
                connection.close()
            if os.fstat(said).st_size:
                raise ConfigError(f"{name} cannot open it")
            if time.monotonic() > end:
                raise ConfigError(f"{name} does not answer")
            time.sleep(0.01)

    def _end(self) -> None:
        """The tool writes what it has, and ends."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        assert keeper.stdin is not None
        keeper.stdin.close()
        try:
            keeper.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(keeper.pid, 9)
            keeper.wait()

    def _alive(self) -> NbdDisk:
        """The connection; a new one where the old one has ended and nothing can be lost by it. Raises OSError."""
        if self._nbd.trouble and not self._unflushed and not self._closed:
            self._end()
            try:
                self._nbd = self._start()
            except ConfigError as error:
                raise OSError(errno.EIO, str(error)) from None
        return self._nbd

    # -- the disk

    @property
    def trouble(self) -> str:
        """What is wrong; "" where all is well."""
        if not self._nbd.trouble or self._closed:
            return ""
        lost = " with writes that were not flushed; the disk has to be opened anew" if self._unflushed else ""
        return f"{self.path}: {self._nbd.trouble}{lost}"

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        with self._lock:
            return self._alive().read(offset, length)

    def write(self, offset: int, data: bytes) -> None:
        """All of `data`."""
        with self._lock:
            nbd = self._alive()
            self._unflushed = not self.read_only
            nbd.write(offset, data)

    def flush(self) -> None:
        """The tool's flush."""
        with self._lock:
            self._alive().flush()
            self._unflushed = False

    def close(self) -> None:
        """Write what is left, and let go."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._nbd.close()
                self._end()


def check_magic(path: Path) -> None:
    """Raises ConfigError where a file is no qcow2 image, or cannot be read."""
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise ConfigError(f"{path}: its name says qcow2, but it is none")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None


def _explained(problem: str, said: int) -> str:
    text = os.pread(said, 2000, 0).decode("utf-8", "replace").strip()
    if "lock" in text:
        return "the disk is in use by another machine or program"
    return f"{problem}: {text.splitlines()[-1]}" if text else problem


def create_qcow2(path: str | Path, size_bytes: int) -> None:
    """A new, empty image of version 3: header, an empty table, and the reference counts of these clusters.

    Raises ConfigError where the file exists or cannot be made. Source: QEMU's docs/interop/qcow2.txt.
    """
    if not 0 < size_bytes <= MAX_BYTES or size_bytes % BLOCK:
        raise ConfigError(f"a disk has a multiple of {BLOCK} bytes, at most {MAX_BYTES}")
    cluster = 1 << _CLUSTER_BITS
    entries = max(1, round_up(size_bytes, cluster * cluster // 8) // (cluster * cluster // 8))
    table = round_up(entries * 8, cluster)
    used = 3 + table // cluster
    if used > cluster // 2:
        raise ConfigError("a qcow2 image cannot be that large")
    header = struct.pack(
        ">4sIQIIQIIQQIIQQQQII", MAGIC, 3, 0, 0, _CLUSTER_BITS, size_bytes, 0, entries, 3 * cluster, cluster, 1, 0, 0, 0,
        0, 0, 4, 104,
    )  # fmt: skip
    counts = struct.pack(f">{used}H", *([1] * used))
    try:
        with Path(path).open("xb") as file:
            file.truncate(used * cluster)
            for at, data in ((0, header), (cluster, struct.pack(">Q", 2 * cluster)), (2 * cluster, counts)):
                file.seek(at)
                file.write(data)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None


def is_supported(names: Sequence[str] = TOOLS) -> bool:
    """Is there a tool?"""
    return any(shutil.which(name) or shutil.which(name, path=_ELSEWHERE) for name in names)
