"""Disks with several paths (mpgroup) with labos, which chooses its path, and for guests that open one channel only."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path
from typing import Any

import pytest
from server_support import Room, labos_spec

from emulator.backends.file import FileDisk
from emulator.server.paths import ACTIVE, STANDBY, UNKNOWN, PathDisk, PathGroup, Way

SEED = int(os.environ.get("SUN4V_TEST_SEED", "1"))
MIB = 1 << 20
SECOND_NS = 1_000_000_000


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(random.Random(SEED).randbytes(2 * MIB))
    return path


def spec(image: Path, *, up: tuple[int, ...] = (1, 2), order: tuple[int, ...] = (1, 2)) -> dict[str, Any]:
    """A guest with a disk of two paths, over the channels 1 and 2."""
    paths = [{"channel": channel, "backend": str(image), "online": channel in up} for channel in order]
    disk = {"name": "d", "number": 0, "channels": list(order), "paths": paths}
    return labos_spec(1, disks=[disk])


def configure(room: Room, wanted: dict[str, Any]) -> None:
    room.call("guest.configure", spec=wanted)
    room.server.advance(SECOND_NS // 2)


def states(room: Room) -> list[tuple[int, str]]:
    room.server.advance(SECOND_NS // 100)
    return [(path["channel"], path["state"]) for path in room.status(1)["paths"]["d"]]


def test_labos_has_both_paths_and_fails_over(image: Path) -> None:
    with Room() as room:
        room.add(spec(image))
        room.prompt(1)
        assert room.do(1, "paths c0d0").splitlines() == [
            "c0d0: channel 1 active, selected", "c0d0: channel 2 standby"]  # fmt: skip
        assert "written" in room.do(1, "write c0d0 0 pattern 64")
        assert states(room) == [(1, ACTIVE), (2, STANDBY)]
        configure(room, spec(image, up=(2,)))
        assert "c0d0: path of channel 2 is active" in room.text(1)
        assert room.do(1, "verify c0d0 0 64") == "c0d0: 64 blocks from 0 are the pattern"
        assert room.do(1, "paths c0d0").splitlines() == ["c0d0: channel 1 down, selected", "c0d0: channel 2 active"]
        assert states(room) == [(1, UNKNOWN), (2, ACTIVE)]
        configure(room, spec(image))
        assert "c0d0: channel 1 standby, selected" in room.do(1, "paths c0d0"), "it stays where it works"
        configure(room, spec(image, up=(1,)))
        assert "c0d0: channel 1 active" in room.do(1, "paths c0d0")
        assert room.do(1, "verify c0d0 0 64") == "c0d0: 64 blocks from 0 are the pattern"


def test_a_selected_path_is_taken(image: Path) -> None:
    with Room() as room:
        room.add(spec(image))
        room.prompt(1)
        configure(room, spec(image, order=(2, 1)))
        room.call("guest.md_update", guest=1)
        room.until(lambda: "c0d0: path of channel 2 is active" in room.text(1), what="the selected path")
        assert room.do(1, "paths c0d0").splitlines() == [
            "c0d0: channel 1 standby", "c0d0: channel 2 active, selected"]  # fmt: skip
        assert "written" in room.do(1, "write c0d0 9 x")
        assert states(room) == [(2, ACTIVE), (1, STANDBY)]


def test_paths_are_added_and_taken_away_while_the_guest_runs(image: Path) -> None:
    one = labos_spec(1, disks=[{"name": "d", "number": 0, "channels": [2], "backend": str(image)}])
    with Room() as room:
        room.add(one)
        room.prompt(1)
        for wanted, paths in ((spec(image, order=(2, 1)), 2), (one, 1), (spec(image), 2)):
            room.call("guest.configure", spec=wanted)
            room.call("guest.md_update", guest=1)
            room.server.advance(SECOND_NS)
            assert len(room.do(1, "paths c0d0").splitlines()) == paths
            assert "written" in room.do(1, f"write c0d0 {paths} pattern")
            assert room.do(1, f"verify c0d0 {paths} 1") == f"c0d0: 1 blocks from {paths} are the pattern"
        assert list(room.status(1)["paths"]) == ["d"]


def test_writing_goes_on_while_paths_come_and_go(image: Path) -> None:
    """Every block of a long write is there, whichever way it went."""
    with Room() as room:
        room.add(spec(image))
        room.prompt(1)
        begin = len(room.text(1))
        room.type(1, "write c0d0 0 pattern 4096")
        chance = random.Random(SEED)
        for _ in range(200):
            room.call("guest.configure", spec=spec(image, up=chance.choice(((1,), (2,), (1, 2)))))
            room.server.advance(chance.randrange(20_000, 400_000))
            if "written at 0" in room.text(1)[begin:]:
                break
        room.call("guest.configure", spec=spec(image))
        room.until(lambda: "4096 blocks written at 0" in room.text(1)[begin:], what="the end of the write")
        assert "is active" in room.text(1)[begin:], f"seed {SEED}: no failover happened"
        assert room.do(1, "verify c0d0 0 4096") == "c0d0: 4096 blocks from 0 are the pattern"


def test_without_any_path_requests_wait(image: Path) -> None:
    with Room() as room:
        room.add(spec(image))
        room.prompt(1)
        configure(room, spec(image, up=()))
        begin = len(room.text(1))
        room.type(1, "cksum c0d0")
        room.server.advance(30 * SECOND_NS)
        assert room.text(1)[begin:] == "cksum c0d0\n"
        configure(room, spec(image, up=(2,)))
        room.until(lambda: "\tc0d0\n" in room.text(1)[begin:], what="the checksum")


def test_with_a_timeout_requests_fail_after_it(image: Path) -> None:
    """vdc-timeout, of a disk with one path: reads fail after so many seconds, and go when the service is back."""
    with Room() as room:
        wanted = labos_spec(1, disks=[{"name": "d", "number": 0, "channels": [1], "backend": str(image), "timeout": 5}])
        gone = labos_spec(1, disks=[wanted["disks"][0] | {"online": False}])
        room.add(wanted)
        room.prompt(1)
        assert "written" in room.do(1, "write c0d0 0 pattern 8")
        room.call("guest.configure", spec=gone)
        begin = len(room.text(1))
        room.type(1, "read c0d0 0")
        room.server.advance(4 * SECOND_NS)
        assert room.text(1)[begin:] == "read c0d0 0\n"
        room.until(lambda: "c0d0: no answer from the disk server" in room.text(1)[begin:], most_ns=3 * SECOND_NS)
        configure(room, wanted)
        assert room.do(1, "verify c0d0 0 8") == "c0d0: 8 blocks from 0 are the pattern"


def test_io_errors_of_one_path_lead_to_the_other(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = FileDisk.read
    broken: set[Path] = set()

    def read(self: FileDisk, offset: int, length: int) -> bytes:
        if self.path in broken:
            raise OSError(errno.EIO, "Input/output error")
        return real(self, offset, length)

    monkeypatch.setattr(FileDisk, "read", read)
    wanted = spec(image)
    wanted["disks"][0]["paths"][1] |= {"backend": str(image.with_name("copy.img"))}
    image.with_name("copy.img").write_bytes(image.read_bytes())
    with Room() as room:
        room.add(wanted)
        room.prompt(1)
        expected = room.do(1, "cksum c0d0")
        broken.add(image)
        assert expected in room.do(1, "cksum c0d0")
        assert "c0d0: path of channel 2 is active" in room.text(1)
        broken.add(image.with_name("copy.img"))
        assert "read error at block 0: 5" in room.do(1, "cksum c0d0"), "all paths fail: so does the request"
        broken.clear()
        assert expected in room.do(1, "cksum c0d0")


# -- for guests that open one channel


class Fake:
    """A backend that remembers, and fails when told to."""

    size_bytes = 4096
    read_only = False

    def __init__(self) -> None:
        self.data = bytearray(4096)
        self.error: OSError | None = None

    def _check(self) -> None:
        if self.error is not None:
            raise self.error

    def read(self, offset: int, length: int) -> bytes:
        self._check()
        return bytes(self.data[offset : offset + length])

    def write(self, offset: int, data: bytes) -> None:
        self._check()
        self.data[offset : offset + len(data)] = data

    def flush(self) -> None:
        self._check()

    def close(self) -> None: ...


def test_behind_one_channel_a_path_that_works_is_used() -> None:
    group, backends = PathGroup("d", lambda: 1), {channel: Fake() for channel in (1, 2)}
    disk = PathDisk(group, 1)

    def settle(*usable: int, order: tuple[int, ...] = (1, 2)) -> None:
        group.settle([Way(n, backends[n], n in usable) for n in order])

    def used() -> int:
        return next(int(str(path["channel"])) for path in group.states() if path["state"] == ACTIVE)

    settle(1, 2)
    disk.write(0, b"first")
    assert (used(), bytes(backends[1].data[:5]), group.is_up(1)) == (1, b"first", True)
    settle(2)
    disk.write(0, b"other")
    assert (used(), bytes(backends[2].data[:5]), group.is_up(1)) == (2, b"other", True)
    settle(1, 2)
    assert used() == 2, "it stays where it works"
    settle(1, 2, order=(2, 1))
    settle(1, 2)
    assert used() == 1, "selected"
    backends[1].error = OSError(errno.EIO, "broken")
    assert disk.read(0, 5) == b"other"
    assert [path["state"] for path in group.states()] == [UNKNOWN, ACTIVE]
    backends[2].error = OSError(errno.EIO, "broken too")
    with pytest.raises(OSError, match="broken"):
        disk.read(0, 5)
    backends[1].error = None
    assert disk.read(0, 5) == b"first"
    backends[1].error = OSError(errno.ENOSPC, "full")
    backends[2].error = None
    with pytest.raises(OSError, match="full"):
        disk.write(0, b"x")
    settle()
    assert not group.is_up(1)
    with pytest.raises(OSError, match="no path"):
        disk.read(0, 1)
