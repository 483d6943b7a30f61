"""Ciphers and hashes over bytes (csrc/crypto/cipher.h) against published vectors and against hashlib."""

from __future__ import annotations

import ctypes
import hashlib
import hmac
import sys
import zlib
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from crypto_support import build, samples, seeded

DES, DES3, AES128, AES192, AES256 = range(5)
ECB, CBC, CFB, COUNTER = range(4)
CIPHER_BYTES, HASH_STATE_BYTES = 4096, 4096  # room for struct cipher, struct hash
INITIAL = {  # RFC 1321, FIPS 180-4
    "md5": bytes.fromhex("0123456789abcdeffedcba9876543210"),
    "sha1": bytes.fromhex("67452301efcdab8998badcfe10325476c3d2e1f0"),
    "sha256": bytes.fromhex("6a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19"),
}


def run(kind: int, mode: int, key: bytes, iv: bytes, data: bytes, *, encrypt: bool) -> bytes:
    library = build().library
    cipher, buffer = ctypes.create_string_buffer(CIPHER_BYTES), ctypes.create_string_buffer(data, len(data))
    library.cipher_init(cipher, kind, key)
    library.cipher_run(cipher, mode, ctypes.c_bool(encrypt), iv, buffer, ctypes.c_size_t(len(data)))
    return buffer.raw


# SP 800-38A, appendix F: one text under three keys
TEXT = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)
KEYS = {
    AES128: "2b7e151628aed2a6abf7158809cf4f3c",
    AES192: "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
    AES256: "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
}
IV = "000102030405060708090a0b0c0d0e0f"
COUNT = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"


@pytest.mark.parametrize(("kind", "mode", "iv", "first", "last"), [
    (AES128, ECB, IV, "3ad77bb40d7a3660a89ecaf32466ef97", "7b0c785e27e8ad3f8223207104725dd4"),
    (AES192, ECB, IV, "bd334f1d6e45f25ff712a214571fa5cc", "9a4b41ba738d6c72fb16691603c18e0e"),
    (AES256, ECB, IV, "f3eed1bdb5d2a03c064b5a7e3db181f8", "23304b7a39f9f3ff067d8d8f9e24ecc7"),
    (AES128, CBC, IV, "7649abac8119b246cee98e9b12e9197d", "3ff1caa1681fac09120eca307586e1a7"),
    (AES192, CBC, IV, "4f021db243bc633d7178183a9fa071e8", "08b0e27988598881d920a9e64f5615cd"),
    (AES256, CBC, IV, "f58c4c04d6e5f1ba779eabfb5f7bfbd6", "b2eb05e2c39be9fcda6c19078c6a9d1b"),
    (AES128, CFB, IV, "3b3fd92eb72dad20333449f8e83cfb4a", "c04b05357c5d1c0eeac4c66f9ff7f2e6"),
    (AES192, CFB, IV, "cdc80d6fddf18cab34c25909c99a4174", "c05f9f9ca9834fa042ae8fba584b09ff"),
    (AES256, CFB, IV, "dc7e84bfda79164b7ecd8486985d3860", "75a385741ab9cef82031623d55b1e471"),
    (AES128, COUNTER, COUNT, "874d6191b620e3261bef6864990db6ce", "1e031dda2fbe03d1792170a0f3009cee"),
    (AES192, COUNTER, COUNT, "1abc932417521ca24f2b0459fe7e6e0b", "4f78a7f6d29809585a97daec58c6b050"),
    (AES256, COUNTER, COUNT, "601ec313775789a5b7a7f504bbf3d228", "dfc9c58db67aada613c2dd08457941a6"),
])  # fmt: skip
def test_aes_modes(kind: int, mode: int, iv: str, first: str, last: str) -> None:
    key, start = bytes.fromhex(KEYS[kind]), bytes.fromhex(iv)
    done = run(kind, mode, key, start, TEXT, encrypt=True)
    assert (done[:16].hex(), done[-16:].hex()) == (first, last)
    assert run(kind, mode, key, start, done, encrypt=False) == TEXT


@pytest.mark.parametrize(("mode", "cut", "expected"), [
    # FIPS 81, appendices B, C and D: "Now is the time for all " under 0123456789abcdef
    (ECB, 24, "3fa40e8a984d48156a271787ab8883f9893d51ec4b563b53"),
    (CBC, 24, "e5c7cdde872bf27c43e934008c389c0f683788499a7c05f6"),
    (CFB, 24, "f3096249c7f46e51a69e839b1a92f78403467133898ea622"),
])  # fmt: skip
def test_des_modes(mode: int, cut: int, expected: str) -> None:
    key, iv = bytes.fromhex("0123456789abcdef"), bytes.fromhex("1234567890abcdef")
    text = b"Now is the time for all "[:cut]
    assert run(DES, mode, key, iv, text, encrypt=True).hex() == expected
    assert run(DES, mode, key, iv, bytes.fromhex(expected), encrypt=False) == text


def test_triple_des() -> None:
    """SP 800-67, appendix B, and three equal keys are one."""
    key = bytes.fromhex("0123456789abcdef23456789abcdef01456789abcdef0123")
    done = run(DES3, ECB, key, bytes(8), b"The qufck brown fox jump", encrypt=True)
    assert done.hex() == "a826fd8ce53b855fcce21c8112256fe668d5c05dd9b6b900"
    assert run(DES3, ECB, key, bytes(8), done, encrypt=False) == b"The qufck brown fox jump"
    single = run(DES, CBC, key[:8], key[8:16], TEXT, encrypt=True)
    assert run(DES3, CBC, key[:8] * 3, key[8:16], TEXT, encrypt=True) == single


