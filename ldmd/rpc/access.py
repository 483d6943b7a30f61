"""Who may do what: the role of a peer of the socket, from the kernel's word on who it is.

The user that ldmd runs as, and root, may write. The file access.toml beside the store gives roles to others:

    [users]
    alice = "write"
    bob = "none"
    [groups]
    operators = "write"
    [socket]
    group = "operators"        # group of the socket; it is 0660
    default = "read"           # whoever else can open the socket: "read" or "none"

A user's own line counts before those of groups; of several groups the strongest role counts.
"""

from __future__ import annotations

import grp
import os
import pwd
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ldmd.jobs import Caller
from ldmd.messages import refuse

ROLES = ("none", "read", "write")
TABLES = {"users", "groups", "socket"}


@dataclass(frozen=True)
class Access:
    """The file's content; without a file the defaults."""

    users: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    group: str | None = None
    default: str = "read"

    def role(self, uid: int, user: str, groups: Iterable[str]) -> str:
        """Of a peer."""
        if uid in (0, os.geteuid()):
            return "write"
        if user in self.users:
            return self.users[user]
        given = [self.groups[name] for name in groups if name in self.groups]
        return max(given, key=ROLES.index) if given else self.default

    def caller(self, *, pid: int, uid: int, gid: int) -> Caller:
        """Who a peer is. Users and groups without a name are called by their number."""
        try:
            entry = pwd.getpwuid(uid)
            user, numbers = entry.pw_name, os.getgrouplist(entry.pw_name, gid)
        except KeyError:
            user, numbers = str(uid), [gid]
        return Caller(user, self.role(uid, user, [_group_name(number) for number in numbers]), pid)


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def read_access(path: Path) -> Access:
    """The file; the defaults where there is none. Raises RefusedError access.file with what is wrong."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Access()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        refuse("access.file", path=path, problem=error)
    for name, table in data.items():
        if name not in TABLES or not isinstance(table, dict):
            refuse("access.file", path=path, problem=f"{name!r} is none of the tables {', '.join(sorted(TABLES))}")
    for table in ("users", "groups"):
        for name, role in data.get(table, {}).items():
            if role not in ROLES:
                refuse("access.file", path=path, problem=f"[{table}] {name}: {role!r} is none of {', '.join(ROLES)}")
    group, default = _socket(path, data.get("socket", {}))
    return Access(data.get("users", {}), data.get("groups", {}), group, default)


def _socket(path: Path, table: dict[str, Any]) -> tuple[str | None, str]:
    for key in table:
        if key not in ("group", "default"):
            refuse("access.file", path=path, problem=f"[socket] has no key {key!r}: group, default")
    group, default = table.get("group"), table.get("default", "read")
    if default not in ("read", "none"):
        refuse("access.file", path=path, problem=f"[socket] default: {default!r} is neither read nor none")
    if group is not None:
        try:
            grp.getgrnam(str(group))
        except KeyError:
            refuse("access.file", path=path, problem=f"[socket] group: there is no group {group!r}")
    return group, default
