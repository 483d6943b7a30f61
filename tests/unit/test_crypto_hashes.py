"""MD5 and SHA instructions: whole messages through the FP register file against hashlib."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from crypto_support import MASK64, Strand, build, doubles, samples, seeded, to_bytes

INITIAL = {  # RFC 1321, FIPS 180-4, as bytes in the order they stand in the registers
    "md5": "0123456789abcdeffedcba9876543210",
    "sha1": "67452301efcdab8998badcfe10325476c3d2e1f0",
    "sha224": "c1059ed8367cd5073070dd17f70e5939ffc00b316858151164f98fa7befa4fa4",
    "sha256": "6a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19",
    "sha384": "cbbb9d5dc1059ed8629a292a367cd5079159015a3070dd17152fecd8f70e5939"
              "67332667ffc00b318eb44a8768581511db0c2e0d64f98fa747b5481dbefa4fa4",
    "sha512": "6a09e667f3bcc908bb67ae8584caa73b3c6ef372fe94f82ba54ff53a5f1d36f1"
              "510e527fade682d19b05688c2b3e6c1f1f83d9abfb41bd6b5be0cd19137e2179",
}
INSTRUCTION = {"sha224": "sha256", "sha384": "sha512"}
FIRST_BLOCK_DOUBLE = {"md5": 4, "sha1": 4, "sha256": 4, "sha512": 8}  # %d8, %d16
STATE_BYTES = {"md5": 16, "sha1": 20, "sha256": 32, "sha512": 64}


def padded(name: str, message: bytes) -> bytes:
    block, length_bytes = (128, 16) if name in ("sha384", "sha512") else (64, 8)
    message_bits = 8 * len(message)
    message += b"\x80"
    message += bytes(-(len(message) + length_bytes) % block)
    return message + message_bits.to_bytes(length_bytes, "little" if name == "md5" else "big")


def set_fp_bytes(strand: Strand, first_double: int, data: bytes) -> None:
    """Stores bytes from a double on, in memory order; the last half word of a double may stay as it was."""
    end = 8 * ((len(data) + 7) // 8)
    old = to_bytes(list(strand.f[first_double:first_double + end // 8]))
    strand.f[first_double:first_double + end // 8] = doubles(data + old[len(data):end])


def hash_message(name: str, message: bytes, strand: Strand) -> bytes:
    instruction = INSTRUCTION.get(name, name)
    set_fp_bytes(strand, 0, bytes.fromhex(INITIAL[name]))
    size = 128 if instruction == "sha512" else 64
    data = padded(name, message)
    for i in range(0, len(data), size):
        set_fp_bytes(strand, FIRST_BLOCK_DOUBLE[instruction], data[i:i + size])
        build()(instruction, strand=strand)
    return to_bytes(list(strand.f))[:hashlib.new(name).digest_size]


@pytest.mark.parametrize("name", list(INITIAL))
def test_known_answer(name: str) -> None:
    known = {"md5": "900150983cd24fb0d6963f7d28e17f72", "sha1": "a9993e364706816aba3e25717850c26c9cd0d89d",
             "sha224": "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
             "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
             "sha384": "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
                       "8086072ba1e7cc2358baeca134c825a7",
             "sha512": "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                       "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"}
    assert hash_message(name, b"abc", Strand()).hex() == known[name]


@pytest.mark.parametrize("name", list(INITIAL))
def test_random_messages(name: str) -> None:
    random = seeded(name)
    strand = Strand()
    for _ in samples(60):
        message = random.randbytes(random.choice([0, 55, 56, 63, 64, 111, 112, 128, random.randrange(600)]))
        assert hash_message(name, message, strand) == hashlib.new(name, message).digest()


@pytest.mark.parametrize("name", list(STATE_BYTES))
def test_changes_the_state_and_nothing_else(name: str) -> None:
    random = seeded(name)
    strand = Strand()
    strand.f[:] = [random.getrandbits(64) for _ in range(32)]
    before = strand.contents()
    build()(name, strand=strand)
    assert strand.fprs == 1  # DL: nothing above %d30
    strand.fprs = 0
    doubles_touched = (STATE_BYTES[name] + 7) // 8
    assert strand.contents()[8 * doubles_touched:] == before[8 * doubles_touched:]
    if name == "sha1":  # five words: %f5 is not part of the state
        assert strand.f[2] & 0xFFFFFFFF == int.from_bytes(before[16:20], "little")
    after = strand.contents()
    assert all(after[i:i + 8] != before[i:i + 8] for i in range(0, 8 * doubles_touched, 8))


def test_all_ones_block() -> None:
    """Carries in every addition."""
    for name in ("md5", "sha1", "sha256", "sha512"):
        message = b"\xff" * (128 if name == "sha512" else 64)
        strand = Strand()
        strand.f[:] = [MASK64] * 32
        assert hash_message(name, message, strand) == hashlib.new(name, message).digest()
