"""Disks that are no plain file, over the asynchronous path: backends whose methods are Python's, overlays, slices."""

from __future__ import annotations

import errno
import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from test_disk_path import BLOCK, BLOCKS, FLUSH, READ, SEED, WRITE, running

from emulator.backends.file import FileDisk
from emulator.backends.overlay import CLUSTER, Overlay
from emulator.devices.disklabel import Slice, default_label
from emulator.devices.vdisk import Operation

ACCEPTED, DONE = 3, 4
DEADLINE_SECONDS = 120


class Methods:
    """A backend that has methods only. They wait at a gate, and can fail."""

    read_only = False
    size_bytes = BLOCKS * BLOCK

    def __init__(self) -> None:
        self.data = bytearray(random.Random(SEED).randbytes(self.size_bytes))
        self.gate, self._lock = threading.Event(), threading.Lock()
        self.gate.set()
        self.inside = self.calls = 0
        self.failure: Exception | None = None
        self.machine_thread = threading.get_ident()
        self.threads: set[int] = set()

    def _pass(self) -> None:
        with self._lock:
            self.inside += 1
            self.calls += 1
            self.threads.add(threading.get_ident())
        assert self.gate.wait(DEADLINE_SECONDS)
        with self._lock:
            self.inside -= 1
        if self.failure is not None:
            raise self.failure

    def read(self, offset: int, length: int) -> bytes:
        self._pass()
        return bytes(self.data[offset : offset + length])

    def write(self, offset: int, data: bytes) -> None:
        self._pass()
        self.data[offset : offset + len(data)] = data

    def flush(self) -> None:
        self._pass()

    def close(self) -> None: ...


