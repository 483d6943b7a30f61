"""The first root file system: busybox, our init, the test programs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from linuxbuild.cpio import Archive

ROOTFS = Path(__file__).resolve().parents[1] / "rootfs"
FOLDERS = ("bin", "sbin", "usr/bin", "usr/sbin", "proc", "sys", "dev", "etc", "root", "tmp", "var", "mnt")


def make_initramfs(busybox: Path, links: Path, programs: Mapping[str, Path]) -> bytes:
    """The archive, compressed. ``links`` has a path per line; programs go to /usr/bin under their names."""
    archive = Archive()
    for folder in FOLDERS:
        archive.add_folder(folder)
    # The kernel opens /dev/console before anything is mounted there.
    archive.add_device("dev/console", 5, 1)
    archive.add_device("dev/null", 1, 3, 0o666)
    archive.add_file("bin/busybox", busybox, 0o755)
    for line in sorted(links.read_text().split()):
        if line not in ("/bin/busybox", "/linuxrc") and not (ROOTFS / line.lstrip("/")).exists():
            archive.add_link(line, "/bin/busybox")
    for path in sorted(path for path in ROOTFS.rglob("*") if path.is_file()):
        mode = 0o755 if path.read_bytes()[:2] == b"#!" else 0o644
        archive.add_file(str(path.relative_to(ROOTFS)), path, mode)
    for name, path in sorted(programs.items()):
        archive.add_file(f"usr/bin/{name}", path, 0o755)
    return archive.to_gzip()
