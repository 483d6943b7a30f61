"""Passwords of those who may send domains to this machine: the file `passwd` in the manager's directory.

`sun4v passwd` writes it, ldmd reads it for every migration that comes with a password. A line for each user:
``NAME:scrypt:N:R:P:SALT:HASH``, salt and hash in hexadecimal (RFC 7914). The file is its owner's alone (0600), and is
replaced whole. Nothing here says whether a user exists: an unknown one costs as much time as a wrong password.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ldmd.messages import refuse

FILE = "passwd"
LOCK = "passwd.lock"
PASSWORD_BYTES = 1024
"""Longest password, in UTF-8."""
_N, _R, _P = 1 << 14, 8, 1
_COST_LIMIT = 1 << 20
"""Greatest N that a file may ask for: 1 GiB of memory with r = 8."""
_SALT_BYTES, _HASH_BYTES = 16, 32
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_LINE = re.compile(r"scrypt:(\d{1,7}):(\d{1,2}):(\d{1,2}):([0-9a-f]{16,128}):([0-9a-f]{32,128})")


@dataclass(frozen=True)
class Hash:
    """What is kept of a password."""

    n: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    def fits(self, password: str) -> bool:
        """Whether it is this password's; takes as long for any."""
        return hmac.compare_digest(_scrypt(password, self), self.digest)

    def text(self) -> str:
        """As in the file."""
        return f"scrypt:{self.n}:{self.r}:{self.p}:{self.salt.hex()}:{self.digest.hex()}"


_NOBODY = Hash(_N, _R, _P, bytes(_SALT_BYTES), bytes(_HASH_BYTES))


def _scrypt(password: str, like: Hash) -> bytes:
    data = password.encode("utf-8", "surrogateescape")[:PASSWORD_BYTES]
    return hashlib.scrypt(data, salt=like.salt, n=like.n, r=like.r, p=like.p, dklen=len(like.digest),
                          maxmem=256 * like.n * like.r)


def check_user(user: str) -> str:
    """A name that may stand in the file. Raises RefusedError password.user."""
    if not _USER.fullmatch(user):
        refuse("password.user", user=user[:64])
    return user


def check_password(password: str) -> str:
    """One that can be kept. Raises RefusedError password.bad."""
    if not password:
        refuse("password.bad", why="it is empty")
    if len(password.encode("utf-8", "surrogateescape")) > PASSWORD_BYTES:
        refuse("password.bad", why=f"it has more than {PASSWORD_BYTES} bytes")
    if any(letter in password for letter in "\n\r\0"):
        refuse("password.bad", why="a line ends in it")
    return password


def users(directory: Path) -> tuple[str, ...]:
    """Who has one. Raises RefusedError password.file."""
    return tuple(_read(directory))


def verify(directory: Path, user: str, password: str) -> bool:
    """Whether the user has this password; False where he has none. Raises RefusedError password.file."""
    known = _read(directory).get(user)
    right = (known or _NOBODY).fits(password)
    return right and known is not None


def set_password(directory: Path, user: str, password: str) -> None:
    """Keep a user's password, durably; the old one is no longer his. Raises RefusedError."""
    check_user(user)
    check_password(password)
    blank = Hash(_N, _R, _P, secrets.token_bytes(_SALT_BYTES), bytes(_HASH_BYTES))
    kept = Hash(blank.n, blank.r, blank.p, blank.salt, _scrypt(password, blank))
    with _locked(directory):
        _write(directory, _read(directory) | {user: kept})


def remove_password(directory: Path, user: str) -> bool:
    """Take a user's password away; False where he has none."""
    with _locked(directory):
        known = _read(directory)
        if known.pop(user, None) is None:
            return False
        _write(directory, known)
    return True


# -- the file


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Of two who write at once the second one begins with what the first one wrote."""
    fd = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _read(directory: Path) -> dict[str, Hash]:
    path = directory / FILE
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno())
            data = file.read(1 << 20)
    except FileNotFoundError:
        return {}
    except OSError as error:
        refuse("password.file", path=path, problem=error.strerror or error)
    if stat.S_IMODE(mode.st_mode) & 0o077:
        refuse("password.file", path=path, problem=f"others may read or write it (mode {stat.S_IMODE(mode.st_mode):o})")
    found = {}
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        user, _, rest = line.partition(":")
        match = _LINE.fullmatch(rest)
        if not match or not _USER.fullmatch(user) or not _sane(int(match[1]), int(match[2]), int(match[3])):
            refuse("password.file", path=path, problem=f"line {number} is no user with a scrypt hash")
        n, r, p = int(match[1]), int(match[2]), int(match[3])
        found[user] = Hash(n, r, p, bytes.fromhex(match[4]), bytes.fromhex(match[5]))
    return found


def _sane(n: int, r: int, p: int) -> bool:
    return 2 <= n <= _COST_LIMIT and n & (n - 1) == 0 and 1 <= r <= 16 and 1 <= p <= 16


def _write(directory: Path, known: dict[str, Hash]) -> None:
    path = directory / FILE
    fresh = path.with_name(f"{FILE}.new")
    fresh.unlink(missing_ok=True)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.writelines(f"{user}:{each.text()}\n" for user, each in sorted(known.items()))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    held = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(held)
    finally:
        os.close(held)
