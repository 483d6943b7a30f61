"""Disks of labos: what it writes is in the file, what is in the file it reads, whatever happens to the channel."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from device_support import BLOCK, PROMPT, Lab, pattern, posix_cksum

from emulator.backends.file import create_disk
from emulator.devices.lab import DiskSpec
from emulator.devices.vdisk import DiskOptions

SEED = int(os.environ.get("SUN4V_TEST_SEED", "1"))
MIB = 1 << 20


def make_disk(folder: Path, size: int = 2 * MIB, *, name: str = "disk.img") -> Path:
    path = folder / name
    path.write_bytes(random.Random(SEED).randbytes(size))
    return path


def test_several_disks_are_listed(tmp_path: Path) -> None:
    sizes = (2 * MIB, 64 * MIB, MIB)
    specs = [DiskSpec(make_disk(tmp_path, size, name=f"{size}.img")) for size in sizes]
    lab = Lab(disks=specs)
    lines = lab.command("disks").splitlines()
    assert lines[0] == "AVAILABLE DISK SELECTIONS:"
    for number, size in enumerate(sizes):
        head, path = lines[1 + 2 * number : 3 + 2 * number]
        assert head.startswith(f"{number:8}. c0d{number} <SUN-DiskImage-{size // MIB}.00MB cyl ")
        assert head.endswith(f"> {size // BLOCK} blocks")
        assert path == f"          /virtual-devices@100/channel-devices@200/disk@{number}"
    assert Lab().command("disks") == "No disks found!\n"


def test_cksum_is_that_of_the_file(tmp_path: Path) -> None:
    path = make_disk(tmp_path, MIB)
    expected = posix_cksum(path.read_bytes())
    assert Lab(disks=[DiskSpec(path)]).command("cksum c0d0") == f"{expected}\t{MIB}\tc0d0\n"


def test_text_is_written_and_read(tmp_path: Path) -> None:
    path = make_disk(tmp_path)
    before = path.read_bytes()
    lab = Lab(disks=[DiskSpec(path)])
    assert lab.command("write c0d0 5 hello") == "c0d0: 1 block written at 5\n"
    lines = lab.command("read c0d0 5").splitlines()
    assert lines[0] == "00000a00  68 65 6c 6c 6f 00 00 00 00 00 00 00 00 00 00 00  |hello...........|"
    assert len(lines) == 32
    assert path.read_bytes() == before[: 5 * BLOCK] + b"hello".ljust(BLOCK, b"\0") + before[6 * BLOCK :]
    assert lab.disk().counters.flushes == 1
    shown = lab.command("read c0d0 4095").splitlines()
    data = bytes.fromhex("".join(line[9:58].replace(" ", "") for line in shown))
    assert data == before[-BLOCK:]


def test_pattern_is_the_one_computed_here(tmp_path: Path) -> None:
    path = make_disk(tmp_path)
    before = path.read_bytes()
    lab = Lab(disks=[DiskSpec(path)])
    assert lab.command("write c0d0 100 pattern 700") == "c0d0: 700 blocks written at 100\n"
    after = path.read_bytes()
    assert after[100 * BLOCK : 800 * BLOCK] == pattern(100, 700)
    assert after[: 100 * BLOCK] + after[800 * BLOCK :] == before[: 100 * BLOCK] + before[800 * BLOCK :]
    assert lab.command("verify c0d0 100 700") == "c0d0: 700 blocks from 100 are the pattern\n"
    path.write_bytes(after[: 333 * BLOCK + 7] + b"\xff\0" + after[333 * BLOCK + 9 :])
    assert lab.command("verify c0d0 100 700") == ("c0d0: 1 of 700 blocks differ from the pattern, the first is 333\n")


def test_errors_are_told(tmp_path: Path) -> None:
    lab = Lab(disks=[DiskSpec(make_disk(tmp_path), read_only=True)])
    assert lab.command("write c0d0 5 x") == "c0d0: write error at block 5: 30\n"
    assert lab.command("read c0d0 4096") == "c0d0: it has 4096 blocks\n"
    assert lab.command("read c0d0 4095 2") == "c0d0: it has 4096 blocks\n"
    assert lab.command("read c0d7 0") == "c0d7: no such disk\n"
    assert lab.command("read c0d0") == "usage: read DISK BLOCK [COUNT]\n"
    assert lab.command("disks").splitlines()[1].endswith(" read-only")


def test_writes_survive_resets(tmp_path: Path) -> None:
    """The channel is reset again and again, at any instruction: every block is where it belongs in the end."""
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    path = make_disk(tmp_path)
    lab = Lab(disks=[DiskSpec(path)])
    line = "write c0d0 0 pattern 4000"
    lab.type(line)
    resets = 0
    while not lab.ended(line):
        lab.run(rng.randrange(1, 60_000))
        if resets < 40 and rng.randrange(3) == 0:
            lab.disk().drop_link("a test")
            resets += 1
    assert lab.output(line) == "c0d0: 4000 blocks written at 0\n"
    assert resets == 40
    assert path.read_bytes()[: 4000 * BLOCK] == pattern(0, 4000)
    assert lab.command("verify c0d0 0 4000") == "c0d0: 4000 blocks from 0 are the pattern\n"


def test_requests_wait_for_a_server_that_is_gone(tmp_path: Path) -> None:
    path = make_disk(tmp_path)
    lab = Lab(disks=[DiskSpec(path)])
    channel = lab.disk().channel
    channel.up = False
    lab.seen = ""
    lab.type("write c0d0 9 back")
    for _ in range(100):
        lab.run()
    assert PROMPT not in lab.seen
    channel.up = True
    lab.until(PROMPT)
    assert path.read_bytes()[9 * BLOCK :][:4] == b"back"


def test_a_timeout_ends_the_wait(tmp_path: Path) -> None:
    lab = Lab(disks=[DiskSpec(make_disk(tmp_path), timeout_seconds=2)])
    lab.disk().channel.up = False
    assert lab.command("write c0d0 9 never") == "c0d0: no answer from the disk server\n"
    lab.disk().channel.up = True
    assert lab.command("write c0d0 9 again") == "c0d0: 1 block written at 9\n"


def test_hostile_server(tmp_path: Path) -> None:
    """Packets of the server are damaged by chance. The guest may fail requests, and works when the damage ends."""
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    path = make_disk(tmp_path, MIB)
    lab = Lab(disks=[DiskSpec(path)])
    lab.command("write c0d0 0 pattern 2000")
    device = lab.disk()
    send = device.channel.send
    damaged = 0

    def hostile(packets: bytes) -> int:
        nonlocal damaged
        data = bytearray(packets)
        for at in range(0, len(data), 64):
            if rng.randrange(3) == 0:
                damaged += 1
                data[at + rng.randrange(64)] = rng.choice((0, 1, 2, 4, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        return send(bytes(data))

    device.channel.send = hostile  # type: ignore[method-assign]
    lab.seen = PROMPT
    for _ in range(6000):
        if lab.seen.endswith(PROMPT):
            lab.seen = ""
            lab.type("verify c0d0 0 2000")
        lab.run(rng.randrange(1, 100_000))
    device.channel.send = send  # type: ignore[method-assign]
    assert damaged > 100
    device.drop_link("the end of the damage")
    lab.until(PROMPT)
    expected = posix_cksum(path.read_bytes())
    assert lab.command("cksum c0d0") == f"{expected}\t{MIB}\tc0d0\n"


def test_the_same_run_twice(tmp_path: Path) -> None:
    """Deterministic: two machines, the same disk, the same keys; the same state to the bit."""
    digests = []
    for number in range(2):
        lab = Lab(disks=[DiskSpec(make_disk(tmp_path, name=f"{number}.img"))])
        lab.command("write c0d0 7 pattern 300")
        digests.append(lab.machine.digest())
    assert digests[0] == digests[1]


@pytest.mark.parametrize("at", [40_000, 700_000, 1_500_000])
def test_writing_goes_on_in_another_machine(tmp_path: Path, at: int) -> None:
    """The domain is suspended as for a migration, and goes on elsewhere, where its channel is reset."""
    path = make_disk(tmp_path)
    lab = Lab(disks=[DiskSpec(path)])
    line = "write c0d0 0 pattern 4000"
    lab.type(line)
    lab.run(at)
    reply = lab.services.suspend()
    for _ in range(5000):
        if lab.machine.suspended:
            break
        lab.run(2000)
    assert lab.machine.suspended
    assert not lab.ended(line)
    assert list(reply.phases) == [0]
    state = lab.machine.save()
    lab.domain.close()
    target = Lab(disks=[DiskSpec(path)], boot=False)
    target.machine.load(state)
    target.seen = lab.seen
    (reply,) = target.services.pending()
    assert list(reply.phases) == [0]
    target.machine.resume()
    for _ in range(2000):
        if target.ended(line):
            break
        target.run(100_000)
    assert target.output(line) == "c0d0: 4000 blocks written at 0\n"
    assert list(reply.phases) == [0, 5]
    assert path.read_bytes()[: 4000 * BLOCK] == pattern(0, 4000)
    assert target.command("verify c0d0 0 4000") == "c0d0: 4000 blocks from 0 are the pattern\n"


def host_partitions(path: Path) -> tuple[str, list[tuple[int, int]]]:
    """What fdisk makes of a disk: kind of its label, and start and length of its partitions in blocks."""
    tool = shutil.which("fdisk") or shutil.which("fdisk", path="/usr/sbin:/sbin")
    if tool is None:
        pytest.skip("fdisk is not installed")
    command = [tool, "-l", "-o", "Start,Sectors", str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    kind = said.partition("Disklabel type: ")[2].split("\n")[0]
    rows = [words for line in said.splitlines() if (words := line.split()) and all(map(str.isdecimal, words))]
    return kind, [(int(start), int(count)) for start, count in rows]


def test_a_vtoc_is_written_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    create_disk(path, 64 * MIB)
    lab = Lab(disks=[DiskSpec(path)])
    assert lab.command("label c0d0") == "c0d0: no label\n"
    written = lab.command("label c0d0 vtoc")
    cylinder, cylinders = 16 * 63, 64 * MIB // BLOCK // (16 * 63) - 2
    half, whole = cylinders // 2 * cylinder, cylinders * cylinder
    assert written == (
        f"c0d0: VTOC\n  slice 0  tag 2  first 0  blocks {half}\n  slice 2  tag 5  first 0  blocks {whole}\n"
        f"  slice 7  tag 8  first {half}  blocks {whole - half}\n"
    )
    assert lab.command("flush c0d0") == ""
    assert lab.disk().counters.flushes == 1
    lab.domain.close()
    assert Lab(disks=[DiskSpec(path, read_only=True)]).command("label c0d0") == written
    kind, parts = host_partitions(path)
    assert kind == "sun"
    assert sorted(parts) == sorted([(0, half), (0, whole), (half, whole - half)])


def test_an_efi_label_is_written_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    create_disk(path, 64 * MIB)
    lab = Lab(disks=[DiskSpec(path)])
    lab.command("label c0d0 vtoc")
    blocks = 64 * MIB // BLOCK
    first, second = (34, blocks // 2 - 34), (blocks // 2, blocks // 2 - 33)
    written = lab.command("label c0d0 efi")
    assert written.splitlines()[0] == "c0d0: EFI"
    kind, parts = host_partitions(path)
    assert kind == "gpt", "the record in block 0 has taken the place of the old label"
    assert parts[0] == first
    assert parts[1] == second
    assert written == "c0d0: EFI\n" + "".join(
        f"  partition {n}  first {start}  blocks {count}\n" for n, (start, count) in enumerate(parts, 1)
    )
    lab.command("write c0d0 2 junk")
    assert lab.command("label c0d0").startswith("c0d0: EFI, checksum wrong\n")


def test_labels_where_they_cannot_be_written(tmp_path: Path) -> None:
    path = make_disk(tmp_path)
    options = DiskOptions(slice=True)
    lab = Lab(disks=[DiskSpec(path, read_only=True), DiskSpec(make_disk(tmp_path, name="b"), options=options)])
    assert lab.command("label c0d0 vtoc") == "c0d0: the label cannot be written: error 30\n"
    assert lab.command("label c0d0 efi") == "c0d0: the label cannot be written: error 30\n"
    assert lab.command("label c0d1").startswith("c0d1: VTOC\n  slice 0  tag 0  first 0  blocks 4096\n")
    assert lab.command("label c0d1 vtoc") == "c0d1: the label cannot be written: error 48\n"
    assert lab.command("label c0d0 sun") == "usage: label DISK [vtoc | efi]\n"
