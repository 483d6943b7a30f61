"""The transfer core: checksum, hash, pages in and out, marks, holes, the audit."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Iterator

import pytest
from stream_support import PAGE, REGION, Memory, fill, sealed

from emulator._core_stream import KEY_BYTES, RAW_BYTES, Buffer, Image, StreamMemoryError, crc32c, page_hash
from emulator.stream.requests import Block

KEY = random.Random(5).randbytes(KEY_BYTES)


def blocks(memory: Memory) -> list[Block]:
    return [
        Block(ra=int(b["ra"]), size=int(b["size"]), memory=memory.fd, map=memory.map_fd,  # type: ignore[call-overload]
              memory_offset=int(b["memory_offset"]), page_map_offset=int(b["page_map_offset"]),  # type: ignore[call-overload]
              region_map_offset=int(b["region_map_offset"]))  # type: ignore[call-overload]
        for b in memory.blocks()
    ]  # fmt: skip


@pytest.fixture
def memory() -> Iterator[Memory]:
    made = Memory([(3 * PAGE, 300 * PAGE), (1 << 32, 4 * REGION)])
    yield made
    made.close()


def take_all(image: Image) -> dict[int, bytes]:
    """Page number -> bytes of everything pending."""
    found: dict[int, bytes] = {}
    buffer = Buffer()
    while True:
        taken = image.take(buffer)
        if not taken.looked:
            return found
        assert taken.pages <= 32 and taken.raw_bytes <= RAW_BYTES
        raw = bytes(buffer.payload[: taken.raw_bytes])
        numbers = struct.unpack_from(f"<{taken.pages + taken.zeros}Q", raw, taken.pages * PAGE)
        for i, number in enumerate(numbers):
            assert number not in found
            found[number] = raw[i * PAGE : (i + 1) * PAGE] if i < taken.pages else bytes(PAGE)


def walk(image: Image) -> int:
    at = total = 0
    while at < image.pages:
        at, count = image.populated(at)
        total += count
    return total


# -- checksum and hash


@pytest.mark.parametrize(
    ("data", "wanted"),
    [  # RFC 3720, B.4
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (bytes.fromhex("01c000000000000000000000000000001400000000000400000000140000001828000000000000000200000000000000"),
         0xD9963A56),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)  # fmt: skip
def test_crc32c_of_the_standard(data: bytes, wanted: int) -> None:
    assert crc32c(data) == crc32c(data, portable=True) == wanted


def test_crc32c_by_lanes_is_crc32c_by_bytes() -> None:
    rng = random.Random(2)
    for length in [*range(40), 2047, 6143, 6144, 6145, 6151, 12288, 12289, RAW_BYTES, *rng.sample(range(60_000), 20)]:
        data = rng.randbytes(length)
        assert crc32c(data) == crc32c(data, portable=True), length


def reference_hash(key: bytes, page: bytes, number: int) -> tuple[int, int]:
    """The formula of csrc/stream/pagehash.c in whole numbers."""
    mask = (1 << 64) - 1
    k, m = struct.unpack("<1032Q", key), struct.unpack("<1024Q", page)

    def fold(one: int, other: int) -> int:
        return one * other >> 64 ^ one * other & mask

    f = k[1024:]
    a = sum((m[i] + k[i] & mask) * (m[i + 1] + k[i + 1] & mask) for i in range(0, 1024, 2)) % (1 << 128)
    s, t = fold(number ^ f[0], f[1]), fold(number ^ f[2], f[3])
    return (fold(a & mask ^ f[4] ^ s, a >> 64 ^ f[5] ^ t), fold(a & mask ^ f[6] ^ t, a >> 64 ^ f[7] ^ s))


def test_hash_is_its_formula() -> None:
    rng = random.Random(3)
    for page in (rng.randbytes(PAGE), b"\xff" * PAGE, bytes(PAGE - 1) + b"\x01", b"\x80" + bytes(PAGE - 1)):
        number = rng.randrange(1 << 50)
        assert page_hash(KEY, page, number) == reference_hash(KEY, page, number)
    assert page_hash(KEY, bytes(PAGE), 7) == (0, 0)


def test_hash_sees_every_bit_the_place_and_the_key() -> None:
    rng = random.Random(4)
    page = bytearray(rng.randbytes(PAGE))
    seen = {page_hash(KEY, bytes(page), 1), page_hash(KEY, bytes(page), 2), page_hash(KEY[::-1], bytes(page), 1)}
    for bit in rng.sample(range(PAGE * 8), 2000):
        page[bit // 8] ^= 1 << bit % 8
        seen.add(page_hash(KEY, bytes(page), 1))
        page[bit // 8] ^= 1 << bit % 8
    assert len(seen) == 2003


# -- taking


def test_first_walk_takes_what_is_populated_and_makes_no_hole_less(memory: Memory) -> None:
    rng = random.Random(6)
    fill(memory, rng, populated=0.3)
    before, content = memory.populated_bytes(), memory.content()
    image = Image(blocks(memory), KEY, marks=True)
    image.harvest()
    assert walk(image) >= before // PAGE
    found = take_all(image)
    assert memory.populated_bytes() == before
    for page in range(memory.pages):
        number = page + 3 if page < 300 else (1 << 19) + page - 300
        data = content[page * PAGE : (page + 1) * PAGE]
        assert found.get(number, bytes(PAGE)) == data
        assert number not in found or data != bytes(PAGE), "a page of zeros the target has anyway"
    image.close()


def test_marks_are_taken_once_and_silent_stores_not_at_all(memory: Memory) -> None:
    memory.write(0, b"a" * (3 * PAGE))
    memory.write(310 * PAGE, b"b" * PAGE)
    image = Image(blocks(memory), KEY, marks=True)
    assert image.marked() == 4
    assert image.harvest() == 4
    assert image.marked() == 0
    assert sorted(take_all(image)) == [3, 4, 5, (1 << 19) + 10]
    memory.write(PAGE, b"a" * PAGE)  # the same bytes
    memory.write(2 * PAGE, bytes(PAGE))  # zeros now
    memory.write(310 * PAGE + 5, b"c")
    assert image.harvest() == 3
    assert take_all(image) == {5: bytes(PAGE), (1 << 19) + 10: b"bbbbbc" + b"b" * (PAGE - 6)}
    assert image.harvest() == 0
    image.close()


def test_a_region_that_others_share_keeps_its_byte() -> None:
    """A block of a part of a region: the other part's marks must be found by whoever has that."""
    memory = Memory([(0, 2 * REGION)])
    half = [Block(ra=0, size=REGION // 2, memory=memory.fd, map=memory.map_fd, memory_offset=REGION // 4,
                  page_map_offset=REGION // 4 // PAGE, region_map_offset=memory.regions_at)]  # fmt: skip
    image = Image(half, KEY, marks=True)
    memory.write(0, b"x")
    memory.write(REGION // 4, b"y")
    assert (image.marked(), image.harvest()) == (1, 1)
    assert memory.map[memory.regions_at] == 1 and memory.map[0] == 1
    assert memory.map[REGION // 4 // PAGE] == 0
    image.close()
    memory.close()


def test_the_audit_finds_a_store_without_a_mark(memory: Memory) -> None:
    rng = random.Random(8)
    fill(memory, rng)
    image = Image(blocks(memory), KEY, marks=True)
    image.harvest()
    walk(image)
    take_all(image)
    assert image.audit().mismatches == 0
    memory.write(40 * PAGE + 9, b"lost", mark=False)
    memory.write(400 * PAGE, b"lost too", mark=False)
    found = image.audit()
    assert found.mismatches == 2
    assert set(found.examples) == {43, (1 << 19) + 100}
    image.close()


def test_the_audit_finds_a_page_that_has_gone(memory: Memory) -> None:
    memory.write(5 * PAGE, b"there")
    image = Image(blocks(memory), KEY, marks=True)
    image.harvest()
    take_all(image)
    memory.write(5 * PAGE, bytes(PAGE), mark=False)
    assert image.audit().mismatches == 1
    image.close()


def test_digest_is_the_sum_of_hashes(memory: Memory) -> None:
    fill(memory, random.Random(9), populated=0.1)
    image = Image(blocks(memory), KEY, marks=True)
    image.harvest()
    walk(image)
    found = take_all(image)
    words = [page_hash(KEY, data, number) for number, data in found.items()]
    total = sum(low + (high << 64) for low, high in words) % (1 << 128)
    assert image.digest() == total.to_bytes(16, "big")
    image.close()


def test_a_sparse_terabyte_costs_what_is_in_it() -> None:
    memory = sealed(1 << 40)
    pages = (1 << 40) // PAGE
    marks = sealed(pages + (1 << 20))
    for at in (0, 1 << 39, (1 << 40) - PAGE):
        os.pwrite(memory, b"x" * PAGE, at)
    block = Block(
        ra=0, size=1 << 40, memory=memory, map=marks, memory_offset=0, page_map_offset=0, region_map_offset=pages
    )
    image = Image([block], KEY, marks=True)
    assert (image.harvest(), walk(image)) == (0, 3)
    assert len(take_all(image)) == 3
    assert image.audit().mismatches == 0
    assert os.fstat(memory).st_blocks * 512 <= 3 * PAGE
    image.close()
    os.close(memory)
    os.close(marks)


# -- what is refused


def test_descriptors_that_are_not_memory_are_refused() -> None:
    memory = Memory([(0, 4 * PAGE)])
    good = blocks(memory)[0]
    unsealed = os.memfd_create("unsealed")
    os.ftruncate(unsealed, 1 << 20)
    reader, writer = os.pipe()
    import dataclasses

    for change, text in (
        ({"size": 8 * PAGE}, "bytes"), ({"memory": reader}, "not that of memory"), ({"map": unsealed}, "sealed"),
        ({"page_map_offset": 1 << 30}, "bytes"), ({"memory_offset": 1 << 40}, "bytes"),
        ({"memory": 9999}, "descriptor"),
    ):  # fmt: skip
        with pytest.raises(StreamMemoryError, match=text):
            Image([dataclasses.replace(good, **change)], KEY, marks=True)  # type: ignore[arg-type]
    with pytest.raises(StreamMemoryError, match="order"):
        Image([good, good], KEY, marks=False)
    for fd in (unsealed, reader, writer):
        os.close(fd)
    memory.close()
