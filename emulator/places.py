"""Where a machine's sockets, process files and state are, and which of the machines are on.

With $S4V_HOME set, everything is below it: state in ``machines/NAME``, sockets in ``run/NAME``. Otherwise state is in
``$XDG_STATE_HOME/sun4v/NAME`` (default ``~/.local/state``), sockets in ``$XDG_RUNTIME_DIR/sun4v/NAME`` or, where a
host has none, in ``/tmp/sun4v-UID/NAME``, a directory that must be the user's own and nobody else's.

::

    run      hvctl.sock ldmd.sock  machine.pid ldmd.pid vntsd.pid
    state    machine.toml  machine.log ldmd.log vntsd.log  ldmd/store.sqlite  console/DOMAIN/console-log

A process holds a lock on its process file as long as it lives (`hold`): who looks (`holder`) is not deceived by a
number that another process has got since, nor by a socket that was left behind.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

from emulator.errors import EmulatorError

HOME = "S4V_HOME"
MACHINE = "SUN4V_MACHINE"
SOCKET_PATH_BYTES = 107
"""Longest path of a unix socket: unix(7), sun_path without its NUL."""
NAME_LETTERS = 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_FLOCK = struct.Struct("hhqqi4x")  # struct flock of a 64-bit Linux: type, whence, start, length, pid


class PlaceError(EmulatorError):
    """A name, directory or socket path that cannot be used, or a process file that is held."""

    code = "place"
    of_usage = True


class UnclearMachineError(PlaceError):
    """It is not clear which machine is meant. `on` are the names of those that are on."""

    code = "place.unclear"

    def __init__(self, message: str, on: tuple[str, ...]) -> None:
        super().__init__(message)
        self.on = on


@dataclass(frozen=True)
class Place:
    """The directories of one machine, and what is in them. Nothing needs to exist."""

    name: str
    run: Path
    state: Path

    @property
    def hvctl(self) -> Path:
        """Socket of the machine process."""
        return self.run / "hvctl.sock"

    @property
    def rpc(self) -> Path:
        """Socket of the manager."""
        return self.run / "ldmd.sock"

    @property
    def machine_pid(self) -> Path:
        """Process file of the machine."""
        return self.run / "machine.pid"

    @property
    def ldmd_pid(self) -> Path:
        """Process file of the manager."""
        return self.run / "ldmd.pid"

    @property
    def vntsd_pid(self) -> Path:
        """Process file of the console server."""
        return self.run / "vntsd.pid"

    @property
    def options(self) -> Path:
        """How the machine was last powered on: platform, memory, options (TOML)."""
        return self.state / "machine.toml"

    @property
    def machine_log(self) -> Path:
        """What the machine process has to say."""
        return self.state / "machine.log"

    @property
    def ldmd_log(self) -> Path:
        """What the manager has to say."""
        return self.state / "ldmd.log"

    @property
    def vntsd_log(self) -> Path:
        """What the console server has to say."""
        return self.state / "vntsd.log"

    @property
    def manager(self) -> Path:
        """Directory of the manager's store and certificates."""
        return self.state / "ldmd"

    @property
    def store(self) -> Path:
        """The manager's store."""
        return self.manager / "store.sqlite"

    def console_log(self, domain: str) -> Path:
        """What a domain has written on its console."""
        return self.state / "console" / domain / "console-log"

    @property
    def on(self) -> bool:
        """True while the machine's process lives."""
        return holder(self.machine_pid) is not None

    @property
    def crashed(self) -> bool:
        """True where the process is gone without having said good-bye."""
        return not self.on and bool(_text(self.machine_pid))

    def make(self) -> None:
        """Make the directories. Raises PlaceError, also where a socket would have too long a path."""
        check_socket_path(self.hvctl)
        check_socket_path(self.rpc)
        _make_private(self.run.parent)
        _make(self.run, 0o750)
        _make(self.state, 0o700)


def check_name(name: str) -> str:
    """A name that may stand in paths: letters, digits, ``-``, ``_`` and ``.``, the first a letter or digit.

    Raises PlaceError.
    """
    if len(name) > NAME_LETTERS or not _NAME.fullmatch(name):
        raise PlaceError(
            f"{name!r} is no name of a machine: at most {NAME_LETTERS} letters, digits and any of - _ ."
            " that begin with a letter or digit"
        )
    return name


