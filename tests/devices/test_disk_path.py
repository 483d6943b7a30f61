"""The disk server over its data path in C (docs/internals/vio.md), in real time: sessions, ends, errors of the host.

The scripted driver of `driver_support` on a machine in real time: what is not answered at once is waited for with
`Machine.drain`. csrc/tests/vdisk.c has the orders of events that need a host under control.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import resource
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from driver_support import RING_DATA, V_DATA, DiskDriver, DriverGuest, LinkError, tag

from emulator.backends.file import FileDisk, create_disk
from emulator.devices.vdisk import DiskOptions, Operation, VirtualDisk

SEED = int(os.environ.get("SUN4V_TEST_SEED", "20130326"))
BLOCK, BLOCKS = 512, 4096
READ, WRITE, FLUSH = Operation.READ, Operation.WRITE, Operation.FLUSH


class Descriptor:
    """A backend that is a descriptor, and whose methods nobody may call."""

    read_only = False
    size_bytes = BLOCKS * BLOCK

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def read(self, offset: int, length: int) -> bytes:
        raise AssertionError("read in Python")

    def write(self, offset: int, data: bytes) -> None:
        raise AssertionError("written in Python")

    def flush(self) -> None:
        raise AssertionError("flushed in Python")

    def close(self) -> None: ...


class Driver(DiskDriver):
    """A driver that waits for what is not done yet."""

    server: VirtualDisk

    def finished(self, index: int) -> int:
        if self.guest.memory.read(self.ring + index * self.ENTRY, 1) != b"\4":
            self.guest.machine.drain()
        return super().finished(index)

    def begin(self, op: int, block: int, count: int, *, first: int = 0) -> None:
        """Requests of one block each in descriptors from `first` on, each with its own message and buffer."""
        for index in range(first, first + count):
            cookies = self.ldc.export(self.buffer + BLOCK * index, BLOCK, 0x600)
            self.fill(index, op, block + index - first, BLOCK, cookies, 0xFF)
            self.trigger(index)

    def states(self, count: int) -> list[int]:
        return [self.guest.memory.read(self.ring + n * self.ENTRY, 1)[0] for n in range(count)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "disk"
    target.write_bytes(random.Random(SEED).randbytes(BLOCKS * BLOCK))
    return target


@contextlib.contextmanager
def running(backend: object, *, deterministic: bool = False, **options: object) -> Iterator[Driver]:
    guest = DriverGuest(deterministic=deterministic)
    server = VirtualDisk("vdisk0", 1, backend, options=DiskOptions(**options))  # type: ignore[arg-type]
    guest.machine.attach(server)
    driver = Driver(guest, 1)
    driver.server = server
    driver.bring_up()
    with guest.machine:
        yield driver


def test_requests_go_without_python_and_the_file_is_what_was_written(path: Path) -> None:
    chance, model = random.Random(SEED), bytearray(path.read_bytes())
    with FileDisk(path) as backend, running(backend) as driver:
        for _ in range(150):
            size = BLOCK * chance.randint(1, 100)
            block = chance.randrange(BLOCKS - size // BLOCK + 1)
            at = block * BLOCK
            if chance.random() < 0.5:
                assert driver.request(READ, block=block, size=size) == (0, bytes(model[at : at + size]))
            else:
                model[at : at + size] = data = chance.randbytes(size)
                assert driver.request(WRITE, block=block, data=data)[0] == 0
        assert driver.request(FLUSH)[0] == 0
        counters = driver.server.counters
        assert (counters.reads + counters.writes, counters.flushes, counters.in_flight) == (150, 1, 0)
        assert counters.read_bytes + counters.written_bytes > 150 * BLOCK
    assert path.read_bytes() == model


def test_a_deterministic_machine_is_the_same_with_and_without_c(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = []
    for in_c in (True, False):
        if not in_c:
            monkeypatch.setattr(FileDisk, "fd", None)
        with FileDisk(path, read_only=True) as backend, running(backend, deterministic=True) as driver:
            for n in range(20):
                driver.request(READ, block=n * 7, size=BLOCK * (1 + n))
                driver.request(READ, block=BLOCKS, size=BLOCK)
                driver.request(FLUSH)
                driver.request(WRITE, data=bytes(BLOCK))
                driver.request(Operation.GET_VTOC, size=336)
            digests.append(driver.guest.machine.digest())
    assert digests[0] == digests[1]


def test_everything_is_answered_before_a_state_is_saved(path: Path) -> None:
    with FileDisk(path) as backend, running(backend) as driver:
        driver.guest.memory.write(driver.buffer, b"\x5a" * 16 * BLOCK)
        driver.begin(WRITE, 100, 16)
        state = driver.guest.machine.save()
        assert driver.states(16) == [4] * 16
        assert path.read_bytes()[100 * BLOCK : 116 * BLOCK] == b"\x5a" * 16 * BLOCK
        assert len(driver.ldc.receive()) == 16
        driver.at = 0
        assert driver.request(READ, block=100, size=BLOCK) == (0, b"\x5a" * BLOCK)
        driver.guest.machine.load(state)
        driver.ldc.sent, driver.ldc.received = driver.ldc.sent - 1, driver.ldc.received - 17
        assert len(driver.ldc.receive()) == 16
        driver.at, driver.seq = 0, driver.seq - 1
        assert driver.request(READ, block=101, size=BLOCK) == (0, b"\x5a" * BLOCK)


@pytest.mark.parametrize("how", ["channel", "handshake", "service", "reset"])
def test_a_session_that_ends_with_requests_on_their_way(path: Path, how: str) -> None:
    """Each block is the old or the new; nothing is written afterwards; and the next session works."""
    before = path.read_bytes()
    with FileDisk(path) as backend, running(backend) as driver:
        for turn in range(20):
            driver.guest.memory.write(driver.buffer, bytes([turn]) * 16 * BLOCK)
            driver.begin(WRITE, 32, 16)
            if how == "service":
                driver.server.set_online(False)
                driver.server.set_online(True)
            elif how == "reset":
                driver.guest.machine.reset()
                driver.guest.strand.start(0x10000)
                assert driver.guest.hcall(0, 0x101, 1, 0, trap=0xFF)[:2] == (0, 0)
            elif how == "handshake":
                driver.ldc.receive()
                driver.ldc.put(driver.ldc.control(1, 1, payload=struct.pack(">HH", 1, 0)))
                assert driver.server.counters.in_flight == 0
            data = path.read_bytes()
            driver.bring_up()
            assert driver.server.counters.in_flight == 0
            blocks = [path.read_bytes()[n * BLOCK : (n + 1) * BLOCK] for n in range(32, 48)]
            assert all(block in (bytes([turn]) * BLOCK, bytes([max(turn - 1, 0)]) * BLOCK) or turn == 0
                       for block in blocks)  # fmt: skip
            if how != "channel":
                assert data == path.read_bytes()
            assert driver.request(READ, block=0, size=BLOCK) == (0, before[:BLOCK])


def locked(path: Path) -> bool:
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


def test_another_file_takes_the_place_of_one(path: Path, tmp_path: Path) -> None:
    create_disk(tmp_path / "other", BLOCKS * BLOCK)
    backend = FileDisk(path)
    with FileDisk(tmp_path / "other") as other, running(backend) as driver:
        driver.guest.memory.write(driver.buffer, b"\x11" * 16 * BLOCK)
        driver.begin(WRITE, 0, 8)
        driver.server.backend = other
        assert driver.states(8) == [4] * 8
        backend.close()
        assert not locked(path), "no descriptor of it is left"
        assert len(driver.ldc.receive()) == 8
        driver.begin(WRITE, 0, 4, first=8)
        driver.guest.machine.drain()
        assert len(driver.ldc.receive()) == 4
        assert path.read_bytes()[: 8 * BLOCK] == b"\x11" * 8 * BLOCK
        assert (tmp_path / "other").read_bytes()[: 8 * BLOCK] == b"\x11" * 4 * BLOCK + bytes(4 * BLOCK)


def test_a_disk_is_detached_with_requests_on_their_way(path: Path) -> None:
    backend = FileDisk(path)
    with running(backend) as driver:
        driver.guest.memory.write(driver.buffer, b"\x77" * 16 * BLOCK)
        driver.begin(WRITE, 0, 16)
        driver.guest.machine.detach("vdisk0")
        backend.close()
        assert not locked(path)
        assert path.read_bytes()[: 16 * BLOCK] == b"\x77" * 16 * BLOCK


def test_a_backend_that_is_closed_too_early_is_not_another_file(path: Path, tmp_path: Path) -> None:
    """The core has a descriptor of its own: the number of a closed one may be another file's."""
    backend = FileDisk(path)
    with running(backend) as driver:
        assert driver.request(READ, size=BLOCK)[0] == 0
        number = backend.fd
        backend.close()
        with open(tmp_path / "innocent", "w+b") as innocent:
            assert innocent.fileno() == number
            driver.begin(WRITE, 0, 4, first=driver.at)
            driver.guest.machine.drain()
            assert innocent.read() == b""


