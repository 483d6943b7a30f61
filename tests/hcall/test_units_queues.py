"""Queues of crypto units in the middle of their work: saved, restored, taken away (NCS_*)."""

from __future__ import annotations

import hashlib
import random

from guest_support import DATA, EINVAL, EOK, MORE, Guest
from test_hcall_ncs import (
    CIPHER,
    CWQ,
    DEVINO,
    DONE,
    ENCRYPT,
    FIRST,
    GETHEAD,
    GETTAIL,
    HASH,
    IN_PLACE,
    INTERRUPT,
    LAST,
    MARKER,
    NCS,
    QCONF,
    QINFO,
    SETTAIL,
    SHA256_STATE,
    Queue,
    control,
    guest_of,
)

RESULTS = MORE + 0x20000


def put_hash(guest: Guest, queue: Queue, slot: int, data: bytes) -> int:
    """One block: the SHA-256 of data of its own, with an interrupt."""
    guest.memory.write(DATA + slot * 1024, data)
    guest.memory.write(RESULTS + slot * 64, SHA256_STATE)
    word = control(IN_PLACE | HASH, len(data), auth=3, digest=32, more=FIRST | LAST | INTERRUPT)
    place = RESULTS + slot * 64
    return queue.put(word, DATA + slot * 1024, 0, place, 0, 0, 0, place)


def pending(guest: Guest, sysino: int) -> bool:
    """Has the unit's interrupt been delivered, or would it be?"""
    return guest.hcall(0xA3, sysino)[1] != 0


def test_a_queue_is_saved_with_work_before_during_and_behind_it() -> None:
    """Finished and not acknowledged, written and not handed over: the copy goes on where the guest was."""
    chance = random.Random(20130326)
    data = [chance.randbytes(chance.randint(1, 1000)) for _ in range(6)]
    guest = guest_of()
    assert guest.hcall(0x14, 0x3D, MORE + 0x40000, 8)[0] == EOK
    queue = Queue(guest, CWQ, 8)
    ino = guest.hcall(DEVINO, queue.handle)[1]
    sysino = guest.hcall(0xA0, 0x100, ino)[1]
    for call, value in ((0xA6, 0), (0xA4, 0), (0xA2, 1)):
        assert guest.hcall(call, sysino, value)[0] == EOK
    for slot in (0, 1, 2):
        put_hash(guest, queue, slot, data[slot])
    assert queue.go() == EOK
    handed = queue.tail
    entries = [put_hash(guest, queue, slot, data[slot]) for slot in (3, 4, 5)]
    assert pending(guest, sysino)
    other = Guest(platform="t5120")
    other.machine.load(guest.machine.save())
    assert other.machine.digest() == guest.machine.digest()
    for copy in (guest, other):
        assert copy.hcall(QINFO, queue.handle)[:4] == (EOK, CWQ, MORE, 8)
        assert copy.hcall(GETHEAD, queue.handle)[:2] == copy.hcall(GETTAIL, queue.handle)[:2] == (EOK, handed)
        assert pending(copy, sysino), "the guest has not acknowledged yet"
        assert not any(copy.memory.load(entry) & DONE for entry in entries)
        assert copy.hcall(SETTAIL, queue.handle, queue.tail)[0] == EOK
        assert all(copy.memory.load(entry) & DONE for entry in entries)
        for slot, piece in enumerate(data):
            assert copy.memory.read(RESULTS + slot * 64, 32) == hashlib.sha256(piece).digest()
        assert copy.hcall(MARKER, queue.handle, queue.tail)[0] == EOK
        copy.hcall(0xA4, sysino, 0)
        assert not pending(copy, sysino)
    assert other.machine.digest() == guest.machine.digest()
    assert other.machine.crypto_counters[ino] == (3, 0), "since it is there"


def test_a_queue_that_is_given_back_leaves_its_work_alone() -> None:
    """What was not handed over is not done; the interrupt goes; the handle is of use again after the next QCONF."""
    guest = guest_of()
    queue = Queue(guest, CWQ, 8)
    sysino = guest.hcall(0xA0, 0x100, guest.hcall(DEVINO, queue.handle)[1])[1]
    for call, value in ((0xA6, 0), (0xA4, 0), (0xA2, 1)):
        assert guest.hcall(call, sysino, value)[0] == EOK
    put_hash(guest, queue, 0, b"done")
    assert queue.go() == EOK
    entry = put_hash(guest, queue, 1, b"not done")
    assert guest.hcall(QCONF, CWQ, queue.handle, 0)[0] == EOK
    assert guest.hcall(SETTAIL, queue.handle, queue.tail)[0] == EINVAL
    assert guest.memory.read(RESULTS + 64, 32) == SHA256_STATE
    assert not guest.memory.load(entry) & DONE
    again = Queue(guest, CWQ, 8)
    assert again.handle == queue.handle
    assert guest.hcall(GETHEAD, again.handle)[:2] == (EOK, 0)


def test_a_unit_that_goes_in_the_middle_takes_nothing_else() -> None:
    guest = guest_of(strands=10)
    first = Queue(guest, CWQ, 8)
    key = DATA + 0x8000
    guest.memory.write(key, bytes(range(16)))
    queue_ino = guest.hcall(DEVINO, first.handle)[1]
    first.put(control(CIPHER, 16, cipher=4 << 2, more=FIRST | LAST | ENCRYPT), DATA, 0, 0, 0, key, 0, RESULTS)
    guest.machine.remove_crypto_unit(queue_ino)
    assert guest.hcall(SETTAIL, first.handle, first.tail)[0] == EINVAL
    assert guest.memory.read(RESULTS, 16) == bytes(16)
    guest.number = 8
    assert guest.hcall(QCONF, CWQ, MORE + 4096, 64)[0] == EOK
    assert guest.hcall(0, NCS, 2, 0, trap=0xFF)[0] == EOK
