"""The first frames of a link: versions, then who the client is and what it may speak of.

    client  hello    {versions: [[major, minor], ...]}
    server  hello    {version: [major, minor]}                  or  refused {why: "version"}
    client  join     {uuid, how: certificate | password | session, user, password, machine, mid}
    server  welcome  {machine, greatest, home, release}         or  refused {why: "authentication" | "off" | "busy"}

Until `welcome` the server says nothing that an outsider does not know, in constant words, whatever was wrong. A
*session* is a link for an attempt that this very certificate began: after a lost link, or a restart, it needs no
password, and may speak of nothing but this domain.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from emulator.hvctl.wire import WireError
from ldmd.migration.records import MID_MAX, UUID
from ldmd.migrator.link import LinkError, read_frame, send_frame

VERSIONS: tuple[tuple[int, int], ...] = ((1, 0),)
"""Versions of the protocol this program speaks: of the last release and the one before."""
CERTIFICATE, PASSWORD, SESSION = "certificate", "password", "session"
TEXT_LENGTH = 255
WHY = {
    "version": "its ldmd speaks another version of the migration protocol",
    "authentication": "Authentication failed",
    "off": "incoming migrations are switched off there",
    "busy": "it has too many connections",
}


class RefusedGreetingError(LinkError):
    """The server does not want us. `why`: a key of WHY."""

    def __init__(self, why: str) -> None:
        super().__init__(WHY.get(why, "it refused"))
        self.why = why


@dataclass(frozen=True, kw_only=True)
class Join:
    """What a client says of itself."""

    uuid: str
    how: str
    machine: str
    user: str = ""
    password: str = ""
    mid: int = 0  # of a session: the attempt


@dataclass(frozen=True, kw_only=True)
class Welcome:
    """What a server says to one who may. `greatest`: the greatest number that it knows of an attempt for the domain."""

    machine: str
    greatest: int
    home: str  # a token of the directory that machines of one home share, "" where there is none
    release: str  # "3.3"


Negotiated = tuple[int, int]


def common_version(
    ours: tuple[tuple[int, int], ...], theirs: list[tuple[int, int]]
) -> Negotiated | None:
    """The greatest major version both have, with the smaller of the minor ones."""
    mine, other = dict(ours), dict(theirs)
    majors = sorted(mine.keys() & other.keys())
    return (majors[-1], min(mine[majors[-1]], other[majors[-1]])) if majors else None


def _text(frame: dict[str, Any], name: str, *, length: int = TEXT_LENGTH) -> str:
    value = frame.get(name, "")
    if not isinstance(value, str) or len(value) > length or not value.isprintable():
        raise LinkError(f"{name}: a printable text expected")
    return value


def _number(frame: dict[str, Any], name: str, most: int = MID_MAX) -> int:
    value = frame.get(name, 0)
    if type(value) is not int or not 0 <= value <= most:
        raise LinkError(f"{name}: a number from 0 to {most} expected")
    return value


def _versions(frame: dict[str, Any]) -> list[tuple[int, int]]:
    rows = frame.get("versions")
    if frame.get("type") != "hello" or not isinstance(rows, list) or not 1 <= len(rows) <= 16:
        raise LinkError("no hello")
    found = []
    for row in rows:
        pair = isinstance(row, list) and len(row) == 2 and all(type(each) is int and 0 <= each < 1000 for each in row)
        if not pair:
            raise LinkError("versions: pairs of numbers expected")
        found.append((row[0], row[1]))
    return found


# -- the client


def introduce(sock: ssl.SSLSocket, join: Join, *, seconds: float,
              versions: tuple[tuple[int, int], ...] = VERSIONS) -> Welcome:
    """Both halves of the greeting. Raises LinkError, RefusedGreetingError, OSError."""
    deadline = time.monotonic() + seconds
    send_frame(sock, {"type": "hello", "versions": [list(each) for each in versions]})
    answer = _answer(sock, "hello", deadline)
    version = answer.get("version")
    if not isinstance(version, list) or tuple(version) not in {
            (major, least) for major, minor in versions for least in range(minor + 1)}:
        raise RefusedGreetingError("version")
    send_frame(sock, {"type": "join", "uuid": join.uuid, "how": join.how, "machine": join.machine, "user": join.user,
                      "password": join.password, "mid": join.mid})
    answer = _answer(sock, "welcome", deadline)
    return Welcome(machine=_text(answer, "machine"), greatest=_number(answer, "greatest"), home=_text(answer, "home"),
                   release=_text(answer, "release"))


def _answer(sock: ssl.SSLSocket, kind: str, deadline: float) -> dict[str, Any]:
    try:
        frame = read_frame(sock, deadline)
    except ssl.SSLError as error:
        raise LinkError(f"TLS: {error}") from error
    if frame.get("type") == "refused":
        raise RefusedGreetingError(_text(frame, "why"))
    if frame.get("type") != kind:
        raise LinkError(f"no {kind}")
    return frame


# -- the server


def receive(sock: ssl.SSLSocket, *, seconds: float, judge: Callable[[Join], Welcome | str],
            versions: tuple[tuple[int, int], ...] = VERSIONS) -> Join | None:
    """Let a client in, or not: then it is told why in constant words, and the answer is None.

    `judge`: a welcome, or a key of WHY. Raises LinkError, OSError where it broke the rules.
    """
    deadline = time.monotonic() + seconds
    version = common_version(versions, _versions(read_frame(sock, deadline)))
    if version is None:
        send_frame(sock, {"type": "refused", "why": "version"})
        return None
    send_frame(sock, {"type": "hello", "version": list(version)})
    frame = read_frame(sock, deadline)
    join = _join(frame)
    answer = judge(join)
    if isinstance(answer, str):
        send_frame(sock, {"type": "refused", "why": answer})
        return None
    try:
        send_frame(sock, {"type": "welcome", "machine": answer.machine, "greatest": answer.greatest,
                          "home": answer.home, "release": answer.release})
    except WireError as error:
        raise LinkError(str(error)) from error
    return join


def _join(frame: dict[str, Any]) -> Join:
    if frame.get("type") != "join":
        raise LinkError("no join")
    join = Join(uuid=_text(frame, "uuid"), how=_text(frame, "how"), machine=_text(frame, "machine"),
                user=_text(frame, "user"), password=_text(frame, "password", length=1024), mid=_number(frame, "mid"))
    if not UUID.match(join.uuid) or join.how not in (CERTIFICATE, PASSWORD, SESSION) or not join.machine:
        raise LinkError("a join that is none")
    return join