def test_flush_is_fdatasync() -> None:
    """Of a pipe it is an error that nothing else here gives."""
    reader, writer = os.pipe()
    with running(Descriptor(writer)) as driver:
        assert driver.request(FLUSH)[0] == 22
        assert driver.request(WRITE, data=bytes(BLOCK))[0] == 29, "a pipe has no offsets"
        assert driver.request(READ, size=BLOCK)[0] != 0
        assert driver.server.counters.errors == 3
    os.close(reader)
    os.close(writer)


def test_a_full_device_and_a_file_too_large_are_errors_of_their_requests(path: Path) -> None:
    full = os.open("/dev/full", os.O_RDWR)
    with running(Descriptor(full)) as driver:
        assert driver.request(WRITE, data=bytes(BLOCK))[0] == 28
        assert driver.request(READ, size=BLOCK) == (0, bytes(BLOCK))
    os.close(full)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with FileDisk(path) as backend, running(backend) as driver:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000 * BLOCK, limits[1]))
        try:
            assert driver.request(WRITE, block=2000, data=b"\1" * BLOCK)[0] == 27
            assert driver.request(WRITE, block=998, data=b"\2" * 4 * BLOCK)[0] == 27, "the first half has room"
            assert driver.request(WRITE, block=10, data=b"\3" * BLOCK)[0] == 0
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert driver.request(WRITE, block=2000, data=b"\4" * BLOCK)[0] == 0
    after = path.read_bytes()
    assert after[1000 * BLOCK : 2000 * BLOCK] == before[1000 * BLOCK : 2000 * BLOCK]
    assert after[10 * BLOCK : 11 * BLOCK] == b"\3" * BLOCK
    assert after[2001 * BLOCK :] == before[2001 * BLOCK :]


