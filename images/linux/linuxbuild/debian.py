"""Debian's packages: their versions, and sources brought without root and without a change to the host."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from linuxbuild.tools import BuildError, clean_environment, run

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
KERNEL_PACKAGE = "linux-source-6.1"
KERNEL_TARBALL = f"{KERNEL_PACKAGE}.tar.xz"
INSTALLED_TARBALL = Path("/usr/src") / KERNEL_TARBALL


def installed_version(package: str) -> str | None:
    """Version of an installed package, or None."""
    command = ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", package]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean_environment())
    status, _, version = done.stdout.partition(" ")
    return version if done.returncode == 0 and status == "installed" else None


def source_lines() -> list[str]:
    """A deb-src line for each suite of the Debian archive this host takes binary packages from (not -security)."""
    form = "$(LABEL) $(CREATED_BY) $(COMPONENT) $(REPO_URI) $(RELEASE)"
    done = subprocess.run(["apt-get", "indextargets", "--format", form], capture_output=True, text=True, check=True)
    rows = sorted({line for line in done.stdout.splitlines() if line.startswith("Debian Packages main ")})
    if not rows:
        raise FileNotFoundError("apt knows no Debian archive (apt-get update first?)")
    return [f"deb-src [signed-by={KEYRING}] {uri} {release} main" for _, _, _, uri, release in map(str.split, rows)]


def apt_source_commands(work: Path, package: str) -> list[list[str]]:
    """Commands that download a package's source to the folder they run in, on apt lists of their own in ``work``."""
    for name in ("lists/partial", "cache/archives/partial", "parts"):
        (work / name).mkdir(parents=True, exist_ok=True)
    (work / "sources.list").write_text("\n".join(source_lines()) + "\n")
    options = {"Dir::Etc::sourcelist": work / "sources.list", "Dir::Etc::sourceparts": work / "parts",
               "Dir::State::lists": work / "lists", "Dir::Cache": work / "cache", "APT::Sandbox::User": "",
               "Acquire::Languages": "none"}  # fmt: skip
    apt = ["apt-get", "-q", *(f"-o{key}={value}" for key, value in options.items())]
    return [[*apt, "update"], [*apt, "source", "--download-only", package]]


def kernel_tarball(folders: Iterable[Path]) -> Path | None:
    """The kernel's source tarball: the first of the folders that has it, or the one the package has installed."""
    candidates = [*(folder / KERNEL_TARBALL for folder in folders), INSTALLED_TARBALL]
    return next((path for path in candidates if path.is_file()), None)


def fetch_kernel(sources: Path, log: Path) -> Path:
    """Download the package of the kernel's source and take the tarball out of it."""
    work = sources / "kernel.partial"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    run(["apt-get", "-q", "-oAPT::Sandbox::User=", "download", KERNEL_PACKAGE], log=log, cwd=work)
    packages = list(work.glob("*.deb"))
    if len(packages) != 1:
        raise BuildError(f"apt-get download {KERNEL_PACKAGE} gave {len(packages)} packages")
    run(["dpkg-deb", "-x", packages[0], work / "tree"], log=log)
    version = packages[0].name.split("_")[1].replace("%3a", ":")
    (sources / f"{KERNEL_TARBALL}.version").write_text(version + "\n")
    os.replace(work / "tree" / INSTALLED_TARBALL.relative_to("/"), sources / KERNEL_TARBALL)
    shutil.rmtree(work)
    return sources / KERNEL_TARBALL


def kernel_version(tarball: Path) -> str:
    """The package version of a kernel tarball; for one of unknown origin its size."""
    if tarball == INSTALLED_TARBALL and (version := installed_version(KERNEL_PACKAGE)):
        return version
    note = tarball.with_name(f"{tarball.name}.version")
    return note.read_text().strip() if note.is_file() else f"{tarball.stat().st_size} bytes"


def source_description(folders: Iterable[Path], package: str) -> Path | None:
    """The .dsc of a source package in the first of the folders that has one; of several the last by name."""
    for folder in folders:
        if found := sorted(folder.glob(f"{package}_*.dsc")):
            return found[-1]
    return None


def fetch_source(sources: Path, package: str, log: Path) -> Path:
    """Download a source package; returns its .dsc."""
    work, download = sources / "apt.partial", sources / f"{package}.partial"
    for folder in (work, download):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    try:
        commands = apt_source_commands(work, package)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BuildError(f"no source of {package}: {error}") from None
    for command in commands:
        run(command, log=log, cwd=download)
    files = sorted(download.iterdir(), key=lambda path: path.suffix == ".dsc")  # the .dsc last: then all is there
    for path in files:
        os.replace(path, sources / path.name)
    for folder in (work, download):
        shutil.rmtree(folder)
    found = source_description([sources], package)
    if found is None:
        raise BuildError(f"apt-get source {package} gave no .dsc")
    return found
