"""What one guest can have the server do at once: it is bounded, and the machine's owner is let in between."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from driver_support import (
    INFO,
    NACK,
    RING,
    RING_DATA,
    V_CTRL,
    V_DATA,
    DiskDriver,
    DriverGuest,
    Ldc,
    NetDriver,
    message,
    tag,
)

from emulator import Machine, StopReason
from emulator.devices.device import BURST
from emulator.devices.switch import MAX_GROUPS, Port, Switch
from emulator.devices.vdisk import MAX_ENTRIES, VirtualDisk
from emulator.devices.vnet import VnetPort

QUEUED = 100


@dataclass
class KickingDisk:
    """A backend during whose third read somebody wants the machine."""

    machine: Machine | None = None
    reads: int = 0
    at: list[int] = field(default_factory=list)
    read_only = False
    size_bytes = 1 << 20

    def read(self, offset: int, length: int) -> bytes:
        self.reads += 1
        if self.reads == 3 and self.machine is not None:
            self.machine.kick()
        return bytes(length)

    def write(self, offset: int, data: bytes) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


def disk_guest() -> tuple[DriverGuest, KickingDisk, DiskDriver]:
    guest, backend = DriverGuest(), KickingDisk()
    guest.machine.attach(VirtualDisk("vdisk0", 1, backend))
    driver = DiskDriver(guest, 1)
    driver.bring_up()
    backend.reads = 0
    return guest, backend, driver


def ask(driver: DiskDriver, count: int) -> list[bytes]:
    """Packets of so many messages, each for the same descriptor, which is ready once more for each."""
    bodies = [struct.pack(">QQIIB", n, driver.ident, 0, 0, 1) for n in range(count)]
    messages = [message(V_DATA, INFO, RING_DATA, driver.sid, body) for body in bodies]
    return [packet for each in messages for packet in driver.ldc.packets(each)]


def test_a_kick_comes_between_two_bursts_of_requests() -> None:
    """A queue full of requests is one hypercall; whoever stops or changes the guest does not wait for all of them."""
    guest, backend, driver = disk_guest()
    machine = backend.machine = guest.machine
    server = machine.devices["vdisk0"]
    cookies = driver.ldc.export(driver.buffer, 512, 1 << 10)
    # every message is for another descriptor: 16 of them, as often as there are packets
    for index in range(driver.entries):
        driver.fill(index, 1, index, 512, cookies, 0xFF)
    packets = []
    for n in range(QUEUED):
        body = struct.pack(">QQIIB", n, driver.ident, n % driver.entries, n % driver.entries, 1)
        packets += driver.ldc.packets(message(V_DATA, INFO, RING_DATA, driver.sid, body))
    driver.ldc.put(*packets)
    assert isinstance(server, VirtualDisk) and server.unfinished
    assert machine.channel(1).info.tx_packets >= QUEUED - 2 * BURST, "the rest waits in the guest's own queue"
    assert machine.run(10).reason is StopReason.KICK
    machine.run(1)
    assert not server.unfinished
    assert machine.channel(1).info.tx_packets == 0
    assert backend.reads == driver.entries, "a descriptor that is done is not served again"


def test_a_saved_machine_goes_on_with_what_waits() -> None:
    guest, backend, driver = disk_guest()
    backend.machine = guest.machine
    cookies = driver.ldc.export(driver.buffer, 512, 1 << 10)
    for index in range(driver.entries):
        driver.fill(index, 1, index, 512, cookies, 0xFF)
    driver.ldc.put(*ask(driver, QUEUED))
    state = guest.machine.save()
    guest.machine.load(state)
    guest.machine.run(10)
    guest.machine.run(10)
    assert guest.machine.channel(1).info.tx_packets == 0


def test_a_ring_has_a_largest_size() -> None:
    """One message may be about all descriptors of a ring, each of a megabyte."""
    guest, _, driver = disk_guest()
    driver.ldc.bind()
    driver.ldc.connect()
    driver.control(1, struct.pack(">HHB", 1, 2, 3))
    driver.control(2, struct.pack(">BBBxIQQQ", 3, 0, 0, 512, 0, 0, 256))
    for entries, answer in ((MAX_ENTRIES + 1, NACK), (MAX_ENTRIES, INFO << 1)):
        size = entries * driver.ENTRY
        body = struct.pack(">QIIHHIQQ", 0, entries, driver.ENTRY, 1, 0, 1, 0, size)
        driver.ldc.send(message(V_CTRL, INFO, RING, driver.sid, body))
        (reply,) = driver.ldc.receive()
        assert tag(reply)[:3] == (V_CTRL, answer, RING)
    assert guest.machine.channel(1).up


def test_resets_without_end_leave_nothing_behind() -> None:
    """Half a handshake, then another one, a thousand times: state, groups, frames of before are gone each time."""
    guest, switch = DriverGuest(), Switch()
    outside = switch.add(Port("outside"))
    server = VnetPort("vnet0", 1, switch.add(Port("vnet0")), address=0x0014_4FFB_0001)
    guest.machine.attach(server)
    size = 0
    for n in range(300):
        driver = NetDriver(guest, 1, 0x0014_4FF8_0010)
        if n % 3 == 0:
            driver.bring_up()
        else:
            Ldc(guest, 1).bind()
        outside.send(b"\xff" * 6 + b"\x02" + bytes(53))
        guest._next_page = 0x200000
        assert len(server.port.groups) <= MAX_GROUPS
        size = max(size, len(server.save()))
        assert server.link.backlog == 0
    assert size < 4000
    assert server.port.waiting <= 1
