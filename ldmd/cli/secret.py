"""The target's password of `migrate-domain`: from the terminal, without echo, or from the first line of a file."""

from __future__ import annotations

import getpass
import os
import stat
import sys
from collections.abc import Callable

from ldmd.cli.parse import Request
from ldmd.messages import message

PROMPT = "Target Password: "
Ask = Callable[[], str]
"""Asks a person for the target's password. Raises RefusedError password.terminal."""
_MOST = 1025


def ask_terminal() -> str:
    """Ask on the terminal of the process, wherever its input and output go."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        raise message("password.terminal") from None
    try:
        return getpass.getpass(PROMPT)
    except EOFError:
        raise message("password.terminal") from None


def with_password(request: Request, ask: Ask) -> Request:
    """A request that has the password it needs."""
    if request.operation != "migrate-domain" or {"password", "certificates"} & set(request.arguments):
        return request
    return Request(request.command, request.operation, {**request.arguments, "password": ask()}, request.local,
                   request.files)


def from_file(name: str) -> str:
    """The first line of a file that is its owner's alone (mode 400 or 600), or of standard input for "-"."""
    if name == "-":
        return _line(sys.stdin.buffer.readline(_MOST + 1), "standard input")
    try:
        # a pipe with nobody at its other end is not waited for
        with os.fdopen(os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            found = os.fstat(file.fileno())
            _check(name, found)
            data = file.readline(_MOST + 1)
    except OSError as error:
        raise message("password.source", name=name, problem=error.strerror or error,
                      help="name a file that can be read") from None
    return _line(data, name)


def _check(name: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise message("password.source", name=name, problem="it is no file",
                      help="name a file, or - for standard input")
    if found.st_uid not in (0, os.geteuid()):
        raise message("password.source", name=name, problem=f"it belongs to user {found.st_uid}",
                      help="make it your own")
    if mode := stat.S_IMODE(found.st_mode) & 0o077:
        raise message("password.source", name=name, problem=f"others may {_may(mode)} it (mode "
                      f"{stat.S_IMODE(found.st_mode):o})", help=f"`chmod 600 {name}`")


def _may(mode: int) -> str:
    return "read" if mode & 0o044 else "write" if mode & 0o022 else "execute"


def _line(data: bytes, name: str) -> str:
    try:
        text = data.decode("utf-8").split("\n", 1)[0].rstrip("\r")
    except UnicodeDecodeError:
        raise message("password.source", name=name, problem="it is not UTF-8", help="write the password anew") from None
    if not text or len(data) > _MOST:
        problem = "its first line is empty" if not text else f"its first line has more than {_MOST - 1} bytes"
        raise message("password.source", name=name, problem=problem, help="write the password into its first line")
    return text
