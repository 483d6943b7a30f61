"""The work of labos in the background, whose every write, byte and number can be checked: scribe, tcp-talk, tally."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from device_support import BLOCK, Lab, run_together

from emulator.devices.lab import DiskSpec, NetSpec
from emulator.devices.switch import Switch

MIB = 1 << 20
KEY = 0x736372696265
M64 = (1 << 64) - 1


def block_of(n: int) -> bytes:
    """What write n writes, computed here (splitmix64)."""
    words = [n]
    for i in range(1, BLOCK // 8):
        z = ((KEY ^ n ^ (i * 0x9E3779B97F4A7C15 & M64)) + 0x9E3779B97F4A7C15) & M64
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & M64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & M64
        words.append(z ^ (z >> 31))
    return struct.pack("<64Q", *words)


def test_every_write_is_on_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(MIB))
    lab = Lab(disks=[DiskSpec(path)])
    assert lab.command("scribe check") == "scribe: nothing to check\n"
    assert lab.command("scribe c0d0 500 64") == "scribe: 500 writes/s over 64 blocks of c0d0\n"
    lab.command("sleep 2")
    assert re.fullmatch(r"scribe: \d+ writes, 64 blocks, 0 wrong; longest wait \d+ ms\n", lab.command("scribe check"))
    found = re.fullmatch(r"scribe: stopped after (\d+) writes\n", lab.command("scribe stop"))
    assert found
    writes, data = int(found[1]), path.read_bytes()
    assert writes > 900
    for block in range(64):
        last = max(n for n in range(max(0, writes - 64), writes) if n % 64 == block)
        assert data[block * BLOCK : (block + 1) * BLOCK] == block_of(last)
    assert data[64 * BLOCK :] == bytes(MIB - 64 * BLOCK)


def test_a_lost_write_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(MIB))
    lab = Lab(disks=[DiskSpec(path)])
    lab.command("scribe c0d0 500 64")
    lab.command("sleep 1")
    lab.command("scribe stop")
    with path.open("r+b") as file:
        old = file.read(BLOCK)
        number = struct.unpack_from("<Q", old)[0]
        file.seek(0)
        file.write(block_of(number - 64))  # the write before
    said = lab.command("scribe check")
    assert f"scribe: block 0 does not hold write {number} (0)\n" in said and ", 1 wrong;" in said


def test_a_disk_that_fails(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(MIB))
    lab = Lab(disks=[DiskSpec(path, read_only=True)])
    lab.command("scribe c0d0 500 64")
    lab.command("sleep 1")
    assert "; write 0 failed: " in lab.command("scribe check")
    assert lab.command("scribe c0d0 500 4000000").startswith("usage: ")
    assert lab.command("scribe c0d9 500 4") == "scribe: c0d9: no such disk\n"


def test_a_conversation() -> None:
    switch = Switch()
    labs = [Lab(nets=[NetSpec(switch)], first_mac=0x00144FF81000 + number * 0x1000) for number in (0, 1)]
    for number, lab in enumerate(labs, 1):
        lab.command(f"ifconfig vnet0 10.0.0.{number}/24")
    a, b = labs
    assert b.command("tcp-echo") == "tcp-echo: port 7\n"
    assert a.command("tcp-talk 10.0.0.2 7 100") == "tcp-talk: begun\n"
    run_together(labs, a, "sleep 1", steps=40_000)
    said = run_together(labs, a, "tcp-talk check", steps=40_000)
    assert re.fullmatch(r"tcp-talk: \d+ bytes sent, \d+ bytes came back, every byte right; \d+ segments sent again, "
                        r"longest silence \d+ ms\n", said), said
    said = run_together(labs, a, "tcp-talk stop", steps=40_000)
    found = re.fullmatch(r"tcp-talk: (\d+) bytes sent, (\d+) bytes came back, every byte right; .*\n", said)
    assert found and found[1] == found[2] and int(found[1]) > 80 * 256 and int(found[1]) % 256 == 0


def test_a_conversation_that_breaks() -> None:
    switch = Switch()
    labs = [Lab(nets=[NetSpec(switch)], first_mac=0x00144FF81000 + number * 0x1000) for number in (0, 1)]
    for number, lab in enumerate(labs, 1):
        lab.command(f"ifconfig vnet0 10.0.0.{number}/24")
    a, b = labs
    b.command("tcp-echo")
    a.command("tcp-talk 10.0.0.2 7 100")
    run_together(labs, a, "sleep 1", steps=40_000)
    run_together(labs, b, "tcp-echo stop", steps=40_000)
    said = run_together(labs, a, "tcp-talk stop", steps=40_000)
    assert "the connection broke (2)" in said and "every byte right" not in said


def test_numbers_on_the_console() -> None:
    lab = Lab()
    lab.seen = ""
    lab.type("tally 50")
    for _ in range(400):
        lab.run()
        if "=20\n" in lab.seen:
            break
    lab.type("tally stop")
    for _ in range(400):
        lab.run()
        if "tally: " in lab.seen:
            break
    count = re.search(r"tally: (\d+) numbers\n", lab.seen)
    assert count
    assert [int(n) for n in re.findall(r"=(\d+)\n", lab.seen)] == list(range(int(count[1])))
