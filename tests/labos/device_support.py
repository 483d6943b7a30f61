"""labos with virtual disks, networks and domain services, driven through its console by budgets of instructions."""

from __future__ import annotations

import functools
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

from host_shares import only_one
from net_support import checksum

from emulator import Machine, StopReason
from emulator.devices.ds import DomainServices
from emulator.devices.lab import DiskSpec, NetSpec, build_domain
from emulator.devices.switch import Port
from emulator.devices.vdisk import VirtualDisk

IMAGES = Path(__file__).resolve().parents[2] / "images"
OUT = IMAGES.parent / "build" / "images"
PROMPT = "# "
STEP_INSNS = 200_000
PATTERN_KEY = 0x6C61626F73
BLOCK = 512
_M64 = (1 << 64) - 1


@functools.cache
def image() -> Path:
    """labos built from its sources; where there is no cross compiler, the committed one."""
    if shutil.which("sparc64-linux-gnu-gcc") is None:
        return IMAGES / "prebuilt" / "labos.elf"
    with only_one(OUT / "one-builder"):
        subprocess.run(["make", "-s", "-C", str(IMAGES), f"OUT={OUT}", f"{OUT}/labos.elf"], check=True)
    return OUT / "labos.elf"


class Lab:
    """A machine with labos at its prompt, and devices."""

    def __init__(
        self,
        *,
        disks: Sequence[DiskSpec] = (),
        nets: Sequence[NetSpec] = (),
        args: str = "",
        boot: bool = True,
        memory: str = "64M",
        **options: object,
    ) -> None:
        self.domain = build_domain(memory, disks=disks, nets=nets, deterministic=True, **options)  # type: ignore[arg-type]
        self.seen = ""
        if boot:
            self.machine.boot(image(), args=["labos", *args.split()])
            self.until(PROMPT)

    @property
    def machine(self) -> Machine:
        return self.domain.machine

    @property
    def services(self) -> DomainServices:
        return self.domain.services

    def disk(self, number: int = 0) -> VirtualDisk:
        return self.domain.disks[number]

    def run(self, budget: int = STEP_INSNS) -> StopReason:
        """One run; its output is added to `seen`."""
        stop = self.machine.run(budget)
        self.seen += self.machine.console.read().decode("latin-1").replace("\r", "")
        return stop.reason

    def until(self, end: str, *, steps: int = 4000) -> str:
        """Run until the output ends with `end`; gives it and forgets it."""
        for _ in range(steps):
            reason = self.run()
            if self.seen.endswith(end):
                seen, self.seen = self.seen, ""
                return seen
            assert reason in (StopReason.BUDGET, StopReason.CONSOLE, StopReason.IDLE), f"{reason} after {self.seen!r}"
        raise AssertionError(f"no {end!r} but {self.seen!r}")

    def type(self, line: str) -> None:
        data = line.encode("latin-1") + b"\r"
        assert self.machine.console.feed(data) == len(data)

    def ended(self, line: str) -> bool:
        """Has the command that was typed ended?"""
        return self.seen.startswith(f"{line}\n") and self.seen.endswith(f"\n{PROMPT}")

    def output(self, line: str) -> str:
        """What it printed; forgets it."""
        assert self.ended(line), self.seen
        text, self.seen = self.seen[len(line) + 1 : -len(PROMPT)], ""
        return text

    def command(self, line: str, *, steps: int = 8000) -> str:
        """What a command prints between its echo and the next prompt."""
        self.seen = ""
        self.type(line)
        for _ in range(steps):
            if self.ended(line):
                break
            reason = self.run()
            assert reason in (StopReason.BUDGET, StopReason.CONSOLE, StopReason.IDLE), f"{reason} after {self.seen!r}"
        return self.output(line)


def run_together(labs: Sequence[Lab], lab: Lab, line: str, *, steps: int = 4000, insns: int = 20_000) -> str:
    """A command on one of several machines, which take turns."""
    lab.seen = ""
    lab.type(line)
    for _ in range(steps):
        if lab.ended(line):
            break
        for each in labs:
            each.run(insns)
    return lab.output(line)


def pattern(block: int, blocks: int) -> bytes:
    """What `write DISK BLOCK pattern` writes: splitmix64 of the place, least byte first (images/labos/pattern.h)."""
    words = range(block * BLOCK // 8, (block + blocks) * BLOCK // 8)
    return b"".join(struct.pack("<Q", _pattern_word(word)) for word in words)


def _pattern_word(word: int) -> int:
    z = ((PATTERN_KEY ^ (word * 0x9E3779B97F4A7C15 & _M64)) + 0x9E3779B97F4A7C15) & _M64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _M64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _M64
    return z ^ (z >> 31)


def posix_cksum(data: bytes) -> int:
    """The checksum of POSIX cksum."""
    table = []
    for n in range(256):
        crc = n << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
        table.append(crc)
    crc, length = 0, len(data)
    tail = bytearray()
    while length:
        tail.append(length & 0xFF)
        length >>= 8
    for byte in (*data, *tail):
        crc = (crc << 8 ^ table[crc >> 24 ^ byte]) & 0xFFFFFFFF
    return ~crc & 0xFFFFFFFF


class Station:
    """A host at a port of a switch, in a few lines: answers ARP and ping, and gives UDP datagrams to `udp`."""

    def __init__(self, port: Port, address: str) -> None:
        self.port = port
        self.mac = bytes.fromhex("020000000042")
        self.address = bytes(map(int, address.split(".")))
        self.udp: dict[int, list[bytes]] = {}  # port -> answers are made by `reply`
        self.frames: list[bytes] = []

    def serve(self) -> None:
        """Handle all frames that wait."""
        while (frame := self.port.take()) is not None:
            self.frames.append(frame)
            kind = frame[12:14]
            if kind == b"\x08\x06" and frame[20:22] == b"\0\1" and frame[38:42] == self.address:
                reply = frame[14:20] + b"\0\2" + self.mac + self.address + frame[22:32]
                self.port.send(frame[6:12] + self.mac + kind + reply.ljust(46, b"\0"))
            elif kind == b"\x08\0" and frame[30:34] == self.address:
                self.packet(frame)

    def packet(self, frame: bytes) -> None:
        """An IP packet for this host."""
        length = int.from_bytes(frame[16:18], "big")
        body = frame[34 : 14 + length]
        if frame[23] == 1 and body[0] == 8:
            echo = b"\0\0\0\0" + body[4:]
            self.send(frame, 1, echo[:2] + checksum(echo).to_bytes(2, "big") + echo[4:])
        elif frame[23] == 17:
            source, target = struct.unpack(">HH", body[:4])
            answer = self.datagram(target, body[8:])
            if answer is not None:
                self.send(frame, 17, struct.pack(">HHHH", target, source, 8 + len(answer), 0) + answer)

    def datagram(self, port: int, data: bytes) -> bytes | None:
        """The answer to a datagram; None: there is none."""
        del port, data
        return None

    def send(self, frame: bytes, protocol: int, body: bytes) -> None:
        """An answer to a frame's sender."""
        header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, protocol, 0) + self.address + frame[26:30]
        header = header[:10] + checksum(header).to_bytes(2, "big") + header[12:]
        self.port.send((frame[6:12] + self.mac + b"\x08\0" + header + body).ljust(60, b"\0"))
