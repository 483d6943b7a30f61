"""Images that are not plain files: qcow2 through QEMU's tools, overlays and crashes, block devices."""

from __future__ import annotations

import errno
import os
import random
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from emulator.backends import overlay as overlay_module
from emulator.backends import qcow2
from emulator.backends.file import FileDisk, Identity, create_disk
from emulator.backends.images import OVERLAY, QCOW2, RAW, Access, image_kind, open_image, open_overlay
from emulator.backends.nbd import NbdDisk
from emulator.backends.overlay import CLUSTER, Overlay, create_overlay
from emulator.backends.qcow2 import Qcow2Disk, create_qcow2
from emulator.errors import ConfigError

SIZE = 10 * CLUSTER + 1536
needs_qemu = pytest.mark.skipif(not qcow2.is_supported(), reason="neither qemu-nbd nor qemu-storage-daemon is there")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(random.Random(1).randbytes(SIZE))
    return path


# -- kinds


def test_the_name_says_the_kind_and_contents_do_not(image: Path, tmp_path: Path) -> None:
    """What a guest writes to its raw disk never makes another kind of it."""
    assert [image_kind(name) for name in ("a.qcow2", "a.QCOW2", "a.overlay", "a.img", "qcow2", "a")] == [
        QCOW2, QCOW2, OVERLAY, RAW, RAW, RAW,
    ]  # fmt: skip
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * 4096)
    create_overlay(tmp_path / "bad.overlay", FileDisk(secret, read_only=True))
    header = (tmp_path / "bad.overlay").read_bytes()[:8192]
    with open_image(image, Access()) as disk:  # type: ignore[attr-defined]
        disk.write(0, header)
    with open_image(image, Access()) as disk:  # type: ignore[attr-defined]
        assert isinstance(disk, FileDisk)
        assert disk.read(0, 8192) == header
    with pytest.raises(ConfigError, match="its name says qcow2, but it is none"):
        open_image(shutil.copy(image, tmp_path / "x.qcow2"), Access())
    with pytest.raises(ConfigError, match="not an overlay"):
        open_image(shutil.copy(secret, tmp_path / "x.overlay"), Access())


# -- overlays


def make_overlay(image: Path) -> Path:
    path = image.with_suffix(".overlay")
    create_overlay(path, FileDisk(image, read_only=True))
    return path


def test_an_overlay_finds_the_disk_below_and_takes_little_room(image: Path) -> None:
    before = image.read_bytes()
    path = make_overlay(image)
    assert path.stat().st_blocks * 512 < 64 << 10
    disk = open_image(path, Access())
    disk.write(CLUSTER + 512, b"new" * 512)
    disk.close()
    again = open_image(path, Access(read_only=True))
    assert again.read(0, SIZE) == before[: CLUSTER + 512] + b"new" * 512 + before[CLUSTER + 2048 :]
    with pytest.raises(OSError, match="read-only"):
        again.write(0, b"x")
    again.close()
    assert image.read_bytes() == before
    with pytest.raises(ConfigError, match="exists"):
        create_overlay(path, FileDisk(image, read_only=True))


def test_a_disk_below_that_has_changed_is_told(image: Path) -> None:
    path = make_overlay(image)
    with FileDisk(image) as disk:
        disk.write(0, b"other")
    os.utime(image, ns=(1, 1))
    with pytest.raises(ConfigError, match=r"is not what it was when the overlay was made.*rebase"):
        open_image(path, Access())
    disk = open_overlay(path, changed=True)
    disk.rebase(Identity.of(image))
    disk.close()
    open_image(path, Access()).close()
    image.unlink()
    with pytest.raises(ConfigError, match="the disk below cannot be used"):
        open_image(path, Access())