@pytest.mark.parametrize("mode", [CFB, COUNTER])
@pytest.mark.parametrize("kind", range(5))
def test_stream_modes_end_anywhere(kind: int, mode: int) -> None:
    key, whole = bytes(range(1, 33)), run(kind, mode, bytes(range(1, 33)), bytes(16), TEXT, encrypt=True)
    for n in (1, 7, 8, 15, 16, 17, 63):
        part = run(kind, mode, key, bytes(16), TEXT[:n], encrypt=True)
        assert part == whole[:n]
        assert run(kind, mode, key, bytes(16), part, encrypt=False) == TEXT[:n]


def test_counter_wraps() -> None:
    key = bytes.fromhex(KEYS[AES128])
    two = run(AES128, COUNTER, key, b"\xff" * 16, bytes(32), encrypt=True)
    assert two[16:] == run(AES128, ECB, key, b"", bytes(16), encrypt=True)


@pytest.mark.parametrize(("key", "stream"), [  # RFC 6229
    ("0102030405", "b2396305f03dc027ccc3524a0a1118a8"),
    ("0102030405060708090a0b0c0d0e0f10", "9ac7cc9a609d1ef7b2932899cde41b97"),
    ("0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20", "eaa6bd25880bf93d3f5d1e4ca2611d91"),
    ("c109163908ebe51debb46227c6cc8b37641910833222772a", "54b64e6b5a20b5e2ec84593dc7989da7"),
])  # fmt: skip
def test_rc4(key: str, stream: str) -> None:
    library, state = build().library, ctypes.create_string_buffer(512)
    raw = bytes.fromhex(key)
    library.rc4_init(state, raw, len(raw))
    first, second = ctypes.create_string_buffer(10), ctypes.create_string_buffer(6)
    library.rc4_run(state, first, ctypes.c_size_t(10))
    library.rc4_run(state, second, ctypes.c_size_t(6))
    assert (first.raw + second.raw).hex() == stream


def digest(kind: str, data: bytes, cuts: list[int]) -> bytes:
    library, state = build().library, ctypes.create_string_buffer(HASH_STATE_BYTES)
    number, out = list(INITIAL).index(kind), ctypes.create_string_buffer(32)
    library.hash_init(state, number, INITIAL[kind])
    at = 0
    for cut in [*cuts, len(data)]:
        library.hash_update(state, data[at:cut], ctypes.c_size_t(cut - at))
        at = cut
    library.hash_final(state, out)
    return out.raw[: library.hash_bytes(number)]


@pytest.mark.parametrize("kind", INITIAL)
def test_hashes(kind: str) -> None:
    seed = seeded(f"unit-hash-{kind}")
    for n in (0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 1000):
        data = seed.randbytes(n)
        assert digest(kind, data, []) == hashlib.new(kind, data).digest()
    for _ in samples(50):
        data = seed.randbytes(seed.randrange(300))
        cuts = sorted(seed.randrange(len(data) + 1) for _ in range(seed.randrange(4)))
        assert digest(kind, data, cuts) == hashlib.new(kind, data).digest()


@pytest.mark.parametrize("kind", INITIAL)
def test_hmac(kind: str) -> None:
    seed = seeded(f"unit-hmac-{kind}")
    for _ in samples(30):
        key, data = seed.randbytes(seed.randrange(1, 65)), seed.randbytes(seed.randrange(1, 300))
        out = ctypes.create_string_buffer(32)
        build().library.hash_hmac(
            list(INITIAL).index(kind), INITIAL[kind], key, len(key), data, ctypes.c_size_t(len(data)), out
        )
        expected = hmac.new(key, data, kind).digest()
        assert out.raw[: len(expected)] == expected


@pytest.mark.parametrize(("kind", "pads"), [("md5", 48), ("sha1", 40)])
def test_ssl_mac(kind: str, pads: int) -> None:
    """RFC 6101, 5.2.3.1, written out with hashlib."""
    key, data, out = bytes(range(20)), b"sequence, type, length, content" * 5, ctypes.create_string_buffer(32)
    build().library.hash_ssl_mac(
        list(INITIAL).index(kind), INITIAL[kind], key, len(key), data, ctypes.c_size_t(len(data)), out
    )
    inner = hashlib.new(kind, key + b"\x36" * pads + data).digest()
    outer = hashlib.new(kind, key + b"\x5c" * pads + inner).digest()
    assert out.raw[: len(outer)] == outer


@pytest.mark.parametrize(("data", "crc"), [  # RFC 3720, B.4
    (bytes(32), "aa36918a"), (b"\xff" * 32, "43aba862"), (bytes(range(32)), "4e79dd46"),
    (bytes(range(31, -1, -1)), "5cdb3f11"),
])  # fmt: skip
def test_crc32c(data: bytes, crc: str) -> None:
    library = build().library
    library.crc32c_bytes.restype = ctypes.c_uint32
    value = library.crc32c_bytes(0xFFFF_FFFF, data, ctypes.c_size_t(len(data))) ^ 0xFFFF_FFFF
    assert value.to_bytes(4, "little").hex() == crc
    assert value != zlib.crc32(data)  # another polynomial


def test_checksum() -> None:
    """RFC 1071, 3, and an odd byte counts as the high half of a word."""
    library = build().library
    data = bytes.fromhex("0001f203f4f5f6f7")
    assert library.checksum_bytes(0, data, ctypes.c_size_t(8)) == 0xDDF2
    assert library.checksum_bytes(0xDDF2, b"\x01", ctypes.c_size_t(1)) == 0xDEF2
