"""NCS_*: crypto units of the T1 to T3, worked with as drivers do (Linux drivers/crypto/n2_core.c, Solaris ncp)."""

from __future__ import annotations

import hashlib
import hmac
import random
import struct

import pytest
from guest_support import (
    DATA,
    EBADALIGN,
    EBADTRAP,
    EINVAL,
    ENORADDR,
    ENOTSUPPORTED,
    EOK,
    MASK64,
    MORE,
    Guest,
)  # fmt: skip

from emulator.errors import ConfigError
from emulator.mdesc import CryptoUnit

NCS, MAU, CWQ, ENOACCESS, EIO = 0x103, 1, 2, 10, 11
REQUEST, QCONF, QINFO, GETHEAD, GETTAIL, SETTAIL, DEVINO, MARKER, ULQCONF = range(0x110, 0x119)
QUEUE, OUTSIDE = MORE, 1 << 40
FIRST, LAST, ENCRYPT, INTERRUPT, STORE_STATE = 1 << 54, 1 << 53, 1 << 55, 1 << 48, 1 << 49
DONE, PROTOCOL, HARDWARE = 1 << 50, 1 << 51, 1 << 52
COPY, CIPHER, HASH, IN_PLACE = 0x20, 0x40, 0x41, 0x80
SHA1_STATE = bytes.fromhex("67452301efcdab8998badcfe10325476c3d2e1f0")
MD5_STATE = bytes.fromhex("0123456789abcdeffedcba9876543210")
SHA256_STATE = bytes.fromhex("6a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19")

HASHES = (("md5", MD5_STATE), ("sha1", SHA1_STATE), ("sha256", SHA256_STATE))


def guest_of(platform: str = "t5120", *, major: int = 2, minor: int = 9, strands: int = 1) -> Guest:
    guest = Guest(platform=platform, strands=strands)
    granted = 0 if major == 1 else 1
    assert guest.hcall(0, NCS, major, minor, trap=0xFF)[:2] == (EOK, granted)
    return guest


class Queue:
    """A queue of one kind with 64 entries, and where the next entry goes."""

    def __init__(self, guest: Guest, kind: int, entries: int = 64) -> None:
        self.guest, self.bytes, self.tail = guest, 64 * entries, 0
        status, self.handle = guest.hcall(QCONF, kind, QUEUE, entries)[:2]
        assert status == EOK

    def put(self, *words: int) -> int:
        """One entry; its address."""
        at = QUEUE + self.tail
        self.guest.memory.write(at, struct.pack(">8Q", *[word & MASK64 for word in (*words, *[0] * 8)[:8]]))
        self.tail = (self.tail + 64) % self.bytes
        return at

    def go(self) -> int:
        """Let the unit work off what was put; the status."""
        return self.guest.hcall(SETTAIL, self.handle, self.tail)[0]

    def control(self, at: int) -> int:
        return self.guest.memory.load(at)


def control(
    op: int, length: int, *, cipher: int = 0, auth: int = 0, digest: int = 1, key: int = 1, more: int = 0
) -> int:
    return (op << 56 | more | (digest - 1) << 40 | auth << 32 | cipher << 24 | (key - 1) << 16 | (length - 1)) & MASK64


# -- queues


def test_the_group_is_there_with_the_units() -> None:
    assert Guest(platform="t5-2").hcall(0, NCS, 2, 0, trap=0xFF)[0] == EINVAL
    guest = Guest(platform="t5120")
    assert guest.hcall(QINFO, 0)[0] == EBADTRAP
    assert guest.hcall(0, NCS, 3, 0, trap=0xFF)[:2] == (ENOTSUPPORTED, 0)
    assert guest.hcall(0, NCS, 2, 0, trap=0xFF)[:2] == (EOK, 0)
    assert guest.hcall(3, NCS, trap=0xFF)[:3] == (EOK, 2, 0)
    assert [guest.hcall(call, 0)[0] for call in (QINFO, REQUEST, ULQCONF)] == [EINVAL, EBADTRAP, EBADTRAP]
    assert guest.hcall(0, NCS, 2, 1, trap=0xFF)[:2] == (EOK, 1)
    assert guest.hcall(ULQCONF)[0] == ENOTSUPPORTED
    assert guest.hcall(0, NCS, 1, 0, trap=0xFF)[:2] == (EOK, 0)
    assert (guest.hcall(QINFO, 0)[0], guest.hcall(REQUEST, 0, DATA, 8)[0]) == (EBADTRAP, EINVAL)


