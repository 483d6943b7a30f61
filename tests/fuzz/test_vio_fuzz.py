"""Hostile guests of virtual devices: whatever a guest says or leaves in its memory, the devices answer or reset.

A guest that has brought a device up goes on with packets, messages, descriptors, cookies, map tables and queues that
are changed at random. Nothing may raise, grow without bound, or reach what the guest does not have; and a driver
that starts anew afterwards works. S4V_FUZZ is the number of rounds of each (default 300), S4V_SEED the seed.
"""

from __future__ import annotations

import os
import random
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "devices"))

from driver_support import (
    QUEUES,
    RX_HEAD,
    RX_QCONF,
    RX_STATE,
    SET_MAP,
    TABLES,
    TX_QCONF,
    TX_STATE,
    TX_TAIL,
    DiskDriver,
    DriverGuest,
    Ldc,
    NetDriver,
    ServicesDriver,
    message,
)

from emulator.devices.device import ChannelDevice
from emulator.devices.ds import DomainServices, ServiceError
from emulator.devices.switch import Port, Switch
from emulator.devices.vdisk import VirtualDisk
from emulator.devices.vnet import VnetPort

ROUNDS = int(os.environ.get("S4V_FUZZ", "300"))
SEED = int(os.environ.get("S4V_SEED", "20130326"))
WORDS = (0, 1, 2, 7, 8, 15, 16, 17, 48, 56, 57, 63, 64, 255, 511, 512, 4096, 8191, 8192, 65535, 1 << 31, (1 << 32) - 1)
LONGS = (*WORDS, 1 << 32, 1 << 59, 1 << 60, (1 << 63) - 1, 1 << 63, (1 << 64) - 8, (1 << 64) - 1)
MAC = 0x0014_4FF8_0010


class MemoryDisk:
    read_only = False
    size_bytes = 1 << 20

    def __init__(self) -> None:
        self.data = bytearray(self.size_bytes)

    def read(self, offset: int, length: int) -> bytes:
        assert 0 <= offset <= offset + length <= self.size_bytes, "the device asks for what is not there"
        return bytes(self.data[offset : offset + length])

    def write(self, offset: int, data: bytes) -> None:
        assert 0 <= offset <= offset + len(data) <= self.size_bytes, "the device writes where nothing is"
        self.data[offset : offset + len(data)] = data

    def flush(self) -> None: ...

    def close(self) -> None: ...


