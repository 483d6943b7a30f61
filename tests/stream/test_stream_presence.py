"""Pages that follow: what a peer, or the other process behind the shared file, may say; nothing outside is touched."""

from __future__ import annotations

import mmap
import os
import random
import struct
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from stream_support import PAGE, Memory, fill, sealed

from emulator._core_stream import KEY_BYTES, Buffer, ChunkError, Image, StreamMemoryError
from emulator.stream import chunks
from emulator.stream.bucket import Bucket
from emulator.stream.pushes import Pushes, pages_of_a_push

SEED = int(os.environ.get("SUN4V_TEST_SEED", "1"))
HEADER, MAGIC, RING = 4096, 0x50533453, 256
RANGES = [(0, 96 * PAGE), (128 * PAGE, 64 * PAGE), (1 << 40, 16 * PAGE)]
NUMBERS = [ra // PAGE + n for ra, size in RANGES for n in range(size // PAGE)]


def image_of(memory: Memory, *, marks: bool = False) -> Image:
    blocks = [SimpleNamespace(**{**block, "memory": memory.fd, "map": memory.map_fd}) for block in memory.blocks()]
    return Image(blocks, bytes(KEY_BYTES), marks=marks)  # type: ignore[arg-type]


def presence_file(pages: int, *, magic: int = MAGIC, said: int | None = None) -> int:
    fd = sealed(HEADER + pages)
    os.pwrite(fd, struct.pack("<4IQQ", magic, 0, 0, 0, pages if said is None else said, 0), 0)
    return fd


@pytest.fixture
def memory() -> Iterator[Memory]:
    made = Memory(RANGES)
    fill(made, random.Random(SEED), populated=0.7)
    yield made
    made.close()


def test_what_is_no_presence_file_is_refused(memory: Memory) -> None:
    image = image_of(memory)
    pages = len(NUMBERS)
    unsealed = os.memfd_create("presence")
    os.ftruncate(unsealed, HEADER + pages)
    for fd in (unsealed, presence_file(pages - 1), presence_file(pages + 1), presence_file(pages, magic=1),
               presence_file(pages, said=pages * 2), memory.fd):  # fmt: skip
        with pytest.raises(StreamMemoryError):
            image.presence(fd)
    fd = presence_file(pages)
    image.presence(fd)
    with pytest.raises(StreamMemoryError):
        image.presence(fd)
    image.close()


def test_missing_pages_of_a_hostile_peer(memory: Memory) -> None:
    """Ranges at random: refused, or exactly the pages of this memory that they name are missing."""
    rng = random.Random(SEED)
    print("seed", SEED)
    pages, known = len(NUMBERS), {number: index for index, number in enumerate(NUMBERS)}
    for _ in range(300):
        image, fd = image_of(memory), presence_file(pages)
        image.presence(fd)
        wanted: set[int] = set()
        for _ in range(rng.randrange(1, 5)):
            first = rng.choice([*NUMBERS, 0, 95, 96, (1 << 64) - 1, (1 << 61), rng.randrange(1 << 64)])
            end = min(first + rng.choice([0, 1, 2, 40, 100, 1 << 40]), (1 << 64) - 1)
            named = range(first, end)
            good = first < end and len(named) <= pages and all(number in known for number in named)
            try:
                image.missing([first, end])
                assert good, (first, end)
                wanted |= {known[number] for number in named}
            except ChunkError:
                assert not good, (first, end)
                wanted |= {n for n, byte in enumerate(os.pread(fd, pages, HEADER)) if byte}  # those before the stranger
        assert {n for n, byte in enumerate(os.pread(fd, pages, HEADER)) if byte} == wanted
        assert image.left() == len(wanted) and os.fstat(fd).st_size == HEADER + pages
        image.close()
        os.close(fd)


def test_a_machine_that_asks_for_nonsense(memory: Memory) -> None:
    """Head, tail and ring are shared with another process: whatever they say, only numbers of this memory come out."""
    rng = random.Random(SEED)
    image, fd = image_of(memory), presence_file(len(NUMBERS))
    image.presence(fd)
    view = mmap.mmap(fd, 0)
    for _ in range(500):
        struct.pack_into("<II", view, 36, rng.randrange(1 << 32), rng.randrange(1 << 32))
        for slot in range(RING):
            struct.pack_into("<Q", view, 48 + 8 * slot, rng.choice([rng.randrange(1 << 64), rng.randrange(400)]))
        found = image.asked(rng.choice([1, 32, 4096]))
        assert len(found) <= RING and set(found) <= set(NUMBERS)
    view.close()
    image.close()


def test_pages_that_a_hostile_target_asks_for(memory: Memory) -> None:
    """None but pending pages is sent, each once, in the order that is asked for."""
    rng = random.Random(SEED)
    image, buffer, left = image_of(memory), Buffer(), set[int]()
    image.serve()
    at = 0
    while at < image.pages:
        at, _ = image.populated(at)
    for ranges in image.pending_ranges(3):
        for first, end in zip(ranges[::2], ranges[1::2], strict=True):
            left |= set(range(first, end))
    assert len(left) == image.pending() and left <= set(NUMBERS)
    while left:
        number = rng.choice([*NUMBERS, rng.randrange(1 << 64)])
        if number not in NUMBERS:
            with pytest.raises(ChunkError):
                image.take_at(buffer, number, 4)
            continue
        taken = image.take_at(buffer, number, 4)
        at = taken.pages * PAGE
        sent = struct.unpack_from(f"<{taken.pages + taken.zeros}Q", buffer.payload, at)
        assert bool(sent) == (number in left) and set(sent) <= left and (not sent or number in sent)
        left -= set(sent)
    assert image.pending() == 0
    image.close()


@pytest.mark.parametrize(("cap", "most"), [(None, 32), (1000, 1), (1_000_000, 2), (4_000_000, 9), (1 << 40, 32)])
def test_a_push_is_what_a_cap_lets_through_in_20_ms(cap: int | None, most: int) -> None:
    assert pages_of_a_push(cap, 32) == most


def test_pushes_under_a_cap_leave_no_page_out_and_send_none_twice(memory: Memory) -> None:
    """Two channels push few pages at a time, a third one takes what is asked for."""
    rng = random.Random(SEED)
    image, buffer, left = image_of(memory), Buffer(), set[int]()
    image.serve()
    at = 0
    while at < image.pages:
        at, _ = image.populated(at)
    for ranges in image.pending_ranges(chunks.MISSING_RANGES):
        for first, end in zip(ranges[::2], ranges[1::2], strict=True):
            left |= set(range(first, end))
    pushes, asked = [Pushes(image), Pushes(image)], sorted(left)
    while image.pending():
        most = rng.randrange(1, 6)
        taken = (image.take_at(buffer, rng.choice(asked), 4) if rng.random() < 0.3
                 else pushes[rng.randrange(2)].take(buffer, most))
        if taken is None:
            continue
        sent = set(struct.unpack_from(f"<{taken.pages + taken.zeros}Q", buffer.payload, taken.pages * PAGE))
        assert sent <= left and len(sent) == taken.pages + taken.zeros and taken.pages <= max(most, 4)
        left -= sent
    assert left == set() and all(each.take(buffer, 3) is None for each in pushes)
    image.close()


def test_what_is_urgent_does_not_wait_for_its_turn_and_others_pay() -> None:
    now = [0.0]
    bucket = Bucket(1_000_000, lambda: now[0])
    bucket.spend(32768)  # a push, which then waits
    assert bucket.spend(32768) > 0.03  # the urgent one: nobody waits for this
    assert bucket.spend(8192) == pytest.approx(0.0737, abs=0.02)


def test_bodies_of_numbers() -> None:
    rng = random.Random(SEED)
    for _ in range(2000):
        data, pairs = rng.randbytes(rng.randrange(300)), rng.random() < 0.5
        count = len(data) // 8
        good = len(data) % 8 == 0 and 1 <= count <= 32 and not (pairs and count % 2)
        try:
            numbers = chunks.parse_numbers(data, "REQ", most=32, pairs=pairs)
            assert good and chunks.pack_numbers(numbers) == data
        except ChunkError:
            assert not good