@pytest.mark.parametrize(("args", "status"), [
    ((0, QUEUE, 64), EINVAL), ((3, QUEUE, 64), EINVAL), ((MAU, QUEUE, 1), EINVAL), ((MAU, QUEUE, 3), EINVAL),
    ((CWQ, QUEUE, 128), EINVAL), ((CWQ, QUEUE + 64, 2), EBADALIGN), ((CWQ, QUEUE + 8, 64), EBADALIGN),
    ((CWQ, OUTSIDE, 64), ENORADDR), ((CWQ, 1 << 63, 2), ENORADDR), ((CWQ, QUEUE, MASK64), EINVAL),
    ((CWQ, 0x864, 0), EINVAL), ((MAU, 1 << 32 | 0x864, 0), EINVAL), ((CWQ, QUEUE, 2), EOK), ((MAU, QUEUE, 64), EOK),
])  # fmt: skip
def test_queue_arguments(args: tuple[int, int, int], status: int) -> None:
    assert guest_of().hcall(QCONF, *args)[0] == status


def test_queue_life() -> None:
    guest = guest_of()
    for kind, ino in ((MAU, 0x20), (CWQ, 0x80)):
        queue = Queue(guest, kind, 8)
        assert guest.hcall(QINFO, queue.handle)[:4] == (EOK, kind, QUEUE, 8)
        assert guest.hcall(DEVINO, queue.handle)[:2] == (EOK, ino)
        assert guest.hcall(GETHEAD, queue.handle)[:2] == guest.hcall(GETTAIL, queue.handle)[:2] == (EOK, 0)
        for call, value, status in ((SETTAIL, 32, EINVAL), (SETTAIL, 512, EINVAL), (MARKER, 512, EINVAL),
                                    (MARKER, 8, EINVAL), (MARKER, 448, EOK), (SETTAIL, 0, EOK)):
            assert guest.hcall(call, queue.handle, value)[0] == status
        assert guest.hcall(QCONF, kind, queue.handle, 0)[:2] == (EOK, queue.handle)
        assert guest.hcall(QINFO, queue.handle)[:4] == (EOK, kind, 0, 0)
        assert guest.hcall(SETTAIL, queue.handle, 0)[0] == EINVAL
        for bad in (queue.handle ^ 1, queue.handle | 7 << 16, queue.handle | 1 << 63):
            assert {guest.hcall(call, bad, 0)[0] for call in range(QINFO, ULQCONF)} == {EINVAL}


def test_units_belong_to_cores() -> None:
    """Strand 8 of a T2 has the units of core 1, and may not work those of core 0."""
    guest = guest_of(strands=10)
    first = Queue(guest, CWQ).handle
    guest.number = 8
    second = guest.hcall(QCONF, CWQ, QUEUE + 4096, 64)[1]
    assert first != second
    assert guest.hcall(SETTAIL, first, 0)[0] == EINVAL
    assert guest.hcall(SETTAIL, second, 0)[0] == EOK
    guest.number = 9
    assert guest.hcall(SETTAIL, second, 0)[0] == EOK
    guest.machine.remove_crypto_unit(0x81)
    assert guest.hcall(QCONF, CWQ, QUEUE, 64)[0] == ENOACCESS
    guest.machine.add_crypto_unit(CryptoUnit("cwq", 1, (9,), 0x90))
    assert guest.hcall(DEVINO, guest.hcall(QCONF, CWQ, QUEUE, 64)[1])[:2] == (EOK, 0x90)


def test_units_that_cannot_be() -> None:
    machine = guest_of(strands=2).machine
    for unit in (CryptoUnit("cwq", 0, (0,), 0x90), CryptoUnit("cwq", 0, (2,), 0x90), CryptoUnit("mau", 0, (), 0x90),
                 CryptoUnit("mau", 0, (1,), 0x11), CryptoUnit("mau", 0, (1,), 0x100)):
        with pytest.raises(ConfigError):
            machine.add_crypto_unit(unit)
    with pytest.raises(ConfigError):
        machine.remove_crypto_unit(0x77)


