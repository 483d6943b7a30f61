"""An unmodified Linux whose virtual disk loses its service: its I/O waits, and goes on when the service is back."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from linux_found import CRYPTO, find_linux
from server_support import Room

from emulator.server.spec import lab_spec

END = re.compile(r"<(\d+)>\n")
MINUTE_NS = 60_000_000_000


class Shell:
    """Linux with a disk, at the shell that is its first process."""

    def __init__(self, room: Room, disk: Path) -> None:
        found, why = find_linux()
        if found is None:
            pytest.skip(why)
        boot = {"kernel": str(found.kernel), "initrd": str(found.initrd),
                "arguments": f"console=ttyHV0 {CRYPTO['none']} rdinit=/bin/sh"}  # fmt: skip
        self.room, self.disk = room, disk
        self._spec = lab_spec(1, "linux", memory=[[0, 16 << 30, 512 << 20]], boot=boot)
        room.add(self.spec(online=True))
        room.until(lambda: room.text(1).endswith("/ # "), most_ns=5 * MINUTE_NS)
        self.finish(self.type("mkdir -p /dev; mount -t devtmpfs devtmpfs /dev"))

    def spec(self, *, online: bool) -> dict[str, Any]:
        disk = {"name": "d0", "number": 0, "channels": [1], "backend": str(self.disk), "online": online}
        return self._spec | {"disks": [disk]}

    def configure(self, *, online: bool) -> None:
        self.room.call("guest.configure", spec=self.spec(online=online))

    def type(self, command: str) -> int:
        """Type a command; where its echo begins."""
        begin = len(self.room.text(1))
        self.room.server.console(1).type(f'{command}; echo "<"$?">"\n'.encode())
        return begin

    def done(self, begin: int) -> bool:
        return END.search(self.room.text(1), begin) is not None

    def finish(self, begin: int) -> str:
        """Wait for a command's end; its echo and output."""
        self.room.until(lambda: self.done(begin), most_ns=MINUTE_NS, what="the end of a command")
        return self.room.text(1)[begin:]


READ = "dd if=/dev/vdiska bs=4096 count=1 iflag=direct 2>/dev/null | head -c 6"


@pytest.mark.slow
def test_a_disk_waits_for_its_service(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(b"first ".ljust(4 << 20, b"\0"))
    with Room() as room:
        shell = Shell(room, disk)
        assert "first " in shell.finish(shell.type(READ))
        shell.configure(online=False)
        begin = shell.type(READ)
        room.server.advance(3_000_000_000)
        assert not shell.done(begin)
        disk.write_bytes(b"second".ljust(4 << 20, b"\0"))
        shell.configure(online=True)
        assert "second<0>" in shell.finish(begin)


@pytest.mark.slow
def test_a_busy_disk_whose_service_comes_and_goes(tmp_path: Path) -> None:
    """Every block that was written is there, whatever the service did in between."""
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(4 << 20))
    with Room() as room:
        shell = Shell(room, disk)
        begin = shell.type("i=0; while [ $i -lt 500 ]; do echo \"block $i.\" | dd of=/dev/vdiska bs=512 seek=$i "
                           "conv=sync,notrunc oflag=direct 2>/dev/null || exit 1; i=$((i+1)); done")  # fmt: skip
        for _ in range(8):
            room.server.advance(7_000_000)
            assert not shell.done(begin), "the disk was not busy any more"
            shell.configure(online=False)
            room.server.advance(30_000_000)
            shell.configure(online=True)
        assert "<0>" in shell.finish(begin)
        data = disk.read_bytes()
        assert [data[n * 512 :].split(b"\n")[0] for n in range(500)] == [f"block {n}.".encode() for n in range(500)]
        assert "Unable to handle" not in room.text(1) and "I/O error" not in room.text(1)


@pytest.mark.slow
def test_many_requests_on_their_way_when_the_service_goes(tmp_path: Path) -> None:
    """Linux fails what it sends on a channel that is down, so that its session is kept: it notices nothing."""
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(4 << 20))
    with Room() as room:
        shell = Shell(room, disk)
        sum_ = shell.finish(shell.type("md5sum < /bin/busybox"))
        for turn in range(3):
            begin = shell.type("dd if=/bin/busybox of=/dev/vdiska bs=64k conv=fsync 2>/dev/null")
            room.server.advance(1_000_000 + 300_000 * turn)
            shell.configure(online=False)
            before = disk.read_bytes()
            room.server.advance(2_000_000_000)
            assert not shell.done(begin)
            assert disk.read_bytes() == before, "nobody serves it"
            shell.configure(online=True)
            assert "<0>" in shell.finish(begin)
        assert "ldc_abort" not in room.text(1) and "I/O error" not in room.text(1)
        size = int(shell.finish(shell.type("wc -c < /bin/busybox")).split("\n")[1])
        assert hashlib.md5(disk.read_bytes()[:size], usedforsecurity=False).hexdigest() in sum_
