"""Build an unmodified Linux 6.1 for sparc64 and a small user land, as a guest for `sun4v run`.

Prints the folder that holds the result:

    vmlinux            the kernel, an ELF file: what `sun4v run` boots
    image              the same without symbols, as other emulators want it
    initramfs.cpio.gz  busybox and the programs of images/linux/programs
    config System.map  of the kernel
    manifest.json      versions and SHA-256 of all this

The kernel is Debian's linux-source-6.1 without a change: the installed package (/usr/src), or else downloaded with
apt-get. busybox comes from Debian's source package, on apt lists of our own made from the sources the host is
configured for. Nothing needs root. The same sources and compiler give the same bytes. A build takes some ten minutes
of two processors and 2 GB of disk; one that was cut goes on where it was; a second call finds the result at once.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from linuxbuild import busybox, debian, kernel
from linuxbuild.cache import default_cache, file_digest, locked, make_key, publish
from linuxbuild.initramfs import ROOTFS, make_initramfs
from linuxbuild.programs import build_programs, program_sources
from linuxbuild.tools import CROSS, DATE, BuildError, check_host, output, run

HERE = Path(__file__).resolve().parent
OUTPUTS = ("vmlinux", "image", "initramfs.cpio.gz", "config", "System.map", "manifest.json")
COMPILER_PACKAGES = ("gcc-12-sparc64-linux-gnu", "binutils-sparc64-linux-gnu", "libc6-dev-sparc64-cross")
NO_BUILD = 3


@dataclass(frozen=True)
class Options:
    """Where to build, from what."""

    cache: Path
    sources: Path | None
    jobs: int

    @property
    def parts(self) -> Path:
        """Parts, downloads and work."""
        return self.cache / "linux-parts"

    @property
    def source_folders(self) -> list[Path]:
        """Where sources may lie already."""
        return [*([self.sources] if self.sources else []), self.parts / "sources"]


def say(text: str) -> None:
    """Progress, for people."""
    print(f"linux: {text}", file=sys.stderr, flush=True)


def compiler() -> str:
    """Versions of what compiles: part of every key."""
    first = output([f"{CROSS}gcc", "--version"]).splitlines()[0]
    return "; ".join([first, *(f"{name} {debian.installed_version(name)}" for name in COMPILER_PACKAGES)])


def script(*names: str) -> list[Path]:
    """Files of this package that decide what comes out."""
    return [HERE / f"{name}.py" for name in names]


@dataclass(frozen=True)
class Keys:
    """Names of the result and of its parts, made of what goes in."""

    kernel: str
    busybox: str
    result: str


def find_keys(options: Options) -> Keys:
    """The keys for the sources that are there now, or that were used last."""
    tarball = debian.kernel_tarball(options.source_folders)
    linux = debian.kernel_version(tarball) if tarball else "none"
    description = debian.source_description(options.source_folders, "busybox")
    box = description.name if description else "none"
    tools = compiler()
    kernel_key = make_key(["kernel", str(kernel.RECIPE), DATE, linux, tools], [kernel.FRAGMENT])
    busybox_key = make_key(["busybox", str(busybox.RECIPE), DATE, box, tools, repr(busybox.SETTINGS)], [])
    files = [*program_sources(), *sorted(p for p in ROOTFS.rglob("*") if p.is_file())]
    result = make_key([kernel_key, busybox_key], [*files, *script("programs", "initramfs", "cpio")])
    return Keys(kernel_key, busybox_key, result)


def is_complete(folder: Path) -> bool:
    """True where a result is there. Results appear under their names when they are whole."""
    return all((folder / name).is_file() for name in OUTPUTS)


def find_result(cache: Path | None = None, sources: Path | None = None) -> Path | None:
    """The folder of a finished build for the inputs as they are now, or None. Raises BuildError without a compiler."""
    options = Options(cache or default_cache(), sources, 1)
    if shutil.which(f"{CROSS}gcc") is None:
        return None
    folder = options.cache / f"linux-{find_keys(options).result}"
    return folder if is_complete(folder) else None


def obtain_sources(options: Options) -> tuple[Path, Path]:
    """The kernel's tarball and busybox' .dsc, downloaded where they are not there."""
    sources, log = options.parts / "sources", options.parts / "sources.log"
    sources.mkdir(parents=True, exist_ok=True)
    tarball = debian.kernel_tarball(options.source_folders)
    if tarball is None:
        say(f"downloading {debian.KERNEL_PACKAGE}")
        tarball = debian.fetch_kernel(sources, log)
    description = debian.source_description(options.source_folders, "busybox")
    if description is None:
        say("downloading the source of busybox")
        description = debian.fetch_source(sources, "busybox", log)
    return tarball, description


def write_manifest(folder: Path, tarball: Path, description: Path) -> None:
    """Versions, and SHA-256 of everything else in the folder."""
    hashes = {path.name: file_digest(path) for path in sorted(folder.iterdir())}
    text = json.dumps(
        {
            "linux": f"{debian.KERNEL_PACKAGE} {debian.kernel_version(tarball)}",
            "linux_source_sha256": file_digest(tarball),
            "busybox": description.name.removesuffix(".dsc"),
            "compiler": compiler(),
            "sha256": hashes,
        },
        indent=1,
    )
    (folder / "manifest.json").write_text(text + "\n")


def build(options: Options) -> Path:
    """Build what is not there; returns the folder of the result."""
    check_host()
    with locked(options.parts):
        tarball, description = obtain_sources(options)
        keys = find_keys(options)
        final = options.cache / f"linux-{keys.result}"
        if is_complete(final):
            return final
        box, linux = options.parts / f"busybox-{keys.busybox}", options.parts / f"kernel-{keys.kernel}"
        steps = ((box, busybox.build_busybox, description), (linux, kernel.build_kernel, tarball))
        for part, make, source in steps:
            if part.is_dir():
                continue
            work = options.parts / f"work-{part.name}"
            work.mkdir(exist_ok=True)
            log = options.parts / f"{part.name}.log"
            say(f"building {part.name}; progress in {log}")
            make(source, work, part, jobs=options.jobs, log=log)
            run(["rm", "-rf", work], log=log)
        return assemble(options, final, linux, box, (tarball, description))


def assemble(options: Options, final: Path, linux: Path, box: Path, sources: tuple[Path, Path]) -> Path:
    """Compile our programs, pack the file system, publish."""
    partial = options.parts / f"work-{final.name}"
    shutil.rmtree(partial, ignore_errors=True)
    result = partial / "result"
    result.mkdir(parents=True)
    programs = build_programs(partial / "programs", options.parts / f"{final.name}.log")
    for name in ("vmlinux", "image", "config", "System.map"):
        shutil.copyfile(linux / name, result / name)
    archive = make_initramfs(box / "busybox", box / "busybox.links", programs)
    (result / "initramfs.cpio.gz").write_bytes(archive)
    write_manifest(result, *sources)
    shutil.rmtree(final, ignore_errors=True)  # one that is not complete: files were taken away
    publish(result, final)
    shutil.rmtree(partial)
    return final


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="images/linux/build", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", type=Path, default=default_cache(), metavar="FOLDER",
                        help="where to build and keep results (default $XDG_CACHE_HOME/sun4v or ~/.cache/sun4v)")
    parser.add_argument("--sources", type=Path, metavar="FOLDER",
                        help=f"a folder that may hold {debian.KERNEL_TARBALL} and busybox_*.dsc with its files")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="compilers at a time")
    parser.add_argument("--find", action="store_true", help="print the folder of a finished build, else status 3")
    return parser.parse_args(argv)  # fmt: skip


def main(argv: list[str]) -> int:
    """The command; returns the exit status."""
    args = parse_arguments(argv)
    options = Options(args.cache.absolute(), args.sources.absolute() if args.sources else None, max(1, args.jobs))
    try:
        if args.find:
            found = find_result(options.cache, options.sources)
            if found is None:
                say("not built (images/linux/build builds it)")
                return NO_BUILD
            print(found)
        else:
            print(build(options))
    except BuildError as error:
        say(str(error))
        return 1
    except OSError as error:
        say(f"{error.filename or ''}: {error.strerror or error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; the next call goes on from here")
        return 130
    return 0
