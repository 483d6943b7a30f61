"""`sun4v disk`: look at images of disks, make overlays, commit, rebase and convert them."""

from __future__ import annotations

import argparse
import json
import os
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from emulator.arguments import OK, Parser, reporting
from emulator.backends import images
from emulator.backends.file import Backend, Identity
from emulator.backends.images import Access, image_kind, open_image, open_overlay, overlay_header
from emulator.backends.overlay import create_overlay
from emulator.errors import ConfigError, EmulatorError
from emulator.units import format_size

CHUNK = 1 << 20
EPILOG = """\
The name of a file says what it is: NAME.qcow2 an image of QEMU's, NAME.overlay
an overlay, every other name a raw image or a block device.

exit status:
  0    done
  1    it could not be done; nothing was changed, unless the message says so
  2    bad command line, or a file is not what it should be; nothing was changed
"""


class UnfinishedError(EmulatorError):
    """Some of it is done."""

    code = "disk.unfinished"


def add_disk(commands: argparse._SubParsersAction[Parser]) -> Parser:
    """The parser of `sun4v disk`."""
    parser: Parser = commands.add_parser(
        "disk", help="look at images of disks, make overlays, commit and convert them",
        description="Images of disks: raw files, qcow2 images, and overlays, which keep what is written away from the "
        "disk below.", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    verbs = parser.add_subparsers(metavar="VERB", required=True, parser_class=Parser)
    info = verbs.add_parser("info", help="what a file is, how large, and what is below it")
    info.add_argument("file", metavar="FILE", type=Path)
    info.add_argument("--json", action="store_true", help="print JSON, sizes in bytes")
    info.set_defaults(handler=reporting(_info))
    over = verbs.add_parser("overlay", help="make an overlay: what is written to it does not reach BASE")
    over.add_argument("base", metavar="BASE", type=Path)
    over.add_argument("file", metavar="FILE.overlay", type=Path, help="must not exist yet")
    over.set_defaults(handler=reporting(_overlay))
    commit = verbs.add_parser("commit", help="write what an overlay holds to the disk below, and empty it")
    commit.add_argument("file", metavar="FILE.overlay", type=Path)
    commit.set_defaults(handler=reporting(_commit))
    rebase = verbs.add_parser("rebase", help="tell an overlay where the disk below is now")
    rebase.add_argument("file", metavar="FILE.overlay", type=Path)
    rebase.add_argument("base", metavar="BASE", type=Path, nargs="?", help="the disk below; default: the one it has")
    rebase.add_argument("--unchanged", action="store_true",
                        help="take your word that BASE holds what it held, though it looks different")  # fmt: skip
    rebase.set_defaults(handler=reporting(_rebase))
    convert = verbs.add_parser("convert", help="copy a disk into a new image, of the kind that its name says")
    convert.add_argument("source", metavar="FROM", type=Path)
    convert.add_argument("target", metavar="TO", type=Path, help="must not exist yet")
    convert.set_defaults(handler=reporting(_convert))
    return parser


def _wants_overlay(path: Path) -> Path:
    if image_kind(path) != images.OVERLAY:
        raise ConfigError(f"{path}: the name of an overlay ends in {images.OVERLAY_SUFFIX}")
    return path


# -- info


def describe(path: Path) -> dict[str, Any]:
    """What is known of a file: {file, kind, size_bytes, host_bytes, state, kept_bytes?, below?}. Raises ConfigError.

    `state`: "ok", or what keeps it from being used.
    """
    kind = image_kind(path)
    try:
        host = path.stat().st_blocks * 512
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    found: dict[str, Any] = {"file": str(path), "kind": kind, "size_bytes": None, "host_bytes": host, "state": "ok"}
    if kind == images.OVERLAY:
        header = overlay_header(path)
        found |= {"size_bytes": header.size_bytes, "below": header.below.path, "kept_bytes": None}
    try:
        with closing(open_image(path, Access(read_only=True))) as disk:
            found["size_bytes"] = disk.size_bytes
            if kind == images.OVERLAY:
                found["kept_bytes"] = disk.kept_bytes  # type: ignore[attr-defined]
    except ConfigError as error:
        found["state"] = str(error)
    return found


def _info(options: argparse.Namespace) -> int:
    found = describe(options.file)
    if options.json:
        print(json.dumps(found, indent=2))
        return OK
    size = found["size_bytes"]
    print(f"file     {found['file']}\nkind     {found['kind']}")
    print(f"size     {'unknown' if size is None else f'{format_size(size)} ({size} bytes)'}")
    print(f"on host  {format_size(found['host_bytes'])}")
    if "below" in found:
        kept = found["kept_bytes"]
        print(f"kept     {'unknown' if kept is None else format_size(kept)}\nbelow    {found['below'] or 'unknown'}")
    print(f"state    {found['state']}")
    return OK


# -- the others


def _overlay(options: argparse.Namespace) -> int:
    path = _wants_overlay(options.file)
    create_overlay(path, open_image(options.base, Access(read_only=True)))
    return OK


def _commit(options: argparse.Namespace) -> int:
    path = _wants_overlay(options.file)
    header = overlay_header(path)
    with closing(open_overlay(path, below_read_only=False, changed=header.committing)) as disk:
        try:
            done = disk.commit()
        except OSError as error:
            raise UnfinishedError(f"{path}: the commit did not end ({error.strerror or error}); nothing is lost: "
                                  "repeat it when the cause is gone") from None  # fmt: skip
    print(f"{format_size(done)} written to {header.below.path}")
    return OK


def _rebase(options: argparse.Namespace) -> int:
    path = _wants_overlay(options.file)
    header = overlay_header(path)
    if header.committing:
        raise ConfigError(f"{path}: a commit of this overlay did not end; `sun4v disk commit {path}` ends it")
    name = options.base or header.below.path
    if not name:
        raise ConfigError(f"{path}: the overlay does not know the disk below: say which it is")
    now = Identity.of(Path(name))
    same = (header.below.size_bytes, header.below.mtime_ns) == (now.size_bytes, now.mtime_ns)
    if not same and not options.unchanged:
        raise ConfigError(f"{name} is not the disk below as it was (another size, or another time of its last change); "
                          "an overlay upon other contents is garbage. --unchanged where you know that only the time "
                          "differs")  # fmt: skip
    with closing(open_overlay(path, below=name, changed=True)) as disk:
        disk.rebase(now)
    return OK


def _convert(options: argparse.Namespace) -> int:
    target: Path = options.target
    with closing(open_image(options.source, Access(read_only=True))) as source:
        images.create_image(target, source.size_bytes)
        try:
            with closing(open_image(target, Access())) as copy:
                copy_disk(source, copy)
        except BaseException:
            with suppress(OSError):
                os.unlink(target)
            raise
    return OK


def copy_disk(source: Backend, target: Backend) -> None:
    """All of a disk to an empty one of its size; zeros are not written. Raises OSError."""
    for at in range(0, source.size_bytes, CHUNK):
        data = source.read(at, min(CHUNK, source.size_bytes - at))
        if data.count(0) == len(data):
            continue
        target.write(at, data)
    target.flush()


