"""The committed guest programs are what their sources build, and the manifest names each of them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

IMAGES = Path(__file__).resolve().parents[2] / "images"
MANIFEST = tomllib.loads((IMAGES / "manifest.toml").read_text())
CROSS_GCC = "sparc64-linux-gnu-gcc"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_manifest_names_every_prebuilt_program() -> None:
    assert {f"{name}.elf" for name in MANIFEST["program"]} == {p.name for p in (IMAGES / "prebuilt").iterdir()}


@pytest.mark.parametrize("name", sorted(MANIFEST["program"]))
def test_prebuilt_program_has_its_manifest_digest(name: str) -> None:
    row = MANIFEST["program"][name]
    assert sha256(IMAGES / "prebuilt" / f"{name}.elf") == row["sha256"]
    assert (IMAGES / row["source"]).is_file()
    assert row["about"]


def cross_compiler() -> str | None:
    if shutil.which(CROSS_GCC) is None:
        return None
    return subprocess.run([CROSS_GCC, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


@pytest.mark.slow
@pytest.mark.skipif(cross_compiler() != MANIFEST["compiler"], reason=f"needs {MANIFEST['compiler']}")
def test_sources_rebuild_to_the_same_bytes(tmp_path: Path) -> None:
    subprocess.run(["make", "-s", "-C", str(IMAGES), f"OUT={tmp_path}"], check=True)
    for name, row in MANIFEST["program"].items():
        assert sha256(tmp_path / f"{name}.elf") == row["sha256"], name
