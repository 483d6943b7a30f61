"""The ELF loader against files that want to harm it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from elf_support import ENTRY, NOP, Load, code, make_elf, program

from emulator import Machine
from emulator.errors import ImageError
from emulator.loader import load_image, parse_image, read_image

WORDS = code(NOP, NOP)


def refusal(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        parse_image(data)
    assert "\n" not in str(caught.value)
    return caught.value.code


def test_a_good_file() -> None:
    data = make_elf(
        [
            Load(data=WORDS, pa=ENTRY, va=0x400000, flags=5),
            Load(data=b"data", pa=0x20000, memory_bytes=100, flags=6),
            Load(data=b"note", kind=4, pa=0x90000),
        ],
        entry=0x400004,
    )
    image = parse_image(data)
    assert image.entry == ENTRY + 4  # the strand starts with the MMU off: a real address
    assert [(s.ra, s.data, s.memory_bytes, s.executable) for s in image.segments] == [
        (ENTRY, WORDS, 8, True),
        (0x20000, b"data", 100, False),
    ]
    assert image.end == 0x20064


@pytest.mark.parametrize(
    ("data", "error_code"),
    [
        (b"", "not-elf"),
        (b"#!/bin/sh\n" * 20, "not-elf"),
        (b"\x7fELF", "truncated"),
        (program(NOP)[:63], "truncated"),
        (make_elf([Load(data=WORDS)], ident=b"\x7fELF\x01\x02\x01" + bytes(9)), "class"),
        (make_elf([Load(data=WORDS)], ident=b"\x7fELF\x02\x01\x01" + bytes(9)), "data"),
        (make_elf([Load(data=WORDS)], ident=b"\x7fELF\x02\x02\x09" + bytes(9)), "version"),
        (make_elf([Load(data=WORDS)], machine=62), "machine"),
        (make_elf([Load(data=WORDS)], machine=2), "machine"),
        (make_elf([Load(data=WORDS)], kind=1), "type"),
        (make_elf([Load(data=WORDS)], kind=3), "type"),
        (make_elf([Load(data=WORDS)], ehsize=0), "header"),
        (make_elf([Load(data=WORDS)], phentsize=32), "header"),
        (make_elf([Load(data=WORDS)], phnum=0), "empty"),
        (make_elf([Load(data=WORDS)], phnum=2), "truncated"),
        (make_elf([Load(data=WORDS)], phnum=0xFFFF), "header"),
        (make_elf([Load(data=WORDS)], phoff=(1 << 64) - 8), "truncated"),
        (make_elf([Load(data=WORDS)], phoff=1 << 20), "truncated"),
        (program(NOP, NOP)[:-1], "truncated"),
        (make_elf([Load(data=WORDS, file_bytes=1 << 40)]), "truncated"),
        (make_elf([Load(data=WORDS, offset=(1 << 64) - 4)]), "truncated"),
        (make_elf([Load(data=WORDS, memory_bytes=4)]), "segment"),
        (make_elf([Load(data=WORDS, pa=(1 << 64) - 4, va=ENTRY)]), "segment"),
        (make_elf([Load(data=WORDS, memory_bytes=(1 << 64) - 1)]), "segment"),
        (make_elf([Load(data=WORDS, kind=3), Load(data=WORDS)]), "dynamic"),
        (make_elf([Load(data=WORDS, kind=4)]), "empty"),
        (make_elf([Load(data=WORDS), Load(data=WORDS, pa=ENTRY + 4)]), "overlap"),
        (make_elf([Load(data=WORDS), Load(data=b"x", pa=ENTRY - 100, memory_bytes=101)]), "overlap"),
        (make_elf([Load(data=WORDS)], entry=ENTRY + 2), "entry"),
        (make_elf([Load(data=WORDS)], entry=ENTRY + 8), "entry"),
        (make_elf([Load(data=WORDS, flags=6)]), "entry"),
    ],
)
def test_each_check_refuses(data: bytes, error_code: str) -> None:
    assert refusal(data) == f"image.{error_code}"


def test_random_damage_never_gets_past_the_parser_as_another_error() -> None:
    """Flip and cut bytes of a good file: it parses, or it is an ImageError."""
    seed = 20260
    print(f"seed {seed}")
    rng = random.Random(seed)
    good = make_elf([Load(data=WORDS), Load(data=b"data", pa=0x20000, memory_bytes=100)])
    refused = 0
    for _ in range(20_000):
        data = bytearray(good[: rng.choice([len(good), rng.randrange(len(good))])])
        for _ in range(rng.randrange(4)):
            if data:
                data[rng.randrange(len(data))] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        try:
            image = parse_image(bytes(data))
        except ImageError:
            refused += 1
        else:
            assert all(s.end <= 1 << 64 and len(s.data) <= s.memory_bytes for s in image.segments)
    assert 5_000 < refused < 20_000


def test_unreadable_files(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none", Path("a\0b")):
        with pytest.raises(ImageError) as caught:
            read_image(path)
        assert caught.value.code == "image.unreadable"


def test_loading_writes_the_bytes_and_zeroes_the_rest() -> None:
    with Machine("1M") as machine:
        machine.memory.write(0x20000, b"\xff" * 200)
        image = parse_image(make_elf([Load(data=WORDS), Load(data=b"data", pa=0x20000, memory_bytes=100)]))
        load_image(machine.memory, image)
        assert machine.memory.read(ENTRY, 8) == WORDS
        assert machine.memory.read(0x20000, 101) == b"data" + bytes(96) + b"\xff"


def test_a_program_that_does_not_fit_changes_nothing() -> None:
    with Machine("128K") as machine:
        image = parse_image(make_elf([Load(data=WORDS), Load(data=b"x", pa=0x1FFFF, memory_bytes=2)]))
        with pytest.raises(ImageError, match="the guest has 128K") as caught:
            load_image(machine.memory, image)
        assert caught.value.code == "image.memory"
        assert machine.memory.read(ENTRY, 8) == bytes(8)
