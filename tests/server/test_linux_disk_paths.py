"""An unmodified Linux with a disk of several paths, which it does not know of, and with a timeout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from server_support import Room
from test_linux_services import Shell

SECOND_NS = 1_000_000_000


class Disks(Shell):
    """Linux with vdiska over two paths, and vdiskb with a timeout of 5 seconds."""

    def __init__(self, room: Room, disk: Path, other: Path) -> None:
        self.other = other
        self.up: tuple[int, ...] = (1, 2)
        super().__init__(room, disk)

    def spec(self, *, online: bool) -> dict[str, Any]:
        paths = [{"channel": n, "backend": str(self.disk), "online": n in self.up} for n in (1, 2)]
        group = {"name": "d0", "number": 0, "channels": [1, 2], "paths": paths}
        timed = {"name": "d1", "number": 1, "channels": [3], "backend": str(self.other), "timeout": 5, "online": online}
        return self._spec | {"disks": [group, timed]}

    def states(self) -> list[str]:
        """Of the two paths."""
        self.room.server.advance(SECOND_NS // 10)
        return [str(path["state"]) for path in self.room.status(1)["paths"]["d0"]]


def write(number: int) -> str:
    return f"echo block {number}. | dd of=/dev/vdiska bs=512 seek={number} conv=sync,notrunc oflag=direct 2>/dev/null"


@pytest.mark.slow
def test_paths_of_linux_and_its_timeout(tmp_path: Path) -> None:
    disk, other = tmp_path / "disk", tmp_path / "other"
    disk.write_bytes(bytes(1 << 20))
    other.write_bytes(b"timed ".ljust(1 << 20, b"\0"))
    with Room() as room:
        shell = Disks(room, disk, other)
        assert "Ignoring extra vdisk port" in shell.finish(shell.type("dmesg | grep vdisk"))
        for number, up, states in ((0, (1, 2), ["active", "standby"]), (1, (2,), ["unknown", "active"]),
                                   (2, (1, 2), ["standby", "active"]), (3, (1,), ["active", "unknown"])):  # fmt: skip
            shell.up = up
            shell.configure(online=True)
            assert "<0>" in shell.finish(shell.type(write(number)))
            assert shell.states() == states, f"after write {number}"
        shell.up = ()
        shell.configure(online=True)
        waits = shell.type(write(4))
        room.server.advance(20 * SECOND_NS)
        assert not shell.done(waits), "without any path it waits"
        shell.up = (2,)
        shell.configure(online=True)
        assert "<0>" in shell.finish(waits)
        data = disk.read_bytes()
        assert [data[n * 512 :].split(b"\n")[0] for n in range(5)] == [f"block {n}.".encode() for n in range(5)]

        # Linux 6.1 gives mod_delayed_work() a point in time for a delay (vdc_ldc_reset): its timeout is months long
        shell.configure(online=False)
        begin = shell.type("dd if=/dev/vdiskb bs=4096 count=1 iflag=direct 2>/dev/null | head -c 6")
        room.server.advance(9 * SECOND_NS)
        assert not shell.done(begin)
        shell.configure(online=True)
        assert "timed <0>" in shell.finish(begin)