def test_an_overlay_after_a_crash_of_the_host(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flushed write is there; one that was not flushed is there or not, and never a cluster of zeros."""
    before = image.read_bytes()
    path = make_overlay(image)
    disk = open_overlay(path)
    disk.write(0, b"a" * 512)
    disk.flush()
    disk.write(3 * CLUSTER, b"b" * 512)
    killed = path.read_bytes()  # as it is when the process is killed now
    monkeypatch.setattr(Overlay, "flush", lambda self: None)
    disk.close()
    monkeypatch.undo()
    path.write_bytes(killed)
    alive = open_overlay(path, read_only=True)
    assert alive.read(3 * CLUSTER, 512) == b"b" * 512, "the host goes on: nothing is lost"
    alive.close()
    # the host has lost power: of what was not flushed the maps came to the disk, the data did not
    hole = path.stat().st_size - (disk.size_bytes + CLUSTER - 1) // CLUSTER * CLUSTER + 3 * CLUSTER
    path.write_bytes(killed[:hole] + bytes(CLUSTER) + killed[hole + CLUSTER :])
    monkeypatch.setattr(overlay_module, "boot_identity", lambda: b"another boot".ljust(36, b"\0"))
    disk = open_overlay(path)
    assert disk.read(0, 512) == b"a" * 512
    assert disk.read(512, SIZE - 512) == before[512:]
    disk.write(3 * CLUSTER, b"c" * 512)
    disk.close()
    disk = open_overlay(path)
    assert disk.read(3 * CLUSTER, CLUSTER) == b"c" * 512 + before[3 * CLUSTER + 512 : 4 * CLUSTER]
    disk.close()


def test_a_damaged_header_is_told(image: Path) -> None:
    path = make_overlay(image)
    good = path.read_bytes()
    for at in (8, 20, 40, 508):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(ConfigError, match=r"damaged|another kind"):
            open_image(path, Access())
    path.write_bytes(good[:520] + b"?" + good[521:])
    with pytest.raises(ConfigError, match=r"does not know the disk below.*rebase"):
        open_image(path, Access())


def test_commit_and_its_interruption(image: Path) -> None:
    path = make_overlay(image)
    disk = open_overlay(path)
    disk.write(100 * 512, b"z" * 70_000)
    expected = disk.read(0, SIZE)
    disk.close()
    disk = open_overlay(path, below_read_only=False)

    def torn(offset: int, data: bytes) -> None:
        raise OSError(errno.EIO, "power cut")

    assert isinstance(disk.base, FileDisk)
    write, disk.base.write = disk.base.write, torn  # type: ignore[method-assign]
    with pytest.raises(OSError, match="power cut"):
        disk.commit()
    disk.base.write = write  # type: ignore[method-assign]
    disk.close()
    with pytest.raises(ConfigError, match="a commit of this overlay did not end"):
        open_image(path, Access())
    disk = open_overlay(path, below_read_only=False, changed=True)
    assert disk.commit() >= 70_000
    disk.close()
    assert image.read_bytes() == expected
    disk = open_overlay(path)
    assert (disk.kept_bytes, disk.read(0, SIZE)) == (0, expected)
    disk.close()


def test_overlays_upon_each_other(image: Path) -> None:
    paths = [image]
    for layer in range(3):
        path = image.with_name(f"{layer}.overlay")
        create_overlay(path, open_image(paths[-1], Access(read_only=True)))
        disk = open_image(path, Access())
        disk.write(layer * CLUSTER, bytes([layer + 1]) * 512)
        disk.close()
        paths.append(path)
    disk = open_image(paths[-1], Access(read_only=True))
    assert [disk.read(layer * CLUSTER, 1)[0] for layer in range(3)] == [1, 2, 3]
    disk.close()


# -- files that change


def full(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_that_vanishes_shrinks_or_fills_the_host(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FileDisk(image) as disk:
        assert disk.trouble == ""
        os.truncate(image, 4096)
        assert disk.read(0, 4096)
        with pytest.raises(OSError, match="shorter") as caught:
            disk.read(0, 8192)
        assert caught.value.errno == errno.EIO
        assert "has shrunk" in disk.trouble
        os.truncate(image, SIZE)
        disk.write(0, b"x")
        assert disk.trouble == ""
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            with pytest.raises(OSError, match="No space") as caught:
                disk.write(0, b"x")
        assert caught.value.errno == errno.ENOSPC
        assert "No space left" in disk.trouble
        disk.write(0, b"x")
        assert disk.trouble == "", "there is room again"
        image.unlink()
        assert "was deleted" in disk.trouble
        saved = disk.trouble.rsplit(" ", 1)[1]
        assert Path(saved).read_bytes() == disk.read(0, SIZE)


def test_a_full_file_system_keeps_an_overlay_good(tmp_path: Path) -> None:
    """A real one: a small tmpfs."""
    room = tmp_path / "small"
    room.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(room)], check=False,
                                      capture_output=True).returncode:  # fmt: skip
        pytest.skip("mount: only root can, outside of some containers")
    try:
        base = tmp_path / "base.img"
        base.write_bytes(random.Random(3).randbytes(4 << 20))
        path = room / "o.overlay"
        create_overlay(path, FileDisk(base, read_only=True))
        disk = open_overlay(path)
        kept = bytearray(base.read_bytes())
        refused = 0
        for at in range(0, 4 << 20, CLUSTER):
            try:
                disk.write(at, b"w" * CLUSTER)
            except OSError as error:
                refused += error.errno == errno.ENOSPC
            else:
                kept[at : at + CLUSTER] = b"w" * CLUSTER
        assert refused > 100
        assert "No space left" in disk.trouble
        assert disk.read(0, len(kept)) == kept
        disk.close()
        disk = open_overlay(path)
        assert disk.read(0, len(kept)) == kept
        disk.close()
    finally:
        subprocess.run(["umount", str(room)], check=True)


@pytest.fixture
def loop_device(image: Path) -> Iterator[Path]:
    tool = shutil.which("losetup") or shutil.which("losetup", path="/usr/sbin:/sbin")
    if tool is None:
        pytest.skip("losetup is not installed")
    os.truncate(image, SIZE)
    done = subprocess.run([tool, "--find", "--show", str(image)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"losetup: {done.stderr.strip()}")
    device = Path(done.stdout.strip())
    if not device.is_block_device():
        subprocess.run([tool, "-d", str(device)], check=False)
        pytest.skip(f"losetup: {device} is not there")
    yield device
    subprocess.run([tool, "-d", str(device)], check=True)


def test_a_block_device(loop_device: Path, image: Path) -> None:
    expected = image.read_bytes()
    with FileDisk(loop_device) as disk:
        assert disk.size_bytes == SIZE
        assert disk.fd is not None
        assert disk.read(0, SIZE) == expected
        disk.write(512, b"q" * 512)
        disk.flush()
        with pytest.raises(ConfigError, match="in use"):
            FileDisk(loop_device)
    with FileDisk(loop_device, alone=True), pytest.raises(ConfigError, match="in use"):
        FileDisk(loop_device, alone=True, shared=True)
    assert image.read_bytes() == expected[:512] + b"q" * 512 + expected[1024:]


def test_excl_keeps_other_processes_away(image: Path) -> None:
    code = "import sys; from emulator.backends.file import FileDisk as F; F(sys.argv[1], read_only=True); print('open')"
    command = [sys.executable, "-c", code, str(image)]
    with FileDisk(image, read_only=True):
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "open\n"
    with FileDisk(image, read_only=True, alone=True):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "the disk is in use by another machine or program" in done.stderr


# -- qcow2


@needs_qemu
def test_a_qcow2_image(tmp_path: Path) -> None:
    path = tmp_path / "disk.qcow2"
    create_qcow2(path, 1 << 30)
    with pytest.raises(ConfigError, match="exists"):
        create_qcow2(path, 512)
    chance = random.Random(4)
    disk = Qcow2Disk(path)
    assert (disk.size_bytes, disk.read_only, disk.fd) == (1 << 30, False, None)
    assert disk.read((1 << 30) - 512, 512) == bytes(512)
    written = {}
    for _ in range(20):
        at = chance.randrange(1 << 21) * 512 // 4096 * 4096
        written[at] = chance.randbytes(4096)
        disk.write(at, written[at])
    large = chance.randbytes((5 << 20) + 512)
    disk.write(512 << 20, large)
    assert disk.read(512 << 20, len(large)) == large
    disk.flush()
    keeper = disk._keeper
    disk.close()
    disk.close()
    assert keeper is not None
    assert keeper.poll() is not None
    assert path.stat().st_size < 16 << 20, "only what was written takes room"
    disk = Qcow2Disk(path, read_only=True)
    assert all(disk.read(at, 4096) == data for at, data in written.items() if not 512 << 20 <= at < 518 << 20)
    assert disk.read(512 << 20, len(large)) == large
    with pytest.raises(OSError, match="read-only"):
        disk.write(0, b"x" * 512)
    disk.close()


@needs_qemu
def test_two_users_of_a_qcow2_image(tmp_path: Path) -> None:
    path = tmp_path / "disk.qcow2"
    create_qcow2(path, 1 << 20)
    disk = Qcow2Disk(path)
    try:
        with pytest.raises(ConfigError, match="in use by another"):
            Qcow2Disk(path)
    finally:
        disk.close()


@needs_qemu
def test_an_overlay_upon_qcow2(tmp_path: Path) -> None:
    path = tmp_path / "disk.qcow2"
    create_qcow2(path, 1 << 20)
    disk = Qcow2Disk(path)
    disk.write(0, b"q" * 4096)
    disk.close()
    over = tmp_path / "o.overlay"
    create_overlay(over, open_image(path, Access(read_only=True)))
    top = open_image(over, Access())
    top.write(512, b"o" * 512)
    assert top.read(0, 2048) == b"q" * 512 + b"o" * 512 + b"q" * 1024
    top.close()


def tool_process(disk: Qcow2Disk) -> int:
    """The process of the tool itself."""
    assert disk._keeper is not None
    return int(Path(f"/proc/{disk._keeper.pid}/task/{disk._keeper.pid}/children").read_text().split()[0])


def wait_gone(pid: int) -> None:
    """Wait for the end of a process that may have ended already."""
    with suppress(ProcessLookupError):
        fd = os.pidfd_open(pid)
        assert select.select([fd], [], [], 30)[0], f"process {pid} goes on"
        os.close(fd)


@needs_qemu
def test_the_tool_dies(tmp_path: Path) -> None:
    path = tmp_path / "disk.qcow2"
    create_qcow2(path, 1 << 20)
    disk = Qcow2Disk(path)
    disk.write(0, b"1" * 512)
    disk.flush()
    os.kill(tool_process(disk), signal.SIGKILL)
    with pytest.raises(OSError, match="is gone"):
        disk.read(0, 512)
    assert disk.read(0, 512) == b"1" * 512, "nothing can be lost: it is started again"
    disk.write(0, b"2" * 512)
    os.kill(tool_process(disk), signal.SIGKILL)
    for _ in range(3):
        with pytest.raises(OSError, match="is gone"):
            disk.write(512, b"3" * 512)
    assert "not flushed" in disk.trouble
    disk.close()


@needs_qemu
def test_the_tool_ends_with_its_machine(tmp_path: Path) -> None:
    """Killed without a word, the process leaves nothing behind, and the image can be opened at once."""
    path = tmp_path / "disk.qcow2"
    create_qcow2(path, 1 << 20)
    code = """
import sys, signal
from emulator.backends.qcow2 import Qcow2Disk
disk = Qcow2Disk(sys.argv[1])
disk.write(0, b"k" * 512); disk.flush()
keeper = disk._keeper.pid
print(keeper, open(f"/proc/{keeper}/task/{keeper}/children").read().split()[0], flush=True)
signal.pause()
"""
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        pids = [int(word) for word in child.stdout.readline().split()]
        child.kill()
    for pid in pids:
        wait_gone(pid)
    disk = Qcow2Disk(path)
    assert disk.read(0, 512) == b"k" * 512
    disk.close()


def test_without_a_tool_the_remedy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "disk.qcow2"
    create_qcow2(path, 1 << 20)
    monkeypatch.setattr(qcow2, "TOOLS", ())
    with pytest.raises(ConfigError, match="install qemu-utils"):
        Qcow2Disk(path)


# -- servers of NBD that are not what they should be


GREETING = struct.pack(">QQH", 0x4E42444D41474943, 0x49484156454F5054, 3)


def option_reply(kind: int, body: bytes) -> bytes:
    return struct.pack(">QIII", 0x3E889045565A9, 7, kind, len(body)) + body


def export(size: int, flags: int = 5) -> bytes:
    return option_reply(3, struct.pack(">HQH", 0, size, flags)) + option_reply(1, b"")


def served(said: bytes) -> NbdDisk:
    """A client whose server says this, whatever it is asked, and hangs up."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs, suppress(ConnectionError):
            theirs.sendall(said)
            theirs.shutdown(socket.SHUT_WR)
            while theirs.recv(65536):
                pass

    threading.Thread(target=serve, daemon=True).start()
    return NbdDisk(ours, "disk")


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (bytes(18), "handshake"),
        (GREETING[:-1] + b"\0", "handshake"),
        (GREETING + option_reply((1 << 31) + 6, b"export 'disk' not present"), "not present"),
        (GREETING + struct.pack(">QIII", 1, 7, 1, 0), "breaks"),
        (GREETING + struct.pack(">QIII", 0x3E889045565A9, 7, 3, 1 << 30), "breaks"),
        (GREETING + option_reply(3, b"") * 100, "does not end"),
        (GREETING + export(0), "0 bytes"),
        (GREETING + export(513), "513 bytes"),
        (GREETING + export(1 << 60), "cannot have"),
        (GREETING + export(512, 7), "only be read"),
    ],
)  # fmt: skip
def test_nbd_servers_that_are_refused(said: bytes, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        served(said)


@pytest.mark.parametrize(
    "answer", [b"", b"\0" * 16, struct.pack(">IIQ", 0x67446698, 0, 2), struct.pack(">IIQ", 0x67446698, 0, 1) + b"short"]
)
def test_nbd_answers_that_are_none_end_the_connection(answer: bytes) -> None:
    disk = served(GREETING + export(1 << 20) + answer)
    for _ in range(2):
        with pytest.raises(OSError, match="is gone") as caught:
            disk.read(0, 512)
        assert caught.value.errno == errno.EIO
    disk.close()


def test_an_error_of_a_request_is_only_its_own() -> None:
    full = struct.pack(">IIQ", 0x67446698, errno.ENOSPC, 1)
    odd = struct.pack(">IIQ", 0x67446698, 12345, 2)
    good = struct.pack(">IIQ", 0x67446698, 0, 3) + b"d" * 512
    disk = served(GREETING + export(1 << 20) + full + odd + good)
    for number in (errno.ENOSPC, errno.EIO):
        with pytest.raises(OSError) as caught:  # noqa: PT011
            disk.write(0, b"x" * 512)
        assert caught.value.errno == number
    assert disk.read(0, 512) == b"d" * 512
    disk.close()


def test_a_raw_disk_of_a_size(tmp_path: Path) -> None:
    create_disk(tmp_path / "a.img", 1 << 20)
    with FileDisk(tmp_path / "a.img") as disk:
        assert disk.fd is not None
        assert os.pread(disk.fd, 512, disk.base) == bytes(512)
    with (tmp_path / "odd.img").open("wb") as file:
        file.write(b"x" * 1000)
    with FileDisk(tmp_path / "odd.img") as disk:
        assert disk.fd is None, "its last block is not wholly in the file"
