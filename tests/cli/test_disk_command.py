"""`sun4v disk`: what it prints, does, and refuses."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from emulator.backends import qcow2
from emulator.backends.images import Access, open_image
from emulator.cli import main

SIZE = 1 << 20


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.img"
    path.write_bytes(random.Random(5).randbytes(SIZE))
    return path


def sun4v(capsys: pytest.CaptureFixture[str], *words: object, status: int = 0) -> str:
    assert main(["disk", *map(str, words)]) == status
    out = capsys.readouterr()
    return out.err if status else out.out


def write(path: Path, at: int, data: bytes) -> None:
    disk = open_image(path, Access())
    disk.write(at, data)
    disk.flush()
    disk.close()


def test_the_life_of_an_overlay(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = base.read_bytes()
    over = base.with_name("o.overlay")
    assert sun4v(capsys, "overlay", base, over) == ""
    assert "exists" in sun4v(capsys, "overlay", base, over, status=2)
    write(over, 4096, b"o" * 512)
    said = sun4v(capsys, "info", over)
    assert f"kind     overlay\nsize     1M ({SIZE} bytes)\n" in said
    assert f"kept     32K\nbelow    {base}\nstate    ok\n" in said
    assert base.read_bytes() == before
    assert sun4v(capsys, "commit", over) == f"32K written to {base}\n"
    assert base.read_bytes() == before[:4096] + b"o" * 512 + before[4608:]
    found = json.loads(sun4v(capsys, "info", "--json", over))
    assert (found["kept_bytes"], found["size_bytes"], found["state"]) == (0, SIZE, "ok")


def test_rebase(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    over = base.with_name("o.overlay")
    sun4v(capsys, "overlay", base, over)
    write(over, 0, b"o" * 512)
    moved = base.rename(base.with_name("moved.img"))
    assert "the disk below cannot be used" in sun4v(capsys, "info", over)
    assert sun4v(capsys, "rebase", over, moved) == ""
    assert f"below    {moved}\nstate    ok\n" in sun4v(capsys, "info", over)
    os.utime(moved, ns=(7, 7))
    assert "is not what it was" in sun4v(capsys, "info", over)
    assert "--unchanged" in sun4v(capsys, "rebase", over, status=2)
    assert "is not what it was" in sun4v(capsys, "commit", over, status=2)
    sun4v(capsys, "rebase", "--unchanged", over)
    assert "state    ok\n" in sun4v(capsys, "info", over)
    other = base.with_name("other.img")
    other.write_bytes(bytes(SIZE // 2))
    assert "not an overlay of a disk of 512K" in sun4v(capsys, "rebase", "--unchanged", over, other, status=2)


def test_convert_an_overlay_to_raw(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    over, flat = base.with_name("o.overlay"), base.with_name("flat.img")
    sun4v(capsys, "overlay", base, over)
    write(over, 512, b"x" * 1024)
    assert sun4v(capsys, "convert", over, flat) == ""
    before = base.read_bytes()
    assert flat.read_bytes() == before[:512] + b"x" * 1024 + before[1536:]
    assert "exists" in sun4v(capsys, "convert", over, flat, status=2)


def test_convert_keeps_holes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "sparse.img"
    with source.open("wb") as file:
        file.truncate(64 << 20)
        file.seek(32 << 20)
        file.write(b"here")
    sun4v(capsys, "convert", source, tmp_path / "copy.img")
    assert (tmp_path / "copy.img").read_bytes() == source.read_bytes()
    assert (tmp_path / "copy.img").stat().st_blocks * 512 < 4 << 20


@pytest.mark.skipif(not qcow2.is_supported(), reason="neither qemu-nbd nor qemu-storage-daemon is installed")
def test_convert_to_qcow2_and_back(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed, back = base.with_name("packed.qcow2"), base.with_name("back.img")
    sun4v(capsys, "convert", base, packed)
    assert f"kind     qcow2\nsize     1M ({SIZE} bytes)\n" in sun4v(capsys, "info", packed)
    sun4v(capsys, "convert", packed, back)
    assert back.read_bytes() == base.read_bytes()


def test_what_is_refused(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = base.with_name("missing.img")
    assert "No such file" in sun4v(capsys, "info", missing, status=2)
    assert "No such file" in sun4v(capsys, "convert", missing, base.with_name("c.img"), status=2)
    assert not base.with_name("c.img").exists()
    assert "ends in .overlay" in sun4v(capsys, "overlay", base, base.with_name("o.img"), status=2)
    assert "ends in .overlay" in sun4v(capsys, "commit", base, status=2)
    assert "is made of a disk" in sun4v(capsys, "convert", base, base.with_name("c.overlay"), status=2)
