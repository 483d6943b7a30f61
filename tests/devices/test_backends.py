"""Disks in files: raw, sparse, read-only, overlays; labels against tools that are not ours."""

from __future__ import annotations

import errno
import os
import random
import re
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.backends.file import FileDisk, create_disk, looks_like_iso
from emulator.backends.overlay import CLUSTER, Overlay
from emulator.devices.disklabel import Geometry, Slice, default_geometry, default_label, parse_label
from emulator.errors import ConfigError

SIZE = 10 * CLUSTER + 1536


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(random.Random(1).randbytes(SIZE))
    return path


def test_raw(image: Path) -> None:
    before = image.read_bytes()
    with FileDisk(image) as disk:
        assert disk.size_bytes == SIZE
        assert disk.read(1000, 5000) == before[1000:6000]
        disk.write(SIZE - 512, b"\x11" * 512)
        assert disk.read(SIZE - 600, 600) == before[-600:-512] + b"\x11" * 512
        disk.flush()
        for use in (lambda: disk.read(SIZE - 1, 2), lambda: disk.write(SIZE - 1, b"ab"), lambda: disk.read(-1, 1)):
            with pytest.raises(OSError, match="end of the disk"):
                use()
    assert image.stat().st_size == SIZE
    disk.close()


def test_a_file_of_no_whole_block_reads_zeros_behind_its_end(tmp_path: Path) -> None:
    path = tmp_path / "odd"
    path.write_bytes(b"\xff" * 1000)
    with FileDisk(path) as disk:
        assert disk.size_bytes == 1024
        assert disk.read(990, 34) == b"\xff" * 10 + bytes(24)


def test_new_disks_take_no_room(tmp_path: Path) -> None:
    path = tmp_path / "new"
    create_disk(path, 1 << 34)
    assert path.stat().st_blocks * 512 < 1 << 20
    with FileDisk(path) as disk:
        disk.write(1 << 33, b"x" * 512)
        assert disk.read((1 << 33) - 512, 1024) == bytes(512) + b"x" * 512
    assert path.stat().st_blocks * 512 < 1 << 20, "holes stay holes"
    for bad in (0, 511, 1000, 1 << 51):
        with pytest.raises(ConfigError):
            create_disk(tmp_path / "bad", bad)
    with pytest.raises(ConfigError, match="exists"):
        create_disk(path, 512)


def test_read_only(image: Path) -> None:
    before = image.read_bytes()
    image.chmod(0o444)
    with FileDisk(image, read_only=True) as disk:
        with pytest.raises(OSError, match="read-only") as caught:
            disk.write(0, b"x")
        assert caught.value.errno == errno.EROFS
        disk.flush()
    assert image.read_bytes() == before


def test_a_disk_has_one_writer(image: Path) -> None:
    with FileDisk(image):
        for again in (FileDisk, lambda path: FileDisk(path, read_only=True)):
            with pytest.raises(ConfigError, match="in use"):
                again(image)
        FileDisk(image, shared=True).close()
    with FileDisk(image, read_only=True), FileDisk(image, read_only=True), pytest.raises(ConfigError, match="in use"):
        FileDisk(image)
    FileDisk(image).close()


def test_files_that_are_no_disks(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for name in ("missing", "empty", "."):
        with pytest.raises(ConfigError, match=str(tmp_path)):
            FileDisk(tmp_path / name)


# -- overlays


def test_an_overlay_leaves_the_disk_alone_and_stays(image: Path, tmp_path: Path) -> None:
    before = image.read_bytes()
    chance = random.Random(2)
    expected = bytearray(before)
    path = tmp_path / "changes"
    for _ in range(3):
        disk = Overlay(FileDisk(image, read_only=True), path)
        assert disk.read(0, SIZE) == expected
        for _ in range(5):
            data = chance.randbytes(chance.choice((512, 4096, CLUSTER, 3 * CLUSTER)))
            at = chance.randrange(SIZE - len(data))
            disk.write(at, data)
            expected[at : at + len(data)] = data
            assert disk.read(at - min(at, 100), 200) == expected[at - min(at, 100) : at - min(at, 100) + 200]
        disk.flush()
        disk.close()
    assert image.read_bytes() == before
    disk = Overlay(FileDisk(image), path)
    assert disk.commit() >= CLUSTER
    disk.close()
    assert image.read_bytes() == expected


@given(seed=st.integers(0, 1 << 32))
def test_an_overlay_is_as_a_copy(seed: int) -> None:
    """Against a plain copy in memory, with everything that may happen in any order."""
    chance = random.Random(seed)

    class Memory:
        read_only = False
        size_bytes = 3 * CLUSTER + 512
        data = bytes(chance.randbytes(size_bytes))

        def read(self, offset: int, length: int) -> bytes:
            assert offset + length <= self.size_bytes
            return self.data[offset : offset + length]

        def write(self, offset: int, data: bytes) -> None:
            raise AssertionError("the disk below was written")

        def flush(self) -> None: ...

        def close(self) -> None: ...

    base = Memory()
    copy = bytearray(base.data)
    disk = Overlay(base)
    for _ in range(12):
        length = chance.choice((0, 1, 512, CLUSTER, 2 * CLUSTER))
        at = chance.choice((0, chance.randrange(len(copy) - length + 1), len(copy) - length))
        if chance.random() < 0.6:
            data = chance.randbytes(length)
            disk.write(at, data)
            copy[at : at + length] = data
        else:
            assert disk.read(at, length) == copy[at : at + length]
    assert disk.read(0, len(copy)) == copy
    disk.close()


def test_what_is_not_an_overlay(image: Path, tmp_path: Path) -> None:
    for content in (b"nonsense", b"s4vcow1\0" + bytes(100), image.read_bytes()):
        path = tmp_path / "changes"
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="not an overlay"):
            Overlay(FileDisk(image, read_only=True), path)
        assert path.read_bytes() == content
    with pytest.raises(ConfigError):
        Overlay(FileDisk(image, read_only=True), tmp_path / "no" / "folder")


