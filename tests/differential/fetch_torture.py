"""Fetch gcc's `execute` torture tests from Debian's gcc source package into a cache folder.

    python tests/differential/fetch_torture.py [--cache FOLDER]

Needs Debian, apt-get and the network, not root: apt works on lists and sources of its own below the cache folder,
made from the binary package sources the host is configured for; nothing of the host's configuration is changed. Only
gcc/testsuite/gcc.c-torture is kept (some 16 MB). Where the tests are there already, nothing is done. Default cache:
$XDG_CACHE_HOME/sun4v or ~/.cache/sun4v.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "images" / "linux"))

from linuxbuild.cache import default_cache
from linuxbuild.debian import apt_source_commands

PACKAGE = "gcc-12"
WANTED = "gcc/testsuite/gcc.c-torture/"


def torture_folder(cache: Path | None = None) -> Path | None:
    """The folder of the execute tests, or None: $S4V_GCC_SOURCE (a gcc source tree), else the cache."""
    source = os.environ.get("S4V_GCC_SOURCE")
    if source:
        folder = Path(source) / WANTED / "execute"
        return folder if folder.is_dir() else None
    folder = (cache or default_cache()) / "gcc-torture" / "execute"
    return folder if folder.is_dir() else None


def apt_download(work: Path) -> None:
    """`apt-get source --download-only` with private lists; the files land in ``work``."""
    (work / "download").mkdir(parents=True, exist_ok=True)
    for command in apt_source_commands(work, PACKAGE):
        subprocess.run(command, check=True, cwd=work / "download")


def extract(archive: Path, target: Path) -> int:
    """Extract the torture tests of a tarball, or of a tarball inside it, below ``target``; returns how many files."""
    count = 0
    with tarfile.open(archive) as outer:
        for member in outer:
            if not member.isfile():
                continue
            if member.name.endswith((".tar.xz", ".tar.gz", ".tar.bz2")):
                inner = target / "inner.tar"
                with outer.extractfile(member) as data, inner.open("wb") as out:  # type: ignore[union-attr]
                    shutil.copyfileobj(data, out)
                count += extract(inner, target)
                inner.unlink()
            elif WANTED in member.name:
                path = target / member.name.split(WANTED, 1)[1]
                if ".." in path.parts:
                    raise ValueError(f"{archive}: path {member.name}")
                path.parent.mkdir(parents=True, exist_ok=True)
                with outer.extractfile(member) as data:  # type: ignore[union-attr]
                    path.write_bytes(data.read())
                count += 1
    return count


def fetch(cache: Path) -> Path:
    """Download and unpack unless done before; returns the folder of the execute tests."""
    found = torture_folder(cache)
    if found is not None:
        return found
    work, partial = cache / "apt", cache / "gcc-torture.partial"
    for folder in (work, partial):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    apt_download(work)
    archives = sorted((work / "download").glob("*.orig.tar.*"))
    count = sum(extract(path, partial) for path in archives if not path.name.endswith(".asc"))
    if not (partial / "execute").is_dir():
        raise FileNotFoundError(f"no torture tests in {[p.name for p in archives]}")
    partial.rename(cache / "gcc-torture")
    shutil.rmtree(work)
    print(f"fetch_torture: {count} files")
    return cache / "gcc-torture" / "execute"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cache", type=Path, default=default_cache())
    args = parser.parse_args(argv)
    try:
        print(fetch(args.cache))
    except (OSError, ValueError, tarfile.TarError, subprocess.CalledProcessError) as error:
        print(f"fetch_torture: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