def spoil(chance: random.Random, data: bytes) -> bytes:
    """Some changes: bits, bytes, words of interest, a cut, noise."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        if not out:
            break
        at = chance.randrange(len(out))
        action = chance.randrange(6)
        if action == 0:
            out[at] ^= 1 << chance.randrange(8)
        elif action == 1:
            out[at] = chance.choice((0, 1, 2, 3, 4, 5, 0x40, 0x42, 0xFF))
        elif action == 2:
            out[at & ~3 : (at & ~3) + 4] = struct.pack(">I", chance.choice(WORDS))
        elif action == 3:
            out[at & ~7 : (at & ~7) + 8] = struct.pack(">Q", chance.choice(LONGS))
        elif action == 4:
            del out[at:]
        else:
            out += chance.randbytes(chance.choice((1, 8, 100)))
    return bytes(out[:4000])


class Attack:
    """What a hostile guest does to a channel."""

    def __init__(self, chance: random.Random, ldc: Ldc, messages: list[bytes]) -> None:
        self.chance, self.ldc, self.messages = chance, ldc, messages

    def once(self) -> None:
        self.chance.choices(
            (self.spoiled, self.raw, self.table, self.queue, self.garbage, self.drain, self.plain),
            (8, 4, 3, 1, 2, 2, 3),
        )[0]()

    def put(self, *packets: bytes) -> None:
        """As Ldc.put, in whatever state the queue is."""
        status, _, tail, _, _ = self.ldc.call(TX_STATE)
        if status:
            return
        for packet in packets:
            self.ldc.guest.memory.write(self.ldc.tx + tail % 8192, packet)
            tail = (tail + 64) % 8192
        self.ldc.call(TX_TAIL, tail)

    def plain(self) -> None:
        self.put(*self.ldc.packets(self.chance.choice(self.messages)))

    def spoiled(self) -> None:
        """A message with changes, in packets that are well-formed."""
        data = spoil(self.chance, self.chance.choice(self.messages))
        if data:
            self.put(*self.ldc.packets(data))

    def raw(self) -> None:
        """Packets with changes, or made up."""
        packets = self.ldc.packets(self.chance.choice(self.messages)) or [bytes(64)]
        packets[0] = spoil(self.chance, packets[0])[:64].ljust(64, b"\0")
        if self.chance.random() < 0.3:
            kind = struct.pack(">BBBBI", *(self.chance.choice((0, 1, 2, 3, 4, 16)) for _ in range(4)), self.ldc.sent)
            packets = [kind.ljust(64, b"\0")]
        self.put(*packets)

    def table(self) -> None:
        """Another map table, or other entries in it."""
        if self.chance.random() < 0.3:
            self.ldc.call(SET_MAP, TABLES, self.chance.choice((0, 2, 1024)))
        at = TABLES + self.ldc.number * 0x4000 + 16 * self.chance.randrange(64)
        entry = self.chance.choice((0, 1 << 40, 0x3FE000, self.chance.getrandbits(56))) | self.chance.choice(
            (0, 0x600, 0x7F0)
        )
        self.ldc.guest.memory.store(at, entry)

    def queue(self) -> None:
        """Queues taken away, put elsewhere, made small, or on top of each other."""
        conf = self.chance.choice((TX_QCONF, RX_QCONF))
        base = self.chance.choice((self.ldc.tx, self.ldc.rx, QUEUES))
        self.ldc.call(conf, base, self.chance.choice((0, 2, 128)))

    def garbage(self) -> None:
        """Noise over rings, buffers and queues."""
        at = 0x100000 + 8 * self.chance.randrange(0x40000)
        self.ldc.guest.memory.write(at, self.chance.randbytes(self.chance.choice((1, 8, 64, 500))))

    def drain(self) -> None:
        """Look at the receive queue, as a driver would."""
        status, _, tail, _, _ = self.ldc.call(RX_STATE)
        if status == 0:
            self.ldc.call(RX_HEAD, tail)


def bounded(device: ChannelDevice) -> None:
    assert device.link.backlog < 2000
    assert len(device._pending) <= 128 * 64
    assert len(device.save()) < 1 << 22


def attack(
    name: str, device: ChannelDevice, ldc: Ldc, messages: list[bytes], start: Callable[[], object], *, rounds: int
) -> None:
    """Bring up, attack, and so on; at the end everything still works, and the state can be saved and loaded."""
    chance = random.Random(f"{SEED} {name}")
    print(f"S4V_SEED={SEED} S4V_FUZZ={rounds}")
    hostile = Attack(chance, ldc, messages)
    for _ in range(rounds):
        ldc.unbind()
        start()
        for _ in range(chance.randint(1, 40)):
            hostile.once()
        bounded(device)
    machine = ldc.guest.machine
    machine.load(machine.save())
    ldc.unbind()
    start()


def test_disk() -> None:
    guest = DriverGuest()
    server = VirtualDisk("vdisk0", 1, MemoryDisk())
    guest.machine.attach(server)
    driver = DiskDriver(guest, 1)
    driver.bring_up()
    ident = driver.ident
    messages = [
        message(1, 1, env, driver.sid, body)
        for env, body in (
            (1, struct.pack(">HHB", 1, 2, 3)), (2, struct.pack(">BBBxIQQQ", 3, 0, 0, 512, 0, 0, 256)),
            (2, struct.pack(">BBBxIQQQ", 2, 0, 0, 512, 0, 0, 256)),
            (3, struct.pack(">QIIHHIQQ", 0, 16, 336, 1, 0, 1, 0, 16 * 336)), (4, struct.pack(">Q", 1)), (5, b""),
        )
    ]  # fmt: skip
    messages += [
        message(2, 1, 0x42, driver.sid, struct.pack(">QQIIB", 0, n, start, end, 1))
        for n in range(ident + 3) for start, end in ((0, 0), (0, 15), (3, 0xFFFFFFFF))
    ]  # fmt: skip
    request = struct.pack(">QBBHIQQIIQQ", 1, 1, 0xFF, 0, 0, 2, 1024, 1, 0, 0, 1024)
    messages.append(message(2, 1, 0x41, driver.sid, bytes(16) + request))
    chance = random.Random(SEED)

    def start() -> None:
        guest._next_page = 0x200000
        driver.ring, driver.buffer = guest.pages(1), guest.pages(16)
        driver.bring_up()
        for index in range(16):
            op = chance.choice((*range(0x14), 0xFF))
            size = chance.choice((0, 8, 24, 336, 512, 1024, 131072, chance.choice(LONGS)))
            cookies = [(chance.choice((0, 8192, chance.choice(LONGS))), chance.choice((512, 1024, *LONGS)))
                       for _ in range(chance.randint(0, 18))]  # fmt: skip
            driver.fill(index, op, chance.choice((0, 1, 2000, *LONGS)), size, cookies, chance.choice((0xFF, 0, 2, 9)))

    attack("disk", server, driver.ldc, messages, start, rounds=ROUNDS)
    guest.memory.write(0x200000, bytes(0x100000))
    guest._next_page = 0x200000
    driver = DiskDriver(guest, 1)
    driver.bring_up()
    assert driver.request(1, size=1024)[0] == 0


@pytest.mark.parametrize("mode", [4, 1])
def test_network(mode: int) -> None:
    guest = DriverGuest()
    switch = Switch()
    outside = switch.add(Port("outside"))
    server = VnetPort("vnet0", 1, switch.add(Port("vnet0")), address=0x0014_4FFB_0001)
    guest.machine.attach(server)
    driver = NetDriver(guest, 1, MAC)
    messages = [
        message(1, stype, env, driver.sid, body)
        for stype in (1, 2, 4)
        for env, body in (
            (1, struct.pack(">HHB", 1, 6, 1)), (2, struct.pack(">BBHBBHQQ", mode, 1, 0, 1, 1, 0, MAC, 1518)),
            (3, struct.pack(">QIIHHIQQ", 0, 16, 48, 1, 0, 1, 0, 16 * 48)), (4, struct.pack(">Q", 1)), (5, b""),
            (0x101, struct.pack(">BB", 1, 3) + bytes.fromhex("01005e000001") * 3), (0x103, bytes(4)), (0x102, b""),
        )
    ]  # fmt: skip
    messages += [
        message(2, stype, 0x42, driver.sid, struct.pack(">QQIIB", 1, ident, start, end, state))
        for stype in (1, 2)
        for ident in (1, 2, 0x99)
        for start, end, state in ((0, 0xFFFFFFFF, 0), (3, 5, 2), (0, 0, 1))
    ]  # fmt: skip
    messages.append(message(2, 1, 0x40, driver.sid, bytes(8) + b"\xff" * 6 + MAC.to_bytes(6, "big") + bytes(100)))
    chance = random.Random(SEED)

    def start() -> None:
        guest._next_page = 0x200000
        driver.ring, driver.buffers, driver.scratch = guest.pages(1), guest.pages(4), guest.pages(1)
        driver.bring_up(mode=mode)
        for n in range(16 if mode == 4 else 0):
            descriptor = struct.pack(
                ">BB6xIIQQQQ", chance.choice((1, 2, 2, 2, 4)), 0, chance.choice((60, 1518, *WORDS)),
                chance.choice((1, 1, 2, 3, *WORDS)), *(chance.choice((0, 8192, 1 << 13, *LONGS)) for _ in range(4)),
            )  # fmt: skip
            guest.memory.write(driver.ring + 48 * n, descriptor)
        for _ in range(chance.randrange(200)):
            outside.send(MAC.to_bytes(6, "big") + b"\x02" + bytes(5) + bytes(chance.randrange(1600)))
        outside.discard()

    attack(f"network {mode}", server, driver.ldc, messages, start, rounds=ROUNDS)
    assert server.port.waiting <= 1024
    assert len(server.port.groups) <= 1024


def test_domain_services() -> None:
    guest = DriverGuest()
    server = DomainServices("ds", 1)
    guest.machine.attach(server)
    names = ("md-update", "dr-cpu", "domain-suspend", "var-config", "dr-crypto-mau")
    driver = ServicesDriver(guest, 1)
    handles = [n << 32 | 0xABC + n for n in range(5)]
    messages = [
        driver.message(kind, struct.pack(">QHH", handle, 1, 0) + b"x") for kind in range(12) for handle in handles
    ]
    messages += [
        driver.message(9, struct.pack(">QQII", handle, number, 0x6F, 3) + bytes(range(60)))
        for handle in handles for number in range(1, 4)
    ]  # fmt: skip
    messages += [driver.message(9, struct.pack(">QI", handles[3], n) + b"name\0value\0") for n in range(3)]
    messages += [driver.message(3, struct.pack(">QHH4x", 9 << 32, 1, 0) + b"domain-panic")]

    def start() -> None:
        driver.ldc.bind()
        driver.ldc.accept()
        driver.bring_up = lambda _: []  # type: ignore[method-assign, assignment]
        driver.ldc.send(driver.message(0, struct.pack(">HH", 1, 0)))
        driver.ldc.receive()
        for n, name in enumerate(names):
            driver.register(n, name)
        for ask in (server.md_update, server.suspend):
            try:
                ask()
            except ServiceError:
                raise AssertionError(server.services) from None

    attack("services", server, driver.ldc, messages, start, rounds=ROUNDS)
    assert len(server.variables) <= 1024
    assert len(server.pending()) <= 1024