# -- ciphers and hashes


@pytest.mark.parametrize(("auth", "name", "state"), [(n + 1, *hash_) for n, hash_ in enumerate(HASHES)])
def test_hash_as_linux_does(auth: int, name: str, state: bytes) -> None:
    """n2_do_async_digest: the state's place is the digest's, and the data come in pieces."""
    guest, data = guest_of(), bytes(range(256)) * 9
    queue = Queue(guest, CWQ)
    guest.memory.write(DATA, data)
    for pieces in ([len(data)], [1, 63, 64, 500, len(data) - 628]):
        guest.memory.write(MORE + 0x10000, state)
        at, entries = DATA, []
        for n, length in enumerate(pieces):
            more = (FIRST if n == 0 else 0) | (LAST if n == len(pieces) - 1 else 0)
            first = control(IN_PLACE | HASH, length, auth=auth, digest=len(state), more=more)
            word = first if n == 0 else length - 1 | more
            place = MORE + 0x10000 if n == 0 else 0
            entries.append(queue.put(word, at, 0, place, 0, 0, 0, place))
            at += length
        assert queue.go() == EOK
        assert guest.hcall(GETHEAD, queue.handle)[1] == queue.tail
        assert all(queue.control(entry) & (DONE | PROTOCOL | HARDWARE) == DONE for entry in entries)
        expected = hashlib.new(name, data).digest()
        assert guest.memory.read(MORE + 0x10000, len(expected)) == expected


@pytest.mark.parametrize(("auth", "name", "state"), [(n + 5, *hash_) for n, hash_ in enumerate(HASHES)])
def test_hmac(auth: int, name: str, state: bytes) -> None:
    guest, key, data = guest_of(), bytes(range(1, 33)), b"what is to be said" * 40
    queue = Queue(guest, CWQ)
    guest.memory.write(DATA, data)
    guest.memory.write(MORE + 0x10000, state + key)
    word = control(HASH, len(data), auth=auth, digest=len(state), key=len(key), more=FIRST | LAST)
    queue.put(word, DATA, MORE + 0x10000 + len(state), MORE + 0x10000, 0, 0, 0, DATA + 0x2000)
    assert queue.go() == EOK
    assert guest.memory.read(DATA + 0x2000, len(state)) == hmac.new(key, data, name).digest()


def test_state_of_an_unfinished_hash() -> None:
    """Two blocks whose state is stored, and a second job that goes on from there gives no digest of the whole."""
    guest, data = guest_of(), bytes(128)
    queue = Queue(guest, CWQ)
    guest.memory.write(DATA + 0x1000, SHA1_STATE)
    word = control(HASH, 128, auth=2, digest=20, more=FIRST | LAST | STORE_STATE)
    queue.put(word, DATA, 0, DATA + 0x1000, DATA + 0x2000, 0, 0, DATA + 0x3000)
    assert queue.go() == EOK
    assert guest.memory.read(DATA + 0x3000, 20) == hashlib.sha1(data).digest()
    stored = guest.memory.read(DATA + 0x2000, 20)
    assert stored not in (SHA1_STATE, hashlib.sha1(data).digest())
    # by hand: the padding block of a 128-byte message, hashed on from the stored state, less its own padding
    guest.memory.write(DATA + 0x1000, stored)
    guest.memory.write(DATA, b"\x80" + bytes(61) + (1024).to_bytes(2, "big"))
    word = control(HASH, 64, auth=2, digest=20, more=FIRST | LAST | STORE_STATE)
    queue.put(word, DATA, 0, DATA + 0x1000, DATA + 0x2000, 0, 0, DATA + 0x3000)
    assert queue.go() == EOK
    assert guest.memory.read(DATA + 0x2000, 20) == hashlib.sha1(bytes(128)).digest()


