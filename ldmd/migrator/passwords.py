"""Passwords of those who may migrate a domain to this machine: scrypt hashes in a file of the manager's directory.

One line for each user: `NAME:scrypt:N:R:P:SALT:HASH`, numbers decimal, salt and hash hexadecimal. The file is its
owner's alone. A guess costs a whole scrypt, also for a user who is not there; `Guesses` slows those who go on.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from ldmd.messages import refuse

FILE = "passwords"
USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}\Z")
N, R, P, SALT_BYTES, HASH_BYTES = 1 << 14, 8, 1, 16, 32
MEMORY_BYTES = 64 << 20
PASSWORD_BYTES = 1024
FREE_GUESSES = 3
SLOWEST_SECONDS = 30.0
PEERS_KEPT = 1024


def _derive(password: str, salt: bytes, n: int = N, r: int = R, p: int = P) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=MEMORY_BYTES, dklen=HASH_BYTES)


def _read(path: Path) -> dict[str, tuple[int, int, int, bytes, bytes]]:
    """Users with their parameters, salt and hash. Raises RefusedError settings.file."""
    try:
        text = path.read_text(encoding="ascii")
        mode = path.stat().st_mode
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        refuse("settings.file", path=path, problem=error)
    if mode & 0o077:
        refuse("settings.file", path=path, problem=f"others may read it (mode {mode & 0o7777:04o})")
    users = {}
    for number, line in enumerate(text.splitlines(), 1):
        try:
            user, kind, n, r, p, salt, digest = line.split(":")
            row = (int(n), int(r), int(p), bytes.fromhex(salt), bytes.fromhex(digest))
            if kind != "scrypt" or not USER.match(user) or row[0] * row[1] * 128 > MEMORY_BYTES // 2:
                raise ValueError("not a line of this file")
        except ValueError as error:
            refuse("settings.file", path=path, problem=f"line {number}: {error}")
        users[user] = row
    return users


def set_password(path: Path, user: str, password: str) -> None:
    """Add or replace a user's. Raises RefusedError settings.file, migration.password."""
    if not USER.match(user) or not 1 <= len(password.encode()) <= PASSWORD_BYTES:
        refuse("migration.password", user=user)
    salt = os.urandom(SALT_BYTES)
    _write(path, _read(path) | {user: (N, R, P, salt, _derive(password, salt))})


def _write(path: Path, users: dict[str, tuple[int, int, int, bytes, bytes]]) -> None:
    """Whole and durable, for its owner alone."""
    lines = [f"{name}:scrypt:{n}:{r}:{p}:{salt.hex()}:{digest.hex()}\n"
             for name, (n, r, p, salt, digest) in sorted(users.items())]
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


_TURN = threading.Lock()
_NOBODY = (N, R, P, bytes(SALT_BYTES), bytes(HASH_BYTES))


def check_password(path: Path, user: str, password: str) -> bool:
    """Is it right? Takes as long where the user does not exist. One at a time: guessing costs no more memory."""
    with _TURN:
        found = _read(path).get(user)
        n, r, p, salt, digest = found or _NOBODY
        try:
            made = _derive(password[:PASSWORD_BYTES], salt, n, r, p)
        except ValueError:
            return False
        return hmac.compare_digest(made, digest) and found is not None


class Guesses:
    """Who guessed wrongly how often: pauses that double for each address, up to SLOWEST_SECONDS."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()  # address: guesses, not before

    def blocked(self, address: str) -> bool:
        """Must it wait before another guess? Then it is refused without a look."""
        with self._lock:
            _, until = self._wrong.get(address, (0, 0.0))
            return self._monotonic() < until

    def wrong(self, address: str) -> None:
        """Another wrong one."""
        with self._lock:
            count = self._wrong.pop(address, (0, 0.0))[0] + 1
            pause = min(SLOWEST_SECONDS, 2.0 ** (count - FREE_GUESSES)) if count >= FREE_GUESSES else 0.0
            self._wrong[address] = (count, self._monotonic() + pause)
            while len(self._wrong) > PEERS_KEPT:
                self._wrong.popitem(last=False)

    def right(self, address: str) -> None:
        """It knew."""
        with self._lock:
            self._wrong.pop(address, None)


def users(path: Path) -> tuple[str, ...]:
    """Who has one. Raises RefusedError settings.file."""
    return tuple(sorted(_read(path)))


def remove_password(path: Path, user: str) -> bool:
    """Take a user's away; False where he has none. Raises RefusedError settings.file."""
    kept = _read(path)
    if kept.pop(user, None) is None:
        return False
    _write(path, kept)
    return True
