"""Builds the C programs that test images/labos/net on the host, and reads the captures they write."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ("-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror",
         "-fsanitize=address,undefined", "-fno-sanitize-recover=all")  # fmt: skip
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("LD_PRELOAD", "ASAN_OPTIONS")}


@functools.cache
def _objects(compiler: str, sources: str) -> tuple[Path, ...]:
    """Object files of images/labos, compiled once a session."""
    folder = Path(tempfile.mkdtemp(prefix="labos-objects-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    files = sorted((ROOT / "images" / "labos").glob(sources))
    assert files, sources
    _compile(compiler, "-c", *files, cwd=folder)
    return tuple(folder / f"{file.stem}.o" for file in files)


def _compile(compiler: str, *arguments: str | Path, cwd: Path) -> None:
    command: list[str | Path] = [
        compiler, *FLAGS, "-iquote", ROOT / "images" / "labos", "-iquote", ROOT / "csrc" / "tests",
    ]  # fmt: skip
    done = subprocess.run(
        [*command, *arguments], cwd=cwd, capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    assert done.returncode == 0, done.stderr


def build(folder: Path, test: str, sources: str) -> Path:
    """Compile tests/labos/`test`.c with the files of images/labos that `sources` (a glob) names; skips without gcc."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs gcc")
    program = folder / test
    source = ROOT / "tests" / "labos" / f"{test}.c"
    _compile(compiler, source, *_objects(compiler, sources), "-o", program, cwd=folder)
    return program


def run(program: Path, *arguments: object) -> str:
    """Output of a program; status 77 skips with the reason it printed, any other but 0 fails."""
    command = [str(program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=300, check=False)
    if done.returncode == 77:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def numbers(line: str) -> dict[str, int]:
    """"name 1 other 2" as a dictionary."""
    words = line.split()
    return dict(zip(words[::2], map(int, words[1::2]), strict=True))


@dataclass(frozen=True)
class Segment:
    """One TCP segment of a capture."""

    time_us: int
    source: tuple[int, int]
    target: tuple[int, int]
    seq: int
    ack: int
    flags: int
    window: int
    options: bytes
    data: bytes


def checksum(data: bytes) -> int:
    """The Internet checksum of RFC 1071; 0 for data that holds its own."""
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data[: len(data) & ~1]))
    if len(data) % 2:
        total += data[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def read_capture(path: Path) -> list[Segment]:
    """TCP segments of a pcap file in order; checks every header on the way."""
    raw = path.read_bytes()
    assert struct.unpack("=IHHIIII", raw[:24])[0] == 0xA1B2C3D4
    at, found = 24, []
    while at < len(raw):
        seconds, micros, size, whole = struct.unpack("=IIII", raw[at : at + 16])
        frame = raw[at + 16 : at + 16 + size]
        at += 16 + size
        assert size == whole >= 60
        segment = parse_frame(frame, seconds * 1_000_000 + micros)
        if segment:
            found.append(segment)
    return found


def parse_frame(frame: bytes, time_us: int) -> Segment | None:
    """A frame of which every length and checksum must be right; None for ARP."""
    kind = int.from_bytes(frame[12:14], "big")
    assert kind in (0x0800, 0x0806)
    if kind == 0x0806:
        return None
    packet = frame[14:]
    version, _, length, _, fragment, ttl, protocol = struct.unpack(">BBHHHBB", packet[:10])
    assert (version, fragment, ttl, protocol) == (0x45, 0x4000, 64, 6)
    assert checksum(packet[:20]) == 0
    assert 40 <= length <= len(packet)
    assert not any(packet[length:]), "padding leaks memory"
    tcp = packet[20:length]
    pseudo = packet[12:20] + struct.pack(">HH", 6, len(tcp))
    assert checksum(pseudo + tcp) == 0
    sport, dport, seq, ack, offset, flags, window = struct.unpack(">HHIIBBH", tcp[:16])
    header = (offset >> 4) * 4
    assert 20 <= header <= len(tcp)
    source, target = struct.unpack(">II", packet[12:20])
    return Segment(time_us, (source, sport), (target, dport), seq, ack, flags, window, tcp[20:header], tcp[header:])