AES_KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
AES_TEXT = bytes.fromhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51")
AES_CBC = bytes.fromhex("7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2")  # SP 800-38A, F.2.1


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("pieces", [[32], [16, 16]])
def test_cipher_as_linux_does(pieces: list[int], in_place: bool) -> None:
    guest = guest_of()
    queue = Queue(guest, CWQ)
    guest.memory.write(DATA, AES_KEY + bytes(range(16)))
    for encrypt, before, after in ((ENCRYPT, AES_TEXT, AES_CBC), (0, AES_CBC, AES_TEXT)):
        at, start = MORE + 0x10000, True
        for n, length in enumerate(pieces):
            place = at + 0x1000 * n
            guest.memory.write(place, before[sum(pieces[:n]) : sum(pieces[: n + 1])])
            more = (FIRST if start else 0) | (LAST if n == len(pieces) - 1 else 0)
            op = CIPHER | (IN_PLACE if in_place else 0)
            word = control(op, length, cipher=0x11, more=more | encrypt) if start else length - 1 | more
            queue.put(word, place, 0, 0, 0, DATA if start else 0, DATA + 16 if start else 0,
                      0 if in_place or not start else MORE + 0x20000)
            start = False
        assert queue.go() == EOK
        got = [guest.memory.read(at + 0x1000 * n, length) for n, length in enumerate(pieces)]
        assert b"".join(got) == (after if in_place else before)
        if not in_place:
            assert guest.memory.read(MORE + 0x20000, 32) == after


def test_pieces_may_split_blocks() -> None:
    """The driver's comment: 0xe, 0xa, 0x8 are lengths a cipher of 8 bytes takes; 0xe, 0xb, 0x7 are not."""
    for pieces, result in (([0xE, 0xA, 8], DONE), ([0xE, 0xB, 7], DONE | PROTOCOL)):
        guest = guest_of()
        queue = Queue(guest, CWQ)
        guest.memory.write(DATA, bytes.fromhex("0123456789abcdef"))
        text = b"Now is the time for all \0\0\0\0\0\0\0\0"[:32]
        at, entries = MORE + 0x10000, []
        for n, length in enumerate(pieces):
            guest.memory.write(at, text[sum(pieces[:n]) : sum(pieces[: n + 1])])
            more = (FIRST if n == 0 else 0) | (LAST if n == len(pieces) - 1 else 0)
            word = control(CIPHER, length, cipher=0x08, more=more | ENCRYPT) if n == 0 else length - 1 | more
            entries.append(queue.put(word, at, 0, 0, 0, DATA if n == 0 else 0, 0, MORE + 0x20000 if n == 0 else 0))
            at += 0x100
        assert queue.go() == EOK
        assert {queue.control(entry) & (DONE | PROTOCOL | HARDWARE) for entry in entries} == {result}
        if result == DONE:  # FIPS 81, the first 24 bytes
            assert guest.memory.read(MORE + 0x20000, 24).hex() == "3fa40e8a984d48156a271787ab8883f9893d51ec4b563b53"


def test_rc4_goes_on_and_copies() -> None:
    guest = guest_of()
    queue = Queue(guest, CWQ)
    guest.memory.write(DATA, bytes.fromhex("0102030405"))
    queue.put(control(CIPHER, 16, cipher=0x04, key=5, more=FIRST | LAST), DATA + 0x100, 0, 0, 0, DATA, 0, DATA + 0x200)
    assert queue.go() == EOK
    stream = guest.memory.read(DATA + 0x200, 16)
    assert stream.hex() == "b2396305f03dc027ccc3524a0a1118a8"  # RFC 6229
    table = list(range(256))
    j = 0
    for i in range(256):
        j = (j + table[i] + [1, 2, 3, 4, 5][i % 5]) & 255
        table[i], table[j] = table[j], table[i]
    guest.memory.write(MORE + 0x10000, bytes(table) + bytes(2))
    for n in range(2):
        word = control(CIPHER, 8, cipher=0x00, key=256, more=FIRST | LAST)
        queue.put(word, DATA + 0x100, 0, 0, 0, MORE + 0x10000, MORE + 0x10100, DATA + 0x300 + 8 * n)
    queue.put(control(COPY, 16, more=FIRST | LAST), DATA + 0x300, 0, 0, 0, 0, 0, DATA + 0x400)
    assert queue.go() == EOK
    assert guest.memory.read(DATA + 0x400, 16) == stream


