"""The builder's parts that need no compiler: archive, keys, publishing, what it says when something is missing."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from linux_guest import BUILD, ROOT

sys.path.insert(0, str(ROOT / "images" / "linux"))

from linuxbuild import cache, command, cpio, kernel, tools


def test_the_archive_is_what_cpio_reads(tmp_path: Path) -> None:
    if shutil.which("cpio") is None:
        pytest.skip("cpio is missing")
    archive = cpio.Archive()
    archive.add_device("dev/console", 5, 1)
    archive.add_file("bin/tool", b"#!/bin/sh\n", 0o755)
    archive.add_file("a/b/c", b"x" * 1001)
    archive.add_link("sbin/init", "/bin/tool")
    done = subprocess.run(["cpio", "-tv", "--quiet", "--numeric-uid-gid"], input=archive.to_bytes(),
                          capture_output=True, check=True, env={**os.environ, "TZ": "UTC", "LC_ALL": "C"})  # fmt: skip
    lines = done.stdout.decode().splitlines()
    assert [line.split()[-1] for line in lines if "->" not in line] == [
        "dev", "dev/console", "bin", "bin/tool", "a", "a/b", "a/b/c", "sbin"]  # fmt: skip
    rows = {line.split()[-1]: line for line in lines}
    assert rows["dev/console"].startswith("crw-------")
    assert "5,   1" in rows["dev/console"]
    assert rows["bin/tool"].startswith("-rwxr-xr-x   1 0        0              10 Jan  1  2026")
    assert "sbin/init -> /bin/tool" in lines[-1]
    subprocess.run(["cpio", "-i", "--quiet", "a/b/c", "a", "a/b"], input=archive.to_bytes(), check=True, cwd=tmp_path)
    assert (tmp_path / "a/b/c").read_bytes() == b"x" * 1001


def test_the_compressed_archive_has_no_date() -> None:
    archive = cpio.Archive()
    archive.add_file("x", b"1")
    data = archive.to_gzip()
    assert data[4:8] == bytes(4)
    assert gzip.decompress(data) == archive.to_bytes()


def test_options_that_do_not_survive_are_named() -> None:
    fragment = "# words\nCONFIG_A=y\nCONFIG_B=256\n# CONFIG_C is not set\n# CONFIG_D is not set\nCONFIG_E=y\n"
    config = "CONFIG_A=y\nCONFIG_B=128\nCONFIG_C=y\n# CONFIG_E is not set\n"
    assert kernel.lost_settings(fragment, config) == ["CONFIG_B=256", "# CONFIG_C is not set", "CONFIG_E=y"]


def test_keys_depend_on_words_and_contents(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("1")
    one = cache.make_key(["a", "bc"], [file])
    assert cache.make_key(["a", "bc"], [file]) == one
    assert cache.make_key(["ab", "c"], [file]) != one
    file.write_text("2")
    assert cache.make_key(["a", "bc"], [file]) != one


def test_publishing_keeps_what_is_there(tmp_path: Path) -> None:
    for number, name in enumerate(("first", "second")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "n").write_text(str(number))
        cache.publish(folder, tmp_path / "final")
    assert (tmp_path / "final" / "n").read_text() == "0"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["final"]


def test_missing_tools_are_named_by_package(tmp_path: Path) -> None:
    """With an empty PATH every command is missing."""
    done = subprocess.run([sys.executable, str(BUILD), "--cache", str(tmp_path / "c")], capture_output=True, text=True,
                          check=False, env={"PATH": str(tmp_path)})  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("linux: tools are missing (Debian: apt-get install ")
    for package in ("gcc-sparc64-linux-gnu", "flex", "bison", "dpkg-dev"):
        assert f" {package}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "c").exists()


def test_nothing_is_found_in_an_empty_cache(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, str(BUILD), "--find", "--cache", str(tmp_path)], capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == command.NO_BUILD
    assert "not built" in done.stderr


def test_a_command_that_fails_shows_its_end(tmp_path: Path) -> None:
    with pytest.raises(tools.BuildError, match=r"status 7.*\n  \+ sh -c echo one; echo two >&2; exit 7\n  one\n  two"):
        tools.run(["sh", "-c", "echo one; echo two >&2; exit 7"], log=tmp_path / "log")


def test_a_result_with_a_file_taken_away_is_none(tmp_path: Path) -> None:
    for name in command.OUTPUTS:
        assert not command.is_complete(tmp_path)
        (tmp_path / name).touch()
    assert command.is_complete(tmp_path)