def check_socket_path(path: Path) -> Path:
    """A path that a unix socket can be bound to. Raises PlaceError."""
    length = len(os.fsencode(path))
    if length > SOCKET_PATH_BYTES:
        raise PlaceError(
            f"{path}: the path of a socket has at most {SOCKET_PATH_BYTES} bytes, and this one {length};"
            f" set {HOME} to a shorter directory"
        )
    return path


def home() -> Path | None:
    """$S4V_HOME, made absolute; None where it is not set."""
    named = os.environ.get(HOME)
    return Path(os.path.abspath(named)) if named else None


def state_root() -> Path:
    """The directory that has one directory of state for each machine."""
    base = home()
    if base is not None:
        return base / "machines"
    named = os.environ.get("XDG_STATE_HOME", "")
    # the specification of these directories: a relative path is to be ignored
    return (Path(named) if os.path.isabs(named) else Path.home() / ".local" / "state") / "sun4v"


def run_root() -> Path:
    """The directory that has one directory of sockets for each machine."""
    base = home()
    if base is not None:
        return base / "run"
    named = os.environ.get("XDG_RUNTIME_DIR", "")
    return Path(named) / "sun4v" if os.path.isabs(named) else Path(f"/tmp/sun4v-{os.geteuid()}")


def place(name: str) -> Place:
    """Where a machine of that name is, whether there is one or not. Raises PlaceError for a bad name."""
    check_name(name)
    return Place(name, run_root() / name, state_root() / name)


def machine_names() -> tuple[str, ...]:
    """Machines that are on or have state, in order of the alphabet."""
    found: set[str] = set()
    for root in (state_root(), run_root()):
        try:
            entries = [entry.name for entry in os.scandir(root) if entry.is_dir()]
        except OSError:
            continue  # nothing there, or not for us
        found.update(name for name in entries if len(name) <= NAME_LETTERS and _NAME.fullmatch(name))
    return tuple(sorted(found))


def find_machine(name: str | None = None) -> Place:
    """The machine a command is about: the one named, else that of $SUN4V_MACHINE, else the only one that is on.

    One that is named need not be on. Raises PlaceError for a bad name, UnclearMachineError where none or several are
    on.
    """
    name = name or os.environ.get(MACHINE) or None
    if name is not None:
        return place(name)
    on = tuple(name for name in machine_names() if place(name).on)
    if len(on) == 1:
        return place(on[0])
    if not on:
        raise UnclearMachineError("no machine is on; `sun4v power-on NAME` powers one on", on)
    raise UnclearMachineError(
        f"several machines are on ({', '.join(on)}): say which with --machine NAME, or in {MACHINE}", on
    )


def check_known(where: Place) -> None:
    """Raises PlaceError where no machine has that name."""
    if where.name not in machine_names():
        raise PlaceError(why_off(where))


def why_off(where: Place) -> str:
    """Why nobody answers for a machine: it is off, or no machine has that name."""
    known = machine_names()
    if where.name in known:
        return f"machine {where.name} is not on"
    return f"there is no machine {where.name}; there are: {', '.join(known) or 'none'}"


# -- process files


class Hold:
    """A process file that is held: by this process, until `release`, or until the process ends in whatever way."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    def release(self) -> None:
        """Say good-bye: the file is empty from now on."""
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1


def hold(path: Path, *, pid: int | None = None) -> Hold:
    """Take a process file and write this process's number (or `pid`) into it. Raises PlaceError where it is held."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        # the lock belongs to this description of the file: it does not go when another one is closed (fcntl(2))
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except OSError:
        os.close(fd)
        raise PlaceError(f"{path}: held by process {_text(path) or 'of unknown number'}") from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid() if pid is None else pid}\n".encode(), 0)
    return Hold(path, fd)


def holder(path: Path) -> int | None:
    """Number of the process that holds a process file (0: it has not written it yet); None: nobody does."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_OFD_GETLK, asked))[0]
    finally:
        os.close(fd)
    if kind == fcntl.F_UNLCK:
        return None
    text = _text(path)
    return int(text) if text.isdecimal() else 0


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(64).decode("ascii", "replace").strip()
    except OSError:
        return ""


# -- directories


def _make(path: Path, mode: int) -> None:
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise PlaceError(f"{path}: {error.strerror or error}") from error


def _make_private(path: Path) -> None:
    """The directory of all sockets. Below /tmp anybody may have made it: then it is of no use."""
    _make(path, 0o700)
    if path.parent != Path("/tmp"):
        return
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PlaceError(
            f"{path}: not a directory that belongs to you alone; remove it, or set XDG_RUNTIME_DIR or {HOME}"
        )