@pytest.mark.parametrize(("word", "addresses", "result"), [
    (control(CIPHER, 16, cipher=0x1C, more=FIRST | LAST), {}, PROTOCOL),             # a reserved cipher
    (control(CIPHER, 15, cipher=0x11, more=FIRST | LAST), {}, PROTOCOL),             # no whole blocks
    (control(0x10, 16, more=FIRST | LAST), {}, PROTOCOL),                             # SSL key block
    (control(HASH, 16, auth=0, more=FIRST | LAST), {}, PROTOCOL),
    (control(HASH, 16, auth=11, more=FIRST | LAST), {}, PROTOCOL),
    (control(HASH, 16, auth=6, key=65, more=FIRST | LAST), {}, PROTOCOL),
    (control(COPY, 16, more=LAST), {}, PROTOCOL),                                     # nothing begins
    (control(COPY, 16, more=FIRST | LAST), {7: 0x3FFFF8}, HARDWARE),                  # the destination ends in the open
    (control(CIPHER, 16, cipher=0x18, more=FIRST | LAST), {5: 0x3FFFF8}, HARDWARE),   # and so does the key
])  # fmt: skip
def test_control_words_that_fail(word: int, addresses: dict[int, int], result: int) -> None:
    """Errors are in the control word; the queue goes on with the next block."""
    guest = guest_of()
    queue = Queue(guest, CWQ)
    values = [word, DATA, DATA, DATA, 0, DATA, DATA, DATA + 0x1000]
    for index, address in addresses.items():
        values[index] = address
    bad = queue.put(*values)
    good = queue.put(control(COPY, 1, more=FIRST | LAST | INTERRUPT), DATA, 0, 0, 0, 0, 0, DATA + 0x2000)
    ends_in_the_open = addresses.get(7) is not None
    assert queue.go() == (ENORADDR if ends_in_the_open else EOK)
    if not ends_in_the_open:
        assert queue.control(bad) & (DONE | PROTOCOL | HARDWARE) == DONE | result
        assert queue.control(good) & (DONE | PROTOCOL | HARDWARE) == DONE


@pytest.mark.parametrize(("source", "status"), [(0, EINVAL), (OUTSIDE, ENORADDR), (0x3FFFFF, ENORADDR)])
def test_a_bad_source_refuses_the_call(source: int, status: int) -> None:
    guest = guest_of()
    queue = Queue(guest, CWQ)
    queue.put(control(COPY, 2, more=FIRST | LAST), source, 0, 0, 0, 0, 0, DATA)
    assert queue.go() == status
    assert guest.hcall(GETTAIL, queue.handle)[1] == 0


def test_more_than_64_kib_is_a_protocol_error() -> None:
    guest = guest_of()
    queue = Queue(guest, CWQ)
    first = queue.put(control(COPY, 65536, more=FIRST), DATA, 0, 0, 0, 0, 0, MORE + 0x20000)
    second = queue.put(LAST, DATA)
    assert queue.go() == EOK
    assert [queue.control(at) & PROTOCOL for at in (first, second)] == [PROTOCOL, PROTOCOL]
    whole = queue.put(control(COPY, 65536, more=FIRST | LAST), DATA, 0, 0, 0, 0, 0, MORE + 0x20000)
    assert queue.go() == EOK
    assert queue.control(whole) & (DONE | PROTOCOL) == DONE


# -- interrupts