def test_a_file_system_that_is_full(tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    made = subprocess.run(mount, check=False, capture_output=True)
    if made.returncode:
        pytest.skip("needs root for a small tmpfs")
    try:
        create_disk(place / "disk", BLOCKS * BLOCK)
        with FileDisk(place / "disk") as backend, running(backend) as driver:
            statuses = [driver.request(WRITE, block=64 * n, data=bytes([n + 1]) * 64 * BLOCK)[0] for n in range(64)]
            assert set(statuses) == {0, 28}
            for n, status in enumerate(statuses):
                if status == 0:
                    assert driver.request(READ, block=64 * n, size=64 * BLOCK) == (0, bytes([n + 1]) * 64 * BLOCK)
    finally:
        subprocess.run(["umount", str(place)], check=True)


VICTIM = """
import sys
sys.path[:0] = sys.argv[2:]
from driver_support import *
from test_disk_path import *
with FileDisk(sys.argv[1]) as backend, running(backend) as driver:
    for n in range(64):
        assert driver.request(WRITE, block=16 * n, data=bytes([n + 1]) * 16 * BLOCK)[0] == 0
    assert driver.request(FLUSH)[0] == 0
    driver.begin(WRITE, 2000, 16)
    print("flushed", flush=True)
    sys.stdin.read()
"""


def test_what_was_flushed_outlives_the_process(path: Path) -> None:
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    command = [sys.executable, "-c", VICTIM, str(path), *folders]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == b"flushed\n"
        victim.send_signal(signal.SIGKILL)
    data = path.read_bytes()
    for n in range(64):
        assert data[16 * n * BLOCK : 16 * (n + 1) * BLOCK] == bytes([n + 1]) * 16 * BLOCK


def test_random_sessions(path: Path) -> None:
    """Plain requests, others, resets, services that go, and packets that are none: in C and in Python by turns."""
    print(f"seed {SEED}")
    chance, model = random.Random(SEED), bytearray(path.read_bytes())
    with FileDisk(path) as backend, running(backend) as driver:
        for _ in range(300):
            act = chance.randrange(12)
            block, data = chance.randrange(BLOCKS), chance.randbytes(BLOCK)
            if act < 4:
                assert driver.request(WRITE, block=block, data=data)[0] == 0
                model[block * BLOCK : (block + 1) * BLOCK] = data
            elif act < 8:
                wanted = bytes(model[block * BLOCK : (block + 1) * BLOCK])
                assert driver.request(READ, block=block, size=BLOCK) == (0, wanted)
            elif act == 8:
                assert driver.request(Operation.GET_CAPACITY, size=16)[0] == 0
            elif act == 9:
                assert driver.request(chance.choice((FLUSH, 0x20)))[0] in (0, 48)
            elif act == 10:
                driver.guest.machine.drain()
            else:
                spoil_session(driver, chance)
                driver.bring_up()
    assert path.read_bytes() == model


def spoil_session(driver: Driver, chance: random.Random) -> None:
    """End a session one way or another, with a read on its way."""
    kind = chance.randrange(4)
    driver.begin(READ, 0, 2, first=driver.at % 8)
    if kind == 0:
        driver.server.set_online(False)
        driver.server.set_online(True)
    elif kind == 1:
        driver.ldc.put(chance.randbytes(64))
    elif kind == 2:
        driver.guest.memory.write(driver.ldc.table, bytes(512))
        driver.begin(READ, 0, 1, first=(driver.at + 3) % 8)
    with contextlib.suppress(LinkError):
        for answer in driver.ldc.receive():
            assert tag(answer)[::2][0] == V_DATA
            assert tag(answer)[2] == RING_DATA