def wait_for(done: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_SECONDS
    while not done():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_methods_are_called_beside_the_machine_as_many_as_the_guest_asks_for() -> None:
    backend = Methods()
    with running(backend) as driver:
        backend.gate.clear()
        driver.begin(READ, 40, 8)
        wait_for(lambda: backend.inside == 8)
        assert driver.states(8) == [ACCEPTED] * 8, "the machine does not wait for them"
        assert driver.guest.hcall(0, 0x101, 1, 0, trap=0xFF)[0] == 0, "the guest runs on"
        assert driver.server.counters.in_flight == 8
        backend.gate.set()
        driver.guest.machine.drain()
        assert driver.states(8) == [DONE] * 8
        for n in range(8):
            found = driver.guest.memory.read(driver.buffer + n * BLOCK, BLOCK)
            assert found == bytes(backend.data[(40 + n) * BLOCK : (41 + n) * BLOCK])
        assert driver.server.counters.deepest == 8
        assert backend.machine_thread not in backend.threads


def test_a_request_in_many_pieces_is_one_call_of_a_backend() -> None:
    backend = Methods()
    with running(backend) as driver:
        data = random.Random(SEED).randbytes(100 * BLOCK)
        assert driver.request(WRITE, block=3, data=data)[0] == 0
        assert driver.request(READ, block=2, size=102 * BLOCK)[1][BLOCK:-BLOCK] == data
        assert backend.calls == 2


@pytest.mark.parametrize(("failure", "status"), [
    (OSError(errno.ENOSPC, "full"), 28), (OSError("no number"), 5), (ValueError("a mistake of the backend's"), 5),
])  # fmt: skip
def test_what_a_backend_raises_is_an_error_of_the_request(failure: Exception, status: int) -> None:
    backend = Methods()
    with running(backend) as driver:
        backend.failure = failure
        assert [driver.request(WRITE, data=bytes(BLOCK))[0], driver.request(READ, size=BLOCK)[0],
                driver.request(FLUSH)[0]] == [status] * 3  # fmt: skip
        backend.failure = None
        assert driver.request(READ, size=BLOCK) == (0, bytes(backend.data[:BLOCK]))
        assert driver.server.counters.errors == 3


def test_a_backend_that_gives_too_little_is_an_error() -> None:
    backend = Methods()
    with running(backend) as driver:
        del backend.data[BLOCK:]
        assert driver.request(READ, block=0, size=2 * BLOCK)[0] == 5


def test_an_end_waits_for_what_a_backend_has() -> None:
    """The machine, or the session, ends only when no thread is in the backend any more."""
    backend = Methods()
    with running(backend) as driver:
        backend.gate.clear()
        driver.begin(WRITE, 0, 4)
        wait_for(lambda: backend.inside == 4)
        opener = threading.Timer(0.05, backend.gate.set)
        opener.start()
        driver.server.set_online(False)
        assert backend.inside == 0
        opener.join()


@pytest.mark.parametrize("kind", ["file", "methods", "overlay"])
@pytest.mark.parametrize("deterministic", [False, True])
def test_overlays_upon_anything_are_as_a_copy(tmp_path: Path, kind: str, deterministic: bool) -> None:
    chance = random.Random(SEED)
    path = tmp_path / "below"
    below: FileDisk | Methods | Overlay = Methods()
    if kind != "methods":
        path.write_bytes(Methods().data)
        below = FileDisk(path, read_only=True)
    if kind == "overlay":
        below = Overlay(below)
        below.write(5 * CLUSTER - BLOCK, b"\x33" * 2 * BLOCK)
    before = below.read(0, BLOCKS * BLOCK)
    model = bytearray(before)
    disk = Overlay(below, tmp_path / "o.overlay")
    with running(disk, deterministic=deterministic) as driver:
        for _ in range(60):
            size = BLOCK * chance.randint(1, 120)
            at = BLOCK * chance.randrange(BLOCKS - size // BLOCK + 1)
            if chance.random() < 0.5:
                assert driver.request(READ, block=at // BLOCK, size=size) == (0, bytes(model[at : at + size]))
            else:
                model[at : at + size] = data = chance.randbytes(size)
                assert driver.request(WRITE, block=at // BLOCK, data=data)[0] == 0
            if chance.random() < 0.1:
                assert driver.request(FLUSH)[0] == 0
    assert disk.read(0, BLOCKS * BLOCK) == model
    assert below.read(0, BLOCKS * BLOCK) == before
    disk.close()


SLICED = 1 << 14  # blocks of the disk with slices


def labelled(start: int, blocks: int) -> bytes:
    label = default_label(SLICED)
    return replace(label, slices=(Slice(2, 0, start, blocks), Slice(), *label.slices[2:])).pack()


class Counted(FileDisk):
    """Counts what is read in Python."""

    reads = 0

    def read(self, offset: int, length: int) -> bytes:
        self.reads += 1
        return super().read(offset, length)


def test_slices_by_number_are_served_by_c_until_the_label_may_have_changed(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(random.Random(SEED).randbytes(SLICED * BLOCK))
    with Counted(path) as backend, running(backend) as driver:
        unit = default_label(SLICED).geometry.cylinder_blocks
        for turn, (start, blocks) in enumerate(((unit, 2 * unit), (3 * unit, unit))):
            if turn == 0:  # written as a whole, through C
                assert driver.request(WRITE, block=0, data=labelled(start, blocks))[0] == 0
            else:
                vtoc = bytearray(driver.request(Operation.GET_VTOC, size=336)[1])
                vtoc[152:168] = start.to_bytes(8, "big") + blocks.to_bytes(8, "big")
                assert driver.request(Operation.SET_VTOC, data=bytes(vtoc))[0] == 0
            content = path.read_bytes()
            first = driver.request(READ, block=1, size=BLOCK, slice_=0)
            before = backend.reads
            for block in (1, 0, blocks - 1, 1):
                at = (start + block) * BLOCK
                assert driver.request(READ, block=block, size=BLOCK, slice_=0) == (0, content[at : at + BLOCK])
            assert driver.request(WRITE, block=2, data=b"\x77" * BLOCK, slice_=0)[0] == 0
            assert driver.request(READ, block=blocks, size=BLOCK, slice_=0)[0] == 5
            assert driver.request(READ, block=0, size=BLOCK, slice_=1)[0] == 6
            assert driver.request(READ, block=start, size=BLOCK, slice_=2) == (0, content[start * BLOCK :][:BLOCK])
            assert backend.reads == before, "nothing was done in Python"
            assert first == (0, content[(start + 1) * BLOCK : (start + 2) * BLOCK])
            assert path.read_bytes()[(start + 2) * BLOCK :][:BLOCK] == b"\x77" * BLOCK
        assert driver.request(READ, block=0, size=BLOCK, slice_=9)[0] == 6
        assert driver.request(WRITE, block=0, data=labelled(0, 2), slice_=2)[0] == 0, "slice c begins at the label"
        assert driver.request(READ, block=2, size=BLOCK, slice_=0)[0] == 5, "the new table"


def test_counters_are_of_all_ways(tmp_path: Path) -> None:
    with running(Methods()) as driver:
        driver.request(READ, size=BLOCK)
        driver.request(WRITE, data=bytes(2 * BLOCK))
        driver.request(Operation.GET_CAPACITY, size=16)
        driver.request(READ, block=BLOCKS, size=BLOCK)
        found = driver.server.counters
    assert (found.reads, found.writes, found.errors) == (1, 1, 1)
    assert (found.read_bytes, found.written_bytes) == (BLOCK, 2 * BLOCK)