@pytest.mark.parametrize("kind", [MAU, CWQ])
def test_interrupt_until_the_marker_is_at_the_head(kind: int) -> None:
    guest = guest_of()
    assert guest.hcall(0x14, 0x3D, MORE + 0x40000, 8)[0] == EOK
    queue = Queue(guest, kind)
    ino = guest.hcall(DEVINO, queue.handle)[1]
    sysino = guest.hcall(0xA0, 0x100, ino)[1]
    assert sysino == 0x100 + ino
    for call, value in ((0xA6, 0), (0xA4, 0), (0xA2, 1)):
        assert guest.hcall(call, sysino, value)[0] == EOK

    def mondos() -> int:
        return guest.machine.memory.load(MORE + 0x40000) if guest.hcall(0xA3, sysino)[1] == 2 else 0

    def work(interrupt: bool) -> None:
        if kind == CWQ:
            more = FIRST | LAST | (INTERRUPT if interrupt else 0)
            queue.put(control(COPY, 1, more=more), DATA, 0, 0, 0, 0, 0, DATA + 64)
        else:
            queue.put(1, 0x81, 0, DATA)  # load one word: a job by itself
        assert queue.go() == EOK

    if kind == CWQ:
        work(interrupt=False)
        assert mondos() == 0
        assert guest.hcall(MARKER, queue.handle, queue.tail)[0] == EOK
    work(interrupt=True)
    assert mondos() == sysino
    other = Guest(platform="t5120")
    other.machine.load(guest.machine.save())
    assert other.machine.digest() == guest.machine.digest()
    assert guest.hcall(0xA4, sysino, 0)[0] == EOK  # still not at the head: once more
    assert guest.hcall(0xA3, sysino)[1] == 2
    assert guest.hcall(MARKER, queue.handle, queue.tail)[0] == EOK
    assert guest.hcall(0xA4, sysino, 0)[0] == EOK
    assert guest.hcall(0xA3, sysino)[1] == 0


# -- modular arithmetic


def words(number: int, count: int) -> list[int]:
    return [number >> 64 * i & MASK64 for i in range(count)]


def mau_control(op: int, length: int, t1: bool) -> int:
    return op << 6 | length - 1 if t1 else op << 8 | length - 1


class Arithmetic:
    """Jobs of load, operation, store, as the Solaris driver makes them."""

    def __init__(self, guest: Guest, *, t1: bool) -> None:
        self.guest, self.t1, self.version_1 = guest, t1, t1
        self.index = 0
        if t1:
            guest.memory.write(DATA, struct.pack(">4Q", 0, QUEUE, QUEUE + 64 * 64, 64))
            assert guest.hcall(REQUEST, 1, DATA, 32)[0] == EOK
        else:
            self.queue = Queue(guest, MAU)

    def descriptor(self, kind: int, op: int, length: int, operands: int = 0, n_prime: int = 0) -> int:
        entry = (1, kind, mau_control(op, length, self.t1), MORE + 0x10000, operands, n_prime)
        if not self.t1:
            return self.queue.put(*entry)
        at = QUEUE + 64 * self.index
        self.guest.memory.write(at, struct.pack(">8Q", *entry, 0, 0))
        self.index = (self.index + 1) % 64
        return at

    def run(self, memory: list[int], op: int, length: int, operands: int, n_prime: int) -> tuple[int, list[int]]:
        """Status and the unit's memory afterwards."""
        guest, most = self.guest, 64 if self.t1 else 160
        guest.memory.write(MORE + 0x10000, struct.pack(f">{len(memory)}Q", *memory))
        self.load(memory, most)
        at = self.descriptor(2, op, length, operands, n_prime)
        status = self.go()
        if status == EOK and guest.memory.load(at) == 3:
            for first in range(0, len(memory), most):
                part = min(most, len(memory) - first)
                self.raw(0x80, 1, part, first)
            assert self.go() == EOK
        state = guest.memory.load(at)
        got = struct.unpack(f">{len(memory)}Q", guest.memory.read(MORE + 0x10000, 8 * len(memory)))
        return state, list(got)

    def raw(self, kind: int, op: int, part: int, first: int) -> None:
        at = self.descriptor(kind, op, part, first)
        self.guest.memory.store(at + 0x18, MORE + 0x10000 + 8 * first)

    def load(self, memory: list[int], most: int) -> None:
        for first in range(0, len(memory), most):
            self.raw(1 if first == 0 else 2, 0, min(most, len(memory) - first), first)

    def go(self) -> int:
        if not self.t1:
            return self.queue.go()
        self.guest.memory.write(DATA, struct.pack(">3Q", 0, self.index, 0))
        return self.guest.hcall(REQUEST, 2, DATA, 24)[0]