@pytest.fixture
def room() -> Iterator[Callable[[int], None]]:
    """room(n): no file of this process grows beyond n bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("named", [False, True])
def test_a_full_host_is_an_error_of_the_guest_and_the_overlay_stays_good(
    image: Path, tmp_path: Path, room: Callable[[int], None], named: bool
) -> None:
    path = tmp_path / "o.overlay" if named else None
    disk = Overlay(FileDisk(image, read_only=True), path)
    before = disk.read(0, SIZE)
    disk.write(0, b"y" * 512)
    room(64 << 10)
    with pytest.raises(OSError, match=re.escape(os.strerror(errno.EFBIG))):
        disk.write(3 * CLUSTER + 100, b"x" * 1000)
    assert os.strerror(errno.EFBIG) in disk.trouble
    assert disk.read(0, SIZE) == b"y" * 512 + before[512:]
    assert disk.kept_bytes == CLUSTER
    room(resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    disk.write(3 * CLUSTER + 100, b"x" * 1000)
    assert disk.trouble == ""
    after = disk.read(0, SIZE)
    disk.close()
    if path is not None:
        again = Overlay(FileDisk(image, read_only=True), path)
        assert again.read(0, SIZE) == after
        again.close()


def test_writers_of_fresh_clusters_beside_each_other_and_flushes_lose_nothing(image: Path, tmp_path: Path) -> None:
    """Threads write pieces of the same clusters at once; then a host that has crashed knows what was flushed."""
    seed = 77
    path = tmp_path / "o.overlay"
    expected = bytearray(image.read_bytes())
    disk = Overlay(FileDisk(image, read_only=True), path)
    pieces = list(range(0, SIZE - 1535, 1536))
    random.Random(seed).shuffle(pieces)

    def write(part: list[int]) -> None:
        for at in part:
            data = random.Random(at).randbytes(1536)
            disk.write(at, data)
            assert disk.read(at, 1536) == data
            if at % 5 == 0:
                disk.flush()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, [pieces[n::4] for n in range(4)]))
    for at in pieces:
        expected[at : at + 1536] = random.Random(at).randbytes(1536)
    disk.flush()
    assert disk.read(0, SIZE) == expected
    crashed = bytearray(path.read_bytes())
    crashed[4096 : 4096 + 48] = bytes(48)  # another boot: the stable map counts
    disk.close()
    path.write_bytes(crashed)
    again = Overlay(FileDisk(image, read_only=True), path)
    assert again.read(0, SIZE) == expected
    again.close()


def test_iso(image: Path) -> None:
    with FileDisk(image) as disk:
        assert not looks_like_iso(disk)
        disk.write(0x8001, b"CD001")
        assert looks_like_iso(disk)


# -- labels


@pytest.mark.parametrize("blocks", [1, 2, 100, 3024, 131072, 1 << 24, 1 << 31, (1 << 32) - 1, 1 << 40])
def test_default_geometries_fit(blocks: int) -> None:
    geometry = default_geometry(blocks)
    assert geometry.cylinders >= 1
    assert geometry.cylinders * geometry.cylinder_blocks <= blocks
    assert Geometry.unpack(geometry.pack()) == geometry
    if blocks < 1 << 36:
        assert geometry.cylinders * geometry.cylinder_blocks > blocks * 0.9 or blocks < 1 << 17


def test_labels_are_read_back_and_checked() -> None:
    label = default_label(1 << 20)
    part = Slice(2, 0, 1008 * 5, 1008 * 100)
    changed = label.with_vtoc(
        label.pack_vtoc()[:144] + b"".join(
            int.to_bytes(v, n, "big") for v, n in ((2, 2), (0, 2), (0, 4), (1008 * 5, 8), (1008 * 100, 8))
        ) + label.pack_vtoc()[168:]
    )  # fmt: skip
    assert changed is not None
    block = changed.pack()
    assert len(block) == 512
    back = parse_label(block)
    assert back is not None
    assert back.slices[0] == part
    assert back.slices[2].blocks == label.slices[2].blocks
    for at in (0, 150, 440, 508, 511):
        assert parse_label(block[:at] + bytes([block[at] ^ 1]) + block[at + 1 :]) is None
    assert parse_label(b"") is None
    assert parse_label(bytes(512)) is None


def test_fdisk_reads_our_label(tmp_path: Path) -> None:
    tool = shutil.which("fdisk") or shutil.which("fdisk", path="/usr/sbin:/sbin")
    if tool is None:
        pytest.skip("fdisk is not installed")
    path = tmp_path / "disk"
    create_disk(path, 512 << 20)
    with FileDisk(path) as disk:
        disk.write(0, default_label(1 << 20).pack())
    out = subprocess.run([tool, "-l", str(path)], capture_output=True, text=True, check=True).stdout
    assert "Disklabel type: sun" in out
    g = default_geometry(1 << 20)
    assert any(
        line.split()[1:4] == ["0", str(g.cylinders * g.cylinder_blocks - 1), str(g.cylinders * g.cylinder_blocks)]
        for line in out.splitlines()
        if line.startswith(f"{path}3")
    )