@pytest.mark.parametrize("platform", ["t1000", "t5120"])
@pytest.mark.parametrize("bits", [64, 512, 1024, 2048])
def test_exponentiation(platform: str, bits: int) -> None:
    """A^E mod N against Python's pow, laid out as Solaris' modexp_fill_ma does for each chip."""
    t1, length = platform == "t1000", bits // 64
    guest = guest_of(platform, major=1 if t1 else 2)
    seed = random.Random(f"mau {platform} {bits}")
    unit = Arithmetic(guest, t1=t1)
    r = 1 << bits
    for e in (1, 2, 3, 65537, seed.getrandbits(bits) | 1 << bits - 1):
        n = seed.getrandbits(bits) | 1 << bits - 1 | 1
        a = seed.getrandbits(bits) % n
        e_words = max(1, -(-e.bit_length() // 64))
        exponent = words(e, e_words)[::-1] if t1 else words(e, e_words)
        encoded = a * r % n
        x = r % n if t1 else encoded
        memory = [*words(encoded, length), *[0] * length, *words(n, length), *words(x, length), *exponent]
        operands = sum(word << 8 * i for i, word in enumerate(
            (0, length, 2 * length, 3 * length, 4 * length, 8 * e_words - 1)))
        state, got = unit.run(memory, 4, length, operands, -pow(n, -1, 1 << 64) & MASK64)
        assert state == 3
        result = sum(word << 64 * i for i, word in enumerate(got[3 * length : 4 * length]))
        assert result * pow(r, -1, n) % n == pow(a, e, n), e


def test_multiplication_and_reduction() -> None:
    seed, bits, length = random.Random("mau products"), 1024, 16
    unit, r = Arithmetic(guest_of(), t1=False), 1 << bits
    for _ in range(10):
        n = seed.getrandbits(bits) | 1 << bits - 1 | 1
        a, b, n_prime = seed.getrandbits(bits) % n, seed.getrandbits(bits) % n, -pow(n, -1, 1 << 64) & MASK64
        memory = [*words(a, length), *words(b, length), *words(n, length), *[0] * length]
        state, got = unit.run(memory, 2, length, 0x30201000, n_prime)
        assert (state, sum(w << 64 * i for i, w in enumerate(got[48:]))) == (3, a * b * pow(r, -1, n) % n)
        memory = [*words(a * b, 32), *words(n, length), *[0] * length]
        state, got = unit.run(memory, 3, length, 0x30200000, n_prime)
        assert (state, sum(w << 64 * i for i, w in enumerate(got[48:]))) == (3, a * b * pow(r, -1, n) % n)


@pytest.mark.parametrize(("op", "length", "operands", "n_prime"), [
    (2, 16, 0x30201000, 1),                # n' of another modulus
    (2, 33, 0, 0), (9, 4, 0, 0), (0x1F, 1, 0, 0),
    (4, 16, 0x0F_A0_30_20_10_00, MASK64),  # the exponent lies beyond the unit's memory
    (2, 16, 0x99_20_10_00, MASK64),
])  # fmt: skip
def test_operations_that_fail(op: int, length: int, operands: int, n_prime: int) -> None:
    """The descriptor and those of its job up to the end are errors, what comes behind is done."""
    guest = guest_of()
    queue = Queue(guest, MAU)
    entries = [queue.put(1, 1, mau_control(op, length, t1=False), DATA, operands, n_prime),
               queue.put(1, 0x80, mau_control(1, 1, t1=False), DATA),
               queue.put(1, 0x81, mau_control(1, 1, t1=False), DATA)]
    assert queue.go() == EOK
    assert [guest.memory.load(at) for at in entries] == [4, 4, 3]
    assert [guest.memory.load(at + 0x30) for at in entries] == [1, 0, 0]


@pytest.mark.parametrize(("address", "offset", "length"), [
    (DATA + 4, 0, 1), (OUTSIDE, 0, 1), (0x3FFFF8, 0, 2), (DATA, 160, 1), (DATA, 96, 65),
])  # fmt: skip
def test_transfers_that_fail(address: int, offset: int, length: int) -> None:
    for op in (0, 1):
        guest = guest_of()
        queue = Queue(guest, MAU)
        at = queue.put(1, 0x81, mau_control(op, length, t1=False), address, offset)
        assert queue.go() == EOK
        assert guest.memory.load(at) == 4


@pytest.mark.parametrize(("args", "words_", "status"), [
    ((1, DATA + 4, 32), (0,), EBADALIGN), ((1, OUTSIDE, 32), (0,), ENORADDR), ((3, DATA, 32), (0,), EINVAL),
    ((1, DATA, 24), (0,), EINVAL), ((2, DATA, 32), (0,), EINVAL), ((1, DATA, 32), (8, QUEUE, QUEUE + 128, 2), EINVAL),
    ((1, DATA, 32), (7, QUEUE, QUEUE + 128, 2), EOK),  # not there: configured in vain
    ((1, DATA, 32), (0, QUEUE + 4, QUEUE + 132, 2), EBADALIGN), ((1, DATA, 32), (0, QUEUE, QUEUE + 64, 2), EINVAL),
    ((1, DATA, 32), (0, OUTSIDE, OUTSIDE + 128, 2), ENORADDR), ((1, DATA, 32), (0, QUEUE, QUEUE + 128, 2), EOK),
    ((1, DATA, 32), (0, 0, 0, 0), EOK), ((2, DATA, 24), (0, 3, 0), EINVAL), ((2, DATA, 24), (7, 0, 0), EINVAL),
    ((2, DATA, 24), (0, 0, 2), EINVAL), ((1, DATA, 32), (0, QUEUE, QUEUE + 64 * 513, 513), EINVAL),
])  # fmt: skip
def test_version_1_arguments(args: tuple[int, ...], words_: tuple[int, ...], status: int) -> None:
    guest = guest_of("t1000", major=1)
    guest.memory.write(DATA, struct.pack(">4Q", *(*words_, 0, 0, 0)[:4]))
    assert guest.hcall(REQUEST, *args)[0] == status


def test_version_1_stops_at_an_error() -> None:
    guest = guest_of("t1000", major=1)
    unit = Arithmetic(guest, t1=True)
    good = unit.descriptor(1, 0, 1)
    bad = unit.descriptor(1, 7, 1)
    behind = unit.descriptor(1, 0, 1)
    assert unit.go() == EIO
    assert [guest.memory.load(at) for at in (good, bad, behind)] == [3, 4, 1]


# -- state


def test_units_go_with_the_state_and_with_a_reset() -> None:
    guest = guest_of()
    unit = Arithmetic(guest, t1=False)
    guest.memory.write(MORE + 0x10000, struct.pack(">4Q", 1, 2, 3, 4))
    unit.load([1, 2, 3, 4], 160)
    assert unit.go() == EOK
    other = Guest(platform="t5120")
    other.machine.load(guest.machine.save())
    assert other.machine.digest() == guest.machine.digest()
    assert other.hcall(QINFO, unit.queue.handle)[:4] == (EOK, MAU, QUEUE, 64)
    unit.guest = unit.queue.guest = other
    unit.raw(0x81, 1, 4, 0)
    other.memory.write(MORE + 0x10000, bytes(32))
    assert unit.go() == EOK
    assert other.memory.read(MORE + 0x10000, 32) == struct.pack(">4Q", 1, 2, 3, 4)
    other.machine.reset()
    other.strand.start(0x10000)
    assert other.hcall(QINFO, unit.queue.handle)[0] == EBADTRAP
    assert other.hcall(0, NCS, 2, 0, trap=0xFF)[0] == EOK
    assert other.hcall(QINFO, unit.queue.handle)[:4] == (EOK, MAU, 0, 0)
    assert len(other.machine.crypto_units) == 2


def test_a_refused_image_leaves_the_units() -> None:
    guest = guest_of()
    image = bytearray(guest.machine.save())
    image[-4:] = b"\0\0\0\0"
    with pytest.raises(Exception, match="damaged"):
        guest.machine.load(bytes(image[:-100]))
    assert [unit.kind for unit in guest.machine.crypto_units] == ["mau", "cwq"]
